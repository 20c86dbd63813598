# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels of one file that cannot stand beside each other: of two that other programs take, one never has a packet.

What comes first in the file stays, as the manager would refuse all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..definition.overlap import Claim, overlaps
from ..definition.parsing import Definition
from ..newer_python import zip
from .report import LOST, SKIPPED, Entry, Report, Tunnel

Child = tuple[str, str]  # names of a tunnel and of a child


def settle(
    tunnels: Sequence[Tunnel], definitions: Mapping[str, Definition], places: Mapping[Child, Entry], report: Report
) -> tuple[Tunnel, ...]:
    """The tunnels without children, and routes of interfaces, that an earlier one claims; what is left out is told.

    :param definitions: what they define, by name.
    :param places: where each child stands in the file.
    """
    claims = [claim for tunnel in tunnels for claim in _claims(definitions[tunnel.name])]
    order = {child: number for number, child in enumerate(dict.fromkeys((each.tunnel, each.child) for each in claims))}
    lost: set[Child] = set()
    pairs = (sorted(pair, key=_rank(order)) for pair in overlaps(claims))
    for first, second in sorted(pairs, key=lambda pair: tuple(map(_rank(order), reversed(pair)))):
        child = second.tunnel, second.child
        if child in lost or (first.tunnel, first.child) in lost:
            continue
        lost.add(child)
        instead = f"{second.local} === {second.remote} overlaps child {first.child} of tunnel {first.tunnel}"
        remedy = "give each packet one child, or each tunnel an interface"
        report.tell(places[child], SKIPPED, instead, remedy, "/".join(child))
    kept = []
    for tunnel in tunnels:
        children = [child for child in tunnel.document["children"] if (tunnel.name, child["name"]) not in lost]
        if children:
            kept.append(replace(tunnel, document={**tunnel.document, "children": children}))
        else:
            place = places[tunnel.name, tunnel.document["children"][0]["name"]]
            report.tell(place, SKIPPED, "none of its children is left", "see the notes about them", tunnel.name)
    return tuple(_without_second_routes(kept, definitions, places, report))


def _rank(order: Mapping[Child, int]) -> Callable[[Claim], int]:
    def rank(claim: Claim) -> int:
        return order[claim.tunnel, claim.child]

    return rank


def _claims(definition: Definition) -> Iterator[Claim]:
    interface = definition.document["interface"]
    for child, sides in zip(definition.document["children"], definition.selectors, strict=True):
        for local in sides[0]:
            for remote in sides[1]:
                name = interface["name"] if interface else ""
                yield Claim(definition.name, child["name"], "", local, remote, name)


def _without_second_routes(
    tunnels: Sequence[Tunnel], definitions: Mapping[str, Definition], places: Mapping[Child, Entry], report: Report
) -> Iterator[Tunnel]:
    """A network is routed into one interface; which of two it is to be, a routing daemon can say."""
    held: dict[str, str] = {}
    for tunnel in tunnels:
        interface = tunnel.document.get("interface")
        routes = definitions[tunnel.name].document["interface"]["routes"] if interface else []
        double = [route for route in routes if held.setdefault(route, tunnel.name) != tunnel.name]
        if interface and double:
            place = places[tunnel.name, tunnel.document["children"][0]["name"]]
            instead = f"{', '.join(double)} is routed into the interface of tunnel {held[double[0]]} alone"
            report.tell(place, LOST, instead, "let a routing daemon choose, or give routes", tunnel.name)
            rest = [route for route in routes if route not in double]
            yield replace(tunnel, document={**tunnel.document, "interface": {**interface, "routes": rest}})
        else:
            yield tunnel
