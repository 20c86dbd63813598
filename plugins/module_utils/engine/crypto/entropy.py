# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where randomness comes from: handed to the protocol, so that a simulation can repeat itself."""

from __future__ import annotations

import os
import random
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

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def octets(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def key_exchange(self, group: int) -> KeyExchange:
        # The leading zero keeps the value below the order of every curve.
        return key_exchange_from(group, b"\0" + self.octets(31))
