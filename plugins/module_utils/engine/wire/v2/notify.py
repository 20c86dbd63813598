# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notify payload (RFC 7296 section 3.10)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

from ...errors import IkeError
from ...newer_python import dataclass
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import FIRST_STATUS_NOTIFY, NotifyType, PayloadType, ProtocolId

_HEAD = Struct("!BBH")

# Octets an SPI of each protocol has, when there is one.
_SPI_SIZES = {ProtocolId.IKE: 8, ProtocolId.AH: 4, ProtocolId.ESP: 4}

# Notification data that has a fixed range of sizes, in octets.
_DATA_SIZES = {
    NotifyType.INVALID_KE_PAYLOAD: range(2, 3),
    NotifyType.SET_WINDOW_SIZE: range(4, 5),
    NotifyType.NAT_DETECTION_SOURCE_IP: range(20, 21),
    NotifyType.NAT_DETECTION_DESTINATION_IP: range(20, 21),
    NotifyType.COOKIE: range(1, 65),
    NotifyType.ADDITIONAL_IP4_ADDRESS: range(4, 5),
    NotifyType.ADDITIONAL_IP6_ADDRESS: range(16, 17),
    NotifyType.COOKIE2: range(8, 65),
    NotifyType.AUTH_LIFETIME: range(4, 5),
}


@dataclass(frozen=True, slots=True)
class Notify:
    """An error or a status.

    :ivar type: notify message type number.
    :ivar data: notification data.
    :ivar protocol: protocol of the SA it is about (2 AH, 3 ESP), 0 without an SPI.
    :ivar spi: SPI of that SA, empty when it is about the IKE SA or none.
    """

    TYPE: ClassVar[int] = PayloadType.NOTIFY

    type: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    @property
    def is_error(self) -> bool:
        """Whether it reports an error, known or not, rather than a status."""
        return self.type < FIRST_STATUS_NOTIFY

    @classmethod
    def parse(cls, reader: Reader) -> Notify:
        """Read the payload's body.

        :raises IkeError: INVALID_SYNTAX, also for an SPI that is not the protocol's, REKEY_SA
            without an SPI, and data that cannot be of its type.
        """
        reader.budget.spend("notifies")
        protocol, spi_size, number = reader.unpack(_HEAD)
        if spi_size and spi_size != _SPI_SIZES.get(protocol):
            raise IkeError(INVALID_SYNTAX, f"notify {number} for protocol {protocol} has an SPI of {spi_size} octets")
        if number == NotifyType.REKEY_SA and spi_size != 4:
            raise IkeError(INVALID_SYNTAX, f"REKEY_SA for protocol {protocol} names no Child SA")
        spi = reader.take(spi_size)
        data = reader.rest()
        if number in _DATA_SIZES and len(data) not in _DATA_SIZES[number]:
            raise IkeError(INVALID_SYNTAX, f"notify {number} has {len(data)} octets of data")
        return cls(number, data, protocol, spi)

    def encode(self) -> bytes:
        """The payload's body."""
        return _HEAD.pack(self.protocol, len(self.spi), self.type) + self.spi + self.data
