# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds from one moment up to another, made anew when that has passed."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Callable, Generic, TypeVar

T = TypeVar("T")


class Periods(Generic[T]):
    """A value for each period between moments at which something begins or ends; the one in use is kept."""

    def __init__(self, turns: Iterable[float], make: Callable[[float], T]) -> None:
        """:param turns: those moments, Unix seconds: each is the first second of a period.

        :param make: the value for the period that a moment is in.
        """
        self._turns = sorted(set(turns))
        self._make = make
        self._kept: tuple[int, T] | None = None

    def at(self, now: float) -> T:
        """The value for the period that a moment is in."""
        period = bisect.bisect_right(self._turns, now)
        if self._kept is None or self._kept[0] != period:
            self._kept = period, self._make(now)
        return self._kept[1]
