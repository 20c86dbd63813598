# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where randomness comes from: handed to the protocol, so that a simulation can repeat itself."""

from __future__ import annotations

import os
from typing import Protocol

from ..secret import Secret
from .exchange import KeyExchange, answer_key_exchange, new_key_exchange


class Entropy(Protocol):
    """What the protocol draws from."""

    def octets(self, count: int) -> bytes:
        """``count`` unpredictable octets."""

    def key_exchange(self, group: int) -> KeyExchange:
        """A fresh key exchange of ours by that method (transform ID)."""

    def answer(self, group: int, peer_public: bytes) -> tuple[bytes, Secret]:
        """The responder's half of one that the peer began: data of our KE payload, and the shared secret.

        :raises IkeError: as :func:`.answer_key_exchange`.
        """


class SystemEntropy:
    """The operating system's generator and the library's own key generation."""

    __slots__ = ()

    octets = staticmethod(os.urandom)
    key_exchange = staticmethod(new_key_exchange)
    answer = staticmethod(answer_key_exchange)
