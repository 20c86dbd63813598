# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chance that is the same on every Python: all of it is drawn from the one generator that Python promises to keep."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens; nothing is drawn where it never does."""
        return probability > 0 and self._draw() < probability

    def below(self, limit: int) -> int:
        """A whole number from 0 on."""
        return int(self._draw() * limit)

    def between(self, low: float, high: float) -> float:
        """A number of this range, with no more digits than a microsecond needs."""
        return round(low + self._draw() * (high - low), 6)

    def one_of(self, items: Sequence[T]) -> T:
        """Any of these, each as likely as the others."""
        return items[self.below(len(items))]

    def some_of(self, items: Sequence[T]) -> list[T]:
        """Each of these or not, in their order."""
        return [item for item in items if self.happens(0.5)]
