# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not answered is told with its size, and what may be done where no packet has room for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine.selector import parse_selector

from .world import LATENCY, World, child, east_connection, mirror, pair

NETWORKS = tuple(parse_selector(f"10.1.{number}.0/24") for number in range(60))


def narrow_path(limit: int) -> Any:
    """No IP fragments pass: larger messages are lost."""
    return lambda _number, datagram: [LATENCY] if len(datagram) <= limit else []


def told(world: World) -> str:
    """The story of the attempt that came to nothing."""
    world.east.start()
    world.run(70.0)
    (story,) = [report.data["story"] for report in world.east.reports if report.kind == "ike_failed"]
    return story


def large(here: int, there: int, fate: Any) -> World:
    """IKE_AUTH has some 2,400 octets; each end has its own largest packet, 0 for no fragmentation."""
    world = World(fate)
    connection = east_connection(children=(replace(child(), local=NETWORKS, remote=NETWORKS),))
    world.east.engine.define(replace(connection, fragment_size=here))
    world.west.engine.define(replace(mirror(connection), fragment_size=there))
    return world


@pytest.mark.parametrize(
    ("here", "there", "says"),
    [
        (0, 1280, "ike.fragmentation: auto divides it where the peer takes that (RFC 7383)"),
        (1280, 0, "the peer takes no IKE fragments: turn its fragmentation on (RFC 7383)"),
        (9000, 9000, "a smaller ike.fragment_size than 9000 divides it"),
        (1500, 1500, "a smaller ike.fragment_size than 1500 makes them smaller"),
    ],
)
def test_the_size_of_what_is_not_answered_and_a_remedy(here: int, there: int, says: str) -> None:
    world = large(here, there, narrow_path(1400))
    story = told(world)
    assert story.startswith("192.0.2.2/500 did not answer IKE_AUTH of 2")
    assert (" octets in 2 fragments sent " if here == 1500 else " octets sent ") in story
    assert "IP fragments, which may be dropped on the way" in story and story.endswith(says)
    (retransmit, *_more) = [report for report in world.east.reports if report.kind == "retransmit"]
    assert retransmit.data["hint"].endswith(says) and retransmit.data["size"] in story


def test_what_fits_into_a_packet_is_told_with_its_size_alone() -> None:
    world = pair(lambda *_which: [])
    story = told(world)
    assert "IKE_SA_INIT of " in story and " octets sent " in story and ";" not in story
    assert all("size" not in report.data for report in world.east.reports if report.kind == "retransmit")


def test_a_living_peer_that_is_silent_is_told_with_the_size_too() -> None:
    world = pair()
    world.east.start()
    world.run(1.0)
    world.fate = lambda *_which: []
    world.run(40.0)
    (asked,) = {sa.asked for sa in world.east.engine.sas() if sa.state == "established"}
    assert asked.size.endswith(" octets") and not asked.hint
