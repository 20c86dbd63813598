# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels that stay: past the first lifetime with a peer without PFS, and past a peer that was killed."""

from __future__ import annotations

import time

import pytest

from .libreswan import Libreswan
from .libreswan import Peer as LibreswanPeer
from .ours import Manager, definition
from .proof import esp_spis, flood, lost, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"
LIFETIME = 12  # seconds, of a child


def test_strongswan_without_pfs(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, esp="aes256gcm16"))
    manager.define(definition(LEFT, RIGHT, SECRET, lifetime=LIFETIME), "active")
    assert manager.wait("established")["reached"]
    first = esp_spis(LEFT)
    ping = flood(LIFETIME + 4)
    sent, missing = lost(ping)
    assert sent > 500 and missing <= 2, f"{missing} of {sent} lost"
    assert not first & esp_spis(LEFT)
    prove_esp()
    wait_until("one IKE SA at strongSwan", lambda: charon.sas().count("ESTABLISHED") == 1)
    assert "rekey refused" in manager.log.read_text()


@pytest.mark.nightly
def test_strongswan_was_killed_and_is_passive(manager: Manager, charon: StrongSwan) -> None:
    peer = Peer(RIGHT, LEFT, SECRET)
    charon.load(peer)
    manager.define(definition(LEFT, RIGHT, SECRET) | {"ike": {"dpd_delay": 300}}, "active")
    assert manager.wait("established")["reached"]
    charon.kill()
    RIGHT.run("ip", "xfrm", "state", "flush")
    RIGHT.run("ip", "xfrm", "policy", "flush")
    charon.start()
    charon.load(peer)
    began = time.monotonic()
    ping = flood(30)  # which leaves, while nothing comes
    wait_until("the tunnel to be back", charon.established)
    assert time.monotonic() - began < 20
    ping.kill()
    ping.communicate()
    prove_esp()


# Libreswan stays until the end of the file.
@pytest.mark.nightly
def test_libreswan_without_pfs(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(LibreswanPeer(RIGHT, LEFT, SECRET, extra=("pfs=no",)))
    manager.define(definition(LEFT, RIGHT, SECRET, lifetime=LIFETIME), "active")
    assert manager.wait("established")["reached"]
    first = esp_spis(LEFT)
    ping = flood(LIFETIME + 4)
    sent, missing = lost(ping)
    assert sent > 500 and missing <= 2, f"{missing} of {sent} lost"
    assert not first & esp_spis(LEFT)
    prove_esp()
