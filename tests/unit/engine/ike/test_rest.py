# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that a peer's narrowing left out: they get a child of their own, or a reason, and the others go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.selector import Selector, parse_selector
from hypothesis import given
from hypothesis import strategies as st

from .world import World, child, east_connection, mirror


def world_of(*networks: str) -> World:
    """East is defined for all of 10.2.0.0/16, west has a child for each of these networks; the tunnel is up."""
    world = World()
    east = east_connection()
    world.east.engine.define(east)
    parts = tuple(
        replace(child(f"part{number}", number), remote=(parse_selector(text),))
        for number, text in enumerate(networks, 1)
    )
    world.west.engine.define(mirror(replace(east, children=parts)))
    world.east.start()
    world.run(1.0)
    return world


def wants(world: World, remote: str) -> None:
    """A packet to ``remote`` asks for the child."""
    packet = parse_selector("10.1.0.5[udp/5000]"), parse_selector(f"{remote}[udp/53]")
    world.east.do(world.east.engine.start("t", world.now, children=["lan"], packet=packet))
    world.run(1.0)


def carried(world: World) -> list[str]:
    return sorted(str(s) for sa in world.east.kernel.outbound.values() for s in sa.remote_selectors)


def test_another_child_of_the_peer_takes_them() -> None:
    world = world_of("10.2.1.0/24", "10.2.2.0/24")
    assert carried(world) == ["10.2.1.0/24"]
    wants(world, "10.2.2.7")
    assert carried(world) == ["10.2.1.0/24", "10.2.2.0/24"]
    assert not world.east.reasons("child_failed")
    before = dict(world.east.kernel.outbound)
    wants(world, "10.2.2.9")
    assert world.east.kernel.outbound == before, "it has a child that takes it"


def test_what_the_peer_has_nothing_for_is_refused_with_a_reason_and_the_child_goes_on() -> None:
    world = world_of("10.2.1.0/24")
    before = dict(world.east.kernel.outbound)
    wants(world, "10.2.9.9")
    assert world.east.reasons("child_failed") == ["selectors_refused"]
    (report,) = [report for report in world.east.reports if report.kind == "child_failed"]
    assert "10.2.9.9" in report.data["packet"]
    assert world.east.kernel.outbound == before and not world.east.kernel.reserved
    assert carried(world) == ["10.2.1.0/24"] and len(world.east.sas()) == 1


@given(*[st.tuples(st.integers(0, 15), st.integers(0, 15)).map(sorted) for _end in range(2)])
def test_what_is_left_of_a_range(one: list[int], other: list[int]) -> None:
    def selector(ends: list[int], **more: int) -> Selector:
        return Selector(bytes([10, 0, 0, ends[0]]), bytes([10, 0, 0, ends[1]]), **more)

    left = selector(one).without(selector(other))
    addresses = [a for part in left for a in range(part.first[-1], part.last[-1] + 1)]
    assert sorted(addresses) == sorted(set(range(one[0], one[1] + 1)) - set(range(other[0], other[1] + 1)))
    assert selector(one).without(selector(other, protocol=6)) == [selector(one)]


@pytest.mark.parametrize("text", ["10.0.0.0/24", "2001:db8::/64"])
def test_nothing_is_left_of_itself(text: str) -> None:
    assert parse_selector(text).without(parse_selector(text)) == []
