# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to prove of a host's tunnels: which pings go through them, and which eroutes they need."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .communities import Community, peers, tunnel_name
from .members import Member
from .networks import Network
from .topology import Roster

# What an eroute says that waits for an SA.
TRAPPED = "trap"
# Children that start by themselves have an SA whenever their tunnel is up.
STARTED = "auto"
# The reason of a tunnel of which other programs remove something from the kernel again and again.
DISTURBED = "kernel_disturbed"


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


def _next_spoke(community: Community, host: str) -> str | None:
    spokes = community["spokes"]
    if host not in spokes or len(spokes) < 2:
        return None
    return spokes[(spokes.index(host) + 1) % len(spokes)]


def _ends(mine: Member, other: Member, transport: bool) -> list[dict[str, Any]]:
    """Whom to ping at a member, and the networks to do it from, for each IP version that both have."""
    if transport:
        own = mine["local_address"] or mine["address"]
        # The roster refuses transport mode at an end that has no address; without one the kernel would choose.
        sources = [str(ipaddress.ip_network(own))] if own else []
        return [{"destination": other["address"], "sources": sources}]
    found = []
    for version in (4, 6):
        sources = [text for text in mine["networks"] if ipaddress.ip_network(text).version == version]
        destination = _answering(other, version)
        if sources and destination:
            found.append({"destination": destination, "sources": sources})
    return found


def _answering(member: Member, version: int) -> str | None:
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


def eroute_problems(
    eroutes: Iterable[Mapping[str, Any]],
    tunnels: Iterable[Mapping[str, Any]],
    states: Iterable[Mapping[str, Any]] | None = None,
) -> list[str]:
    """What the kernel's policies lack of what is defined, in words, and why.

    :param eroutes: ``ipsec_eroutes`` of M(fleet.ipsec.ipsec_eroute_facts).
    :param tunnels: definitions of :func:`topology.host_tunnels`.
    :param states: ``tunnels`` of M(fleet.ipsec.ipsec_tunnel_info); None where the manager could not be asked.
    """
    held: dict[str, dict[tuple[Network, Network], Mapping[str, Any]]] = {}
    for eroute in eroutes:
        if eroute.get("tunnel"):
            ends = (ipaddress.ip_network(str(eroute["source"])), ipaddress.ip_network(str(eroute["destination"])))
            held.setdefault(str(eroute["tunnel"]), {})[ends] = eroute
    known = None if states is None else {str(state["name"]): state for state in states}
    problems = []
    defined = set()
    for tunnel in tunnels:
        name = tunnel["name"]
        defined.add(name)
        there, why = held.get(name, {}), _why(name, known)
        if not there:
            problems.append(f"tunnel {name} has no eroute: {why}")
            continue
        state = (known or {}).get(name, {})
        part = _PART if state.get("state") == "active" else why
        found = [problem for child in tunnel["children"] for problem in _child_problems(name, child, there, part)]
        if not found and state.get("reason") == DISTURBED:
            found = [f"tunnel {name}: {why}"]
        problems += found
    problems += [f"eroutes of {name}, which the inventory does not have" for name in sorted(set(held) - defined)]
    return problems


_PART = "the gateway has another definition than the inventory (run fleet.ipsec.site), or the peer took less"


def _why(name: str, known: Mapping[str, Mapping[str, Any]] | None) -> str:
    """What the manager says of a tunnel of which the kernel lacks something."""
    if known is None:
        return "the tunnel manager does not answer: systemctl start fleet-ipsec-manager"
    state = known.get(name)
    if state is None:
        return "it is not defined on the gateway: run fleet.ipsec.site"
    if state["state"] != "active":
        return f"it is {state['state']} [{state['reason']}]: {state['story']}; remedy: {state['remedy']}"
    last = (state.get("repairs") or {}).get("last")
    before = f" (before: {last['what']}, by {last['culprit'] or 'nobody knows whom'})" if last else ""
    return (
        f"its SAs are up, so that another program has removed its policies{before}; the manager puts them back within "
        "a second, run this again; if it stays, run fleet.ipsec.site"
    )


def _child_problems(
    name: str, child: Mapping[str, Any], there: Mapping[tuple[Network, Network], Mapping[str, Any]], why: str
) -> Iterator[str]:
    for source, destination in _selector_pairs(child):
        way = f"tunnel {name}: the eroute from {source} to {destination}"
        eroute = there.get((source, destination))
        if eroute is None:
            yield f"{way} is missing: {why}"
        elif eroute["action"] == TRAPPED and child.get("start", STARTED) == STARTED:
            yield f"{way} has no SA: the child is down, its packets are dropped"


def _selector_pairs(child: Mapping[str, Any]) -> Iterator[tuple[Network, Network]]:
    for local in child.get("local", ()):
        for remote in child.get("remote", ()):
            yield ipaddress.ip_network(local), ipaddress.ip_network(remote)
