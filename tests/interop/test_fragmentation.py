# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE messages in fragments (RFC 7383), both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.utils import rdpcap

from .libreswan import Libreswan
from .libreswan import Peer as LibreswanPeer
from .ours import Manager, definition
from .proof import esp_spis, prove_esp
from .sites import LEFT, RIGHT, end, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"
SIZE = 600  # octets of a packet
MORE = 60  # networks behind our site besides the one that packets pass between
FRAGMENT = 53  # payload type


def fragments(charon: StrongSwan) -> tuple[int, int]:
    """How many messages strongSwan has sent in fragments, and received."""
    log = charon.log.read_text(encoding="utf-8")
    return len(re.findall(r"splitting IKE message", log)), len(re.findall(r"received fragment #1 of", log))


@pytest.mark.parametrize("charon", [f"fragment_size = {SIZE}"], indirect=True)
@pytest.mark.parametrize("ours_starts", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_large_messages_go_in_fragments_both_ways(manager: Manager, charon: StrongSwan, ours_starts: bool) -> None:
    left = [LEFT.network, *(f"10.201.{number}.0/24" for number in range(MORE))]
    wide = f"remote_ts = {','.join(left)}"
    charon.load(Peer(RIGHT, LEFT, SECRET, child_extra=(wide,), extra=("fragmentation = yes",)))
    tunnel = definition(LEFT, RIGHT, SECRET) | {"ike": {"fragment_size": SIZE}}
    tunnel["children"][0]["local"] = left
    manager.bring_up(tunnel, charon.initiate, ours_starts)
    prove_esp()
    sent, received = fragments(charon)
    assert sent and received, "IKE_AUTH holds all networks, so it fits into no packet"
    first = esp_spis(LEFT)
    charon.swanctl("--rekey", "--ike", "peer")
    charon.swanctl("--rekey", "--child", "net")
    wait_until(
        "new SPIs in place of the old ones",
        lambda: len(esp_spis(LEFT)) == 2 and esp_spis(LEFT) == esp_spis(RIGHT) and not first & esp_spis(LEFT),
    )
    assert fragments(charon) > (sent, received), "the fresh IKE SA takes them, too"
    prove_esp()


def test_libreswan_takes_ours(manager: Manager, pluto: Libreswan, tmp_path: Path) -> None:
    pluto.load(LibreswanPeer(RIGHT, LEFT, SECRET, extra=("fragmentation=yes",)))
    capture = tmp_path / "ike.pcap"
    tcpdump = LEFT.start(["tcpdump", "-U", "-i", "wire", "-w", str(capture), "udp port 500"], tmp_path / "tcpdump", {})
    wait_until("the capture", capture.exists)
    manager.define(definition(LEFT, RIGHT, SECRET) | {"ike": {"fragment_size": 256}}, "active")
    row = manager.wait("established")
    assert row["reached"], row
    prove_esp()
    end(tcpdump)
    sent = [packet for packet in rdpcap(str(capture)) if packet[IP].src == LEFT.address]
    assert any(bytes(packet[UDP].payload)[16] == FRAGMENT for packet in sent), "IKE_AUTH goes in fragments"
    assert max(packet[IP].len for packet in sent[1:]) <= 256
