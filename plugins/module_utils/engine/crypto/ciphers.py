# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ciphers: an AEAD, and a block cipher in CBC mode, each for the key it is handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import library
from .primitive import Primitive


class Aead(Primitive):
    """An authenticated cipher.

    The keyed object is made for each message: it takes a microsecond, while keeping one costs 2.4 KiB in every
    direction of every SA.

    :param keyed: the library's class; ``key_octets`` a length of key that it takes.
    """

    def __init__(self, keyed: Callable[[bytes], Any], key_octets: int) -> None:
        self._keyed = keyed
        self._key_octets = key_octets

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, head: bytes) -> bytes:
        """Ciphertext and tag; ``head`` is authenticated along with it."""
        return self._keyed(key).encrypt(nonce, plaintext, head)  # type: ignore[no-any-return]

    def open(self, key: bytes, nonce: bytes, sealed: bytes, head: bytes) -> bytes:
        """Plaintext.

        :raises library.BadTag: it was not sealed like this.
        """
        return self._keyed(key).decrypt(nonce, sealed, head)  # type: ignore[no-any-return]

    def probe(self) -> None:
        self._keyed(bytes(self._key_octets))


class Cbc(Primitive):
    """A block cipher in CBC mode; nothing is padded: data is a whole number of blocks."""

    def __init__(self, keyed: Callable[[bytes], Any], key_octets: int, block_octets: int, needs: str = "") -> None:
        """:param keyed: the library's class of the block cipher."""
        self._keyed = keyed
        self._key_octets = key_octets
        self._block_octets = block_octets
        self.needs = needs or self.needs

    def encrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """As many octets as ``data`` has."""
        context = library.Cipher(self._keyed(key), library.modes.CBC(iv)).encryptor()
        octets: bytes = context.update(data) + context.finalize()
        return octets

    def decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """As many octets as ``data`` has."""
        context = library.Cipher(self._keyed(key), library.modes.CBC(iv)).decryptor()
        octets: bytes = context.update(data) + context.finalize()
        return octets

    def probe(self) -> None:
        block = bytes(self._block_octets)
        self.encrypt(bytes(range(self._key_octets)), block, block)


# Looked up when they are called: a library may lack them.
# pylint: disable=unnecessary-lambda
AES_GCM = Aead(lambda key: library.AESGCM(key), 16)
CHACHA20_POLY1305 = Aead(lambda key: library.ChaCha20Poly1305(key), 32)
AES_CBC = Cbc(lambda key: library.algorithms.AES(key), 16, 16)
TRIPLE_DES_CBC = Cbc(lambda key: library.TripleDES(key), 24, 8, "a python3-cryptography that has Triple DES")
