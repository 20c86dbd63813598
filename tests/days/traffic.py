# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered packets between the networks of both sites, one a second each way, and what became of each."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..interop.sites import LEFT, RIGHT, Site

PORT = 7777
SIDES = (LEFT, RIGHT)
# What became of a packet, by the second that it was sent in.
NOT_SENT, LOST, PASSED, LATE = range(4)


@contextmanager
def _within(site: Site) -> Iterator[None]:
    """What sockets are made meanwhile belong to the site."""
    from pyroute2 import netns  # here alone: judging needs none of it

    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        netns.setns(site.name)
        yield
    finally:
        netns.setns(home)
        os.close(home)


class Traffic:
    """Both senders and both receivers.

    :ivar fates: by the name of the sending site, a fate for each second.
    """

    def __init__(self, seconds: int) -> None:
        self.fates = {site.name: bytearray(seconds) for site in SIDES}
        self._sockets = {}
        for site in SIDES:
            with _within(site):
                port = self._sockets[site.name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            port.setblocking(False)
            port.bind((site.inside, PORT))

    def send(self, second: int, silent: set[str]) -> None:
        """A packet from every site that is not silent."""
        for site, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
            if site.name in silent:
                continue
            self.fates[site.name][second] = LOST
            with suppress(OSError):  # the kernel itself may say that nothing passes: lost
                self._sockets[site.name].sendto(second.to_bytes(4, "big"), (other.inside, PORT))

    def collect(self, second: int) -> None:
        """Take what has arrived since; what was sent before this second is late."""
        for site, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
            fates = self.fates[other.name]
            while True:
                try:
                    number = int.from_bytes(self._sockets[site.name].recv(64), "big")
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error of the peer's
                fates[number] = PASSED if number == second else LATE

    def lost(self, second: int) -> bool:
        """Whether a packet of that second is missing."""
        return any(fates[second] == LOST for fates in self.fates.values())

    def passed(self, second: int) -> bool:
        """Whether packets passed both ways."""
        return all(fates[second] == PASSED for fates in self.fates.values())


class ClearWatch:
    """Captures what leaves either site for the other's network without protection.

    Only what is sent is looked at: on its way in a protected packet is seen a second time when it is unwrapped.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {site.name: folder / f"clear-{site.name}.txt" for site in SIDES}
        self._captures = []
        for site in SIDES:
            command = ["tcpdump", "-n", "-l", "-tt", "-i", "wire", "-Q", "out"]
            command.append(f"src net {LEFT.network} or src net {RIGHT.network}")
            with self._files[site.name].open("wb") as sink, (folder / "tcpdump.txt").open("ab") as said:
                self._captures.append(subprocess.Popen([*site.enter, *command], stdout=sink, stderr=said))

    def end(self) -> dict[str, list[float]]:
        """Stop; returns when each site sent a packet in clear, in seconds of the wall clock."""
        for capture in self._captures:
            capture.terminate()
            capture.wait()
        lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in self._files.items()}
        return {name: [float(line.split()[0]) for line in of_site if " IP " in line] for name, of_site in lines.items()}
