# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that the peer may not have yet, since our answer is lost: nothing is sent on them while others are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.ike.v2.child import ChildState
from engine.ike.v2.sa import IkeSa
from engine.ike.v2.tasks import DeleteChild, RekeyChild, Task
from engine.selector import parse_selector
from engine.wire.header import Header

from .world import Host, Ranked, World, child, east_connection, mirror, pair, straight

WIDE = replace(child(), local=(parse_selector("10.1.0.0/16"), parse_selector("10.11.0.0/16")))


def two_ends(**more: object) -> World:
    world = pair(dpd_delay=0.0, **more)
    for host in (world.east, world.west):
        host.kernel = Ranked()
    world.east.start()
    world.run(1.0)
    world.check()
    return world


def lose_answers_of_east(world: World) -> None:
    def fate(number: int, datagram: bytes) -> list[float]:
        header = Header.parse(datagram)
        return [] if header.is_response and header.from_initiator else straight(number, datagram)

    world.fate = fate


def sa_of(host: Host) -> IkeSa:
    (sa,) = host.engine.registry.of_tunnel("t")
    return sa


def ask_once_more(host: Host) -> None:
    """Ask for the child that is up already."""
    for one in sa_of(host).children.values():
        one.superseded = True
    host.start(children=["lan"])
    for one in sa_of(host).children.values():
        one.superseded = False


def do(host: Host, task: Task) -> None:
    sa_of(host).queue.append(task)
    host.do(host.engine.retire("other", host.world.now))
    host.start(children=["lan"])


def steadily(world: World, seconds: float) -> None:
    """Let time pass; at every moment each end can read what the other one sends."""
    for _unused in range(round(seconds / 0.005)):
        world.run(0.005)
        world.check()


def well_ended(world: World) -> None:
    world.fate = straight
    steadily(world, 8.0)
    assert "child_down" not in world.east.kinds() + world.west.kinds()
    assert set(world.east.kernel.inbound) == set(world.west.kernel.outbound)


@pytest.mark.parametrize("narrower", [False, True])
def test_a_newer_child_carries_what_an_older_one_leaves(narrower: bool) -> None:
    """Between the two in age is one that the peer asked for and may not have: even one for more packets waits."""
    world = two_ends(children=(WIDE,))
    (oldest,) = sa_of(world.east).children.values()
    lose_answers_of_east(world)
    ask_once_more(world.west)
    steadily(world, 0.1)
    list(sa_of(world.east).children.values())[1].lowest_nonce = b""  # so that the newest is not closed for it
    if narrower:
        world.east.engine.define(east_connection(children=(child(),), dpd_delay=0.0))
    ask_once_more(world.east)
    steadily(world, 0.1)
    unproven, newest = list(sa_of(world.east).children.values())[1:]
    assert unproven.proof_at and newest.state is ChildState.INSTALLED
    do(world.east, DeleteChild(oldest, "replaced"))
    steadily(world, 0.1)
    assert oldest.state is ChildState.GONE and world.east.kernel.sending(1) is newest.sa
    assert (unproven.state is ChildState.ANSWERED) is not narrower, "where nobody else takes its packets it sends"
    well_ended(world)


def test_a_delete_of_ours_is_no_sign_that_the_peer_has_its_rekey() -> None:
    world = two_ends()
    ask_once_more(world.east)
    steadily(world, 5.0)
    old_here, new_here = sa_of(world.east).children.values()
    old_there = next(one for one in sa_of(world.west).children.values() if one.sa.spi_in == old_here.sa.spi_out)
    lose_answers_of_east(world)
    do(world.west, RekeyChild(old_there))
    steadily(world, 0.1)
    successor = old_here.successor
    assert successor.state is ChildState.ANSWERED
    do(world.east, DeleteChild(old_here, "replaced"))
    steadily(world, 0.1)
    assert old_here.state is ChildState.GONE and world.east.kernel.sending(1) is new_here.sa
    well_ended(world)
    assert successor.state is ChildState.INSTALLED


@pytest.mark.parametrize("dice", range(8))
def test_what_both_asked_for_at_once_is_not_closed_by_both(dice: int) -> None:
    """East's definition changes while its request is out, so it wants west's child alone, as west may want east's."""
    world = two_ends()
    world.east.engine.entropy.octets(1 + dice)
    for turn, host in enumerate((world.east, world.west, world.east)):
        changed = east_connection(children=(child(lifetime=5000.0 + turn),), dpd_delay=0.0)
        host.engine.define(changed if host is world.east else mirror(changed))
        host.do(host.engine.supersede("t", world.now, ["lan"]))
    steadily(world, 60.0)
    well_ended(world)
    assert all(not one.superseded for host in (world.east, world.west) for one in sa_of(host).children.values())
