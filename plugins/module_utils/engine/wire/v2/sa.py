# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security Association payload: proposals and their transforms (RFC 7296 section 3.3)."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import AttributeType, PayloadType, ProtocolId

# Last substructure, reserved, length; then what is behind it in a proposal and in a transform.
_SUBSTRUCTURE = Struct("!BBH")
_PROPOSAL = Struct("!BBBB")
_TRANSFORM = Struct("!BBH")
_ATTRIBUTE = Struct("!HH")
# Substructure and transform in one, without and with a key length.
_WHOLE = Struct("!BBHBBH")
_WHOLE_KEYED = Struct("!BBHBBHHH")
_SHORT_FORM = 0x8000
_KEY_LENGTH = _SHORT_FORM | AttributeType.KEY_LENGTH

_LAST = 0
_MORE_PROPOSALS = 2
_MORE_TRANSFORMS = 3

# Octets an SPI of each protocol may have; an IKE SA's is only sent when it is rekeyed.
_SPI_SIZES = {ProtocolId.IKE: (0, 8), ProtocolId.AH: (4,), ProtocolId.ESP: (4,)}


@dataclass(frozen=True, slots=True)
class Transform:
    """One algorithm on offer.

    :ivar type: transform type number.
    :ivar id: transform ID within the type.
    :ivar key_length: Key Length attribute in bits, None without one.
    :ivar unknown_attributes: whether there are attributes that we do not understand, or the key
        length more than once; such a transform must not be chosen (RFC 7296 section 3.3.6).
    """

    type: int
    id: int
    key_length: int | None = None
    unknown_attributes: bool = False

    @classmethod
    def parse(cls, reader: Reader) -> Transform:
        """Read what stands behind the transform's length field, to the end of ``reader``.

        :raises IkeError: INVALID_SYNTAX.
        """
        kind, _reserved, number = reader.unpack(_TRANSFORM)
        key_length, unknown = None, False
        while reader.remaining:
            reader.budget.spend("attributes")
            attribute, value = reader.unpack(_ATTRIBUTE)
            if attribute == _KEY_LENGTH and key_length is None:
                key_length = value
                continue
            unknown = True
            if not attribute & _SHORT_FORM:
                reader.take(value)
        return cls(kind, number, key_length, unknown)

    def encode(self, more: int) -> bytes:
        """Its octets in a proposal.

        :param more: whether it is the last one there.
        :raises ValueError: for a transform with attributes that we did not understand.
        """
        if self.unknown_attributes:
            raise ValueError("a transform with attributes that were not understood cannot be sent")
        if self.key_length is None:
            return _WHOLE.pack(more, 0, _WHOLE.size, self.type, 0, self.id)
        return _WHOLE_KEYED.pack(more, 0, _WHOLE_KEYED.size, self.type, 0, self.id, _KEY_LENGTH, self.key_length)


# Peers offer the same few transforms again and again, and looking one up is several times cheaper than making it.
@lru_cache(maxsize=512)
def _common_transform(octets: bytes) -> Transform:
    return Transform.parse(Reader(octets))


@dataclass(frozen=True, slots=True)
class Proposal:
    """One complete suite on offer.

    :ivar number: 1 for the first of an offer, then counted up; an answer repeats the chosen one's.
    :ivar protocol: 1 IKE, 2 AH, 3 ESP.
    :ivar spi: sender's SPI: 4 octets for AH and ESP; for IKE none, or 8 when rekeying.
    :ivar transforms: all of them; of each type one is to be chosen.
    """

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    @classmethod
    def parse(cls, reader: Reader) -> Proposal:
        """Read what stands behind the proposal's length field.

        :raises IkeError: INVALID_SYNTAX.
        """
        number, protocol, spi_size, count = reader.unpack(_PROPOSAL)
        if not protocol or spi_size not in _SPI_SIZES.get(protocol, (spi_size,)):
            raise IkeError(INVALID_SYNTAX, f"a proposal for protocol {protocol} has an SPI of {spi_size} octets")
        if not count:
            raise IkeError(INVALID_SYNTAX, "a proposal has no transforms")
        reader.budget.spend("transforms", count)
        spi = reader.take(spi_size)
        transforms = tuple([_parse_transform(reader, left) for left in range(count - 1, -1, -1)])
        return cls(number, protocol, spi, transforms)

    def encode(self) -> bytes:
        """The octets behind the proposal's length field."""
        parts = [_PROPOSAL.pack(self.number, self.protocol, len(self.spi), len(self.transforms)), self.spi]
        parts += [transform.encode(_MORE_TRANSFORMS) for transform in self.transforms[:-1]]
        parts += [transform.encode(_LAST) for transform in self.transforms[-1:]]
        return b"".join(parts)


def _substructure(more: int, body: bytes) -> bytes:
    return _SUBSTRUCTURE.pack(more, 0, len(body) + _SUBSTRUCTURE.size) + body


def _parse_substructure(reader: Reader) -> tuple[int, int]:
    more, _reserved, length = reader.unpack(_SUBSTRUCTURE)
    return more, length - _SUBSTRUCTURE.size


def _parse_transform(reader: Reader, left: int) -> Transform:
    more, _reserved, length = reader.unpack(_SUBSTRUCTURE)
    if more != (_MORE_TRANSFORMS if left else _LAST):
        raise IkeError(INVALID_SYNTAX, "the transforms of a proposal are not as many as it says")
    size = length - _SUBSTRUCTURE.size
    if size in (4, 8):
        return _common_transform(reader.take(size))
    return Transform.parse(reader.window(size))


@dataclass(frozen=True, slots=True)
class SA:
    """What the sender offers, or the one proposal that it accepts."""

    TYPE: ClassVar[int] = PayloadType.SA

    proposals: tuple[Proposal, ...]

    @classmethod
    def parse(cls, reader: Reader) -> SA:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also for numbers that do not count up one by one.
        """
        proposals: list[Proposal] = []
        more = _MORE_PROPOSALS
        while more == _MORE_PROPOSALS:
            reader.budget.spend("proposals")
            more, size = _parse_substructure(reader)
            body = reader.window(size)
            proposals.append(Proposal.parse(body))
            body.finish()
        if more != _LAST:
            raise IkeError(INVALID_SYNTAX, f"a proposal is followed by something of kind {more}")
        if len(proposals) > 1 and [p.number for p in proposals] != list(range(1, len(proposals) + 1)):
            raise IkeError(INVALID_SYNTAX, "the proposals are not numbered from 1 upwards")
        return cls(tuple(proposals))

    def encode(self) -> bytes:
        """The payload's body."""
        last = len(self.proposals) - 1
        return b"".join(
            [
                _substructure(_LAST if index == last else _MORE_PROPOSALS, proposal.encode())
                for index, proposal in enumerate(self.proposals)
            ]
        )
