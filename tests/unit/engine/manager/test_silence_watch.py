# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Child SAs count as unanswered, from counters alone."""

from __future__ import annotations

from types import SimpleNamespace

from engine.ike.actions import Unanswered
from engine.manager.silence import LOOK_SECONDS, Silence


def child(number: int) -> SimpleNamespace:
    return SimpleNamespace(
        number=number, local_address="192.0.2.1", remote_address="192.0.2.2", protocol=50,
        spi_in=number, spi_out=number + 1000,
    )  # fmt: skip


def counters(*packets: tuple[int, int]) -> dict:
    """By child from 1 on: packets (sent, received)."""
    found = {}
    for number, (sent, received) in enumerate(packets, 1):
        found["192.0.2.2", 50, number + 1000] = SimpleNamespace(packets=sent)
        found["192.0.2.1", 50, number] = SimpleNamespace(packets=received)
    return found


def test_only_what_sends_and_does_not_receive_is_unanswered() -> None:
    watch = Silence(100.0)
    assert watch.due == 100.0 + LOOK_SECONDS
    children = [child(number) for number in (1, 2, 3, 4)]
    assert watch.look(children, counters((9, 9), (0, 0), (5, 0), (7, 7)), 105.0) == [], "nothing to compare with yet"
    # It answers; it is idle; it goes one way; it only receives.
    found = watch.look(children, counters((12, 10), (0, 0), (6, 0), (7, 9)), 110.0)
    assert found == [Unanswered("192.0.2.1", 3)]
    assert watch.look(children, counters((12, 10), (0, 0), (6, 0), (7, 9)), 115.0) == [], "nothing was sent"


def test_what_is_gone_from_the_kernel_or_new_is_left_alone() -> None:
    watch = Silence(0.0)
    watch.look([child(1)], counters((1, 1)), 5.0)
    assert watch.look([child(1), child(2)], counters(), 10.0) == []
    assert watch.look([child(1), child(2)], counters((5, 1), (9, 0)), 15.0) == []


def test_thousands_of_sas_are_looked_at_less_often() -> None:
    watch = Silence(0.0)
    watch.look([], dict.fromkeys(range(4000)), 5.0)
    assert watch.due == 25.0
