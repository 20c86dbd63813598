# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways on a wire with children between them: what is installed, sent and seen."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

from children import install_outbound
from engine.child_sa import ChildSa
from engine.crypto.registry import Kind, by_name
from engine.kernel.gateway import Gateway
from engine.kernel.registry import REQID_FIRST, Registry
from engine.secret import Secret
from engine.selector import parse_selector
from namespaces import Namespace

ETH_ALL, ETH_IP, ETH_IP6 = 3, 0x0800, 0x86DD
OUTGOING = 4
PORT = 7007
REQID = REQID_FIRST + 1
# name: rows of the registry for the cipher and, unless it is an AEAD, for integrity
SUITES = {
    "aes128gcm": ("aes128gcm16", ""),
    "aes256gcm": ("aes256gcm16", ""),
    "chacha20poly1305": ("chacha20poly1305", ""),
    "aes256-sha256": ("aes256", "sha256"),
    "aes128-sha384": ("aes128", "sha384"),
    "aes192-sha512": ("aes192", "sha512"),
}


def spec_for(suite: str = "aes256gcm", generation: int = 1, **changes: object) -> ChildSa:
    """Gateway A's view of a tunnel between the networks behind A and B."""
    cipher, integrity = by_name(Kind.ENCR, SUITES[suite][0]), by_name(Kind.INTEG, SUITES[suite][1])
    cipher_octets, integrity_octets = cipher.key_octets + cipher.salt_octets, integrity.key_octets if integrity else 0

    def key(letter: str, octets: int) -> Secret:
        return Secret((letter * octets).encode()[: octets - 1] + bytes([generation])) if octets else Secret(b"")

    spec = ChildSa(
        "a-b", "lan", generation, REQID, "192.0.2.1", "192.0.2.2", 50, "tunnel",
        0xC0000000 + generation, 0xC1000000 + generation,
        (parse_selector("10.1.0.0/24"),), (parse_selector("10.2.0.0/24"),), cipher, integrity,
        key("i", cipher_octets), key("o", cipher_octets), key("j", integrity_octets), key("p", integrity_octets),
        owner="tests",
    )  # fmt: skip
    return replace(spec, **changes)


def mirrored(spec: ChildSa) -> ChildSa:
    """The same tunnel as gateway B sees it."""
    return replace(
        spec,
        local_address=spec.remote_address, remote_address=spec.local_address,
        local_selectors=spec.remote_selectors, remote_selectors=spec.local_selectors,
        spi_in=spec.spi_out, spi_out=spec.spi_in,
        encryption_in=spec.encryption_out, encryption_out=spec.encryption_in,
        integrity_in=spec.integrity_out, integrity_out=spec.integrity_in,
        encapsulation=spec.encapsulation and (spec.encapsulation[1], spec.encapsulation[0]),
    )  # fmt: skip


@dataclass
class Site:
    """One gateway: its namespace, its kernel floor, a UDP socket behind it, an ear on the wire."""

    space: Namespace
    gateway: Gateway
    wire: socket.socket
    addresses: tuple[str, str]
    sockets: dict[int, socket.socket]

    def send(self, remote: str, payload: bytes) -> None:
        self.sockets[6 if ":" in remote else 4].sendto(payload, (remote, PORT))

    def received(self, version: int = 4) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.sockets[version].recv(2000))
            except BlockingIOError:
                return found

    def frames(self) -> list[tuple[int, bytes]]:
        """(Ethernet type, IP packet) of all that left since the last call, without IPv6 multicast (neighbours).

        What arrives is the other side's to judge: the kernel shows it again after decryption.
        """
        found = []
        while True:
            try:
                packet, (_device, kind, direction, *_rest) = self.wire.recvfrom(4000)
            except BlockingIOError:
                return found
            if direction == OUTGOING and (kind == ETH_IP or kind == ETH_IP6 and packet[24] != 0xFF):
                found.append((kind, packet))


def make_site(space: Namespace, directory: str, number: int, device: str) -> Site:
    with space.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_ALL))
        wire.bind((device, ETH_ALL))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        inner = (f"10.{number}.0.1", f"fd00:{number}::1")
        sockets = {}
        for version, family, address in ((4, socket.AF_INET, inner[0]), (6, socket.AF_INET6, inner[1])):
            sockets[version] = socket.socket(family, socket.SOCK_DGRAM)
            sockets[version].bind((address, PORT))
            sockets[version].setblocking(False)
        wire.setblocking(False)
        return Site(space, Gateway(Registry(directory)), wire, inner, sockets)


def install(sites: tuple[Site, Site], spec: ChildSa) -> None:
    a, b = sites
    a.gateway.install_inbound(spec)
    b.gateway.install_inbound(mirrored(spec))
    install_outbound(b.gateway, mirrored(spec))
    install_outbound(a.gateway, spec)


def exchange(sites: tuple[Site, Site], count: int = 5, version: int = 4) -> None:
    """``count`` packets each way, and every one arrives."""
    payloads = [b"clear text %d" % number for number in range(count)]
    for here, there in (sites, sites[::-1]):
        for payload in payloads:
            here.send(there.addresses[version == 6], payload)
    time.sleep(0.05)
    for site in sites:
        assert site.received(version) == payloads
