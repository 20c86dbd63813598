# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor ID payload (RFC 7296 section 3.12)."""

from __future__ import annotations

from typing import ClassVar

from ...newer_python import dataclass
from ..reader import Reader
from .numbers import PayloadType


@dataclass(frozen=True, slots=True)
class VendorID:
    """A mark by which implementations of one vendor know each other."""

    TYPE: ClassVar[int] = PayloadType.VENDOR_ID

    data: bytes

    @classmethod
    def parse(cls, reader: Reader) -> VendorID:
        """Read the payload's body; whatever it is, is fine."""
        return cls(reader.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
