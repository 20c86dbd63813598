# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of the wire finds what does not belong there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, CookedLinuxV2
from scapy.packet import Packet, Raw
from scapy.utils import PcapWriter

from tests.lab.topology import GATEWAYS
from tests.lab.wire import judge

HUB, BRANCH, _OTHER = GATEWAYS
SPI = 0xC0000001
LINKTYPE_LINUX_SLL2 = 276
BETWEEN = IP(src=HUB.address, dst=BRANCH.address)
BETWEEN6 = IPv6(src=HUB.address6, dst=BRANCH.address6)
IKE = bytes(16) + b"\x21\x20\x22\x08" + bytes(8)


@pytest.fixture
def judged(tmp_path):
    def write_and_judge(*packets: Packet):
        path = tmp_path / "wire.pcap"
        with PcapWriter(str(path), linktype=LINKTYPE_LINUX_SLL2) as writer:
            for packet in packets:
                writer.write(CookedLinuxV2() / packet)
        return judge(path, {SPI})

    return write_and_judge


def test_esp_of_a_known_spi(judged):
    verdict = judged(BETWEEN / ESP(spi=SPI, seq=1) / Raw(bytes(40)), BETWEEN6 / ESP(spi=SPI, seq=2) / Raw(bytes(40)))
    assert verdict.esp == {SPI: 2}
    assert not verdict.wrong


def test_esp_in_udp_counts_as_esp(judged):
    datagram = UDP(sport=4500, dport=4500) / Raw(SPI.to_bytes(4, "big") + bytes(40))
    assert judged(BETWEEN / datagram).esp == {SPI: 1}


@pytest.mark.parametrize("ports", [(500, 500), (40000, 500), (500, 40000)])
def test_ike_and_the_answers_of_probes(judged, ports):
    verdict = judged(BETWEEN / UDP(sport=ports[0], dport=ports[1]) / Raw(IKE))
    assert (verdict.ike, verdict.wrong) == (1, [])


def test_ike_behind_the_marker_is_not_esp(judged):
    verdict = judged(
        BETWEEN / UDP(sport=4500, dport=4500) / Raw(bytes(4) + IKE), BETWEEN / UDP(dport=4500) / Raw(b"\xff")
    )
    assert (verdict.ike, verdict.esp_packets, verdict.wrong) == (2, 0, [])


def test_what_a_link_needs(judged):
    neighbour = IPv6(src=HUB.address6, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=HUB.router6)
    verdict = judged(ARP(), neighbour, IP(src=HUB.address, dst=HUB.router) / TCP(sport=22, dport=40000))
    assert (verdict.neighbours, verdict.management, verdict.wrong) == (2, 1, [])


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (IP(src=HUB.host_address, dst=BRANCH.host_address) / ICMP(), "in clear"),
        (IPv6(src=HUB.host_address6, dst=BRANCH.host_address6) / ICMPv6EchoRequest(), "in clear"),
        (IP(src=HUB.address, dst=BRANCH.host_address) / UDP(dport=500), "in clear"),
        (IP(src=HUB.host_address, dst=HUB.router) / TCP(sport=22), "in clear"),
        (BETWEEN / ESP(spi=SPI + 1, seq=1) / Raw(bytes(40)), "no SA"),
        (BETWEEN / UDP(sport=4500, dport=4500) / Raw((SPI + 1).to_bytes(4, "big") + bytes(40)), "no SA"),
        (BETWEEN / ICMP(), "not expected"),
        (BETWEEN / TCP(dport=80), "not expected"),
        (BETWEEN6 / ICMPv6EchoRequest(), "not expected"),
    ],
)
def test_what_does_not_belong_there(judged, packet, why):
    (line,) = judged(BETWEEN / ESP(spi=SPI, seq=1) / Raw(bytes(40)), packet).wrong
    assert why in line
