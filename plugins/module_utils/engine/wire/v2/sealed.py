# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted payload (RFC 7296 section 3.14) and Encrypted Fragment payload (RFC 7383 section 2.5)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType

FRAGMENT_HEAD = Struct("!HH")


@dataclass(frozen=True, slots=True)
class Sealed:
    """The protected payloads of a message, still closed.

    :ivar inner_next_payload: type of the first payload inside, 0 when there is none.
    :ivar body: initialization vector, ciphertext (or AEAD output) and integrity check value.
    """

    TYPE: ClassVar[int] = PayloadType.SK

    inner_next_payload: int
    body: bytes

    @classmethod
    def parse(cls, inner_next_payload: int, reader: Reader) -> Sealed:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX when it is empty.
        """
        if not reader.remaining:
            raise IkeError(INVALID_SYNTAX, "the encrypted payload is empty")
        return cls(inner_next_payload, reader.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.body


@dataclass(frozen=True, slots=True)
class SealedFragment:
    """One fragment of the protected payloads of a message, still closed.

    :ivar inner_next_payload: type of the first payload inside in fragment 1, otherwise 0.
    :ivar body: initialization vector, ciphertext (or AEAD output) and integrity check value.
    :ivar number: which fragment it is, 1 to ``total``.
    :ivar total: how many fragments there are.
    """

    TYPE: ClassVar[int] = PayloadType.SKF

    inner_next_payload: int
    body: bytes
    number: int
    total: int

    @classmethod
    def parse(cls, inner_next_payload: int, reader: Reader) -> SealedFragment:
        """Read the payload's body, the fragment's numbers first.

        :raises IkeError: INVALID_SYNTAX when the numbers cannot be or nothing follows them.
        """
        number, total = reader.unpack(FRAGMENT_HEAD)
        if not 1 <= number <= total:
            raise IkeError(INVALID_SYNTAX, f"fragment {number} of {total}")
        if number > 1 and inner_next_payload:
            raise IkeError(INVALID_SYNTAX, f"fragment {number} names a first payload")
        if not reader.remaining:
            raise IkeError(INVALID_SYNTAX, f"fragment {number} of {total} is empty")
        return cls(inner_next_payload, reader.rest(), number, total)

    def encode(self) -> bytes:
        """The payload's body."""
        return FRAGMENT_HEAD.pack(self.number, self.total) + self.body
