# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the peer of a tunnel is: one address, or several in order of preference.

In a canonical definition ``remote.address`` is the most preferred one, and ``remote.addresses`` has all where there are
several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .many import pattern_of


def addresses_of(document: Mapping[str, Any]) -> list[str]:
    """The addresses of the peer, in order of preference; none where it always initiates, as many peers do.

    :param document: canonical, or ``remote`` of it alone settled.
    """
    if pattern_of(document) is not None:
        return []
    remote = document["remote"]
    return remote["addresses"] or ([remote["address"]] if remote["address"] else [])


def is_network(text: str) -> bool:
    """Whether a text among the addresses is more than one: a network, or a range from an address to another one."""
    low, dash, _high = text.strip().partition("-")
    return "/" in text or bool(dash and ("." in low or ":" in low) and not low.strip("0123456789abcdefABCDEF.:"))


def settle(remote: dict[str, Any], field: str, problems: list[InputError]) -> dict[str, str]:
    """Make the addresses of a definition canonical; where each was written, for what is wrong with it.

    :param remote: that section of the definition, which is changed.
    :param field: its path.
    """
    address, several = remote.setdefault("address", None), remote["addresses"]
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
