# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key Exchange payload (RFC 7296 section 3.4)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType

_HEAD = Struct("!HH")


@dataclass(frozen=True, slots=True)
class KE:
    """One side's public value.

    :ivar group: key exchange method number (transform ID of type 4).
    :ivar data: the public value; only crypto knows which sizes are right.
    """

    TYPE: ClassVar[int] = PayloadType.KE

    group: int
    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> KE:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also without a public value.
        """
        group, _reserved = reader.unpack(_HEAD)
        data = reader.rest()
        if not data:
            raise IkeError(INVALID_SYNTAX, "the KE payload has no public value")
        return cls(group, data)

    def encode(self) -> bytes:
        """The payload's body."""
        return _HEAD.pack(self.group, 0) + self.data
