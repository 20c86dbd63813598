# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When to start again what is wanted but down. Time is handed in, in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from ..newer_python import dataclass

FIRST_PAUSE = 1.0
FACTOR = 2.0
LONGEST_PAUSE = 60.0
# Starting a thousand tunnels at once would keep the loop from answering anybody for a second.
STARTS_AT_ONCE = 20
STARTS_PAUSE = 0.02


@dataclass(slots=True)
class _Wanted:
    pause: float = FIRST_PAUSE
    due: float | None = None


class Retry:
    """The tunnels that this side starts, and when each is due; a pause doubles with every failure.

    :param fraction: a random number in [0, 1), so that a fleet that lost its hub does not come back in step.
    """

    def __init__(self, fraction: Callable[[], float]) -> None:
        self._fraction = fraction
        self._wanted: dict[str, _Wanted] = {}
        self._heap: list[tuple[float, str]] = []
        self._not_before = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._wanted

    def want(self, name: str, now: float) -> None:
        """This side starts the tunnel: now, and again whenever it fails."""
        wanted = self._wanted[name] = _Wanted()
        self._schedule(name, wanted, now)

    def forget(self, name: str) -> None:
        """Nobody wants it any more."""
        self._wanted.pop(name, None)

    def started(self, name: str) -> None:
        """It is being negotiated or up, by whichever side: nothing is due."""
        if wanted := self._wanted.get(name):
            wanted.due = None

    def succeeded(self, name: str) -> None:
        """It is up: the next failure begins with the shortest pause again."""
        if wanted := self._wanted.get(name):
            wanted.due = None
            wanted.pause = FIRST_PAUSE

    def at_once(self, name: str, now: float) -> None:
        """It failed, and there is another way to try, for which no pause is due."""
        if wanted := self._wanted.get(name):
            self._schedule(name, wanted, now)

    def failed(self, name: str, now: float) -> None:
        """It failed or went down: due after a pause, unless an earlier time stands already."""
        wanted = self._wanted.get(name)
        if wanted is None or wanted.due is not None:
            return
        self._schedule(name, wanted, now + wanted.pause * (0.75 + 0.5 * self._fraction()))
        wanted.pause = min(wanted.pause * FACTOR, LONGEST_PAUSE)

    def due_at(self, name: str) -> float | None:
        """When the tunnel is started next, None if nothing is due."""
        wanted = self._wanted.get(name)
        return wanted.due if wanted else None

    def next_deadline(self) -> float | None:
        """When :meth:`due` has something, or None."""
        while self._heap:
            due, name = self._heap[0]
            wanted = self._wanted.get(name)
            if wanted is not None and wanted.due == due:
                return max(due, self._not_before)
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[str]:
        """Tunnels to start now; each counts as started once it is handed out, and those left over stay due."""
        for count in range(1, STARTS_AT_ONCE + 1):
            deadline = self.next_deadline()
            if deadline is None or deadline > now:
                return
            name = heapq.heappop(self._heap)[1]
            self._wanted[name].due = None
            if count == STARTS_AT_ONCE:
                self._not_before = now + STARTS_PAUSE
            yield name

    def _schedule(self, name: str, wanted: _Wanted, due: float) -> None:
        wanted.due = due
        heapq.heappush(self._heap, (due, name))
