# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a packet is, with scapy as the judge who builds it, and what counts as in clear."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.wire import (
    ESP,
    IKE,
    NATT_KEEPALIVE,
    OTHER,
    Sight,
    classify,
    shown_clear,
    shown_esp,
)
from hypothesis import given
from hypothesis import strategies as st

scapy = pytest.importorskip("scapy.all")
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP  # noqa: E402
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop  # noqa: E402
from scapy.layers.ipsec import ESP as ScapyEsp  # noqa: E402
from scapy.packet import Raw  # noqa: E402

V4 = IP(src="192.0.2.1", dst="192.0.2.9")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::9")
INNER = ScapyEsp(spi=0xC0FFEE00, seq=1) / Raw(b"x" * 40)
ISAKMP = Raw(bytes(28))


@pytest.mark.parametrize(
    ("packet", "kind", "spi"),
    [
        (V4 / INNER, ESP, 0xC0FFEE00),
        (V6 / INNER, ESP, 0xC0FFEE00),
        (IP(src="192.0.2.1", dst="192.0.2.9", options=[IPOption_NOP()] * 4) / INNER, ESP, 0xC0FFEE00),
        (V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / INNER, ESP, 0xC0FFEE00),
        (V4 / UDP(sport=4500, dport=4500) / INNER, ESP, 0xC0FFEE00),
        (V4 / UDP(sport=40000, dport=4500) / INNER, ESP, 0xC0FFEE00),
        (V6 / UDP(sport=4500, dport=61000) / INNER, ESP, 0xC0FFEE00),
        (V4 / UDP(sport=4500, dport=4500) / Raw(bytes(4)) / ISAKMP, IKE, 0),
        (V4 / UDP(sport=500, dport=500) / ISAKMP, IKE, 0),
        (V6 / UDP(sport=61000, dport=500) / ISAKMP, IKE, 0),
        (V4 / UDP(sport=4500, dport=4500) / Raw(b"\xff"), NATT_KEEPALIVE, 0),
        (V4 / UDP(sport=53, dport=53) / INNER, OTHER, 0),
        (V4 / ICMP(), OTHER, 0),
        (V6 / TCP(dport=500), OTHER, 0),
        (IP(src="192.0.2.1", dst="192.0.2.9", frag=100, proto=50) / Raw(b"y" * 40), OTHER, 0),
    ],
)
def test_kinds(packet: scapy.Packet, kind: str, spi: int) -> None:
    found = classify(bytes(packet))
    assert found is not None
    assert (found.kind, found.spi) == (kind, spi)
    assert (str(ipaddress.ip_address(found.source)), str(ipaddress.ip_address(found.destination))) == (
        packet.src,
        packet.dst,
    )


@given(st.binary(max_size=80))
def test_any_octets_are_survived(octets: bytes) -> None:
    classify(octets)


@given(st.binary(max_size=60))
def test_any_ip_packet_is_survived(octets: bytes) -> None:
    assert classify(bytes(V4)[:20] + octets) is not None
    assert classify(bytes(V6)[:40] + octets) is not None


def test_what_counts_as_in_clear() -> None:
    sight = Sight(["10.1.0.0/16", "fd00:1::/32"], ["10.2.0.0/16", "fd00:2::/32"])
    clear = bytes(IP(src="10.1.0.5", dst="10.2.0.7") / ICMP())
    clear6 = bytes(IPv6(src="fd00:1::5", dst="fd00:2::7") / TCP())
    for octets, outgoing in [
        (clear, True),
        (clear, True),
        (clear6, True),
        (clear, False),
        (bytes(IP(src="10.2.0.7", dst="10.1.0.5") / ICMP()), True),
        (bytes(IP(src="10.1.0.5", dst="10.9.0.7") / ICMP()), True),
        (bytes(V4 / UDP(sport=500, dport=500) / ISAKMP), True),
        (bytes(V4 / INNER), True),
        (bytes(V4 / INNER), False),
    ]:
        sight.add(octets, outgoing, "wire")
    assert shown_clear(sight) == [
        {"interface": "wire", "source": "10.1.0.5", "destination": "10.2.0.7", "packets": 2},
        {"interface": "wire", "source": "fd00:1::5", "destination": "fd00:2::7", "packets": 1},
    ]
    row = {"source": "192.0.2.1", "destination": "192.0.2.9", "spi": "c0ffee00", "packets": 1}
    assert shown_esp(sight) == [{"direction": "received", **row}, {"direction": "sent", **row}]
    assert (sight.ike, sight.looked_at) == (1, 9)


def test_transport_mode_is_not_in_clear() -> None:
    sight = Sight(["192.0.2.1/32"], ["192.0.2.9/32"])
    sight.add(bytes(V4 / INNER), True, "wire")
    sight.add(bytes(V4 / UDP(sport=500, dport=500) / ISAKMP), True, "wire")
    sight.add(bytes(V4 / UDP(sport=4500, dport=4500) / Raw(b"\xff")), True, "wire")
    assert not sight.clear
    sight.add(bytes(V4 / ICMP()), True, "wire")
    assert sum(sight.clear.values()) == 1


def test_what_is_routed_into_a_tunnel_is_still_to_be_protected() -> None:
    sight = Sight(["10.1.0.0/16"], ["10.2.0.0/16"], ["ipsec0"])
    clear = bytes(IP(src="10.1.0.5", dst="10.2.0.7") / ICMP())
    sight.add(clear, True, "ipsec0")
    assert not sight.clear and not sight.looked_at
    sight.add(clear, True, "wire")
    assert sum(sight.clear.values()) == 1, "other interfaces lead out of the host"
