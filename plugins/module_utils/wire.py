# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes the interfaces of a host, told apart: ESP and AH by SPI, IKE, and what should have been inside."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

ESP, IKE, NATT_KEEPALIVE, OTHER = "esp", "ike", "keepalive", "other"

_PROTOCOL_UDP, _PROTOCOL_ESP, _PROTOCOL_AH = 17, 50, 51
_IKE_PORT, _NATT_PORT = 500, 4500
# IPv6 headers that may stand before the one looked for: hop-by-hop, routing, destination options.
_EXTENSIONS = (0, 43, 60)
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER = 32 << 20  # octets; what a busy gateway sends while Python looks the other way
_BURST = 256  # packets
_HEAD = 256  # octets of each packet that are looked at


class Packet(NamedTuple):
    """An IP packet.

    :ivar kind: one of ESP, IKE, NATT_KEEPALIVE, OTHER; ESP in UDP is ESP, and so is AH, which proves as much.
    :ivar source: address octets, 4 or 16; ``destination`` likewise.
    :ivar spi: of ESP, else 0.
    """

    kind: str
    source: bytes
    destination: bytes
    spi: int = 0


def classify(octets: bytes) -> Packet | None:
    """An IP packet, from its first octets on; None for anything else and for what is too short to tell.

    The port numbers tell IKE (RFC 7296 section 2), the four octets after them ESP in UDP (RFC 3948 section 2).
    """
    version = octets[0] >> 4 if octets else 0
    if version == 4 and len(octets) >= 20:
        source, destination = octets[12:16], octets[16:20]
        protocol, start = octets[9], (octets[0] & 15) * 4
        if struct.unpack_from("!H", octets, 6)[0] & 0x1FFF:
            # A later fragment has no header to look at.
            protocol = -1
    elif version == 6 and len(octets) >= 40:
        source, destination = octets[8:24], octets[24:40]
        protocol, start = octets[6], 40
        while protocol in _EXTENSIONS and len(octets) >= start + 8:
            protocol, start = octets[start], start + 8 + octets[start + 1] * 8
    else:
        return None
    kind, spi = _payload(protocol, octets[start:])
    return Packet(kind, bytes(source), bytes(destination), spi)


def _payload(protocol: int, payload: bytes) -> tuple[str, int]:
    if protocol == _PROTOCOL_ESP and len(payload) >= 8:
        return ESP, struct.unpack_from("!I", payload)[0]
    if protocol == _PROTOCOL_AH and len(payload) >= 12:
        return ESP, struct.unpack_from("!I", payload, 4)[0]
    if protocol != _PROTOCOL_UDP or len(payload) < 8:
        return OTHER, 0
    ports = struct.unpack_from("!HH", payload)
    if _NATT_PORT in ports:
        if len(payload) < 12:
            return NATT_KEEPALIVE, 0
        spi = struct.unpack_from("!I", payload, 8)[0]
        return (ESP, spi) if spi else (IKE, 0)
    return (IKE, 0) if _IKE_PORT in ports else (OTHER, 0)


class Networks:
    """A set of networks that addresses are looked up in, by their octets."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in texts]
        self._known: dict[bytes, bool] = {}

    def __contains__(self, octets: bytes) -> bool:
        known = self._known.get(octets)
        if known is None:
            address = ipaddress.ip_address(octets)
            known = self._known[octets] = any(address in network for network in self._networks)
        return known


class Sight:
    """What was seen.

    :param local: networks on this side, ``remote`` those behind the peers. A packet from one to the other that leaves
        this host as anything but ESP or IKE is in clear.
    :param tunnels: interfaces that lead into tunnels: what passes them is protected, or dropped, before it leaves.
    :ivar esp: packets by (sent or received, source, destination, SPI); ``clear``: by (interface, source, destination).
    """

    def __init__(self, local: Iterable[str], remote: Iterable[str], tunnels: Iterable[str] = ()) -> None:
        self._tunnels = frozenset(tunnels)
        self._local, self._remote = Networks(local), Networks(remote)
        self.esp: Counter[tuple[str, bytes, bytes, int]] = Counter()
        self.clear: Counter[tuple[str, bytes, bytes]] = Counter()
        self.ike = 0
        self.looked_at = 0

    def add(self, octets: bytes, outgoing: bool, interface: str) -> None:
        """Look at one packet that passed an interface.

        Only what leaves is looked at for inner addresses: what comes in shows once more, decrypted, on the interface
        that its ESP came from.
        """
        packet = None if interface in self._tunnels else classify(octets)
        if packet is None:
            return
        self.looked_at += 1
        if packet.kind == ESP:
            direction = "sent" if outgoing else "received"
            self.esp[direction, packet.source, packet.destination, packet.spi] += 1
        elif packet.kind == IKE:
            self.ike += 1
        elif outgoing and packet.kind == OTHER and packet.source in self._local and packet.destination in self._remote:
            self.clear[interface, packet.source, packet.destination] += 1


class Capture:
    """Packets of all interfaces of this network namespace; a context manager.

    :raises PermissionError: without CAP_NET_RAW.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        # Beyond the limit for everybody, if we may.
        for option in (socket.SO_RCVBUF, _SO_RCVBUFFORCE):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            except PermissionError:
                continue
        self._socket.setblocking(False)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Descriptor that turns readable when packets wait."""
        return self._socket.fileno()

    def drain(self, sight: Sight) -> None:
        """Add waiting packets to ``sight``; returns after some, so that others have their turn on a busy host."""
        for _turn in range(_BURST):
            try:
                octets, address = self._socket.recvfrom(_HEAD)
            except BlockingIOError:
                return
            interface, _protocol, kind = address[:3]
            sight.add(octets, kind == socket.PACKET_OUTGOING, interface)

    def dropped(self) -> int:
        """Packets that the kernel had no room for since the last call."""
        lost: int
        _seen, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return lost


def shown_esp(sight: Sight) -> list[dict[str, Any]]:
    """ESP packets by direction, addresses and SPI, as plain data."""
    return [
        {
            "direction": direction,
            "source": str(ipaddress.ip_address(source)),
            "destination": str(ipaddress.ip_address(destination)),
            "spi": f"{spi:08x}",
            "packets": packets,
        }
        for (direction, source, destination, spi), packets in sorted(sight.esp.items())
    ]


def shown_clear(sight: Sight) -> list[dict[str, Any]]:
    """Packets in clear by interface and addresses, as plain data."""
    return [
        {
            "interface": interface,
            "source": str(ipaddress.ip_address(source)),
            "destination": str(ipaddress.ip_address(destination)),
            "packets": packets,
        }
        for (interface, source, destination), packets in sorted(sight.clear.items())
    ]
