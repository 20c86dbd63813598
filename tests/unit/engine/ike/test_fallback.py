# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that refuses fresh keys: what lives goes on, by other offers or in another IKE SA, and nothing is lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.endpoint import Endpoint
from engine.ike.v2.snapshot import freeze
from engine.ike.views import Refusal
from engine.selector import parse_selector

from .rekeys import spis, watch
from .world import Host, World, child, east_connection, mirror, pair, straight

PFS, PLAIN, BOTH = "aes256gcm16-x25519-ecp384", "aes256gcm16", ["aes256gcm16-x25519-ecp384", "aes256gcm16"]


def ends(east: object, west: object, seconds: float = 100.0, **more: object) -> World:
    """Up, with these proposals of the child at either end."""
    world = pair(dpd_delay=0.0, **more)
    for host, spec, turn in ((world.east, east, lambda one: one), (world.west, west, mirror)):
        lan = replace(child(lifetime=seconds), proposals=esp_proposals(spec, "p"))
        host.engine.define(turn(east_connection(children=(lan,), dpd_delay=0.0, **more)))
    world.east.start()
    world.run(1.0)
    world.check()
    return world


def tidy(world: World) -> None:
    """One IKE SA with one child is left, and nothing else anywhere."""
    world.run(5.0)
    assert not world.east.kernel.faults and not world.west.kernel.faults
    assert not world.east.kernel.reserved and not world.west.kernel.reserved
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


@pytest.mark.parametrize("starter", ["east", "west"])
@pytest.mark.parametrize("asks", ["initiator", "responder", "both"])
def test_a_peer_without_pfs_costs_nothing_for_ever(starter: str, asks: str) -> None:
    world = ends(PFS, PLAIN)
    if starter == "west":
        world.east.stop()
        world.run(1.0)
        world.west.start()
        world.run(1.0)
    world.east.reports.clear()
    world.west.reports.clear()
    if asks != "both":
        # The other end never begins a rekey of a child.
        quiet = {"initiator": "west", "responder": "east"}[asks]
        host: Host = getattr(world, quiet)
        engine = host.engine
        for sa in engine.registry.by_spi.values():
            for one in sa.children.values():
                one.rekey_at = float("inf")
    for _unused in range(20):
        watch(world, 100.0, 0.25)
    tidy(world)
    for host in (world.east, world.west):
        assert "child_down" not in host.kinds() and "child_failed" not in host.kinds()
        assert set(host.reasons("ike_down")) <= {"replaced", "peer_deleted"}
        assert not any(one.refusal for sa in host.engine.registry.by_spi.values() for one in sa.children.values())


def test_the_refusal_is_told_at_once_and_no_moment_is_without_the_tunnel() -> None:
    world = ends(PFS, PLAIN)
    while "rekey_refused" not in world.east.kinds() + world.west.kinds():
        watch(world, 0.01, 0.005)
    report = next(r for host in (world.east, world.west) for r in host.reports if r.kind == "rekey_refused")
    assert report.data["child"] == "lan" and report.data["reason"] == "no_proposal_chosen"
    assert 5 <= report.data["ends_in"] <= 20 and "NO_PROPOSAL_CHOSEN" in report.data["story"]
    before = spis(world)
    watch(world, 1.0, 0.001)
    tidy(world)
    assert not before & spis(world)


def test_without_a_key_exchange_where_the_definition_allows_it() -> None:
    world = ends(BOTH, PLAIN)
    (before,) = world.east.sas()
    watch(world, 500.0, 0.25)
    tidy(world)
    (after,) = world.east.sas()
    assert after.number == before.number, "the IKE SA stays"
    assert "rekey_refused" not in world.east.kinds(), "one offer has both"


def test_the_offers_in_their_order() -> None:
    world = ends(BOTH, PLAIN)
    (sa,) = world.east.engine.registry.by_spi.values()
    seen = []
    plain = world.east.engine.spis

    def count(*args: object) -> int:
        seen.append(world.now)
        return plain(*args)

    world.east.engine.spis = count
    # West turns to something that nothing of this fits.
    lan = replace(child(lifetime=100.0), proposals=esp_proposals("chacha20poly1305", "p"))
    world.west.engine.define(mirror(east_connection(children=(lan,), dpd_delay=0.0)))
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(3.0)
    # The whole offer, the proven group alone, without a key exchange, and IKE_AUTH beside.
    assert len(seen) == 4
    world.check()
    refusal = next(iter(sa.children.values())).refusal
    assert refusal is not None and refusal.reason == "no_proposal_chosen" and refusal.times == 3
    assert len(world.east.sas()) == 1, "what nothing came of is closed again"
    assert not world.east.kernel.reserved


def test_a_change_at_one_end_alone_is_no_reason_for_another_ike_sa() -> None:
    world = ends(PFS, PFS, 1000.0)
    lan = replace(child(lifetime=1000.0), proposals=esp_proposals("chacha20poly1305-x25519", "p"))
    world.east.engine.define(east_connection(children=(lan,), dpd_delay=0.0))
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(800.0)
    assert "rekey_refused" in world.east.kinds() and world.east.kinds().count("ike_connecting") == 1
    world.check()
    world.run(180.0)
    assert world.east.kinds().count("ike_connecting") > 1, "near the end there is nothing to lose"


def test_what_nothing_helps_lives_to_its_end_and_asks_now_and_then() -> None:
    world = ends(PFS, PLAIN, 1000.0)
    lan = replace(child(lifetime=1000.0), proposals=esp_proposals("chacha20poly1305", "p"))
    world.west.engine.define(mirror(east_connection(children=(lan,), dpd_delay=0.0)))
    world.run(780.0)
    count = world.count
    watch(world, 215.0, 0.25)
    assert world.count - count < 400
    refused = [r for r in world.east.reports if r.kind == "rekey_refused"]
    assert 2 <= len(refused) < 60
    world.run(120.0)
    assert {"child_down"} <= set(world.east.kinds())
    assert not world.east.kernel.inbound and world.east.kernel.policies == {1: 0}, "held, not in clear"


def test_a_child_that_is_gone_comes_back_in_another_ike_sa() -> None:
    world = ends(PFS, PLAIN)
    (sa,) = world.east.sas()
    world.west.stop(children=["lan"])
    world.run(1.0)
    assert not world.east.kernel.inbound
    world.east.start(children=["lan"])
    world.run(1.0)
    tidy(world)
    world.check()
    assert world.east.sas()[0].number != sa.number


def test_changed_networks_reach_a_peer_without_pfs_before_the_old_ones_end() -> None:
    world = ends(PFS, PLAIN)
    wider = (parse_selector("10.1.0.0/16"), parse_selector("10.9.0.0/16"))
    for host, spec, turn in ((world.west, PLAIN, mirror), (world.east, PFS, lambda one: one)):
        lan = replace(child(lifetime=100.0), proposals=esp_proposals(spec, "p"), local=wider)
        host.engine.define(turn(east_connection(children=(lan,), dpd_delay=0.0)))
        host.do(host.engine.supersede("t", world.now, ["lan"]))
        watch(world, 0.5, 0.01)
    watch(world, 10.0, 0.01)
    assert set(world.east.kernel.sending(1).local_selectors) == set(wider)
    watch(world, 60.0, 0.25)
    tidy(world)
    assert "child_down" not in world.east.kinds() + world.west.kinds()


def test_a_child_that_ike_auth_refused_is_not_asked_for_in_ever_more_ike_sas() -> None:
    world = ends(PFS, PLAIN)
    lan = replace(child(), proposals=esp_proposals("chacha20poly1305", "p"))
    world.west.engine.define(mirror(east_connection(children=(lan,), dpd_delay=0.0)))
    world.west.stop()
    world.run(1.0)
    world.east.start()
    world.run(1.0)
    for _unused in range(5):
        world.east.start(children=["lan"])
        world.run(5.0)
    assert world.east.kinds().count("ike_connecting") == 2
    assert len(world.east.sas()) == 1


def test_an_ike_sa_whose_rekey_is_refused_is_made_anew_beside() -> None:
    world = ends(PFS, PFS, 900.0, lifetime=100.0)
    (before,) = world.east.sas()
    # What made it is not allowed any more at one end.
    for host, words in (
        (world.east, ["aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha512-ecp384"]),
        (world.west, ["aes256gcm16-prfsha512-ecp384"]),
    ):
        lan = replace(child(lifetime=900.0), proposals=esp_proposals(PFS, "p"))
        changed = east_connection(children=(lan,), dpd_delay=0.0, lifetime=100.0, proposals=ike_proposals(words, "p"))
        host.engine.define(changed if host is world.east else mirror(changed))
    watch(world, 400.0, 0.25)
    tidy(world)
    assert world.east.sas()[0].number != before.number


def test_several_children_go_over_together() -> None:
    voice = replace(child("voice", 2), local=(parse_selector("10.3.0.0/16"),), remote=(parse_selector("10.4.0.0/16"),))
    world = pair(children=(child(), voice), dpd_delay=0.0)
    world.east.start()
    world.run(1.0)
    (sa,) = world.east.engine.registry.by_spi.values()
    from engine.ike.context import Context
    from engine.ike.v2 import beside

    context = Context(world.east.engine, world.now)
    assert beside.begin(context, sa, "voice") and not beside.begin(context, sa, "voice")
    world.east.do(world.east.engine._finish(context))
    watch(world, 2.0, 0.001)
    world.check(1)
    world.check(2)
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1
    assert {c.name for c in world.east.sas()[0].children} == {"lan", "voice"}
    assert world.east.reasons("ike_down") == ["replaced"]


def two_children(east: object, west: object) -> World:
    """A tunnel with two children, one of which IKE_AUTH makes, with these proposals at either end."""
    voice = replace(child("voice", 2), local=(parse_selector("10.3.0.0/16"),), remote=(parse_selector("10.4.0.0/16"),))
    world = pair(dpd_delay=0.0)
    for host, spec, turn in ((world.east, east, lambda one: one), (world.west, west, mirror)):
        both = tuple(replace(one, proposals=esp_proposals(spec, "p")) for one in (child(), voice))
        host.engine.define(turn(east_connection(children=both, dpd_delay=0.0)))
    world.east.start()
    world.run(1.0)
    return world


@pytest.mark.parametrize("east, west", [(BOTH, PLAIN), (PLAIN, BOTH), (BOTH, PFS), (PFS, BOTH)])
def test_two_children_come_up_where_one_of_the_definitions_allows_for_both(east: object, west: object) -> None:
    world = two_children(east, west)
    world.check(1)
    world.check(2)
    assert len(world.east.sas()) == 1 and "child_failed" not in world.east.kinds()


@pytest.mark.parametrize("east, west, says", [(PFS, PLAIN, "may be without PFS"), (PLAIN, PFS, "may insist on PFS")])
def test_a_second_child_that_is_refused_for_its_key_exchange_says_so_and_is_asked_for_ever_less(
    east: object, west: object, says: str
) -> None:
    world = two_children(east, west)
    (failure,) = [report for report in world.east.reports if report.kind == "child_failed"]
    assert failure.data["child"] == "voice" and says in failure.data["story"]
    counts = []
    for _unused in range(3):
        count = world.count
        for _again in range(600):
            world.east.start(children=["voice"])
            world.run(0.5)
        counts.append(world.count - count)
    assert counts[0] < 40 and counts[2] < 20, "whoever asks for it"
    world.check(1)
    assert len(world.east.sas()) == 1


def test_a_second_child_that_was_refused_comes_up_when_the_definition_changes_or_the_peers_does() -> None:
    for changed in ("east", "west"):
        world = two_children(PFS, PLAIN)
        world.run(300.0)
        host = getattr(world, changed)
        connection = host.engine.connections.get("t")
        more = tuple(replace(one, proposals=esp_proposals(BOTH, "p")) for one in connection.children)
        host.engine.define(replace(connection, children=more))
        if changed == "east":
            host.start(children=["voice"])
        world.run(2.0 if changed == "east" else 200.0)
        world.check(2)


@pytest.mark.parametrize("seed", [*range(60), 148, 2089])
def test_with_loss_and_reordering_the_tunnel_outlives_refusals(seed: int) -> None:
    chance = random.Random(seed)
    specs = [PFS, PLAIN, BOTH, "aes256gcm16-ecp384"]
    east, west = chance.choice(specs), chance.choice(specs)
    world = ends(east, west, 300.0, lifetime=1000.0)

    def fate(number: int, _datagram: bytes) -> list[float]:
        copies = chance.choices([0, 1, 2], [0.2, 0.7, 0.1])[0]
        return [chance.uniform(0.001, 0.5) for _unused in range(copies)]

    world.fate = fate
    for _unused in range(12):
        world.run(chance.uniform(100.0, 300.0))
        for host in (world.east, world.west):
            assert "child_down" not in host.kinds() and not host.kernel.faults
            assert host.kernel.sending(1) is not None
    world.fate = straight
    world.run(90.0)
    world.check()
    tidy_after_loss(world)


def tidy_after_loss(world: World) -> None:
    """Both ends agree on what is left."""
    assert {sa.spi_out for sa in world.east.kernel.outbound.values()} == set(world.west.kernel.inbound)
    assert {sa.spi_out for sa in world.west.kernel.outbound.values()} == set(world.east.kernel.inbound)
    assert not world.east.kernel.reserved and not world.west.kernel.reserved
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1


def test_a_refusal_survives_a_restart() -> None:
    world = ends(PFS, PLAIN)
    sa = next(iter(world.east.engine.registry.by_spi.values()))
    one = next(iter(sa.children.values()))
    one.refusal = sa.refusal = Refusal("no_proposal_chosen", "the peer refused", 3)
    sa.unfit, sa.settle_at, sa.replaces = ("lan",), world.now + 5.0, sa
    records = freeze(sa)
    heir = Endpoint(world.east.engine.entropy, world.east.engine.spis, world.east.engine.settings)
    heir.define(sa.connection)
    heir.resume(records, world.now)
    again = next(iter(heir.registry.by_spi.values()))
    assert again.refusal == sa.refusal and again.unfit == ("lan",) and again.settle_at == sa.settle_at
    assert next(iter(again.children.values())).refusal == one.refusal


def test_a_peer_that_makes_no_more_children_is_told_of_by_name_and_asked_ever_less() -> None:
    world = pair(dpd_delay=0.0)
    world.west.engine.settings = replace(world.west.engine.settings, max_children=1)
    voice = replace(child("voice", 2), local=(parse_selector("10.3.0.0/16"),), remote=(parse_selector("10.4.0.0/16"),))
    for host, turn in ((world.east, lambda one: one), (world.west, mirror)):
        host.engine.define(turn(east_connection(children=(child(lifetime=900.0), voice), dpd_delay=0.0)))
    world.east.start()
    world.run(1.0)
    (failure,) = [report for report in world.east.reports if report.kind == "child_failed"]
    assert failure.data["reason"] == "no_additional_sas" and "NO_ADDITIONAL_SAS" in failure.data["story"]
    world.check(1)
    count = world.count
    for _again in range(600):
        world.east.start(children=["voice"])
        world.run(0.5)
    assert world.count - count < 40
    world.west.engine.settings = replace(world.west.engine.settings, max_children=2)
    world.run(200.0)
    world.check(2)
