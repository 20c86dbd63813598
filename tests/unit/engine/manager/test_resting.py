# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that the peer closes, or through which nothing passes: what brings them back, and what their packets do."""

from __future__ import annotations

from typing import Any

import pytest
from engine.ike.actions import Acquire
from engine.kernel.values import Usage
from engine.manager.plan import make_plan
from runtime_world import World


def up(world: World, **child: Any) -> None:
    world.define(world.right, "present")
    world.define(world.left, child=child)
    world.run(1)
    if child.get("start", "auto") == "auto":
        assert lan(world) == "active"


def lan(world: World) -> str:
    return world.left.tunnels.condition("t").phase2["lan"]


def peer_closes(world: World) -> None:
    world.right.act(world.right.endpoint.stop("t", world.now, ["lan"]))
    world.run(0.5)


def packet(world: World) -> None:
    """One that its place holds asks for it."""
    reqid = world.left.tunnels.connections["t"].children[0].reqid
    world.left.tunnels.acquired(Acquire(reqid))
    world.run(1)


def activate(world: World) -> None:
    """As a task does with state: active."""
    row = world.left.tunnels.rows["t"]
    params = {"definitions": [row.definition.stored()], "state": "active", "purge": False, "owner": "me"}
    (step,) = make_plan(params, {"t": row}, lambda name: world.left.tunnels.condition(name).running()).steps
    after = world.left.store.commit([step.after])["t"] if step.after is not None else row
    world.left.tunnels.carry_out(step, after)
    world.run(2)


def test_what_the_peer_closes_comes_back_as_its_start_says(world: World) -> None:
    up(world)
    peer_closes(world)
    world.run(5)
    assert lan(world) == "active"


@pytest.mark.parametrize(("action", "held"), [("trap", "trapped"), ("none", "dormant")])
def test_what_the_peer_closes_waits(world: World, action: str, held: str) -> None:
    up(world, close_action=action)
    peer_closes(world)
    world.run(300)
    assert lan(world) == held and world.state(world.left) == "active", "the IKE SA is up"
    assert world.left.tunnels.places.traps.laid(), "its packets do not leave in clear"
    packet(world)
    assert lan(world) == ("active" if action == "trap" else held)
    if action == "trap":
        peer_closes(world)
        world.run(60)
        assert lan(world) == held, "and once more"


def test_an_operator_starts_what_waits(world: World) -> None:
    up(world, close_action="none")
    peer_closes(world)
    world.run(60)
    activate(world)
    assert lan(world) == "active" and not world.left.tunnels.rows["t"].resting


def test_the_peer_starts_what_waits(world: World) -> None:
    up(world, close_action="none")
    peer_closes(world)
    world.right.act(world.right.endpoint.start("t", world.now, None, ["lan"]))
    world.run(2)
    assert lan(world) == "active" and not world.left.tunnels.rows["t"].resting


def test_what_waits_for_packets_is_started_at_once_where_that_is_wanted(world: World) -> None:
    up(world, start="trap", close_action="start")
    packet(world)
    assert lan(world) == "active"
    peer_closes(world)
    world.run(5)
    assert lan(world) == "active" and not world.left.tunnels.rows["t"].resting


def test_none_leaves_a_child_that_packets_start_to_its_packets(world: World) -> None:
    up(world, start="trap", close_action="none")
    packet(world)
    peer_closes(world)
    world.run(60)
    assert lan(world) == "trapped"
    packet(world)
    assert lan(world) == "active"


def test_a_peer_that_closes_whatever_comes_is_not_asked_without_a_pause(world: World) -> None:
    up(world, start="trap", close_action="start")
    packet(world)
    before = world.left.counts["child_up"]
    for _unused in range(50):
        peer_closes(world)
    assert 2 <= world.left.counts["child_up"] - before <= 26


def test_the_end_of_the_ike_sa_is_one_of_its_children(world: World) -> None:
    up(world, close_action="trap")
    world.right.act(world.right.endpoint.stop("t", world.now))
    world.run(60)
    assert lan(world) == "trapped" and world.left.tunnels.condition("t").phase1 == "dormant"
    packet(world)
    assert lan(world) == "active"


# Inactivity


def carry(world: World, packets: int) -> None:
    """What the kernel has counted in each of the left end's SAs."""
    gateway = world.left.host.gateway
    gateway.usage_all = lambda: {(address, 50, spi): Usage(bytes=84, packets=packets) for address, spi in gateway.sas}


def test_a_child_through_which_nothing_passes_is_closed_until_its_next_packet(world: World) -> None:
    up(world, inactivity=60)
    carry(world, 0)
    world.run(50)
    assert lan(world) == "active"
    world.run(20)
    assert lan(world) == "trapped" and world.state(world.left) == "active"
    assert not world.left.host.gateway.sas and not world.right.host.gateway.sas
    world.run(600)
    assert lan(world) == "trapped"
    packet(world)
    assert lan(world) == "active"
    world.run(80)
    assert lan(world) == "trapped", "and once more"


def test_a_child_that_is_used_stays(world: World) -> None:
    up(world, inactivity=60)
    for packets in range(1, 40):
        carry(world, packets)
        world.run(10)
        assert lan(world) == "active"


def test_without_the_option_an_idle_child_stays(world: World) -> None:
    up(world)
    carry(world, 0)
    world.run(3000)
    assert lan(world) == "active"


def test_one_that_is_started_by_hand_waits_for_that(world: World) -> None:
    up(world, start="manual", inactivity=60)
    activate(world)
    assert lan(world) == "active"
    carry(world, 0)
    world.run(80)
    assert lan(world) == "dormant"
    packet(world)
    assert lan(world) == "dormant"
    activate(world)
    assert lan(world) == "active"
