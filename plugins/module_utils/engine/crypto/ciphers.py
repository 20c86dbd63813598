# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ciphers: an AEAD, and block ciphers in CBC and in counter mode, each for the key it is handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import library
from .primitive import Primitive

if TYPE_CHECKING:
    from .entropy import Entropy


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


class Unauthenticated(Primitive):
    """A cipher that takes an integrity algorithm beside it."""

    def fresh_iv(self, messages: int, entropy: Entropy) -> bytes:
        """The IV of the next message under a key.

        :param messages: how many went before it.
        """
        raise NotImplementedError

    def encrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """As many octets as ``data`` has."""
        raise NotImplementedError

    def decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """As many octets as ``data`` has."""
        raise NotImplementedError


class Cbc(Unauthenticated):
    """A block cipher in CBC mode; nothing is padded: data is a whole number of blocks. Its IVs are random."""

    def __init__(self, keyed: Callable[[bytes], Any], key_octets: int, block_octets: int, needs: str = "") -> None:
        """:param keyed: the library's class of the block cipher."""
        self._keyed = keyed
        self._key_octets = key_octets
        self._block_octets = block_octets
        self.needs = needs or self.needs

    def fresh_iv(self, messages: int, entropy: Entropy) -> bytes:
        return entropy.octets(self._block_octets)

    def encrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        context = library.Cipher(self._keyed(key), library.modes.CBC(iv)).encryptor()
        octets: bytes = context.update(data) + context.finalize()
        return octets

    def decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        context = library.Cipher(self._keyed(key), library.modes.CBC(iv)).decryptor()
        octets: bytes = context.update(data) + context.finalize()
        return octets

    def probe(self) -> None:
        block = bytes(self._block_octets)
        self.encrypt(bytes(range(self._key_octets)), block, block)


class Counter(Unauthenticated):
    """AES in counter mode (RFC 3686, RFC 5930): four octets of nonce stand behind the key.

    No IV may come twice under a key, so they are counted.
    """

    _NONCE_OCTETS = 4

    def fresh_iv(self, messages: int, entropy: Entropy) -> bytes:
        return messages.to_bytes(8, "big")

    def encrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        split = len(key) - self._NONCE_OCTETS
        block = key[split:] + iv + b"\x00\x00\x00\x01"
        context = library.Cipher(library.algorithms.AES(key[:split]), library.modes.CTR(block)).encryptor()
        octets: bytes = context.update(data) + context.finalize()
        return octets

    def decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        return self.encrypt(key, iv, data)

    def probe(self) -> None:
        self.encrypt(bytes(16 + self._NONCE_OCTETS), bytes(8), b"x")


# Looked up when they are called: a library may lack them.
# pylint: disable=unnecessary-lambda
AES_GCM = Aead(lambda key: library.AESGCM(key), 16)
AES_CCM = {
    8: Aead(lambda key: library.AESCCM(key, 8), 16),
    12: Aead(lambda key: library.AESCCM(key, 12), 16),
    16: Aead(lambda key: library.AESCCM(key, 16), 16),
}
CHACHA20_POLY1305 = Aead(lambda key: library.ChaCha20Poly1305(key), 32)
AES_CBC = Cbc(lambda key: library.algorithms.AES(key), 16, 16)
AES_CTR = Counter()
TRIPLE_DES_CBC = Cbc(lambda key: library.TripleDES(key), 24, 8, "a python3-cryptography that has Triple DES")
