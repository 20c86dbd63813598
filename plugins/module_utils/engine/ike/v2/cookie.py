# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies against floods of half-open IKE SAs (RFC 7296 section 2.6)."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

from ...crypto.entropy import Entropy
from ..actions import Path

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
        """One less: authenticated, refused or timed out."""
        self.total -= 1
        self._by_peer[address] -= 1
        if self._by_peer[address] <= 0:
            del self._by_peer[address]
