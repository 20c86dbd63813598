# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UDP sockets of IKE: which address a datagram came to, and leaving from that address again."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..errors import MissingError
from ..ike.actions import Path
from ..kernel.addresses import family_of, is_local

MARKER = b"\x00\x00\x00\x00"  # the non-ESP marker (RFC 3948 section 2.2)
KEEPALIVE = b"\xff"  # RFC 3948 section 2.3
BATCH = 64  # datagrams read at one wake-up, so that timers and the control socket get their turn too
_LARGEST = 65535
_BUFFER = 4 << 20

# What Python's socket module does not name; numbers of Linux.
_IP_PKTINFO, _IP_RECVERR, _IP_MTU_DISCOVER = 8, 11, 10
_IPV6_RECVERR, _IPV6_MTU_DISCOVER, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 25, 23, 49, 50
_PMTUDISC_DONT = 0
_SO_RCVBUFFORCE = 33
_IPV6_TCLASS = 67
_INT = struct.Struct("=i")
_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")

Receive = Callable[[bytes, Path], None]
Refused = Callable[[str, int, int], None]


class Port:
    """One bound UDP socket.

    :param address: to bind to; ``0.0.0.0`` and ``::`` for all of a family.
    :param natt: whether datagrams carry the non-ESP marker.
    :param bound: the socket of a manager before that is bound to all that already; None makes one.
    :raises MissingError: the port cannot be had.
    """

    def __init__(self, address: str, port: int, natt: bool, bound: socket.socket | None = None) -> None:
        self.family = ipaddress.ip_address(address.partition("%")[0]).version
        self.number = port
        self.natt = natt
        self.address = address
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)
        kind = socket.AF_INET if self.family == 4 else socket.AF_INET6
        self.socket = bound or socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._prepare()
            if bound is None:
                if self.family == 6:
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self.socket.bind(_numeric(address, port, kind))
        except OSError as exc:
            self.socket.close()
            raise _unavailable(address, port, exc) from None

    def _prepare(self) -> None:
        set_option = self.socket.setsockopt
        if self.family == 4:
            set_option(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            set_option(socket.IPPROTO_IP, _IP_RECVERR, 1)
            # Messages larger than the path MTU are to be fragmented, not lost.
            set_option(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            set_option(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            set_option(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            set_option(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
        try:
            set_option(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            set_option(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def fileno(self) -> int:
        """Descriptor to watch for reading."""
        return self.socket.fileno()

    def close(self) -> None:
        """Give the port back."""
        self.socket.close()

    def drain(self, receive: Receive, refused: Refused) -> None:
        """Read what waits, :data:`BATCH` datagrams at most.

        :param receive: gets each IKE message without marker, and its path; keepalives and ESP are dropped here.
        :param refused: gets (address, port, errno) of a peer whose host or network answered with an ICMP error.
        """
        for _turn in range(BATCH):
            try:
                size, ancillary, flags, source = self.socket.recvmsg_into([self._buffer], 256)
            except BlockingIOError:
                self._read_errors(refused)
                return
            except OSError:
                # The error of an earlier datagram, which the error queue tells in full.
                self._read_errors(refused)
                continue
            if flags & socket.MSG_TRUNC:
                continue
            start = 0
            if self.natt:
                if size < 4 or self._buffer[:4] != MARKER:
                    continue
                start = 4
            local = self._destination(ancillary)
            if local is not None:
                path = Path(local, self.number, source[0], source[1], self.natt)
                receive(bytes(self._view[start:size]), path)

    def send(self, datagram: bytes, path: Path, dscp: int = 0) -> None:
        """Send an IKE message from the local address of ``path``, its packets with a DSCP.

        :raises OSError: the host has no way to send it; EADDRNOTAVAIL if it does not have the address.
        """
        self._send([MARKER, datagram] if self.natt else [datagram], path, dscp)

    def send_keepalive(self, path: Path) -> None:
        """Keep the NAT's mapping for ``path`` alive.

        :raises OSError: the host has no way to send it.
        """
        self._send([KEEPALIVE], path)

    def _send(self, parts: list[bytes], path: Path, dscp: int = 0) -> None:
        try:
            self._send_from(parts, path, dscp)
        except OSError as exc:
            # Kernels differ in what they say of a foreign source address.
            if exc.errno in (errno.EINVAL, errno.ENETUNREACH) and not is_local(path.local_address):
                raise OSError(errno.EADDRNOTAVAIL, "that is no address of this host") from exc
            raise

    def _send_from(self, parts: list[bytes], path: Path, dscp: int) -> None:
        ancillary = _from_address(path.local_address)
        if dscp:
            kind = (socket.IPPROTO_IP, socket.IP_TOS) if self.family == 4 else (socket.IPPROTO_IPV6, _IPV6_TCLASS)
            ancillary = [*ancillary, (*kind, _INT.pack(dscp << 2))]  # above the two bits of ECN
        target = (path.remote_address, path.remote_port)
        try:
            self.socket.sendmsg(parts, ancillary, 0, target)
        except BlockingIOError:
            return  # as lost on the way; it is sent again
        except OSError as exc:
            if exc.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE):
                raise
            # That may have been the error of an earlier datagram to somebody else.
            self.socket.sendmsg(parts, ancillary, 0, target)

    def _destination(self, ancillary: list[tuple[int, int, bytes]]) -> str | None:
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                return socket.inet_ntoa(data[8:12])
            if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                address, interface = _PKTINFO6.unpack_from(data)
                text = socket.inet_ntop(socket.AF_INET6, address)
                # Only link-local addresses need their interface to be told apart (RFC 4007).
                return f"{text}%{socket.if_indextoname(interface)}" if address[:2] == b"\xfe\x80" else text
        return None

    def _read_errors(self, refused: Refused) -> None:
        for _turn in range(BATCH):
            try:
                _data, ancillary, _flags, target = self.socket.recvmsg(64, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            for _level, kind, data in ancillary:
                if kind in (_IP_RECVERR, _IPV6_RECVERR) and len(data) >= _EXTENDED_ERROR.size and target:
                    refused(target[0], target[1], _EXTENDED_ERROR.unpack_from(data)[0])


class Ports:
    """All sockets of a manager.

    :param addresses: to listen at; empty for every address of both families.
    :param handed_on: sockets of the manager before, which take in ESP in UDP and IKE messages while nobody reads
        them; those that do not fit are closed.
    :raises MissingError: a port cannot be had.
    """

    def __init__(
        self, addresses: list[str], ike_port: int, natt_port: int, handed_on: Iterable[socket.socket] = ()
    ) -> None:
        self._all: list[Port] = []
        bound = {_bound_to(one): one for one in handed_on}
        places = [(place, bound.pop(_binding(*place[:2]), None)) for place in _places(addresses, ike_port, natt_port)]
        for one in bound.values():
            one.close()
        try:
            for place, standing in places:
                self._all.append(Port(*place, standing))
        except MissingError:
            self.close()
            raise
        self._by_address = {(port.natt, port.address): port for port in self._all}
        wildcards = {4: "0.0.0.0", 6: "::"}
        self._by_family: dict[tuple[bool, int], Port] = {
            (port.natt, port.family): port for port in reversed(self._all) if port.address == wildcards[port.family]
        }

    def __iter__(self) -> Iterator[Port]:
        return iter(self._all)

    def close(self) -> None:
        """Give all ports back."""
        for port in self._all:
            port.close()

    def for_path(self, path: Path) -> Port | None:
        """The socket that datagrams of this path leave by, None if we do not listen at its address."""
        family = 6 if ":" in path.local_address else 4
        return self._by_address.get((path.natt, path.local_address)) or self._by_family.get((path.natt, family))


@lru_cache(maxsize=4096)
def _from_address(address: str) -> list[tuple[int, int, bytes]]:
    """The ancillary data that makes a datagram leave from ``address``."""
    plain, _percent, interface = address.partition("%")
    if ":" in plain:
        index = socket.if_nametoindex(interface) if interface else 0
        packed = _PKTINFO6.pack(socket.inet_pton(socket.AF_INET6, plain), index)
        return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, packed)]
    return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(0, socket.inet_aton(plain), bytes(4)))]


def fit(sockets: Iterable[socket.socket], addresses: list[str], ike_port: int, natt_port: int) -> bool:
    """Whether all of these sockets are such as :class:`Ports` with these arguments makes."""
    wanted = {_binding(address, number) for address, number, _natt in _places(addresses, ike_port, natt_port)}
    return {_bound_to(one) for one in sockets} <= wanted


def _places(addresses: list[str], ike_port: int, natt_port: int) -> list[tuple[str, int, bool]]:
    """(address, port, whether it is for NAT traversal) of each socket."""
    every = ["0.0.0.0", "::"] if _has_ipv6() else ["0.0.0.0"]
    return [
        (address, number, natt)
        for address in addresses or every
        for number, natt in ((ike_port, False), (natt_port, True))
    ]


def _binding(address: str, port: int) -> tuple[int, Any]:
    kind = family_of(address)
    try:
        return kind, _numeric(address, port, kind)[:2]
    except OSError:
        return kind, None  # nothing is bound to it; who tries is told why


def _bound_to(one: socket.socket) -> tuple[int, Any]:
    return one.family, one.getsockname()[:2]


def _numeric(address: str, port: int, kind: int) -> tuple[Any, ...]:
    """What to bind to, and what a socket that is bound to it tells."""
    return socket.getaddrinfo(address, port, kind, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4]


def _has_ipv6() -> bool:
    """Whether this host has IPv6 at all; it may be compiled out or switched off."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _unavailable(address: str, port: int, exc: OSError) -> MissingError:
    where = f"UDP port {port} at {address}"
    if exc.errno == errno.EADDRINUSE:
        return MissingError(
            f"{where} is taken by another process",
            f"stop that one (ss -lunp 'sport = :{port}' names it), or give other ports",
        )
    if exc.errno == errno.EACCES:
        return MissingError(f"no permission to open {where}", "run as root")
    if exc.errno == errno.EADDRNOTAVAIL:
        return MissingError(f"{address} is not an address of this host", "give --listen an address that is")
    return MissingError(f"{where} cannot be opened ({exc.strerror})", "see ip address and ss -lun")
