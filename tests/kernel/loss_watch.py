# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pings of a row were lost, and which packets were in clear."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from manager_site import Manager
from namespaces import Namespace

ETH_ALL, ETH_IP, ETH_IPV6, OUTGOING = 3, 0x0800, 0x86DD, 4


def lost(manager: Manager, target: str, count: int) -> list[int]:
    """Which pings of ``count``, one a second, got no answer; they are counted from 1."""
    with manager.space.entered():
        command = ["ping", "-n", "-c", str(count), "-i", "1", "-W", "3", target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", done.stdout)}
    return sorted(set(range(1, count + 1)) - answered)


@contextmanager
def watching(space: Namespace, device: str) -> Iterator[list[str]]:
    """Where the IP packets were going that arrive at a device meanwhile; the list is filled in the end."""
    with space.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_ALL))
    wire.bind((device, ETH_ALL))
    wire.settimeout(0.3)
    seen: list[str] = []
    yield seen
    try:
        while True:
            octets, (_device, protocol, kind, *_rest) = wire.recvfrom(65536)
            if kind != OUTGOING and protocol == ETH_IP:
                seen.append(socket.inet_ntop(socket.AF_INET, octets[16:20]))
            elif kind != OUTGOING and protocol == ETH_IPV6:
                seen.append(socket.inet_ntop(socket.AF_INET6, octets[24:40]))
    except TimeoutError:
        wire.close()
