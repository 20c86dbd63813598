# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of SAs between two gateways: made, used and seen on the wire."""

from __future__ import annotations

import socket
import time

from engine.kernel.values import AH, ESP, IPCOMP, Aead, Auth, Sa
from engine.secret import Secret
from esp_site import Site

TUN = 4
IPV6_FRAGMENT = 44
REQID = 77
PROTOCOLS = {"tun": TUN, "esp": ESP, "ah": AH, "comp": IPCOMP}
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
# What does not shrink travels without IPComp, what does shrink with it.
PAYLOADS = [b"clear text", b"clear text " * 100]


def real_sa(name: str, spi: int, source: str, destination: str, mode: str, any_family: bool = False) -> Sa:
    key = Secret(bytes([spi & 0xFF]) * 36)
    integrity = Auth("hmac(sha256)", Secret(bytes([spi & 0xFF]) * 32), 128)
    return Sa(
        source, destination, spi, PROTOCOLS[name], mode, REQID,
        aead=Aead("rfc4106(gcm(aes))", key, 128) if name == "esp" else None,
        integrity=integrity if name == "ah" else None,
        compression="deflate" if name == "comp" else None,
        replay_window=0 if name == "comp" else 32,
        af_unspec=any_family,
    )  # fmt: skip


def headers(packet: bytes) -> list[tuple[int, int]]:
    """(protocol, SPI) of each IPsec header of an IP packet that is not encrypted, outermost first."""
    at, protocol = (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])
    found = []
    if protocol == IPV6_FRAGMENT:  # the kernel puts one, alone, around tunnels in tunnels
        protocol, at = packet[at], at + 8
    while protocol in (AH, ESP, IPCOMP):
        if protocol == AH:
            found.append((AH, int.from_bytes(packet[at + 4 : at + 8], "big")))
            protocol, at = packet[at], at + (packet[at + 1] + 2) * 4
        elif protocol == IPCOMP:
            found.append((IPCOMP, int.from_bytes(packet[at + 2 : at + 4], "big")))
            protocol, at = packet[at], at + 4
        else:
            found.append((ESP, int.from_bytes(packet[at : at + 4], "big")))
            break
    return found


def sockets_for(sites: tuple[Site, Site], addresses: tuple[str, str]) -> list[socket.socket]:

    made = []
    for site, address in zip(sites, addresses, strict=True):
        with site.space.entered():
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, 7100))
            sock.setblocking(False)
            made.append(sock)
    return made


def arrived(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(4000))
        except BlockingIOError:
            return found


def exchange(
    sites: tuple[Site, Site], addresses: tuple[str, str], secret: bool = True
) -> list[tuple[list[bytes], list[list[tuple[int, int]]]]]:
    """Payloads both ways: per way what arrived and the headers of what was on the wire."""
    sockets = sockets_for(sites, addresses)
    for site in sites:
        site.frames()
    results = []
    for number in (0, 1):
        for payload in PAYLOADS:
            sockets[number].sendto(payload, (addresses[1 - number], 7100))
            time.sleep(0.05)  # one after the other: a large packet can overtake a small one
        frames = sites[number].frames()
        assert not secret or not any(b"clear text" in packet for _kind, packet in frames)
        results.append((arrived(sockets[1 - number]), [headers(packet) for _kind, packet in frames]))
    for sock in sockets:
        sock.close()
    return results
