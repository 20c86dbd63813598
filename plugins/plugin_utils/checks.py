# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to prove of a host's tunnels: which pings go through them, and which eroutes they need."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .communities import peers, tunnel_name
from .networks import Network
from .topology import Roster

# What an eroute says that waits for an SA.
TRAPPED = "trap"
# Children that start by themselves have an SA whenever their tunnel is up.
STARTED = "auto"


def host_pings(roster: Roster, host: str) -> list[dict[str, Any]]:
    """The pings that prove a host's tunnels, for M(fleet.ipsec.wire_proof).

    One for each tunnel and IP version; through a hub as many again, to the next spoke, which proves the way from spoke
    to spoke. External peers are pinged where ``check_address`` names somebody who answers.
    """
    members = roster["members"]
    found: list[dict[str, Any]] = []
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
                    found += [{**tunnel, "host": target, **end} for end in ends]
    return found


def _next_spoke(community: Mapping[str, Any], host: str) -> str | None:
    spokes = community["spokes"]
    if host not in spokes or len(spokes) < 2:
        return None
    return spokes[(spokes.index(host) + 1) % len(spokes)]


def _ends(mine: Mapping[str, Any], other: Mapping[str, Any], transport: bool) -> list[dict[str, Any]]:
    """Whom to ping at a member, and the networks to do it from, for each IP version that both have."""
    if transport:
        own = mine["local_address"] or mine["address"]
        return [{"destination": other["address"], "sources": [str(ipaddress.ip_network(own))]}]
    found = []
    for version in (4, 6):
        sources = [text for text in mine["networks"] if ipaddress.ip_network(text).version == version]
        destination = _answering(other, version)
        if sources and destination:
            found.append({"destination": destination, "sources": sources})
    return found


def _answering(member: Mapping[str, Any], version: int) -> str | None:
    """Who answers a ping behind a member: whom it names, else the first address of its first network."""
    named = member["check_address"]
    if named and ipaddress.ip_address(named).version == version:
        return named
    networks = [ipaddress.ip_network(text) for text in member["networks"]]
    first = next((network for network in networks if network.version == version), None)
    if member["external"] or first is None:
        return None
    # By custom the gateway itself has the first address of the network behind it.
    return str(next(iter(first.hosts())))


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


def eroute_problems(eroutes: Iterable[Mapping[str, Any]], tunnels: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the kernel's policies lack of what is defined, in words.

    :param eroutes: ``ipsec_eroutes`` of M(fleet.ipsec.ipsec_eroute_facts).
    :param tunnels: definitions of :func:`topology.host_tunnels`.
    """
    held: dict[str, dict[tuple[Network, Network], Mapping[str, Any]]] = {}
    for eroute in eroutes:
        if eroute.get("tunnel"):
            ends = (ipaddress.ip_network(str(eroute["source"])), ipaddress.ip_network(str(eroute["destination"])))
            held.setdefault(str(eroute["tunnel"]), {})[ends] = eroute
    problems = []
    defined = set()
    for tunnel in tunnels:
        defined.add(tunnel["name"])
        there = held.get(tunnel["name"], {})
        if not there:
            problems.append(f"tunnel {tunnel['name']} has no eroute: it is down, or is not defined on the gateway")
            continue
        for child in tunnel["children"]:
            problems += _child_problems(tunnel["name"], child, there)
    problems += [f"eroutes of {name}, which the inventory does not have" for name in sorted(set(held) - defined)]
    return problems


def _child_problems(
    name: str, child: Mapping[str, Any], there: Mapping[tuple[Network, Network], Mapping[str, Any]]
) -> Iterator[str]:
    for source, destination in _selector_pairs(child):
        way = f"tunnel {name}: the eroute from {source} to {destination}"
        eroute = there.get((source, destination))
        if eroute is None:
            yield f"{way} is missing"
        elif eroute["action"] == TRAPPED and child.get("start", STARTED) == STARTED:
            yield f"{way} has no SA: the child is down, its packets are dropped"


def _selector_pairs(child: Mapping[str, Any]) -> Iterator[tuple[Network, Network]]:
    for local in child.get("local", ()):
        for remote in child.get("remote", ()):
            yield ipaddress.ip_network(local), ipaddress.ip_network(remote)
