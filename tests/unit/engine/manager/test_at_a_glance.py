# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator sees at a glance: since when a tunnel is up, when a packet last passed, and who asks in vain."""

from __future__ import annotations

import time
from types import SimpleNamespace

from engine.ike.actions import Path, Report
from engine.kernel.values import Usage
from engine.manager.log import Log
from engine.manager.traffic import Traffic
from engine.manager.unknown_peers import UnknownPeers
from manager_lab import Process, ends
from runtime_world import World, lan


def sa(number: int, reqid: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        number=number, reqid=reqid, protocol=50, local_address="a", remote_address="b",
        spi_in=number, spi_out=number + 100,
    )  # fmt: skip


def carried(number: int, received: int, sent: int, **more: int) -> dict:
    return {("a", 50, number): Usage(packets=received), ("b", 50, number + 100): Usage(packets=sent, **more)}


def test_since_when_it_is_up_goes_through_fresh_keys_and_an_end(world: World) -> None:
    world.define(world.right)
    world.define(world.left)
    up = world.left.tunnels.uptimes
    assert up.of("t") is None
    world.run()
    began = world.now
    world.run(20)
    assert up.of("t") == up.of("t", "lan") == began
    world.left.act(world.left.endpoint.rekey("t", world.now))
    world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
    world.run(100)
    assert up.of("t") == up.of("t", "lan") == began and world.left.counts["child_rekeyed"] == 1
    world.left.act(world.left.endpoint.stop("t", world.now, ["lan"]))
    world.run(0)
    assert up.of("t") == began and up.of("t", "lan") == world.now, "it is wanted, and comes up again at once"
    world.left.act(world.left.endpoint.stop("t", world.now))
    assert up.of("t") is None


def test_a_new_child_is_as_old_as_it_is(world: World) -> None:
    world.define(world.right)
    world.define(world.left)
    world.run(20)
    began = world.now
    for runtime, ours, theirs in (
        (world.right, "10.4.0.0/16", "10.3.0.0/16"),
        (world.left, "10.3.0.0/16", "10.4.0.0/16"),
    ):
        world.define(runtime, children=[*lan(runtime), {"name": "dmz", "local": [ours], "remote": [theirs]}])
    world.left.act(world.left.endpoint.start("t", world.now, children=["dmz"]))
    world.run(20)
    assert world.left.tunnels.uptimes.of("t", "dmz") >= began > world.left.tunnels.uptimes.of("t", "lan")


def test_when_a_packet_last_passed_as_the_kernel_tells_it() -> None:
    traffic = Traffic()
    traffic.look([sa(1)], carried(1, 0, 0), 1000.0, 5000.0)
    assert traffic.last(1) is None
    traffic.look([sa(1)], carried(1, 0, 3, use_time=4990, last_used=5003), 1005.0, 5005.0)
    assert traffic.last(1) == 1003.0
    traffic.look([sa(1)], carried(1, 0, 3, use_time=4990, last_used=5003), 1010.0, 5010.0)
    assert traffic.last(1) == 1003.0
    traffic.look([sa(2)], carried(2, 0, 0), 1015.0, 5015.0)
    assert traffic.last(1) == 1003.0, "fresh keys have carried nothing yet"
    traffic.look([], {}, 1020.0, 5020.0)
    assert traffic.last(1) is None


def test_when_a_packet_last_passed_where_the_kernel_tells_the_first_one_alone() -> None:
    traffic = Traffic()
    traffic.look([sa(1)], carried(1, 5, 3, use_time=4990), 1000.0, 5000.0)
    assert traffic.last(1) == 990.0, "no later one is known"
    traffic.look([sa(1)], carried(1, 5, 3, use_time=4990), 1005.0, 5005.0)
    assert traffic.last(1) == 990.0
    traffic.look([sa(1)], carried(1, 6, 3, use_time=4990), 1010.0, 5010.0)
    assert traffic.last(1) == 1010.0


def test_a_peer_whose_tunnel_was_removed_is_told_of_once_and_shown(world: World) -> None:
    world.define(world.left)
    world.right.unknown_peers.removed("to-left", "10.0.0.1", world.now)
    world.run(600)
    lines = [line for line in world.log.getvalue().splitlines() if "peer=10.0.0.1" in line and "debug" not in line]
    (line,) = lines
    assert "warning a peer asks for a tunnel that is not defined here" in line and "tunnel to-left" in line
    assert "fleet.ipsec.teardown" in line
    (shown,) = world.right.unknown_peers.shown(world.now)
    assert shown["address"] == "10.0.0.1" and shown["times"] > 10 and shown["last_seconds"] < 120
    assert "no tunnel is defined between 10.0.0.2 and 10.0.0.1; tunnel to-left" in shown["story"]
    world.run(3600)
    assert sum("info a peer asks" in line and "times=" in line for line in world.log.getvalue().splitlines()) == 1
    world.left.act(world.left.endpoint.stop("t", world.now))
    world.left.tunnels.retry.forget("t")
    world.run(1000)
    assert world.right.unknown_peers.shown(world.now) == []


def test_who_asked_in_vain_is_forgotten_once_a_tunnel_there_is_up(world: World) -> None:
    world.define(world.left)
    world.run(30)
    assert world.right.unknown_peers.shown(world.now, world.right.endpoint.peers())
    world.define(world.right)
    world.run(90)
    assert world.state(world.right) == "active"
    assert world.right.unknown_peers.shown(world.now, world.right.endpoint.peers()) == []


def test_beside_a_tunnel_that_is_up_it_shows_only_who_goes_on_asking() -> None:
    peers = UnknownPeers(Log("error", False))
    for address in ("10.0.0.1", "10.0.0.9"):
        data = {"reason": "no_matching_tunnel", "story": "", "peer": f"{address}/500"}
        assert peers.take(Report("ike_failed", "", data=data), 1000.0)
    assert len(peers.shown(1060.0, {"10.0.0.1"})) == 2, "another tunnel may be up, and the peer wants one more"
    assert [peer["address"] for peer in peers.shown(1540.0, {"10.0.0.1"})] == ["10.0.0.9"]
    assert peers.shown(1901.0) == []


def test_who_asked_in_vain_is_forgotten_once_a_tunnel_is_defined(pair: tuple[Process, Process]) -> None:
    left, right = pair
    ours, theirs = ends(left, right)
    left.apply(ours, state="active")
    deadline = time.monotonic() + 20
    while not (shown := right.call("tunnels.list")["unknown_peers"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [peer["address"] for peer in shown] == [left.address]
    right.apply(theirs | {"role": "responder"})
    assert right.call("tunnels.list")["unknown_peers"] == right.call("manager.info")["unknown_peers"] == []


def test_forged_addresses_crowd_out_nobody_who_goes_on_asking(world: World) -> None:
    world.define(world.left)
    world.left.wake()
    ((first, path),) = world.wire.flying
    for _unused in range(3):
        world.right.datagram(first, Path("10.0.0.2", 500, "10.0.0.1", 500))
    for number in range(1000):
        forged = number.to_bytes(8, "big") + first[8:]
        world.right.datagram(forged, Path("10.0.0.2", 500, f"198.51.{number // 250}.{number % 250}", 500))
    shown = world.right.unknown_peers.shown(world.now)
    assert len(shown) == 64 and "10.0.0.1" in [peer["address"] for peer in shown]
    assert world.log.getvalue().count("a peer asks") < 30


def test_what_has_a_tunnel_is_no_unknown_peer() -> None:
    peers = UnknownPeers(Log("error", False))
    assert not peers.take(
        Report("rejected", "t", data={"reason": "no_proposal_chosen", "story": "", "peer": "a/500"}), 1.0
    )
    assert not peers.take(Report("ike_failed", "t", data={"reason": "no_matching_tunnel", "story": ""}), 1.0)
    assert peers.shown(1.0) == []
