# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identification payloads (RFC 7296 section 3.5)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, TypeVar

from ...errors import IkeError
from ...identity import LONGEST, Identity
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import IdType, PayloadType

_HEAD = Struct("!B3s")
_ADDRESS_SIZES: dict[int, int] = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
_NAMES = (IdType.FQDN, IdType.RFC822_ADDR)
_DER = (IdType.DER_ASN1_DN, IdType.DER_ASN1_GN)

_Id = TypeVar("_Id", bound="_Identification")


@dataclass(frozen=True, slots=True)
class _Identification:
    """What both payloads have.

    :ivar identity: who the sender claims to be.
    :ivar reserved: the 3 octets in front of it as they came, for the peer's AUTH covers them (section 2.15).
    """

    identity: Identity
    reserved: bytes = bytes(3)

    @classmethod
    def parse(cls: type[_Id], reader: Reader) -> _Id:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also for data that cannot be of its type.
        """
        kind, reserved = reader.unpack(_HEAD)
        identity = Identity(kind, reader.rest())
        problem = _problem(identity)
        if problem:
            raise IkeError(INVALID_SYNTAX, f"an identity of type {identity.type} {problem}")
        return cls(identity, reserved)

    def encode(self) -> bytes:
        """The payload's body: ID type, reserved octets, identification data."""
        return bytes((self.identity.type,)) + self.reserved + self.identity.data


def _problem(identity: Identity) -> str:
    size = len(identity.data)
    if identity.type in _ADDRESS_SIZES:
        return "" if size == _ADDRESS_SIZES[identity.type] else f"has {size} octets"
    if size > LONGEST:
        return f"has {size} octets"
    if not size:
        return "" if identity.type == IdType.NULL else "is empty"
    if identity.type in _NAMES and 0 in identity.data:
        return "has a NUL inside"
    if identity.type in _DER and _der_size(identity.data) != size:
        return "is not one whole DER element"
    return ""


def _der_size(data: bytes) -> int:
    """Octets of the DER element that ``data`` begins with, by its header; 0 when there is no whole header."""
    if len(data) < 2:
        return 0
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    if not 1 <= count <= 4 or len(data) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


@dataclass(frozen=True, slots=True)
class IDi(_Identification):
    """Identity of the initiator."""

    TYPE: ClassVar[int] = PayloadType.IDI


@dataclass(frozen=True, slots=True)
class IDr(_Identification):
    """Identity of the responder."""

    TYPE: ClassVar[int] = PayloadType.IDR
