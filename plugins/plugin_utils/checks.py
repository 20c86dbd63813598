# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to prove of a host's tunnels: which pings go through them, and what must not leave in clear."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .communities import Community, peers, tunnel_name
from .members import Member
from .networks import Network
from .topology import Roster


def host_pings(roster: Roster, host: str) -> list[dict[str, Any]]:
    """The pings that prove a host's tunnels, for M(fleet.ipsec.wire_proof).

    One for each network of each peer; through a hub as many again, to the next spoke, which proves the way between
    spokes. External peers are pinged where ``check_address`` names somebody who answers.
    """
    return [ping for ping, _network in _proofs(roster, host) if ping["destination"]]


def left_out(roster: Roster, host: str) -> list[dict[str, Any]]:
    """The networks that no ping of a host goes to, as nobody is known there: ``tunnel``, ``host``, ``network``."""
    return [
        {"tunnel": ping["tunnel"], "host": ping["host"], "network": network}
        for ping, network in _proofs(roster, host)
        if not ping["destination"]
    ]


def _proofs(roster: Roster, host: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each ping of a host with the network that it proves; without ``destination`` where nobody is known there."""
    members = roster["members"]
    for community in roster["communities"]:
        transport = community["child"].get("mode") == "transport"
        for peer in peers(community, host):
            beyond = _next_spoke(community, host) if community["via_hub"] and peer == community["hubs"][0] else None
            tunnel = {
                "tunnel": tunnel_name(community, peer),
                "peer": None if members[peer]["moving"] else members[peer]["address"],
            }
            for target in (peer, beyond):
                if target is not None:
                    ends = _ends(members[host], members[target], transport)
                    yield from (({**tunnel, "host": target, **end}, network) for end, network in ends)


def _next_spoke(community: Community, host: str) -> str | None:
    spokes = community["spokes"]
    if host not in spokes or len(spokes) < 2:
        return None
    return spokes[(spokes.index(host) + 1) % len(spokes)]


def _ends(mine: Member, other: Member, transport: bool) -> Iterator[tuple[dict[str, Any], str]]:
    """Whom to ping at a member and the networks to do it from, each with the network that this proves."""
    if transport:
        own, address = mine["local_address"] or mine["address"], str(other["address"])
        # The roster refuses transport mode at an end that has no address; without one the kernel would choose.
        sources = [str(ipaddress.ip_network(own))] if own else []
        yield {"destination": address, "sources": sources, "must_answer": True}, address
        return
    for version in (4, 6):
        sources = [text for text in mine["networks"] if ipaddress.ip_network(text).version == version]
        if sources:
            for destination, network, sure in _answering(other, version):
                yield {"destination": destination, "sources": sources, "must_answer": sure}, network


def _answering(member: Member, version: int) -> Iterator[tuple[str | None, str, bool]]:
    """Who is to answer behind a member for each of its networks: an address, the network, whether it surely answers.

    Whom the member names surely answers, or where it names nobody, the first address of its first network: by custom
    the gateway itself has the first address of the network behind it, so that it may answer in the others, too.
    """
    named = [ipaddress.ip_address(text) for text in member["check_addresses"]]
    named = [address for address in named if address.version == version]
    networks = [ipaddress.ip_network(text) for text in member["networks"]]
    networks = [network for network in networks if network.version == version]
    held = [(address, _home(address, networks)) for address in named]
    yield from ((str(address), str(network or address), True) for address, network in held)
    told = {network for _address, network in held}
    asked = {str(address) for address in named}
    for place, network in enumerate(networks):
        if network in told:
            continue
        first = None if member["external"] else _first(network)
        if first not in asked:
            asked.update([first] if first else [])
            yield first, str(network), place == 0 and not named


def _first(network: Network) -> str | None:
    """The first address of a network; None of one that is everything."""
    return next((str(host) for host in network.hosts()), None) if network.prefixlen else None


def _home(address: Any, networks: list[Network]) -> Network | None:
    """The smallest network that an address lies in."""
    return max((each for each in networks if address in each), key=lambda each: each.prefixlen, default=None)


def protected_networks(tunnels: Iterable[Mapping[str, Any]], side: str) -> list[str]:
    """All networks on one side (``local`` or ``remote``) of these definitions, each once."""
    found: dict[str, None] = {}
    for tunnel in tunnels:
        for child in tunnel["children"]:
            networks = child.get(side)
            if networks is None and tunnel[side].get("address"):
                networks = [str(ipaddress.ip_network(tunnel[side]["address"]))]
            found.update(dict.fromkeys(networks or []))
    return list(found)
