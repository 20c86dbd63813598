# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Encrypted payload's body: IV, ciphertext, integrity check value (RFC 7296 section 3.14, RFC 5282, RFC 7634)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from ..errors import MESSAGE, IkeError
from ..secret import Secret
from . import library
from .ciphers import Aead, Unauthenticated
from .registry import Encryption, Integrity

if TYPE_CHECKING:
    from .entropy import Entropy


class Sealer:
    """Protects the messages of one direction under one key.

    :ivar messages: messages sealed so far. It is the AEAD's IV: whoever resumes an SA under the same
        key has to set it to more than was ever used.
    """

    __slots__ = ("_block", "_fixed", "_mode")

    def __init__(
        self, encryption: Encryption, integrity: Integrity | None, encryption_key: Secret, integrity_key: Secret
    ) -> None:
        """:param encryption_key: with the AEAD's salt behind the key. :param integrity_key: empty with an AEAD."""
        self._block = encryption.block_octets
        self._mode: _AeadMode | _MacMode
        cipher = encryption.primitive
        if isinstance(cipher, Aead):
            self._mode = _AeadMode(cipher, encryption_key, encryption.key_octets)
            self._fixed = encryption.iv_octets + encryption.icv_octets
        elif cipher is None or integrity is None:
            raise ValueError(f"{encryption} needs an integrity algorithm beside it")
        else:
            self._mode = _MacMode(cipher, encryption, integrity, encryption_key, integrity_key)
            self._fixed = encryption.iv_octets + integrity.icv_octets

    @property
    def messages(self) -> int:
        return self._mode.messages

    @messages.setter
    def messages(self, count: int) -> None:
        self._mode.messages = count

    def sealed_length(self, count: int) -> int:
        """Octets of the body that :meth:`seal` makes of ``count`` octets of inner payloads."""
        return self._fixed + count + 1 + -(count + 1) % self._block

    def seal(self, head: bytes, plaintext: bytes, entropy: Entropy) -> bytes:
        """The body: padded, encrypted and authenticated.

        :param head: everything in front of the body, from the header to the Encrypted payload's generic
            header (and fragment header), lengths filled in.
        :param plaintext: the chain of inner payloads.
        """
        padding = -(len(plaintext) + 1) % self._block
        return self._mode.seal(head, b"%b%b%c" % (plaintext, bytes(padding), padding), entropy)

    def open(self, head: bytes, body: bytes) -> bytes:
        """The inner payloads; ``head`` as for :meth:`seal`.

        :raises IkeError: with notify 0, since nothing unauthentic may be answered.
        """
        if len(body) <= self._fixed:
            raise IkeError(0, f"an encrypted payload of {len(body)} octets is too short", MESSAGE)
        padded = self._mode.open(head, body)
        kept = len(padded) - 1 - padded[-1]
        if kept < 0:
            raise IkeError(0, "the padding of an encrypted payload is longer than its content", MESSAGE)
        return padded[:kept]

    def __repr__(self) -> str:
        return f"<Sealer {self.messages} messages>"


def _forged() -> IkeError:
    return IkeError(0, "the integrity check of an encrypted payload failed", MESSAGE)


class _AeadMode:
    """Nonce = salt | IV, IV = a counter (RFC 5282 section 3.1, RFC 7634 section 2)."""

    __slots__ = ("_cipher", "_key", "_split", "messages")

    def __init__(self, cipher: Aead, key: Secret, key_octets: int) -> None:
        self._cipher = cipher
        self._key = key
        self._split = key_octets
        self.messages = 0

    def seal(self, head: bytes, padded: bytes, entropy: Entropy) -> bytes:
        iv = self.messages.to_bytes(8, "big")
        self.messages += 1
        octets, split = self._key.reveal(), self._split
        return iv + self._cipher.seal(octets[:split], octets[split:] + iv, padded, head)

    def open(self, head: bytes, body: bytes) -> bytes:
        octets, split = self._key.reveal(), self._split
        try:
            return self._cipher.open(octets[:split], octets[split:] + body[:8], body[8:], head)
        except library.BadTag:
            raise _forged() from None


class _MacMode:
    """The cipher's IV; HMAC over head, IV and ciphertext, checked before anything is decrypted."""

    __slots__ = ("_block", "_cipher", "_encryption_key", "_hash", "_icv", "_iv", "_key", "messages")

    def __init__(
        self, cipher: Unauthenticated, row: Encryption, integrity: Integrity, encryption_key: Secret, key: Secret
    ) -> None:
        self._cipher = cipher
        self._block, self._iv = row.block_octets, row.iv_octets
        self._encryption_key = encryption_key
        self._hash = integrity.primitive
        self._icv = integrity.icv_octets
        self._key = key
        self.messages = 0

    def seal(self, head: bytes, padded: bytes, entropy: Entropy) -> bytes:
        iv = self._cipher.fresh_iv(self.messages, entropy)
        self.messages += 1
        body = iv + self._cipher.encrypt(self._encryption_key.reveal(), iv, padded)
        return body + self._check_value(head + body)

    def open(self, head: bytes, body: bytes) -> bytes:
        covered = body[: -self._icv]
        if len(covered) % self._block:
            raise IkeError(0, "an encrypted payload is not a whole number of blocks", MESSAGE)
        if not hmac.compare_digest(self._check_value(head + covered), body[-self._icv :]):
            raise _forged()
        return self._cipher.decrypt(self._encryption_key.reveal(), covered[: self._iv], covered[self._iv :])

    def _check_value(self, octets: bytes) -> bytes:
        return self._hash.digest(self._key.reveal(), octets)[: self._icv]
