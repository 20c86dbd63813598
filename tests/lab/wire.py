# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire between the gateways: capture what arrives at the router, and judge it with scapy.

Every packet is captured once, as it comes in from a gateway.
"""

from __future__ import annotations

import ipaddress
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .commands import start
from .interruptions import postponed
from .places import LabError, Places
from .topology import GATEWAYS

if TYPE_CHECKING:
    from scapy.packet import Packet

PROCESS = "capture"
START_TIMEOUT = 10.0  # seconds until tcpdump listens
NATT_PORT = 4500
IKE_PORTS = {500, NATT_PORT}
NON_ESP_MARKER = bytes(4)  # RFC 3948 section 2.2


def capture_file(places: Places) -> Path:
    """Where the packets are written."""
    return places.root / "wire.pcap"


def start_capture(places: Places) -> None:
    """Start capturing in the internet namespace; returns when packets are being taken."""
    log = places.root / "capture.log"
    command = ["nsenter", f"--net=/run/netns/{places.internet}", "tcpdump", "-n", "-i", "any", "-Q", "in", "-U"]
    # In this mode the buffer is cut into places for packets of the largest size: a handful, unless that is bounded.
    command += ["--immediate-mode", "-s", "4096", "-B", "16384", "-Z", "root", "-w", str(capture_file(places))]
    with postponed():
        places.note_process(PROCESS, start(command, log))
    deadline = time.monotonic() + START_TIMEOUT
    while "listening on" not in log.read_text(encoding="utf-8"):
        if places.running(PROCESS) is None or time.monotonic() > deadline:
            raise LabError(f"tcpdump does not capture: {log.read_text(encoding='utf-8').strip()}")
        time.sleep(0.05)


def stop_capture(places: Places) -> None:
    """Stop capturing; the file is complete afterwards."""
    places.end_process(PROCESS, signal.SIGINT)


@dataclass
class Verdict:
    """What was seen: packets by kind, and one line for each that should not have been there."""

    esp: Counter[int] = field(default_factory=Counter)  # by SPI
    ike: int = 0
    management: int = 0
    neighbours: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def esp_packets(self) -> int:
        """All ESP packets of known SPIs."""
        return sum(self.esp.values())


class Judge:
    """Sorts packets; scapy takes them apart."""

    def __init__(self, spis: Iterable[int]) -> None:
        # Importing scapy takes a second, which "up" and "down" need not spend.
        from scapy.layers import inet, inet6, ipsec, l2

        self.ip, self.icmp, self.tcp, self.udp = inet.IP, inet.ICMP, inet.TCP, inet.UDP
        self.ip6, self.esp, self.arp = inet6.IPv6, ipsec.ESP, l2.ARP
        self.spis = set(spis)
        self.routers = {address for gateway in GATEWAYS for address in (gateway.router, gateway.router6)}
        self.private = [ipaddress.ip_network(network) for gateway in GATEWAYS for network in gateway.networks]
        self.verdict = Verdict()

    def take(self, packet: Packet) -> None:
        """Sort one packet."""
        network = packet.getlayer(self.ip) or packet.getlayer(self.ip6)
        if network is None:
            if self.arp in packet:
                self.verdict.neighbours += 1
            else:
                self._wrong("neither IP nor ARP", packet)
        elif self._inside(network.src) or self._inside(network.dst):
            self._wrong("in clear", packet)
        elif self.esp in packet:
            self._take_esp(packet[self.esp].spi, packet)
        elif self.udp in packet and not IKE_PORTS.isdisjoint(_ports(packet[self.udp])):
            self._take_ike_port(packet)
        elif network.dst in self.routers and (self.tcp in packet or self.icmp in packet):
            self.verdict.management += 1  # ssh from the controller, and what the router's own ICMP errors provoke
        elif self.ip6 in packet and _is_neighbour(network):
            self.verdict.neighbours += 1
        else:
            self._wrong("not expected", packet)

    def _inside(self, address: str) -> bool:
        return any(ipaddress.ip_address(address) in network for network in self.private)

    def _wrong(self, why: str, packet: Packet) -> None:
        self.verdict.wrong.append(f"{why}: {packet.summary()}")

    def _take_esp(self, spi: int, packet: Packet) -> None:
        if spi in self.spis:
            self.verdict.esp[spi] += 1
        else:
            self._wrong(f"ESP with SPI {spi:#010x} of no SA", packet)

    def _take_ike_port(self, packet: Packet) -> None:
        octets = bytes(packet[self.udp].payload)
        in_udp = NATT_PORT in _ports(packet[self.udp]) and len(octets) > len(NON_ESP_MARKER)
        if in_udp and not octets.startswith(NON_ESP_MARKER):
            self._take_esp(int.from_bytes(octets[:4], "big"), packet)
        else:
            self.verdict.ike += 1


def _ports(datagram: Packet) -> tuple[int, int]:
    """An ikeping starts from any port and is answered there."""
    return datagram.sport, datagram.dport


def _is_neighbour(network: Packet) -> bool:
    """Whether an IPv6 packet stays on its link: neighbour discovery, multicast listening (RFC 4861, RFC 3810)."""
    return network.dst.startswith(("ff02::", "fe80::")) or network.src.startswith("fe80::") or network.hlim == 255


def judge(path: Path, spis: Iterable[int]) -> Verdict:
    """Sort every packet of a capture.

    :param spis: the SPIs of the gateways' SAs (32-bit numbers); ESP with another one is wrong.
    """
    from scapy.utils import PcapReader

    judging = Judge(spis)
    with PcapReader(str(path)) as packets:
        for packet in packets:
            judging.take(packet)
    return judging.verdict
