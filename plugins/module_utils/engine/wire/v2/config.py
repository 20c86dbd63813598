# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration payload (RFC 7296 section 3.15)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

from ...newer_python import dataclass
from ..reader import Reader
from .numbers import PayloadType

_ATTRIBUTE = Struct("!HH")
# The highest bit is reserved, sent as zero and ignored.
_TYPE_MASK = 0x7FFF


@dataclass(frozen=True, slots=True)
class CP:
    """Configuration asked for or given.

    :ivar type: 1 request, 2 reply, 3 set, 4 acknowledgement.
    :ivar attributes: pairs of attribute type number and value octets, in order.
    """

    TYPE: ClassVar[int] = PayloadType.CP

    type: int
    attributes: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def parse(cls, reader: Reader) -> CP:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX.
        """
        number = reader.u8()
        reader.take(3)
        attributes = []
        while reader.remaining:
            reader.budget.spend("attributes")
            kind, length = reader.unpack(_ATTRIBUTE)
            attributes.append((kind & _TYPE_MASK, reader.take(length)))
        return cls(number, tuple(attributes))

    def encode(self) -> bytes:
        """The payload's body."""
        parts = [bytes((self.type, 0, 0, 0))]
        for kind, value in self.attributes:
            parts += (_ATTRIBUTE.pack(kind, len(value)), value)
        return b"".join(parts)
