# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps strangers from making this host work and remember: cookies (RFC 7296 section 2.6), counts, limits."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

from ..crypto.entropy import Entropy
from .actions import Path

ADDRESSES = 4096  # of which refusals are counted one by one
ROTATION = 60.0  # seconds a cookie secret is used for new cookies; it is accepted for as long again


class Cookies:
    """Makes and checks cookies without remembering any initiator."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._secrets: dict[int, bytes] = {}

    def make(self, nonce: bytes, spi: bytes, path: Path, now: float) -> bytes:
        """The cookie an initiator at ``path`` has to return, 36 octets."""
        version = int(now // ROTATION) & 0xFFFFFFFF
        if version not in self._secrets:
            self._secrets = {v: s for v, s in self._secrets.items() if v == version - 1}
            self._secrets[version] = self._entropy.octets(32)
        return self._cookie(version, nonce, spi, path)

    def valid(self, cookie: bytes, nonce: bytes, spi: bytes, path: Path, now: float) -> bool:
        """Whether we made this cookie for this initiator recently."""
        version = int.from_bytes(cookie[:4], "big")
        current = int(now // ROTATION) & 0xFFFFFFFF
        if len(cookie) != 36 or version not in (current, current - 1) or version not in self._secrets:
            return False
        return hmac.compare_digest(cookie, self._cookie(version, nonce, spi, path))

    def _cookie(self, version: int, nonce: bytes, spi: bytes, path: Path) -> bytes:
        head = version.to_bytes(4, "big")
        source = f"{path.remote_address}/{path.remote_port}".encode()
        return head + hmac.digest(self._secrets[version], nonce + source + spi, hashlib.sha256)


class HalfOpen:
    """Counts IKE SAs whose peer is not authenticated, in all and for each address."""

    def __init__(self) -> None:
        self.total = 0
        self._by_peer: Counter[str] = Counter()

    def of(self, address: str) -> int:
        """How many the peer at that address has."""
        return self._by_peer[address]

    def enter(self, address: str) -> None:
        """One more."""
        self.total += 1
        self._by_peer[address] += 1

    def leave(self, address: str) -> None:
        """One less: authenticated, or timed out, refused ones too."""
        self.total -= 1
        self._by_peer[address] -= 1
        if self._by_peer[address] <= 0:
            del self._by_peer[address]


class Refusals:
    """Counts first messages that were refused after they had made work: no half-open IKE SA is there to be counted.

    :param seconds: how long each counts at least; at most twice as long, since whole spans of time are forgotten.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._span = 0
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._totals = 0, 0

    def enter(self, address: str, now: float) -> None:
        """One more. Of more than :data:`ADDRESSES` addresses the others are counted together."""
        self._forget(now)
        counted = address if address in self._now or len(self._now) < ADDRESSES else ""
        self._now[counted] += 1
        self._totals = self._totals[0] + 1, self._totals[1]

    def total(self, now: float) -> int:
        """How many there were lately."""
        self._forget(now)
        return sum(self._totals)

    def of(self, address: str) -> int:
        """How many of them came from that address."""
        return self._now[address] + self._before[address]

    def _forget(self, now: float) -> None:
        span = int(now // self._seconds)
        if span != self._span:
            follows = span == self._span + 1
            self._before, self._now = self._now if follows else Counter(), Counter()
            self._totals = 0, self._totals[0] if follows else 0
            self._span = span
