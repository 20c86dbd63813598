# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells by itself: a packet wants an SA, an SA reached a limit, a peer's NAT moved."""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple, Union

from ..selector import Selector
from . import xfrm
from .client import open_socket
from .policies import packet_selectors
from .registry import is_ours

_RECEIVE = 1 << 17
_BUFFER = 4 << 20  # octets: room for an acquire storm of some ten thousand packets
_SO_RCVBUFFORCE = 33


class AcquireEvent(NamedTuple):
    """A packet matched a policy of ours that has no SA. The selectors are the packet's own (RFC 7296 section 2.9)."""

    reqid: int
    source: str
    destination: str
    protocol: int
    local: Selector
    remote: Selector


class ExpireEvent(NamedTuple):
    """An SA of ours reached a soft or (then it is gone) a hard limit."""

    reqid: int
    destination: str
    protocol: int
    spi: int
    hard: bool


class MappingEvent(NamedTuple):
    """Authenticated ESP in UDP for the inbound SA ``spi`` came from another address or port."""

    reqid: int
    spi: int
    address: str
    port: int


Event = Union[AcquireEvent, ExpireEvent, MappingEvent]


class XfrmEvents:
    """The kernel's multicasts, those of our request IDs only.

    :ivar lost: how often the kernel had to drop events because nobody read them in time. A lost acquire comes again
        with the first packet after ``net.core.xfrm_acq_expires`` seconds; after a lost expire the SA is gone from
        the next dump.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._socket = open_socket((xfrm.GROUP_ACQUIRE, xfrm.GROUP_EXPIRE, xfrm.GROUP_MAPPING))
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            # Root of a user namespace only: the default buffer has to do.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """For the event loop: readable when there are events."""
        return self._socket.fileno()

    def read(self) -> list[Event]:
        """Every waiting event of ours; of several acquires for one child only the first. Never blocks."""
        events: list[Event] = []
        acquired: set[int] = set()
        while (data := self._receive()) is not None:
            for event in _events(data):
                if not is_ours(event.reqid):
                    continue
                if isinstance(event, AcquireEvent):
                    if event.reqid in acquired:
                        continue
                    acquired.add(event.reqid)
                events.append(event)
        return events

    def _receive(self) -> bytes | None:
        while True:
            try:
                return self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return None
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                self.lost += 1


def _events(data: bytes) -> list[Event]:
    found: list[Event] = []
    at = 0
    while at + 16 <= len(data):
        length, kind = xfrm.HEADER.unpack_from(data, at)[:2]
        if length < 16:
            break
        body, end = at + 16, min(at + length, len(data))
        reader, size = _READERS.get(kind, (None, 0))
        if reader and end - body >= size:
            event = reader(data, body, end)
            if event:
                found.append(event)
        at += (length + 3) & ~3
    return found


def _acquire(data: bytes, at: int, end: int) -> AcquireEvent | None:
    found = xfrm.attributes(data, at + xfrm.ACQUIRE_SIZE, end)
    if xfrm.TMPL not in found:
        return None
    templates = xfrm.unpack_templates(data, *found[xfrm.TMPL])
    if not templates:
        return None
    template = templates[0]
    local, remote = packet_selectors(xfrm.unpack_selector(data, at + xfrm.ACQUIRE_SELECTOR_AT))
    return AcquireEvent(template.reqid, template.source, template.destination, template.protocol, local, remote)


def _expire(data: bytes, at: int, end: int) -> ExpireEvent:
    sa = xfrm.unpack_sa(data, at, at + xfrm.SA_SIZE)
    return ExpireEvent(sa.reqid, sa.destination, sa.protocol, sa.spi, bool(data[at + xfrm.EXPIRE_HARD_AT]))


def _mapping(data: bytes, at: int, end: int) -> MappingEvent:
    spi, reqid, address, port = xfrm.unpack_mapping(data, at)
    return MappingEvent(reqid, spi, address, port)


_READERS = {
    xfrm.ACQUIRE: (_acquire, xfrm.ACQUIRE_SIZE),
    xfrm.EXPIRE: (_expire, xfrm.EXPIRE_SIZE),
    xfrm.MAPPING: (_mapping, xfrm.MAPPING_SIZE),
}
