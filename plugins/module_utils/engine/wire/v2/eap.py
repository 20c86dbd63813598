# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensible Authentication Protocol payload (RFC 7296 section 3.16)."""

from __future__ import annotations

from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType


@dataclass(frozen=True, slots=True)
class EAP:
    """One EAP message (RFC 3748 section 4): code, identifier, 2 octets of length, and its data."""

    TYPE: ClassVar[int] = PayloadType.EAP

    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> EAP:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX when the message is shorter than 4 octets or its length is not its own.
        """
        data = reader.rest()
        if len(data) < 4 or int.from_bytes(data[2:4], "big") != len(data):
            raise IkeError(INVALID_SYNTAX, f"the EAP message has {len(data)} octets, not what its length says")
        return cls(data)

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
