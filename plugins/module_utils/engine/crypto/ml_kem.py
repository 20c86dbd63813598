# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM (FIPS 203) as a key exchange method: the initiator's value is a key, the responder's what it encapsulated."""

from __future__ import annotations

from typing import Any

from . import library
from .diffie_hellman import KeyExchangePrimitive


class MlKem(KeyExchangePrimitive):
    """One parameter set; a private value is its seed of 64 octets.

    A responder's value that is not of this exchange yields a secret that nobody else has (implicit rejection): it is
    authentication that fails then. The package tells which lengths and coefficients are none of an initiator's value.
    """

    def __init__(self, size: int, needs: str) -> None:
        """:param size: 512, 768 or 1024."""
        self._size = size
        self.needs = needs

    def generate(self) -> Any:
        return self._class("PrivateKey").generate()

    def load(self, octets: bytes) -> Any:
        return self._class("PrivateKey").from_seed_bytes(octets)

    def private_octets(self, private: Any) -> bytes:
        return private.private_bytes_raw()  # type: ignore[no-any-return]

    def public_octets(self, private: Any) -> bytes:
        return private.public_key().public_bytes_raw()  # type: ignore[no-any-return]

    def finish(self, private: Any, answer: bytes) -> bytes:
        return private.decapsulate(answer)  # type: ignore[no-any-return]

    def read(self, octets: bytes) -> Any:
        return self._class("PublicKey").from_public_bytes(octets)

    def answer(self, value: Any) -> tuple[bytes, bytes]:
        secret, ciphertext = value.encapsulate()
        return ciphertext, secret

    def probe(self) -> None:
        self.public_octets(self.generate())

    def _class(self, end: str) -> Any:
        return getattr(library.mlkem, f"MLKEM{self._size}{end}")
