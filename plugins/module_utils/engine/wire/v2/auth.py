# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication payload (RFC 7296 section 3.8)."""

from __future__ import annotations

from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType


@dataclass(frozen=True, slots=True)
class AUTH:
    """Proof that the sender is who it claims to be.

    :ivar method: authentication method number.
    :ivar data: shared key MIC or signature.
    """

    TYPE: ClassVar[int] = PayloadType.AUTH

    method: int
    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> AUTH:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also without any data.
        """
        method = reader.u8()
        reader.take(3)
        data = reader.rest()
        if not data:
            raise IkeError(INVALID_SYNTAX, "the AUTH payload is empty")
        return cls(method, data)

    def encode(self) -> bytes:
        """The payload's body."""
        return bytes((self.method, 0, 0, 0)) + self.data
