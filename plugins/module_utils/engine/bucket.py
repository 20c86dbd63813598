# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token bucket: how much of something is let through when strangers decide how much comes."""

from __future__ import annotations


class Bucket:
    """Lets ``burst`` through at once and ``rate`` a second after that.

    :ivar refused: how many were not let through; the owner sets it back.
    """

    __slots__ = ("_burst", "_last", "_rate", "_tokens", "refused")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last = 0.0
        self.refused = 0

    def take(self, now: float) -> bool:
        """Whether one more may pass at this moment (seconds)."""
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        return True

    def full(self, now: float) -> bool:
        """Whether it is at this moment as if nothing had ever passed."""
        return not self.refused and self._tokens + (now - self._last) * self._rate >= self._burst
