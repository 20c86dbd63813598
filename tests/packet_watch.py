# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves a gateway in clear, and what a flood through it loses.

A :class:`Watch` stands at the outer device of a gateway and sees only what goes out: what was decapsulated shows at the
same device once more, on its way in. :class:`Flood` pings through the tunnel, a hundred times a second. Use both
at either end while anything is changed, restarted or killed::

    with watching(a, b) as watches, flooding(pings) as floods: ...

"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

PROTECTED = ("10.0.0.0/8",)
_ALL_PROTOCOLS, _OUTGOING = 0x0003, 4
_NEWNET = 0x40000000
_SAMPLES = 20
_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")

Enter = Callable[[], "AbstractContextManager[None]"]


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
    """A packet in clear: when (seconds since the watch began), and its ends."""

    at: float
    source: str
    destination: str


class Watch:
    """Counts packets of protected networks that leave a device in clear.

    :param enter: into the gateway's namespace; ``device``: its outer one.
    :param networks: as texts; a packet from one of them or to one of them is to be protected.
    :ivar count: how many were in clear; ``seen``: the first of them.
    """

    def __init__(self, enter: Enter, device: str, networks: Iterable[str] = PROTECTED) -> None:
        self.device = device
        self.count = 0
        self.seen: list[Seen] = []
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._began = time.monotonic()
        with enter():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((device, _ALL_PROTOCOLS))
        self._socket.settimeout(0.2)
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
            if address[2] == _OUTGOING:
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
                self.seen.append(Seen(round(time.monotonic() - self._began, 3), str(ends[0]), str(ends[1])))


@contextmanager
def watching(*places: tuple[Enter, str], networks: Iterable[str] = PROTECTED) -> Iterator[list[Watch]]:
    """Watches at several places, each (enter, device)."""
    watches = [Watch(enter, device, networks) for enter, device in places]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()


class Flood:
    """Pings, a hundred a second, until :meth:`end`."""

    def __init__(self, enter: Enter, source: str, target: str, pause: float = 0.01) -> None:
        command = ["ping", "-n", "-q", "-i", str(pause), "-W", "5", "-I", source, target]
        self.name = f"{source} to {target}"
        with enter():
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, int]:
        """(sent, lost)."""
        self._process.send_signal(signal.SIGINT)
        found = _COUNTS.search(self._process.communicate(timeout=60)[0])
        if found is None:
            return 0, 0  # interrupted before it had begun
        sent, received = map(int, found.groups())
        return sent, sent - received

    def kill(self) -> None:
        """End it without a word, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
