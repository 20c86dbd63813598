# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths: NATs in between, peers that change their port, transport mode whose addresses are rewritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from engine.ike.actions import MappingChanged, Path
from engine.ike.connection import ChildConfig
from engine.selector import parse_selector

from .forge import INFORMATIONAL, hand, ike_sa, opened, sealed, sends
from .nat_box import PUBLIC, behind_nat
from .world import EAST, WEST, World, child, east_connection, mirror, pair


def test_transport_mode_across_a_nat_protects_the_addresses_that_each_end_sees() -> None:
    one = replace(
        child(mode="transport"),
        local=(parse_selector(f"{EAST}/32[udp/1701]"),),
        remote=(parse_selector(f"{WEST}/32[udp/1701]"),),
    )
    world, _unused = behind_nat(one)
    east, west = world.east.kernel.sending(1), world.west.kernel.sending(1)
    assert [str(s) for s in east.local_selectors + east.remote_selectors] == [
        f"{EAST}/32[17/1701]",
        f"{WEST}/32[17/1701]",
    ]
    assert [str(s) for s in west.local_selectors + west.remote_selectors] == [
        f"{WEST}/32[17/1701]",
        f"{PUBLIC}/32[17/1701]",
    ]
    assert west.remote_address == PUBLIC and west.mode == "transport" and west.encapsulation == (4500, 24500)


@pytest.mark.parametrize("end", ["east", "west"])
def test_transport_mode_across_a_nat_is_rekeyed_by_either_end(end: str) -> None:
    hosts = {"local": (parse_selector(f"{EAST}/32"),), "remote": (parse_selector(f"{WEST}/32"),)}
    world, _unused = behind_nat(replace(child(mode="transport"), **hosts))
    host = getattr(world, end)
    before = world.west.kernel.sending(1).spi_out
    host.do(host.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    west = world.west.kernel.sending(1)
    assert west.spi_out != before and [str(s) for s in west.remote_selectors] == [f"{PUBLIC}/32"]
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


@pytest.mark.parametrize("port", [4500, 14500])
def test_ike_begins_at_the_one_port_that_a_peer_has_for_everything(port: int) -> None:
    world = pair(children=(child(),), remote_port=port, remote_natt_port=port)
    world.east.start()
    paths = [path for _when, _number, _datagram, path in world.wire]
    assert paths == [Path(WEST, port, EAST, 4500, True)], "as it arrives"
    world.run(1.0)
    assert "ike_established" in world.east.kinds()
    assert world.east.kernel.sending(1).encapsulation is None, "there is no NAT"


def test_where_both_ports_differ_ike_begins_at_its_own() -> None:
    world = pair(children=(child(),), remote_port=5500, remote_natt_port=5501)
    world.east.start()
    assert [path for _when, _number, _datagram, path in world.wire] == [Path(WEST, 5500, EAST, 500)]


def test_a_new_mapping_is_followed_by_ike_and_by_the_children() -> None:
    world, nat = behind_nat(child(), dpd_delay=15.0)
    world.check()
    assert "moved" not in world.west.kinds()  # going on to the other port is part of the handshake
    nat.offset = 30000
    world.run(20.0)
    world.check()
    assert world.west.kinds().count("moved") == 1
    assert world.west.sas()[0].path.remote_port == 34500
    assert world.west.kernel.sending(1).encapsulation == (4500, 34500)
    assert len(world.west.kernel.inbound) == 1 and "moved" not in world.east.kinds()


def test_a_mapping_that_the_kernel_has_seen_is_followed() -> None:
    world, nat = behind_nat(child(), dpd_delay=0.0)
    world.run(30.0)
    nat.offset = 30000
    spi = world.west.kernel.sending(1).spi_in
    world.west.do(world.west.engine.kernel_event(MappingChanged(spi, PUBLIC, 34500), world.now))
    world.run(1.0)
    world.check()
    assert world.west.kernel.sending(1).encapsulation == (4500, 34500)
    # The end behind the NAT follows nobody.
    spi = world.east.kernel.sending(1).spi_in
    world.east.do(world.east.engine.kernel_event(MappingChanged(spi, "203.0.113.9", 4500), world.now))
    assert world.east.sas()[0].path.remote_address == WEST


def test_whose_mapping_changed_is_known_whatever_else_is_up(calls: Callable[..., int]) -> None:
    world, _nat = behind_nat(child(), dpd_delay=0.0)
    engine = world.west.engine
    (sa,) = engine.registry.by_spi.values()
    (one,) = sa.children.values()
    event = MappingChanged(one.sa.spi_in, PUBLIC, 4500)
    few = calls(engine.kernel_event, event, world.now)
    for number in range(500):
        engine.registry.enter_child(sa, replace(one, number=1000 + number, sa=replace(one.sa, spi_in=5000 + number)))
    assert calls(engine.kernel_event, event, world.now) <= few
    assert engine.registry.receiving(5000) is not None


def test_a_flapping_mapping_does_not_cause_a_storm_of_rekeys() -> None:
    world, nat = behind_nat(child(), dpd_delay=1.0)
    began = world.count
    for second in range(120):
        nat.offset = 20000 + 100 * (second % 2)
        world.run(1.0)
    assert world.count - began < 1200
    nat.offset = 20000
    world.run(30.0)
    world.check()
    assert world.west.kernel.sending(1).encapsulation == (4500, 24500)


def test_only_fresh_authenticated_messages_move_a_peer() -> None:
    world, _unused = behind_nat(child(), dpd_delay=0.0)
    sa, path = ike_sa(world.east), world.west.sas()[0].path
    elsewhere = path._replace(remote_address="203.0.113.66", remote_port=4501)
    genuine = sealed(sa, INFORMATIONAL, sa.next_id, [])
    forged = genuine[:-1] + bytes((genuine[-1] ^ 1,))
    hand(world, world.west, forged, elsewhere)
    assert world.west.sas()[0].path == path
    hand(world, world.west, genuine, path)
    (replay,) = hand(world, world.west, genuine, elsewhere)
    assert world.west.sas()[0].path == path and replay.path == elsewhere  # answered the way it came, no more


def test_a_peer_without_a_nat_is_answered_the_way_it_asked_but_not_followed() -> None:
    world = World()
    world.east.engine.define(east_connection())
    world.west.engine.define(mirror(east_connection()))
    world.east.start()
    world.run(1.0)
    sa = ike_sa(world.east)
    elsewhere = Path(WEST, 4500, "203.0.113.66", 4500, True)
    (answer,) = hand(world, world.west, sealed(sa, INFORMATIONAL, sa.next_id, []), elsewhere)
    assert answer.path == elsewhere and world.west.sas()[0].path.remote_address == EAST


def test_a_peer_that_goes_on_at_the_other_port_without_a_nat() -> None:
    """As daemons with MOBIKE do: IKE moves to port 4500, ESP stays outside of UDP."""
    world = World()
    world.east.engine.define(east_connection())
    world.west.engine.define(mirror(east_connection()))
    world.east.start()
    world.run(0.015)
    sa = ike_sa(world.east, "init_sent") if world.east.sas("init_sent") else None
    assert sa is not None
    world.run(0.01)
    sa = ike_sa(world.east, "auth_sent")
    request, floated = sa.request.datagrams[0], Path(WEST, 4500, EAST, 4500, True)
    world.wire.clear()
    (answer,) = [a for a in hand(world, world.west, request, floated) if hasattr(a, "datagram")]
    assert answer.path == floated and world.west.sas()[0].path == floated
    assert world.west.kernel.sending(1).encapsulation is None
    assert "moved" not in world.west.kinds()


@pytest.mark.parametrize("forced", ["east", "west"])
def test_encapsulation_forced_at_one_end_is_used_at_both(forced: str) -> None:
    world = World()
    east = east_connection()
    world.east.engine.define(replace(east, encapsulation="force" if forced == "east" else "auto"))
    world.west.engine.define(replace(mirror(east), encapsulation="force" if forced == "west" else "auto"))
    world.east.start()
    world.run(1.0)
    world.check()
    for host in (world.east, world.west):
        assert host.kernel.sending(1).encapsulation == (4500, 4500)


def test_the_packet_that_wants_a_child_comes_first_in_its_selectors() -> None:
    from engine.ike.actions import Acquire
    from engine.wire.v2.ts import TSi, TSr

    world = World()
    east = east_connection(children=(child(start="trap"), voice()))
    world.east.engine.define(east)
    world.west.engine.define(mirror(east))
    packet = (parse_selector("10.1.2.3/32[tcp/40000]"), parse_selector("10.2.3.4/32[tcp/443]"))
    world.east.do(world.east.engine.kernel_event(Acquire(1, *packet), world.now))
    world.run(0.025)
    asked = opened(ike_sa(world.west, "init_answered"), ike_sa(world.east, "auth_sent").request.datagrams[0])
    assert asked.one(TSi).selectors == (packet[0], *child().local)
    assert asked.one(TSr).selectors == (packet[1], *child().remote)
    world.run(1.0)
    world.check()
    assert [str(s) for s in world.west.kernel.sending(1).local_selectors] == ["10.2.0.0/16"]
    packet = (parse_selector("10.3.2.3/32"), parse_selector("10.4.3.4/32"))
    world.east.do(world.east.engine.kernel_event(Acquire(2, *packet), world.now))
    asked = opened(ike_sa(world.west), ike_sa(world.east).request.datagrams[0])
    assert asked.one(TSi).selectors == (packet[0], *voice().local)
    world.run(1.0)
    world.check(2)
    assert sends([]) == []


def voice() -> ChildConfig:
    local, remote = (parse_selector("10.3.0.0/16"),), (parse_selector("10.4.0.0/16"),)
    return replace(child("voice", 2, start="trap"), local=local, remote=remote)
