# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of networks: unions, differences, duplicates; linear in what they are given, after one sort."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
N = TypeVar("N", ipaddress.IPv4Network, ipaddress.IPv6Network)


class Owned(NamedTuple):
    """A network and whose it is; ``value`` is the text as the inventory gave it."""

    network: Network
    owner: str
    value: Any


def family_of(networks: Iterable[Network], version: int) -> list[Network]:
    """Those of one IP version."""
    return [network for network in networks if network.version == version]


def union(networks: Iterable[Network]) -> list[Network]:
    """The fewest networks of one IP version with the same addresses, in order."""
    given = list(networks)
    return [
        *ipaddress.collapse_addresses(each for each in given if isinstance(each, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(each for each in given if isinstance(each, ipaddress.IPv6Network)),
    ]


class Union:
    """A union of networks of one IP version, for taking small parts out of it many times."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self.networks = union(networks)
        self._first = [int(network.network_address) for network in self.networks]

    def without(self, parts: Iterable[Network]) -> list[Network]:
        """The union less ``parts``, as networks in order.

        A part that is larger than what lies in it takes nothing away: of two tunnels the one with the smaller network
        wins.
        """
        pieces: dict[int, list[Network]] = {}
        for part in parts:
            place = bisect.bisect_right(self._first, int(part.network_address)) - 1
            if place >= 0 and holds(self.networks[place], part):
                held = pieces.get(place, [self.networks[place]])
                pieces[place] = list(_less(held, part))
        return [piece for place, network in enumerate(self.networks) for piece in sorted(pieces.get(place, [network]))]


def _less(networks: Iterable[Network], part: Network) -> Iterator[Network]:
    """What ``part`` leaves of networks of its IP version."""
    if isinstance(part, ipaddress.IPv4Network):
        return _rests((each for each in networks if isinstance(each, ipaddress.IPv4Network)), part)
    return _rests((each for each in networks if isinstance(each, ipaddress.IPv6Network)), part)


def _rests(networks: Iterable[N], part: N) -> Iterator[N]:
    for network in networks:
        if part.subnet_of(network):
            yield from network.address_exclude(part)
        elif not network.subnet_of(part):
            yield network


def duplicates(owned: Iterable[Owned]) -> list[tuple[Owned, Owned]]:
    """Every network that two owners have, with the first of them. One within another's is no duplicate."""
    first: dict[Network, Owned] = {}
    found = []
    for each in owned:
        held = first.setdefault(each.network, each)
        if held.owner != each.owner:
            found.append((held, each))
    return found


def nested(owned: Iterable[Owned]) -> list[tuple[Owned, Owned]]:
    """Every network of one owner within a larger one of another, as (outer, inner), found in one sweep."""
    # Networks nest or are apart, so that only those that hold the current one stay open.
    held: list[Owned] = []
    found = []
    for each in sorted(owned, key=lambda o: (o.network.version, int(o.network.network_address), o.network.prefixlen)):
        while held and not holds(held[-1].network, each.network):
            held.pop()
        found += [(other, each) for other in held if other.owner != each.owner and other.network != each.network]
        held.append(each)
    return found


def holds(outer: Network, inner: Network) -> bool:
    """Whether a network, or all of another, lies in ``outer``; never one of the other IP version."""
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)
