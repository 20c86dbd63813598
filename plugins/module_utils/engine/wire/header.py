# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The 28-octet header that IKEv1 (RFC 2408 section 3.1) and IKEv2 (RFC 7296 section 3.1) share."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from ..errors import MESSAGE, IkeError

SIZE = 28
# Flags of IKEv2; IKEv1 has its own in the low bits.
INITIATOR = 0x08
VERSION = 0x10
RESPONSE = 0x20

_LAYOUT = Struct("!8s8sBBBBII")


class Header(NamedTuple):
    """The header of a message.

    :ivar initiator_spi: 8 octets (IKEv1: initiator cookie).
    :ivar responder_spi: 8 octets, zero in the first message (IKEv1: responder cookie).
    :ivar next_payload: type of the first payload, 0 when there is none.
    :ivar major: major version; ``minor``: minor version; nobody judged them yet.
    :ivar exchange: exchange type number.
    :ivar flags: the flag octet as it came.
    :ivar message_id: number of the request.
    :ivar length: octets of the whole message, this header included.
    """

    initiator_spi: bytes
    responder_spi: bytes
    next_payload: int
    major: int
    minor: int
    exchange: int
    flags: int
    message_id: int
    length: int

    @classmethod
    def parse(cls, datagram: bytes | memoryview) -> Header:
        """Read the header of a whole message without a non-ESP marker.

        :raises IkeError: with notify 0, for nothing that is not even a header is answered:
            fewer than 28 octets, or a length other than the datagram's.
        """
        if len(datagram) < SIZE:
            raise IkeError(0, f"a datagram of {len(datagram)} octets is too short for IKE", MESSAGE)
        initiator, responder, following, version, exchange, flags, message_id, length = _LAYOUT.unpack_from(datagram)
        if length != len(datagram):
            raise IkeError(0, f"the header says {length} octets, the datagram has {len(datagram)}", MESSAGE)
        return cls(initiator, responder, following, version >> 4, version & 0x0F, exchange, flags, message_id, length)

    def encode(self) -> bytes:
        """The 28 octets."""
        return _LAYOUT.pack(
            self.initiator_spi,
            self.responder_spi,
            self.next_payload,
            self.major << 4 | self.minor,
            self.exchange,
            self.flags,
            self.message_id,
            self.length,
        )

    @property
    def is_response(self) -> bool:
        """Whether the message answers a request (IKEv2)."""
        return bool(self.flags & RESPONSE)

    @property
    def from_initiator(self) -> bool:
        """Whether the original initiator of the IKE SA sent the message (IKEv2)."""
        return bool(self.flags & INITIATOR)
