# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP sockets for pinging and listening, with what the network says about datagrams it did not deliver."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ..errors import InputError, MissingError
from .targets import FAMILIES, IKE_PORT, NATT_PORT, SocketAddress, address_text

# Linux numbers that Python's socket module has not in every version.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_IP_PKTINFO = 8
_UDP_ENCAP = 100
_UDP_ENCAP_ESPINUDP = 2  # RFC 3948 section 2.1
_RECEIVE_BUFFER = 4 << 20
_LARGEST = 65535
# When the kernel took a datagram off the network: asked for and told by one number (asm-generic/socket.h).
_STAMP = 35
_OLDEST = 10.0  # what has waited longer has not: the clock was set
_TIMESPEC = struct.Struct("@ll")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err of linux/errqueue.h

_RECVERR: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_RECVERR),
    socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_RECVERR),
}
_ANY: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
_NAMES: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


class Undelivered(NamedTuple):
    """What an ICMP message or the local host said about a datagram of ours.

    :ivar number: errno; ``quoted``: as much of the datagram as was sent back, octets.
    :ivar address: where it was sent to, with ``port``.
    """

    number: int
    quoted: bytes
    address: str
    port: int


def resolve_local(text: str, family: int) -> tuple[int, SocketAddress]:
    """Family and socket address of a local address or host name, port 0.

    :raises InputError: naming ``local_address``.
    """
    try:
        found = socket.getaddrinfo(text, 0, family=family, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError):
        kind = f"{_NAMES[family]} " if family else ""
        raise InputError(
            "local_address",
            text,
            f"is not an {kind}address",
            "write an address of this host, of the family asked for",
        ) from None
    return found[0], found[4]


def default_port(natt: bool) -> int:
    """The local port of somebody who did not say which one."""
    return NATT_PORT if natt else IKE_PORT


@contextmanager
def sockets(
    families: Iterable[int], local: SocketAddress | None, port: int, natt: bool, fallback: bool
) -> Iterator[dict[int, socket.socket]]:
    """Bound, non-blocking sockets, one for each family; closed at the end.

    :param local: socket address to bind, None for every address.
    :param natt: let the kernel take ESP in UDP (RFC 3948) off the sockets; it then keeps ICMP errors from them.
    :param fallback: take any free port when ``port`` cannot be had.
    :raises InputError: the port is taken, or the address not this host's.
    :raises MissingError: no permission, or the kernel cannot do what ``natt`` asks.
    """
    opened: dict[int, socket.socket] = {}
    try:
        for family in families:
            opened[family] = _open(family, local, port, natt, fallback)
        yield opened
    finally:
        for sock in opened.values():
            sock.close()


def _open(family: int, local: SocketAddress | None, port: int, natt: bool, fallback: bool) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as exc:
        raise MissingError(
            f"this host has no {_NAMES[family]} ({exc.strerror})",
            "choose the other family",
        ) from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(*_RECVERR[family], 1)
        with suppress(OSError):  # our own clock is nearly as good
            sock.setsockopt(socket.SOL_SOCKET, _STAMP, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        if natt:
            _take_esp(sock)
        _bind(sock, local or (_ANY[family], 0), port, fallback)
    except BaseException:
        sock.close()
        raise
    return sock


def _take_esp(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_ENCAP, _UDP_ENCAP_ESPINUDP)
    except OSError as exc:
        raise MissingError(
            f"the kernel refuses ESP in UDP on an {_NAMES[sock.family]} socket ({exc.strerror})",
            "load its XFRM modules (IPv6 needs Linux 5.8), or leave out natt",
        ) from None


def _bind(sock: socket.socket, local: SocketAddress, port: int, fallback: bool) -> None:
    address = local[0]
    try:
        sock.bind((address, port, *local[2:]))
    except PermissionError:
        if not fallback:
            raise MissingError(
                f"no permission to use port {port}",
                "run as root, or choose a port above 1023",
            ) from None
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                "local_address",
                address,
                "is not an address of this host",
                "see ip address show",
            ) from None
        if exc.errno != errno.EADDRINUSE:
            raise InputError(
                "local_address",
                address,
                f"cannot be used: {exc.strerror}",
                "choose another",
            ) from None
        if not fallback:
            raise InputError(
                "local_port",
                port,
                "is taken, perhaps by an IKE daemon",
                "stop that program, or use 0 for any free port",
            ) from None
    else:
        return
    sock.bind((address, 0, *local[2:]))


class Arrived(NamedTuple):
    """A datagram, its source, and how many seconds ago the kernel took it off the network."""

    datagram: bytes
    address: str
    port: int
    age: float


def receive(sock: socket.socket) -> Arrived | None:
    """The next datagram, or None when there is none now."""
    try:
        datagram, ancillary, _flags, source = sock.recvmsg(_LARGEST, 256)
    except OSError:
        return None  # none, or an error of a datagram sent before; the error queue has that with all details
    return Arrived(datagram, address_text(source), source[1], _age(ancillary))


def _age(ancillary: list[tuple[int, int, bytes]]) -> float:
    now = time.time()
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _STAMP) and len(octets) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(octets)
            age = now - seconds - nanoseconds / 1e9
            return age if 0 < age < _OLDEST else 0.0
    return 0.0


def undelivered(sock: socket.socket) -> Iterator[Undelivered]:
    """Everything in the socket's error queue."""
    while True:
        try:
            quoted, ancillary, _flags, destination = sock.recvmsg(_LARGEST, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return
        for level, kind, octets in ancillary:
            if (level, kind) == _RECVERR[sock.family] and len(octets) >= _EXTENDED_ERROR.size:
                number = _EXTENDED_ERROR.unpack_from(octets)[0]
                yield Undelivered(number, quoted, address_text(destination), destination[1])


def unicast_reply(
    sock: socket.socket,
    datagram: bytes,
    ancillary: list[tuple[int, int, bytes]],
    destination: SocketAddress,
) -> None:
    """Send ``datagram`` from the address that was asked, as the packet information of the request says.

    :raises OSError: when it cannot be sent.
    """
    sock.sendmsg([datagram], _source(ancillary), 0, destination)


def _source(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            # struct in_pktinfo: interface, address to send from, address in the header.
            return [(level, kind, struct.pack("=I4s4s", 0, octets[4:8], bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return [(level, kind, octets)]
    return []


def family_of(name: str) -> int:
    """The socket family of ``any``, ``inet`` or ``inet6``.

    :raises InputError: for another word.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise InputError("family", name, "is not a family", f"choose one of {', '.join(FAMILIES)}") from None


def story(number: int) -> str:
    """The host's words for an errno."""
    return os.strerror(number)
