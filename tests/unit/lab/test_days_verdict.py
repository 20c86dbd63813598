# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a run of days fail: a harness that cannot fail proves nothing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.days.rows import ROWS, SHORT_ROWS, row_named
from tests.days.traffic import LATE, LOST, NOT_SENT, PASSED
from tests.days.verdict import (
    ACTIVE,
    DOUBT,
    GAP,
    NOT_ACTIVE,
    SLIP,
    WE_NOTICE,
    Left,
    Reboot,
    Verdict,
    clock,
    judge,
)

SECONDS = 1000
REBOOT = Reboot("theirs", 500, 530)
ALL_WELL = Left(1, 1, 1, 1, 2, 2)


class Story:
    """A run in which all went well, until a test tells otherwise."""

    def __init__(self) -> None:
        self.fates = {"left": bytearray([PASSED]) * SECONDS, "right": bytearray([PASSED]) * SECONDS}
        self.said = bytearray(SECONDS)
        self.reboots: list[Reboot] = []
        self.left = ALL_WELL
        self.clear: tuple[list[int], list[int]] = ([], [])
        self.breaks_first = False
        self.generations = 1

    def lose(self, begin: int, end: int, said: int = NOT_ACTIVE, way: str = "left") -> Story:
        self.fates[way][begin:end] = bytearray([LOST]) * (end - begin)
        self.said[begin:end] = bytearray([said]) * (end - begin)
        return self

    def judged(self, starts: str = "ours") -> Verdict:
        return judge(
            self.fates, self.said, self.reboots, starts, self.breaks_first, self.left, self.clear, self.generations
        )


def test_all_well() -> None:
    verdict = Story().judged()
    assert verdict.problems == []
    assert (verdict.sent, verdict.lost) == (2 * SECONDS, 0)


@pytest.mark.parametrize("way", ["left", "right"])
def test_one_lost_packet_fails(way: str) -> None:
    verdict = Story().lose(70, 71, way=way).judged()
    assert verdict.lost == 1
    assert verdict.problems == ["1 packets lost from 0d00:01:10 to 0d00:01:11"]


def test_a_held_packet_is_none_lost() -> None:
    story = Story()
    story.fates["left"][70] = LATE
    assert (story.judged().held, story.judged().problems) == (1, [])


def test_a_packet_that_was_not_to_be_sent_is_none_lost() -> None:
    story = Story()
    story.fates["right"][70:90] = bytearray([NOT_SENT]) * 20
    assert story.judged().problems == []


def test_a_reboot_explains_what_is_lost_until_packets_pass_again() -> None:
    story = Story().lose(500, 550)
    story.reboots = [REBOOT]
    verdict = story.judged()
    assert verdict.problems == []
    assert (verdict.lost, verdict.lost_in_reboots, verdict.recovered) == (0, 50, {"theirs": 20})


def test_a_reboot_explains_nothing_later() -> None:
    story = Story().lose(500, 550).lose(700, 702)
    story.reboots = [REBOOT]
    assert story.judged().lost == 2


def test_a_reboot_that_we_notice_late_fails() -> None:
    story = Story().lose(500, 530 + WE_NOTICE + 1)
    story.reboots = [REBOOT]
    assert story.judged().problems == ["61 s without packets after theirs was rebooted"]


def test_a_peer_that_starts_may_take_longer_to_notice_our_reboot() -> None:
    story = Story().lose(500, 700)
    story.reboots = [Reboot("ours", 500, 530)]
    assert story.judged("theirs").problems == []
    assert story.judged("ours").problems != []


def test_what_never_recovers_fails() -> None:
    story = Story().lose(500, SECONDS)
    story.reboots = [REBOOT]
    assert story.judged().problems == ["470 s without packets after theirs was rebooted"]


@pytest.mark.parametrize("seconds, problems", [(GAP, 0), (GAP + 1, 1)])
def test_the_gap_of_a_peer_that_breaks_before_it_makes(seconds: int, problems: int) -> None:
    story = Story().lose(70, 70 + seconds)
    assert len(story.judged().problems) == 1
    story.breaks_first = True
    assert len(story.judged().problems) == problems


@pytest.mark.parametrize("seconds, problems", [(SLIP, 1), (SLIP + 1, 2)])
def test_active_is_untrue_while_packets_are_lost(seconds: int, problems: int) -> None:
    assert len(Story().lose(70, 70 + seconds, ACTIVE).judged().problems) == problems


@pytest.mark.parametrize("seconds, problems", [(DOUBT, 0), (DOUBT + 1, 1)])
def test_active_after_a_reboot_only_until_the_peer_is_in_doubt(seconds: int, problems: int) -> None:
    story = Story().lose(500, 550).lose(500, 500 + seconds, ACTIVE)
    story.reboots = [REBOOT]
    assert len(story.judged().problems) == problems


@pytest.mark.parametrize("name", list(ALL_WELL.__dict__))
def test_an_sa_left_over_fails(name: str) -> None:
    story = Story()
    story.left = replace(ALL_WELL, **{name: getattr(ALL_WELL, name) + 1})
    assert name in story.judged().problems[0]


@pytest.mark.parametrize("clear", [([70], []), ([], [70])])
def test_one_packet_in_clear_fails(clear: tuple[list[int], list[int]]) -> None:
    story = Story()
    story.clear = clear
    assert "1 packets in clear" in story.judged().problems[0]


@pytest.mark.parametrize("clear, problems", [([510], []), ([], [510])])
def test_a_peer_may_know_no_better_after_a_reboot_but_we_have_to(clear: list[int], problems: list[int]) -> None:
    story = Story().lose(500, 550)
    story.reboots = [REBOOT]
    story.clear = (problems, clear)
    assert len(story.judged().problems) == len(problems)


def test_a_run_without_new_keys_proves_nothing() -> None:
    story = Story()
    story.fates = {"left": bytearray([PASSED]) * 7200, "right": bytearray([PASSED]) * 7200}
    story.said = bytearray(7200)
    assert story.judged().problems == ["1 generations of Child SAs in 0d02:00:00: too few to prove much"]
    story.generations = 2
    assert story.judged().problems == []


def test_rows() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert set(SHORT_ROWS) <= set(ROWS)
    assert all(row_named(row.name) is row for row in ROWS)
    assert {row.peer for row in ROWS if row.breaks_first} == {"strongswan"}


def test_clock() -> None:
    assert clock(86400 + 3661) == "1d01:01:01"
