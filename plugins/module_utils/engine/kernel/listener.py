# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket to what the kernel multicasts about one of its tables; what nobody here wants never wakes the process."""

from __future__ import annotations

import array
import errno
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port ID of who asked for the change
_RECEIVE = 1 << 17
_BUFFER = 1 << 20
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_TYPE_AT, _PORT_AT = 4, 12

# Classic BPF (bpf(4)): load a word, a half, an octet at a fixed place; jump if equal; return.
_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
_STEP = struct.Struct("=HBBI")
_TAKE, _DROP = 0xFFFFFFFF, 0


class Wanted(NamedTuple):
    """A type of message that is to be told.

    :ivar at: where an octet stands that has to be ``value``, counted from the start of the message; 0 for any.
    """

    type: int
    at: int = 0
    value: int = 0


class Message(NamedTuple):
    """One message: its header, and where its body lies in ``data``."""

    type: int
    flags: int
    port: int
    data: bytes
    at: int
    end: int


class Listener:
    """Multicasts of ``groups``, without what the port IDs in ``own`` did.

    :param wanted: none for everything. Where the kernel packs several messages into one, only the first is looked at.
    :raises OSError: this kernel has no such table, or no permission.
    """

    def __init__(
        self, protocol: int, groups: Sequence[int], wanted: Sequence[Wanted], own: Collection[int] = ()
    ) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            if wanted:
                _attach(self._socket, _program(wanted, own))
            _make_room(self._socket)
            self._socket.setblocking(False)
            self._socket.bind((0, sum(1 << (group - 1) for group in groups)))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """For the event loop: readable when there is something."""
        return self._socket.fileno()

    def read(self) -> Iterator[Message | None]:
        """Every message that waits; None where the kernel had to drop some. Never blocks."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            yield from _messages(data)


def _messages(data: bytes) -> Iterator[Message]:
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, _sequence, port = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            return
        yield Message(kind, flags, port, data, at + HEADER.size, min(at + length, len(data)))
        at += (length + 3) & ~3


def _make_room(link: socket.socket) -> None:
    try:
        link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        # Root of a user namespace only: the default buffer has to do.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def _program(wanted: Sequence[Wanted], own: Collection[int]) -> list[tuple[int, int, int, int]]:
    """The filter: drop what our own ports did, take what is wanted, drop the rest.

    BPF reads in network order what netlink writes in the machine's.
    """
    steps = [(_LOAD_WORD, 0, 0, _PORT_AT)]
    for port in own:
        steps += [(_JUMP_EQUAL, 0, 1, socket.htonl(port)), (_RETURN, 0, 0, _DROP)]
    for each in wanted:
        steps.append((_LOAD_HALF, 0, 0, _TYPE_AT))
        if each.at:
            steps += [(_JUMP_EQUAL, 0, 3, socket.htons(each.type)), (_LOAD_OCTET, 0, 0, each.at)]
            steps.append((_JUMP_EQUAL, 0, 1, each.value))
        else:
            steps.append((_JUMP_EQUAL, 0, 1, socket.htons(each.type)))
        steps.append((_RETURN, 0, 0, _TAKE))
    return [*steps, (_RETURN, 0, 0, _DROP)]


def _attach(link: socket.socket, steps: Sequence[tuple[int, int, int, int]]) -> None:
    octets = array.array("B", b"".join(_STEP.pack(*step) for step in steps))
    address, _length = octets.buffer_info()
    link.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(steps), address))
