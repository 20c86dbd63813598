# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the peer of a tunnel is: one address or host name, or several in order of preference.

In a canonical definition ``remote.address`` is the most preferred one, and ``remote.addresses`` has all where there are
several.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .many import is_pattern, pattern_of

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST_NAME = 253


def read_host(value: str, field: str) -> str:
    """An address or a host name in its one form.

    :raises InputError: it is neither, or the address is not that of one host.
    """
    text = value.strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _read_name(value, field)
    if address.is_unspecified or address.is_multicast:
        raise InputError(field, value, "is not the address of a host", "write the address, or leave it out for any")
    return str(address)


def _read_name(value: str, field: str) -> str:
    """Letters, digits and hyphens, as RFC 1123 section 2.1 has it; with digits alone at its end it is no name."""
    name = value.strip().lower()
    name = name[:-1] if name.endswith(".") else name
    labels = name.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit() or len(name) > _LONGEST_NAME:
        remedy = "write an address such as 203.0.113.9 or 2001:db8::9, or a name such as vpn.example.net"
        raise InputError(field, value, "is neither an IP address nor a host name", remedy)
    return name


def is_name(place: str) -> bool:
    """Whether it is a host name, of those that :func:`read_host` returns."""
    return ":" not in place and not place.rpartition(".")[2].isdigit()


def places_of(document: Mapping[str, Any]) -> list[str]:
    """Where the peer is, in order of preference: addresses and host names; none where it always initiates.

    :param document: canonical.
    """
    if pattern_of(document) is not None:
        return []
    remote = document["remote"]
    return remote["addresses"] or ([remote["address"]] if remote["address"] else [])


def is_network(text: str) -> bool:
    """Whether a text among the addresses is more than one: a network, or a range from an address to another one."""
    low, dash, _high = text.strip().partition("-")
    return "/" in text or bool(dash and ("." in low or ":" in low) and not low.strip("0123456789abcdefABCDEF.:"))


def addresses_of(document: Mapping[str, Any]) -> list[str]:
    """Those of :func:`places_of` that are addresses."""
    return [place for place in places_of(document) if not is_name(place)]


def names_of(document: Mapping[str, Any]) -> list[str]:
    """Those of :func:`places_of` that are host names."""
    return [place for place in places_of(document) if is_name(place)]


def settle(remote: dict[str, Any], field: str, problems: list[InputError]) -> dict[str, str]:
    """Make the addresses of a definition canonical; where each was written, for what is wrong with it.

    :param remote: that section of the definition, which is changed.
    :param field: its path.
    """
    address, several = remote.setdefault("address", None), remote["addresses"]
    if is_pattern(remote):
        remedy = "list the networks, ranges or addresses that they come from"
        for position, each in enumerate(several):
            if not is_network(each) and is_name(each):
                problem = "is a host name, and many peers are not looked up"
                problems.append(InputError(f"{field}.addresses[{position}]", each, problem, remedy))
        return {}
    if not several:
        return {address: f"{field}.address"} if address else {}
    networks = [position for position, each in enumerate(several) if is_network(each)]
    if networks:
        remedy = "list addresses; networks are for definitions for many peers, whose remote.id is a pattern"
        for position in networks:
            problem = "is a network, and the peer is at one address of it"
            problems.append(InputError(f"{field}.addresses[{position}]", several[position], problem, remedy))
        return {}
    places: dict[str, str] = {}
    for position, each in enumerate(several):
        place = f"{field}.addresses[{position}]"
        if places.setdefault(each, place) != place:
            problems.append(InputError(place, each, "is listed twice", "list each address once"))
    if address not in (None, several[0]):
        remedy = f"leave {field}.address out: the list has all of them"
        problems.append(InputError(f"{field}.address", address, f"is not the first of {field}.addresses", remedy))
    remote["address"] = several[0]
    remote["addresses"] = several if len(several) > 1 else []
    return places
