# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A removed IKE SA whose children stay in use: no fresh keys any more, and it ends with the last of them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.ike.actions import Expire, Report
from engine.selector import parse_selector

from .rekeys import DOINGS, two_children
from .world import EAST, World, child, pair, straight, up


def retired(**more: object) -> World:
    """East has retired the IKE SA, whose child lives for 100 seconds."""
    world = up(children=(child(lifetime=100.0),), dpd_delay=0.0, **more)
    world.east.do(world.east.engine.retire("t", world.now))
    return world


def rejected(world: World) -> list[str]:
    return [report.data["story"] for report in world.east.reports if report.kind == "rejected"]


def test_the_child_stays_in_use_until_its_lifetime_is_over_and_then_the_ike_sa_ends() -> None:
    world = retired()
    before = set(world.east.kernel.inbound)
    (sa,) = world.east.sas()
    assert sa.retired and len(sa.children) == 1
    world.run(98.0)
    world.check()
    assert set(world.east.kernel.inbound) == before, "no fresh keys, though the peer asked for some"
    assert "child_rekeyed" not in world.east.kinds() + world.west.kinds()
    assert any("until its lifetime is over" in story for story in rejected(world)), "west asked and was refused"
    world.run(4.0)
    for host in (world.east, world.west):
        assert list(host.engine.sas()) == [] and host.kernel.inbound == {}
    assert world.east.kernel.policies == {}, "what nobody wants holds no place"
    # Its time is over at both ends at one moment: either may be the first to say so.
    assert world.east.reasons("child_down") in (["expired"], ["peer_deleted"])
    assert world.east.reasons("ike_down") == ["stopped"]


def test_the_ike_sa_outlives_its_own_lifetime_for_its_children() -> None:
    world = retired(lifetime=40.0)
    number = world.east.sas()[0].number
    before = set(world.east.kernel.inbound)
    world.run(90.0)
    world.check()
    assert set(world.east.kernel.inbound) == before
    (sa,) = world.east.sas()
    assert sa.retired and sa.number != number, "the peer gave the IKE SA fresh keys; it is as retired as before"
    world.run(15.0)
    assert list(world.east.engine.sas()) == []


def test_without_a_peer_that_rekeys_it_is_kept_as_it_is() -> None:
    world = up(children=(child(lifetime=100.0),), dpd_delay=0.0, lifetime=40.0)
    for host in (world.east, world.west):
        host.do(host.engine.retire("t", world.now))
    number = world.east.sas()[0].number
    world.run(90.0)
    world.check()
    assert [sa.number for sa in world.east.sas()] == [number]
    world.run(15.0)
    assert list(world.east.engine.sas()) == list(world.west.engine.sas()) == []


def test_an_ike_sa_without_children_ends_at_once() -> None:
    world = pair()
    world.east.start(children=[])
    world.run(1.0)
    assert len(world.east.sas()) == 1
    world.east.do(world.east.engine.retire("t", world.now))
    world.run(1.0)
    assert list(world.east.engine.sas()) == list(world.west.engine.sas()) == []


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.015, 0.025])
def test_what_is_not_up_yet_is_given_up(moment: float) -> None:
    world = pair()
    world.east.start()
    world.run(moment)
    world.east.do(world.east.engine.retire("t", world.now))
    world.run(40.0)
    assert list(world.east.engine.sas()) == list(world.west.engine.sas()) == []
    assert world.east.kernel.inbound == {} and world.east.kernel.faults == []


def test_a_child_asked_for_at_that_moment_is_closed_again() -> None:
    voice = replace(
        child("voice", 2, start="manual"),
        local=(parse_selector("10.3.0.0/16"),),
        remote=(parse_selector("10.4.0.0/16"),),
    )
    world = up(children=(child(), voice))
    world.east.start(children=["voice"])
    world.east.do(world.east.engine.retire("t", world.now))
    world.run(2.0)
    world.check()
    assert [sa.sa.child for view in world.east.sas() for sa in view.children] == ["lan"]
    assert [sa.sa.child for view in world.west.sas() for sa in view.children] == ["lan"]
    world.west.start(children=["voice"])
    world.run(2.0)
    assert len(world.east.kernel.inbound) == 1, "nor does the peer get a new one"


def test_a_soft_limit_of_the_kernel_does_not_rekey_it() -> None:
    world = retired()
    (spi,) = before = set(world.east.kernel.inbound)
    world.east.do(world.east.engine.kernel_event(Expire(EAST, 50, spi, hard=False), world.now))
    world.run(5.0)
    world.check()
    assert set(world.east.kernel.inbound) == before


def test_a_start_makes_it_wanted_again() -> None:
    world = retired()
    before = set(world.east.kernel.inbound)
    world.east.start()
    assert not world.east.sas()[0].retired
    world.run(99.0)
    world.check()
    assert before.isdisjoint(world.east.kernel.inbound), "rekeyed in time"


def test_a_rekey_that_is_out_is_the_last_one() -> None:
    world = up(children=(child(lifetime=100.0),), dpd_delay=0.0)
    for names in (["lan"], None):
        world.east.do(world.east.engine.rekey("t", world.now, names))
    world.east.do(world.east.engine.retire("t", world.now))
    world.run(90.0)
    world.check()
    assert all(sa.retired for sa in world.east.sas())
    world.run(15.0)
    assert list(world.east.engine.sas()) == []


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.012, 0.02, 0.03])
@pytest.mark.parametrize("who", ["east", "west"])
def test_both_rekey_the_ike_sa_at_that_moment(moment: float, who: str) -> None:
    world = up(children=(child(lifetime=100.0),), dpd_delay=0.0)
    host = getattr(world, who)
    before = set(host.kernel.inbound)
    for each in (world.east, world.west):
        each.do(each.engine.rekey("t", world.now))
    world.run(moment)
    host.do(host.engine.retire("t", world.now))
    world.run(5.0)
    world.check()
    assert set(host.kernel.inbound) == before
    assert [sa.retired for sa in host.sas()] == [True]


@pytest.mark.parametrize("gap", [0.0, 0.005, 0.012, 0.02, 0.03])
@pytest.mark.parametrize("who", ["east", "west"])
@pytest.mark.parametrize("doing", DOINGS)
def test_whatever_happens_at_that_moment_it_ends_with_its_children(doing: str, who: str, gap: float) -> None:
    world = two_children(dpd_delay=0.0)
    for first in (True, False):
        if first is (gap > 0.012):
            world.east.do(world.east.engine.retire("t", world.now))
        else:
            DOINGS[doing](world, getattr(world, who))
        world.run(gap)
    wanted_again = who == "east" and doing == "new_child" and gap > 0.012
    if doing.startswith("rekey") and gap <= 0.012:
        world.run(5.0)
        world.check()
    world.run(3700.0)  # a child lives for an hour
    for host, peer in ((world.east, world.west), (world.west, world.east)):
        assert host.kernel.faults == [] and host.kernel.reserved == set()
        assert {sa.spi_out for sa in host.kernel.outbound.values()} == set(peer.kernel.inbound)
        if not wanted_again:
            assert list(host.engine.sas()) == [] and host.kernel.inbound == {}
    if wanted_again:
        world.check(2)


@pytest.mark.parametrize("seed", range(60))
def test_with_loss_and_reordering_it_ends_with_its_children(seed: int) -> None:
    chance = random.Random(seed)

    def fate(number: int, datagram: bytes) -> list[float]:
        if number < 4 or world.now > 1020.0:
            return straight(number, datagram)
        copies = chance.choices([0, 1, 2], [0.25, 0.65, 0.1])[0]
        return [chance.uniform(0.001, 0.8) for _unused in range(copies)]

    # Whoever may begin IKE SAs begins another one, which nobody has retired, when the losses look like a dead peer.
    world = two_children(dpd_delay=0.0, starts=False)
    world.fate = fate
    for position in range(4):
        if position == seed % 4:
            world.east.do(world.east.engine.retire("t", world.now))
        else:
            host = chance.choice([world.east, world.west] if position < seed % 4 else [world.west])
            DOINGS[chance.choice(["rekey_child", "rekey_ike", "new_child"])](world, host)
        world.run(chance.uniform(0.0, 0.1))
    world.run(3800.0)
    for host in (world.east, world.west):
        assert host.kernel.faults == [] and host.kernel.reserved == set()
        assert list(host.engine.sas()) == [] and host.kernel.inbound == {} and host.kernel.outbound == {}


def test_it_can_be_stopped_and_the_peer_can_close_it() -> None:
    world = retired()
    world.east.stop()
    world.run(1.0)
    assert list(world.west.engine.sas()) == [] and world.east.kernel.inbound == {}
    world = retired()
    world.west.stop(children=["lan"])
    world.run(1.0)
    assert list(world.east.engine.sas()) == list(world.west.engine.sas()) == []


def test_a_dead_peer_ends_it() -> None:
    world = up(children=(child(lifetime=1000.0),), dpd_delay=10.0, retransmit_timeout=1.5)
    world.east.do(world.east.engine.retire("t", world.now))
    world.fate = lambda number, datagram: []
    world.run(15.0)
    assert list(world.east.engine.sas()) == [] and world.east.kernel.policies == {}
    assert isinstance(world.east.reports[-1], Report) and world.east.reasons("ike_down") == ["peer_unreachable"]
