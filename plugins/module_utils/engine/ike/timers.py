# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timers of all IKE SAs: which is due next."""

from __future__ import annotations

import heapq

from .sa import AnySa

NEVER = float("inf")


class Timers:
    """A heap of deadlines. Those that are out of date stay in it until their time comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._waiting: dict[int, AnySa] = {}

    def enter(self, sa: AnySa, when: float) -> None:
        """Have the IKE SA woken at this time, unless it wakes before anyway.

        A later deadline than the one entered is found when that one wakes it: no heap entry per packet.
        """
        if sa.wake:
            self._waiting[sa.number] = sa  # it may be another object by now
        if when != NEVER and (not sa.wake or when < sa.wake):
            sa.wake = when
            self._waiting[sa.number] = sa
            heapq.heappush(self._heap, (when, sa.number))

    def forget(self, sa: AnySa) -> None:
        """It is gone."""
        self._waiting.pop(sa.number, None)

    def next_deadline(self) -> float | None:
        """When the next one is due, None for never."""
        while self._heap:
            when, number = self._heap[0]
            sa = self._waiting.get(number)
            if sa is not None and sa.wake == when:
                return when
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> AnySa | None:
        """The next IKE SA that is due, which waits for nothing then."""
        when = self.next_deadline()
        if when is None or when > now:
            return None
        sa = self._waiting.pop(heapq.heappop(self._heap)[1])
        sa.wake = 0.0
        return sa
