# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISAKMP echo header: 28 octets, in the layouts that programs put on the wire.

The header is that of RFC 2408 section 3.1 with nothing behind it. Old programs swapped
the word at offset 16, or left the version at 0.0, and all of them left the length at 0;
each way is one row of :data:`LAYOUTS`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ECHO_REQUEST = 244  # RFC 2408 section 3.1: private use
DRAFT_ECHO_REQUEST = 30
DRAFT_ECHO_REPLY = 31
HEADER_SIZE = 28
REQUESTS = frozenset((ECHO_REQUEST, DRAFT_ECHO_REQUEST))
HIGHEST_REQUEST = 254  # the reply is one more and must fit into an octet

_HEADER = struct.Struct("!8s8s4s4sI")


class Layout(NamedTuple):
    """Where the word at offset 16 (next payload, version, exchange, flags) holds what.

    :ivar exchange_at: index of the exchange type in the word.
    :ivar word: the word with the exchange type left at 0.
    """

    name: str
    exchange_at: int
    word: bytes


CORRECT = Layout("correct", 2, b"\x00\x10\x00\x00")
SWAPPED = Layout("swapped", 1, b"\x00\x00\x10\x00")  # little-endian FreeS/WAN and Openswan
UNVERSIONED = Layout("unversioned", 2, b"\x00\x00\x00\x00")  # Libreswan 3.7 to 3.17
LAYOUTS = (CORRECT, SWAPPED, UNVERSIONED)


class Echo(NamedTuple):
    """One echo message.

    :ivar initiator: initiator cookie, 8 octets; ``responder``: responder cookie, 8 octets.
    :ivar exchange: exchange type, 0..255.
    :ivar message_id: 4 octets.
    :ivar length: the header's length field as sent, octets; 0 from old programs.
    """

    layout: Layout
    initiator: bytes
    responder: bytes
    exchange: int
    message_id: bytes
    length: int = HEADER_SIZE

    def encode(self) -> bytes:
        """The 28 octets."""
        word = bytearray(self.layout.word)
        word[self.layout.exchange_at] = self.exchange
        return _HEADER.pack(self.initiator, self.responder, bytes(word), self.message_id, self.length)

    def reply(self) -> Echo:
        """The answer to this request: cookies swapped, type one higher, layout and length as the requester's."""
        return self._replace(
            initiator=self.responder,
            responder=self.initiator,
            exchange=self.exchange + 1,
            length=HEADER_SIZE if self.length else 0,
        )


def parse_echo(datagram: bytes, exchanges: frozenset[int]) -> Echo | None:
    """The echo message of one of the exchange types ``exchanges``, or None when it is something else.

    :param datagram: an ISAKMP message without a non-ESP marker, as received.
    """
    if len(datagram) < HEADER_SIZE:
        return None
    initiator, responder, word, message_id, length = _HEADER.unpack_from(datagram)
    if length not in (0, HEADER_SIZE, len(datagram)):
        return None
    for layout in LAYOUTS:
        exchange = word[layout.exchange_at]
        if exchange in exchanges:
            echo = Echo(layout, initiator, responder, exchange, message_id, length)
            if echo.encode()[16:20] == word:
                return echo
    return None
