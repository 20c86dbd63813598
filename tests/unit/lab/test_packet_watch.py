# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch and the flood themselves, on the loopback device: what they prove nothing of elsewhere shows here."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest

from tests.packet_watch import ARRIVES, LEAVES, Flood, Watch

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are for root")
HERE = contextlib.nullcontext


@pytest.mark.parametrize("way", [ARRIVES, LEAVES])
def test_a_watch_counts_what_is_of_its_networks_and_nothing_else(way: int) -> None:
    ours = Watch(HERE, "lo", ["127.77.0.0/24"], way)
    others = Watch(HERE, "lo", ["127.78.0.0/24"], way)
    flood = Flood(HERE, "127.0.0.1", "127.77.0.1")
    time.sleep(0.3)
    sent, lost = flood.end()
    ours.close()
    others.close()
    assert sent > 1 and not lost
    assert ours.count == 2 * sent, "the questions and the answers"
    assert ours.seen[0][1:3] == ("127.0.0.1", "127.77.0.1")
    assert others.packets >= 2 * sent and others.count == 0


class Lossy:
    """A socket that drops what it is to send."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.dropped = 0

    def send(self, octets: bytes) -> int:
        self.dropped += 1
        return len(octets)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_a_flood_tells_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.packet_watch._PATIENCE", 0.2)
    flood = Flood(HERE, "127.0.0.1", "127.77.0.1")
    time.sleep(0.1)
    lossy = Lossy(flood._socket)
    monkeypatch.setattr(flood, "_socket", lossy)
    time.sleep(0.1)
    sent, lost = flood.end()
    assert lossy.dropped == lost and 0 < lost < sent
