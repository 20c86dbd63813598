# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where randomness comes from: handed to the protocol, so that a simulation can repeat itself."""

from __future__ import annotations

import hashlib
import os
from typing import Protocol

from .exchange import KeyExchange, key_exchange_from, new_key_exchange


class Entropy(Protocol):
    """What the protocol draws from."""

    def octets(self, count: int) -> bytes:
        """``count`` unpredictable octets."""

    def key_exchange(self, group: int) -> KeyExchange:
        """A fresh key pair of a key exchange method (transform ID)."""


class SystemEntropy:
    """The operating system's generator and the library's own key generation."""

    __slots__ = ()

    octets = staticmethod(os.urandom)
    key_exchange = staticmethod(new_key_exchange)


class SeededEntropy:
    """Octets and key pairs that follow from a seed. For tests and simulations only: anybody can repeat them."""

    __slots__ = ("_drawn", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def octets(self, count: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(b"%d/%d" % (self._seed, self._drawn)).digest(count)

    def key_exchange(self, group: int) -> KeyExchange:
        # The leading zero keeps the value below the order of every curve.
        return key_exchange_from(group, b"\0" + self.octets(31))
