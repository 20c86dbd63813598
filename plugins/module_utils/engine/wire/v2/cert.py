# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate and Certificate Request payloads (RFC 7296 sections 3.6 and 3.7)."""

from __future__ import annotations

from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType


@dataclass(frozen=True, slots=True)
class CERT:
    """A certificate, or what stands for one.

    :ivar encoding: certificate encoding number.
    :ivar data: as the encoding says, for X.509 a DER certificate; not looked into here.
    """

    TYPE: ClassVar[int] = PayloadType.CERT

    encoding: int
    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> CERT:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also when all certificates together are too long.
        """
        encoding = reader.u8()
        reader.budget.spend("certificate octets", reader.remaining)
        if not reader.remaining:
            raise IkeError(INVALID_SYNTAX, "the CERT payload is empty")
        return cls(encoding, reader.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return bytes((self.encoding,)) + self.data


@dataclass(frozen=True, slots=True)
class CERTREQ:
    """Whose certificates the sender accepts.

    :ivar encoding: certificate encoding number.
    :ivar authorities: for X.509, SHA-1 hashes (20 octets each) of the authorities' public keys, one after another.
    """

    TYPE: ClassVar[int] = PayloadType.CERTREQ

    encoding: int
    authorities: bytes

    @classmethod
    def parse(cls, reader: Reader) -> CERTREQ:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also when all of them together are too long.
        """
        encoding = reader.u8()
        reader.budget.spend("certificate octets", reader.remaining)
        return cls(encoding, reader.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return bytes((self.encoding,)) + self.authorities
