# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends prove who they are once more because somebody wants them to: nothing is lost, whatever comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.crypto.auth import PresharedKey
from engine.secret import Secret
from engine.selector import parse_selector

from .world import World, child, east_connection, mirror, up

NEW = PresharedKey(Secret(b"the secret of the next epoch"))
CHILDREN = (child(), replace(child("voice", 2), local=(parse_selector("10.3.0.0/16"),)))


def reauthenticate(world: World, seconds: float = 3.0) -> None:
    world.east.do(world.east.engine.reauthenticate("t", world.now))
    watch(world, seconds)


def watch(world: World, seconds: float) -> None:
    """Let time pass; at no moment does an end send what the other one cannot receive."""
    for _unused in range(int(seconds / 0.005)):
        world.run(0.005)
        world.check(len(CHILDREN))


@pytest.fixture
def world() -> World:
    return up(children=CHILDREN)


def test_another_ike_sa_takes_over_with_all_children(world: World) -> None:
    before = set(world.east.kernel.inbound)
    (old,) = world.east.sas()
    reauthenticate(world)
    (new,) = world.east.sas()
    assert new.number != old.number and new.initiator
    assert len(world.east.kernel.inbound) == 2 and not before & set(world.east.kernel.inbound)
    assert world.east.reasons("ike_down") == ["replaced"] and world.east.kinds().count("ike_established") == 2


def test_it_is_by_the_secrets_that_are_defined_now(world: World) -> None:
    for host, ours in ((world.east, east_connection), (world.west, lambda **more: mirror(east_connection(**more)))):
        host.do([])
        host.engine.define(ours(children=CHILDREN, auth=NEW))
    world.east.do(world.east.engine.rekey("t", world.now))
    watch(world, 1.0)
    assert world.east.kinds().count("ike_established") == 1, "fresh keys prove nothing"
    reauthenticate(world)
    assert world.east.kinds().count("ike_established") == 2


def test_what_is_up_stays_where_the_secrets_differ(world: World) -> None:
    before = set(world.east.kernel.inbound)
    world.east.engine.define(east_connection(children=CHILDREN, auth=NEW))
    reauthenticate(world, 1.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert set(world.east.kernel.inbound) == before and len(world.east.sas()) == 1
    assert {"ike_down", "child_down"}.isdisjoint(world.east.kinds() + world.west.kinds())


def test_it_goes_on_in_the_ike_sa_that_the_peer_began(world: World) -> None:
    world.west.do(world.west.engine.reauthenticate("t", world.now))
    watch(world, 3.0)
    reauthenticate(world)
    assert len(world.east.sas()) == len(world.west.sas()) == 1 and world.east.sas()[0].initiator


def test_asked_twice_or_by_both_it_happens_once_or_so(world: World) -> None:
    for host in (world.east, world.east, world.west):
        host.do(host.engine.reauthenticate("t", world.now))
    watch(world, 80.0)
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    assert world.east.kinds().count("ike_established") <= 3 and "child_down" not in world.east.kinds()


def test_what_is_not_up_is_left_alone(world: World) -> None:
    world.east.do(world.east.engine.retire("t", world.now))
    count = world.count
    assert world.east.engine.reauthenticate("t", world.now) == world.east.engine.reauthenticate("u", world.now) == []
    assert world.count == count


# On a schedule


def scheduled(east: float, west: float = 0.0, **both: object) -> World:
    world = World()
    connection = east_connection(children=CHILDREN, **both)
    world.east.engine.define(replace(connection, reauth=east))
    world.west.engine.define(replace(mirror(connection), reauth=west))
    world.east.start()
    world.run(1.0)
    return world


def proofs(world: World) -> int:
    """How often both ends have proven themselves."""
    assert "child_down" not in world.east.kinds() + world.west.kinds()
    return world.east.kinds().count("ike_established")


@pytest.mark.parametrize(("east", "west"), [(600.0, 0.0), (0.0, 600.0), (600.0, 600.0)], ids=["east", "west", "both"])
def test_what_was_proven_holds_for_so_long(east: float, west: float) -> None:
    world = scheduled(east, west)
    world.run(470.0)
    assert proofs(world) == 1
    world.run(130.0)
    assert proofs(world) == 2
    world.run(6000.0)
    assert 12 <= proofs(world) <= 16
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    for reqid in (1, 2):
        world.check(reqid)


def test_rekeys_do_not_put_it_off() -> None:
    world = scheduled(1000.0, lifetime=300.0)
    world.run(1000.0)
    assert proofs(world) == 2 and world.east.kinds().count("ike_rekeyed") >= 3


def test_no_packet_is_lost_meanwhile() -> None:
    world = scheduled(100.0)
    world.run(75.0)
    watch(world, 20.0)
    assert proofs(world) == 2


def test_a_peer_that_does_not_prove_itself_any_more_is_asked_again() -> None:
    world = scheduled(600.0)
    world.west.engine.define(replace(mirror(east_connection(children=CHILDREN)), auth=NEW))
    world.run(1000.0)
    assert 3 <= world.east.reasons("ike_failed").count("authentication_failed") <= 5
    world.check(1)
    world.west.engine.define(mirror(east_connection(children=CHILDREN)))
    world.run(130.0)
    assert proofs(world) == 2


def test_an_end_that_only_answers_waits_for_the_other_one() -> None:
    world = scheduled(0.0)
    world.west.engine.define(replace(mirror(east_connection(children=CHILDREN)), reauth=100.0, starts=False))
    world.run(500.0)
    assert proofs(world) == 1


def test_a_changed_schedule_acts_on_what_runs() -> None:
    world = scheduled(0.0)
    world.run(500.0)
    world.east.engine.define(replace(east_connection(children=CHILDREN), reauth=600.0))
    world.east.do(world.east.engine.tick(world.now))
    world.run(100.0)
    assert proofs(world) == 2


def test_what_is_retired_is_not_authenticated_anew() -> None:
    world = scheduled(600.0)
    world.east.do(world.east.engine.retire("t", world.now))
    world.run(700.0)
    assert proofs(world) == 1
