# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answer echo requests for a bounded time: the far end of an ikeping where no IKE daemon runs."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from ..newer_python import dataclass
from .echo import HEADER_SIZE, REQUESTS
from .pinger import strip_marker
from .responder import answer
from .targets import address_text
from .udp import unicast_reply

_LARGEST = 65535
_KEEPALIVE = b"\xff"
_MARKER = bytes(4)

# What happened (received, answered), source address, port, datagram.
Trace = Callable[[str, str, int, bytes], None]


@dataclass(slots=True)
class Counts:
    """What a listener met: datagrams of each kind."""

    received: int = 0
    answered: int = 0
    short: int = 0
    keepalives: int = 0
    ignored: int = 0


def listen(
    sockets: dict[int, socket.socket],
    seconds: float | None,
    count: int | None,
    exchange: int,
    trace: Trace | None = None,
) -> Counts:
    """Answer echo requests until ``seconds`` are over or ``count`` requests were answered; None means no bound.

    :param exchange: exchange type to answer besides 244 and 30.
    :param trace: called for each datagram that is not answered, and for each answer.
    :returns: what was met so far, also when interrupted from the keyboard.
    """
    counts = Counts()
    exchanges = REQUESTS | {exchange}
    deadline = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()
    by_number = {sock.fileno(): sock for sock in sockets.values()}
    for number in by_number:
        poll.register(number, select.POLLIN)
    try:
        while count is None or counts.answered < count:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            for number, _events in poll.poll(None if left is None else left * 1000):
                _serve(by_number[number], exchanges, counts, trace)
    except KeyboardInterrupt:
        pass
    return counts


def _serve(sock: socket.socket, exchanges: frozenset[int], counts: Counts, trace: Trace | None) -> None:
    try:
        datagram, ancillary, _flags, source = sock.recvmsg(_LARGEST, 256)
    except OSError:
        _forget_errors(sock)
        return
    counts.received += 1
    message = strip_marker(datagram)
    reply = answer(message, exchanges) if source[1] else None
    kind = "answered" if reply else _kind(datagram, message)
    if reply is not None:
        marker = _MARKER if len(message) != len(datagram) else b""
        try:
            unicast_reply(sock, marker + reply, ancillary, source)
        except OSError:
            kind = "ignored"  # nobody there to answer to
    setattr(counts, kind, getattr(counts, kind) + 1)
    if trace is not None:
        trace(kind, address_text(source), source[1], datagram)


def _kind(datagram: bytes, message: bytes) -> str:
    if datagram == _KEEPALIVE:
        return "keepalives"
    return "short" if len(message) < HEADER_SIZE else "ignored"


def _forget_errors(sock: socket.socket) -> None:
    # A requester that is gone raises ICMP errors on our replies; nothing is to be done about them.
    try:
        while True:
            sock.recvmsg(_LARGEST, 512, socket.MSG_ERRQUEUE)
    except OSError:
        return
