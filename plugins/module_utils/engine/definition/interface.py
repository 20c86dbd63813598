# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a route-based tunnel, as its operator writes it: options, what goes without saying, conflicts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..selector import Selector
from .peer import addresses_of

Document = dict[str, Any]
Selectors = Sequence[tuple[tuple[Selector, ...], tuple[Selector, ...]]]

# Interface IDs that the manager chooses: one for each number in the database, so that a tunnel keeps its own.
OWN_IDS = range(0x66000000, 0x67000000)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)


def _read_name(value: str, field: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise InputError(
            field, value, "is not a usable interface name", "1 to 15 letters, digits, _ . -, such as ipsec0"
        )
    return value


def _read_address(value: str, field: str) -> str:
    try:
        found = ipaddress.ip_interface(value.strip())
    except ValueError:
        raise InputError(
            field, value, "is not an address with a prefix length", "write it such as 10.255.0.1/30 or 2001:db8::1/64"
        ) from None
    address = found.ip
    if address.is_unspecified or address.is_multicast or address.is_loopback or "%" in value:
        raise InputError(field, value, "is not the address of an interface", "write it such as 10.255.0.1/30")
    return found.with_prefixlen


def _read_network(value: str, field: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as exc:
        raise InputError(field, value, f"is not a network ({exc})", "write it such as 10.9.0.0/16") from None


FORMATS = {"interface": _read_name, "interface address": _read_address, "network": _read_network}


def settle(document: Document, selectors: Selectors) -> None:
    """Fill in what depends on the rest of the definition.

    :param document: of the whole tunnel; its ``interface`` is changed.
    :param selectors: of its children: (local, remote).
    """
    interface = document["interface"]
    if interface is None:
        return
    interface.setdefault("id", None)
    if interface.get("routes") is None:
        interface["routes"] = list(_default_routes(_remotes(selectors), addresses_of(document)))
    else:
        interface["routes"] = list(dict.fromkeys(interface["routes"]))


def check(document: Document, selectors: Selectors, prefix: str) -> Iterator[InputError]:
    """What does not fit to the rest of the definition.

    :param prefix: what the paths in problems begin with.
    """
    interface = document["interface"]
    if interface is None:
        return
    field = f"{prefix}interface"
    if interface["id"] in OWN_IDS:
        remedy = f"give one below {OWN_IDS.start}, or leave it out"
        yield InputError(f"{field}.id", interface["id"], "is of those that the manager chooses from", remedy)
    hosts = [address.partition("/")[0] for address in interface["addresses"]]
    for position, host in enumerate(hosts):
        if host in hosts[:position]:
            yield InputError(f"{field}.addresses[{position}]", host, "is listed twice", "list each address once")
    for position, child in enumerate(document["children"]):
        if child["mode"] != "tunnel":
            problem = "has no place behind an interface: packets between the two ends themselves never come to it"
            remedy = "use mode: tunnel, or a tunnel without an interface"
            yield InputError(f"{prefix}children[{position}].mode", child["mode"], problem, remedy)
    remotes = _remotes(selectors)
    for position, route in enumerate(interface["routes"]):
        network = Selector.from_network(ipaddress.ip_network(route))
        if not any(network.intersect(remote) for remote in remotes):
            problem = "leads packets into the tunnel that no child protects"
            remedy = "add a child with this network among its remote ones, or leave the route out"
            yield InputError(f"{field}.routes[{position}]", route, problem, remedy)


def _remotes(selectors: Selectors) -> list[Selector]:
    return [selector for _local, remote in selectors for selector in remote]


def _default_routes(remotes: Iterable[Selector], peers: Collection[str]) -> Iterator[str]:
    """The networks behind the peer, each once; never all of a family, nor one that holds the peer itself."""
    told = set()
    for remote in remotes:
        for network in remote.networks():
            if network.prefixlen and network not in told and not _holds(network, peers):
                told.add(network)
                yield str(network)


def _holds(network: ipaddress.IPv4Network | ipaddress.IPv6Network, addresses: Iterable[str]) -> bool:
    return any(ipaddress.ip_address(address.partition("%")[0]) in network for address in addresses)


def warnings(document: Document) -> list[str]:
    """What is allowed but unwise."""
    interface, peers = document["interface"], addresses_of(document)
    return [
        f"tunnel {document['name']}: the route to {route} through {interface['name']} holds the peer {peer} itself; "
        "keep a more specific route to the peer, or its own packets go round in circles"
        for route in (interface["routes"] if interface else ())
        for peer in peers
        if _holds(ipaddress.ip_network(route), [peer])
    ]


def if_id_of(document: Document, number: int) -> int:
    """The interface ID of a tunnel that has this number in the database; 0 without an interface."""
    interface = document["interface"]
    if interface is None:
        return 0
    return interface["id"] or OWN_IDS[number % len(OWN_IDS)]


def conflicts(everything: Iterable[tuple[str, str, Document]], new: Mapping[str, Any]) -> list[InputError]:
    """Names, IDs and routes that two tunnels claim at once.

    :param everything: (tunnel, path of its definition, document).
    :param new: the tunnels that are defined now; what stands already is not reported again.
    """
    problems = []
    held: dict[tuple[str, Any], tuple[str, str]] = {}
    for tunnel, field, document in everything:
        interface = document["interface"]
        if interface is None:
            continue
        claims = [("name", interface["name"]), ("id", interface["id"])]
        claims += [("routes", route) for route in interface["routes"]]
        for option, value in claims:
            other, other_field = held.setdefault((option, value), (tunnel, field))
            if value is None or other == tunnel or not {other, tunnel} & new.keys():
                continue
            mine, theirs = (field, other) if tunnel in new else (other_field, tunnel)
            problems.append(
                InputError(f"{mine}.interface.{option}", value, f"is also that of tunnel {theirs}", _REMEDIES[option])
            )
    return problems


_REMEDIES = {
    "name": "give each tunnel an interface of its own",
    "id": "give another id, or leave it out",
    "routes": "leave it out of one (routes: []), and let a routing daemon choose",
}
