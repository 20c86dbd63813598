# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete payload (RFC 7296 section 3.11)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType, ProtocolId

_HEAD = Struct("!BBH")
_SPI_SIZES: dict[int, int] = {ProtocolId.IKE: 0, ProtocolId.AH: 4, ProtocolId.ESP: 4}


@dataclass(frozen=True, slots=True)
class Delete:
    """SAs that the sender has deleted.

    :ivar protocol: 1 the IKE SA itself, 2 AH, 3 ESP.
    :ivar spis: the sender's inbound SPIs, 4 octets each; none for the IKE SA.
    """

    TYPE: ClassVar[int] = PayloadType.DELETE

    protocol: int
    spis: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, reader: Reader) -> Delete:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also for another protocol or SPIs that are not the protocol's.
        """
        protocol, spi_size, count = reader.unpack(_HEAD)
        if _SPI_SIZES.get(protocol) != spi_size or (count and not spi_size):
            raise IkeError(
                INVALID_SYNTAX, f"a delete for protocol {protocol} has {count} SPIs of {spi_size} octets each"
            )
        reader.budget.spend("SPIs", count)
        spis = tuple([reader.take(spi_size) for _spi in range(count)])
        return cls(protocol, spis)

    def encode(self) -> bytes:
        """The payload's body."""
        return _HEAD.pack(self.protocol, _SPI_SIZES[self.protocol], len(self.spis)) + b"".join(self.spis)
