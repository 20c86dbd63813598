# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors: which packets an SA protects (RFC 4301 section 4.4.1.2, RFC 7296 section 3.13.1)."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace
from typing import Union

from .errors import InputError
from .newer_python import dataclass

ANY_PORT = (0, 65535)
OPAQUE_PORT = (65535, 0)

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True, slots=True)
class Selector:
    """An address range with one transport protocol (0: all) and one port range.

    :ivar first: lowest address, 4 or 16 octets in network order.
    :ivar last: highest address, as long as ``first``.
    :ivar protocol: IP protocol number, 0 for every protocol.
    :ivar first_port: lowest port (ICMP: type << 8 | code).
    :ivar last_port: highest port; ``first_port=65535, last_port=0`` is OPAQUE.
    """

    first: bytes
    last: bytes
    protocol: int = 0
    first_port: int = 0
    last_port: int = 65535

    @classmethod
    def from_network(cls, network: Network, protocol: int = 0, ports: tuple[int, int] = ANY_PORT) -> Selector:
        """The selector of a whole network; ``ports`` is (lowest, highest)."""
        return cls(network.network_address.packed, network.broadcast_address.packed, protocol, *ports)

    @property
    def family(self) -> int:
        """IP version: 4 or 6."""
        return 4 if len(self.first) == 4 else 6

    @property
    def any_port(self) -> bool:
        """Whether every port matches."""
        return self.first_port == 0 and self.last_port == 65535

    def contains(self, other: Selector) -> bool:
        """Whether every packet that ``other`` matches is matched by this one too."""
        return self.intersect(other) == other

    def intersect(self, other: Selector) -> Selector | None:
        """The packets that both match, or None (RFC 7296 section 2.9)."""
        if len(self.first) != len(other.first):
            return None
        if self.protocol and other.protocol and self.protocol != other.protocol:
            return None
        first, last = max(self.first, other.first), min(self.last, other.last)
        first_port, last_port = max(self.first_port, other.first_port), min(self.last_port, other.last_port)
        if first > last or first_port > last_port:
            return None
        return Selector(first, last, self.protocol or other.protocol, first_port, last_port)

    def without(self, other: Selector) -> list[Selector]:
        """What is left of the addresses; all of it where ``other`` has not all of its protocols and ports there."""
        common = self.intersect(other)
        if common is None or replace(common, first=self.first, last=self.last) != self:
            return [self]
        low, high = int.from_bytes(common.first, "big"), int.from_bytes(common.last, "big")
        found = []
        if common.first != self.first:
            found.append(replace(self, last=(low - 1).to_bytes(len(self.first), "big")))
        if common.last != self.last:
            found.append(replace(self, first=(high + 1).to_bytes(len(self.last), "big")))
        return found

    def networks(self) -> list[Network]:
        """The fewest networks that make up exactly the address range, in order."""
        low, high = int.from_bytes(self.first, "big"), int.from_bytes(self.last, "big")
        hosts = low ^ high
        if not hosts & (hosts + 1) and not low & hosts:  # one network, as most are: found without a search
            prefix = 8 * len(self.first) - hosts.bit_length()
            return [ipaddress.ip_network((self.first, prefix))]
        first, last = ipaddress.ip_address(self.first), ipaddress.ip_address(self.last)
        return list(ipaddress.summarize_address_range(first, last))

    def __str__(self) -> str:
        networks = self.networks()
        if len(networks) == 1:
            text = str(networks[0])
        else:
            text = f"{ipaddress.ip_address(self.first)}-{ipaddress.ip_address(self.last)}"
        if not self.protocol and self.any_port:
            return text
        if self.any_port:
            return f"{text}[{self.protocol}]"
        ports = str(self.first_port) if self.first_port == self.last_port else f"{self.first_port}-{self.last_port}"
        return f"{text}[{self.protocol}/{ports}]"


_PROTOCOLS = {"any": 0, "icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "ospf": 89, "sctp": 132}


def parse_selector(text: str, field: str = "selector") -> Selector:
    """Read ``NETWORK[PROTOCOL[/PORT[-PORT]]]`` such as ``10.1.0.0/16`` or ``10.1.0.0/16[tcp/443]``.

    A network may also be a single address or a range ``FIRST-LAST``.

    :raises InputError: naming ``field``, with the remedy.
    """
    try:
        return _read(text)
    except InputError as problem:
        raise InputError(field, problem.value, problem.problem, problem.remedy) from None


# Checking a definition reads each of its texts several times over.
@functools.lru_cache(maxsize=1024)
def _read(text: str, field: str = "") -> Selector:
    address, bracket, rest = text.strip().partition("[")
    if bracket and not rest.endswith("]"):
        raise InputError(field, text, "the bracket is not closed", "write NETWORK[PROTOCOL/PORT]")
    protocol, ports = _parse_transport(rest[:-1], text, field) if bracket else (0, ANY_PORT)
    low, dash, high = address.partition("-")
    if dash:
        return _from_range(low, high, protocol, ports, text, field)
    try:
        network = ipaddress.ip_network(address)
    except ValueError as exc:
        raise InputError(field, text, str(exc), "write a network such as 10.1.0.0/16 or 2001:db8::/32") from None
    return Selector.from_network(network, protocol, ports)


def _from_range(low: str, high: str, protocol: int, ports: tuple[int, int], text: str, field: str) -> Selector:
    try:
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
    except ValueError as exc:
        raise InputError(field, text, str(exc), "write a range such as 10.1.0.5-10.1.0.9") from None
    if first.version != last.version or first.packed > last.packed:
        raise InputError(field, text, "the range runs backwards or mixes families", "write the lower address first")
    return Selector(first.packed, last.packed, protocol, *ports)


def _parse_transport(words: str, text: str, field: str) -> tuple[int, tuple[int, int]]:
    name, slash, port = words.partition("/")
    number = _PROTOCOLS.get(name.lower())
    if number is None:
        if not _is_number(name) or int(name) > 255:
            raise InputError(field, text, f"unknown protocol {name!r}", "use tcp, udp, icmp, … or a number 0-255")
        number = int(name)
    if not slash:
        return number, ANY_PORT
    low, dash, high = port.partition("-")
    if not _is_number(low) or (dash and not _is_number(high)):
        raise InputError(field, text, f"bad port {port!r}", "write PORT or PORT-PORT, 0-65535")
    first, last = int(low), int(high or low)
    if not first <= last <= 65535:
        raise InputError(field, text, f"bad port range {port!r}", "ports are 0-65535, lower one first")
    return number, (first, last)


def _is_number(text: str) -> bool:
    """Whether it has a few of the ten digits: others count as digits, too, and are no numbers."""
    return text.isascii() and text.isdigit() and len(text) < 10
