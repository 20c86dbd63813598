# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves a gateway in clear, and what a flood through it loses.

A :class:`Watch` stands at the outer device of a gateway and sees only what goes out: what was decapsulated shows at the
same device once more, on its way in. :class:`Flood` pings through the tunnel, a hundred times a second. Use both
at either end while anything is changed, restarted or killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

PROTECTED = ("10.0.0.0/8",)
ARRIVES, LEAVES = 0, 4  # PACKET_HOST, PACKET_OUTGOING: packet(7)
ALL_PROTOCOLS = 0x0003  # of packet sockets
_NEWNET = 0x40000000
_SAMPLES = 20
_ECHO_REPLY, _ECHO = 0, 8
_HEAD = struct.Struct("!BBHHHI")  # RFC 792: type, code, checksum, identifier, sequence number; then a number of ours
_FILLING = bytes(48)
_PATIENCE = 5.0  # seconds for the last answers

Enter = Callable[[], AbstractContextManager[None]]


def namespace(name: str) -> Enter:
    """Into a network namespace that ``ip netns`` has made."""

    @contextmanager
    def entered() -> Iterator[None]:
        libc = ctypes.CDLL(None, use_errno=True)
        home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", f"/run/netns/{name}"))
        try:
            if libc.setns(there, _NEWNET):
                raise OSError(ctypes.get_errno(), f"enter {name}")
            yield
        finally:
            libc.setns(home, _NEWNET)
            os.close(home)
            os.close(there)

    return entered


class Seen(NamedTuple):
    """A packet in clear: when (seconds since the watch began), its ends, and when by the wall clock."""

    at: float
    source: str
    destination: str
    wall: float


def packets_of(enter: Enter, device: str) -> socket.socket:
    """A socket that receives every packet at a device, of either direction; it waits for a fifth of a second at most.

    :param enter: into the namespace of the device.
    """
    with enter():
        found = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    found.bind((device, ALL_PROTOCOLS))
    found.settimeout(0.2)
    return found


class Watch:
    """Counts packets of protected networks that leave a device in clear.

    :param enter: into the gateway's namespace; ``device``: its outer one.
    :param networks: as texts; a packet from one of them or to one of them is to be protected.
    :param way: at the other end of the gateway's wire it is what arrives.
    :ivar count: how many were in clear; ``seen``: the first of them. :ivar packets: how many there were at all.
    """

    def __init__(self, enter: Enter, device: str, networks: Iterable[str] = PROTECTED, way: int = LEAVES) -> None:
        self.device = device
        self.way = way
        self.packets = 0
        self.count = 0
        self.seen: list[Seen] = []
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._began = time.monotonic()
        self._socket = packets_of(enter, device)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look at what waits, and end."""
        self._ended = True
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                octets, address = self._socket.recvfrom(64)
            except TimeoutError:
                if self._ended:
                    return
                continue
            if address[2] == self.way:
                self.packets += 1
                self._take(octets)

    def _take(self, octets: bytes) -> None:
        version = octets[0] >> 4 if octets else 0
        at, size = {4: (12, 4), 6: (8, 16)}.get(version, (0, 0))
        if not size or len(octets) < at + 2 * size:
            return
        ends = [ipaddress.ip_address(octets[at + size * n : at + size * (n + 1)]) for n in (0, 1)]
        # ESP has the gateways' own addresses outside.
        if any(end.version == network.version and end in network for end in ends for network in self._networks):
            self.count += 1
            if len(self.seen) < _SAMPLES:
                self.seen.append(
                    Seen(round(time.monotonic() - self._began, 3), str(ends[0]), str(ends[1]), time.time())
                )


@contextmanager
def watching(
    *places: tuple[Enter, str], networks: Iterable[str] = PROTECTED, way: int = LEAVES
) -> Iterator[list[Watch]]:
    """Watches at several places, each (enter, device)."""
    watches = [Watch(enter, device, networks, way) for enter, device in places]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()


class Flood:
    """Echo requests, a hundred a second, until :meth:`end`, which waits for the answers to all of them.

    An interrupted ping(8) counts what is on its way as lost.

    :ivar sent: how many so far. :ivar open: the numbers of those without an answer, with the time they were sent.
    """

    _numbers = itertools.count(os.getpid())

    def __init__(self, enter: Enter, source: str, target: str, pause: float = 0.01) -> None:
        self.name = f"{source} to {target}"
        self.sent = 0
        self.open: dict[int, float] = {}
        self._pause = pause
        self._identity = next(self._numbers) & 0xFFFF
        self._ended = False
        with enter():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.bind((source, 0))
        self._socket.connect((target, 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> tuple[int, int]:
        """(sent, lost)."""
        self.kill()
        return self.sent, len(self.open)

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._ended = True
        self._thread.join(4 * _PATIENCE)
        self._socket.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended:
            self._hear(due)
            self._send()
            due = max(due + self._pause, time.monotonic())
        deadline = time.monotonic() + _PATIENCE
        while self.open and time.monotonic() < deadline:
            self._hear(min(deadline, time.monotonic() + 0.1))

    def _send(self) -> None:
        number = self.sent
        self.sent += 1
        self.open[number] = time.time()
        body = struct.pack("!HHI", self._identity, number & 0xFFFF, number) + _FILLING
        head = struct.pack("!BBH", _ECHO, 0, 0)
        # A packet that cannot be sent is lost, too.
        with contextlib.suppress(OSError):
            self._socket.send(head[:2] + struct.pack("!H", _checksum(head + body)) + body)

    def _hear(self, until: float) -> None:
        """Take answers until then."""
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                octets = self._socket.recv(256)
            except OSError:
                continue  # nothing came in time, or an ICMP error did
            octets = octets[(octets[0] & 15) * 4 :]
            if len(octets) >= _HEAD.size:
                kind, _code, _sum, identity, _sequence, number = _HEAD.unpack_from(octets)
                if (kind, identity) == (_ECHO_REPLY, self._identity):
                    self.open.pop(number, None)


def _checksum(octets: bytes) -> int:
    """RFC 1071, of an even number of octets."""
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
