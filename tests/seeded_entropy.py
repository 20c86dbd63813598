# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Randomness that repeats itself: what a simulation hands to the engine, and what no gateway ever has."""

from __future__ import annotations

import hashlib

from engine.crypto.exchange import KeyExchange, check_initiator_value, key_exchange_from
from engine.secret import Secret

from tests.ml_kem_reference import encapsulate

_ML_KEM = {36: 768, 37: 1024}
_SEED_OCTETS = 64  # of its private value


class SeededEntropy:
    """Octets and key exchanges that follow from a seed: anybody can repeat them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def octets(self, count: int) -> bytes:
        """The next ``count`` octets."""
        self._drawn += 1
        return hashlib.shake_256(b"%d/%d" % (self._seed, self._drawn)).digest(count)

    def key_exchange(self, group: int) -> KeyExchange:
        """The next key exchange of ours."""
        if group in _ML_KEM:
            return key_exchange_from(group, self.octets(_SEED_OCTETS))
        # The leading zero keeps the value below the order of every curve.
        return key_exchange_from(group, b"\0" + self.octets(31))

    def answer(self, group: int, peer_public: bytes) -> tuple[bytes, Secret]:
        """The responder's half, by the next key exchange of ours; a value that is refused draws nothing."""
        check_initiator_value(group, peer_public)
        if group in _ML_KEM:
            ciphertext, shared = encapsulate(_ML_KEM[group], peer_public, self.octets(32))
            return ciphertext, Secret(shared)
        ours = self.key_exchange(group)
        return ours.public, ours.finish(peer_public)
