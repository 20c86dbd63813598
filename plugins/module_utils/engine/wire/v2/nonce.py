# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nonce payload (RFC 7296 section 3.9)."""

from __future__ import annotations

from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType


@dataclass(frozen=True, slots=True)
class Nonce:
    """Random octets of one side, 16 to 256 of them."""

    TYPE: ClassVar[int] = PayloadType.NONCE

    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> Nonce:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX when it has not 16 to 256 octets.
        """
        if not 16 <= reader.remaining <= 256:
            raise IkeError(INVALID_SYNTAX, f"a nonce of {reader.remaining} octets; 16 to 256 are allowed")
        return cls(reader.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
