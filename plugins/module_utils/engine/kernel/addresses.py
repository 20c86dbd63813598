# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of addresses: their family, their octets, and whether this host has them."""

from __future__ import annotations

import socket


def family_of(address: str) -> int:
    """The AF number of an address or network text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    """An address text as 4 or 16 octets.

    :raises OSError: it is no address.
    """
    return socket.inet_pton(family_of(address), address)


def towards(peer: str) -> str:
    """The address that this host has towards another one, empty where there is no way; nothing is sent."""
    family = family_of(peer)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(socket.getaddrinfo(peer, 500, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4])
            address: str = probe.getsockname()[0]
    except OSError:
        return ""
    return address


def is_local(address: str) -> bool:
    """Whether this host has an address: whether a socket can be bound to it. A name is none, and never looked up."""
    family = family_of(address)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(socket.getaddrinfo(address, 0, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4])
    except OSError:
        return False
    return True
