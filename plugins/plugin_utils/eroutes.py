# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a host's tunnels, by what its kernel and its tunnel manager say of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .networks import Network

# What an eroute says that waits for an SA.
_TRAPPED = "trap"
# Children that start by themselves have an SA whenever their tunnel is up.
_STARTED = "auto"
# What says itself what is wrong; the others are up, or wait for a packet.
_TROUBLED = ("down", "degraded", "negotiating")
_SITE = "run fleet.ipsec.site for this host"


class Finding(NamedTuple):
    """One thing that is wrong at a host.

    :ivar tunnel: of which, empty where it is of the host as a whole.
    """

    tunnel: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'tunnel {self.tunnel}: ' if self.tunnel else ''}{self.problem}; remedy: {self.remedy}"


def eroute_problems(
    eroutes: Iterable[Mapping[str, Any]],
    tunnels: Iterable[Mapping[str, Any]],
    states: Iterable[Mapping[str, Any]] | None = None,
    owner: str | None = None,
) -> list[str]:
    """What :func:`eroute_findings` has found, in words."""
    return [str(finding) for finding in eroute_findings(eroutes, tunnels, states, owner)]


def eroute_findings(
    eroutes: Iterable[Mapping[str, Any]],
    tunnels: Iterable[Mapping[str, Any]],
    states: Iterable[Mapping[str, Any]] | None = None,
    owner: str | None = None,
) -> list[Finding]:
    """What the kernel's policies lack of what is defined, and why; what a manager says of a tunnel that is not up.

    :param eroutes: ``ipsec_eroutes`` of M(fleet.ipsec.ipsec_eroute_facts).
    :param tunnels: definitions of :func:`topology.host_tunnels`.
    :param states: ``tunnels`` of M(fleet.ipsec.ipsec_tunnel_info); None where the manager could not be asked.
    :param owner: whose tunnels the host should have no others of; None for everybody's.
    """
    held: dict[str, dict[tuple[Network, Network], Mapping[str, Any]]] = {}
    owners: dict[str, str] = {}
    for eroute in eroutes:
        if eroute.get("tunnel"):
            ends = (ipaddress.ip_network(str(eroute["source"])), ipaddress.ip_network(str(eroute["destination"])))
            held.setdefault(str(eroute["tunnel"]), {})[ends] = eroute
            owners[str(eroute["tunnel"])] = str(eroute.get("owner"))
    known = None if states is None else {str(state["name"]): state for state in states}
    found = []
    defined = set()
    for tunnel in tunnels:
        name = tunnel["name"]
        defined.add(name)
        found += _of_tunnel(tunnel, held.get(name, {}), known)
    strange = [name for name in sorted(set(held) - defined) if owner is None or owners[name] == owner]
    problem, remedy = "has eroutes, but the inventory does not have it", "run fleet.ipsec.site, which removes it"
    return found + [Finding(name, problem, remedy) for name in strange]


def _of_tunnel(
    tunnel: Mapping[str, Any],
    there: Mapping[tuple[Network, Network], Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]] | None,
) -> list[Finding]:
    name = tunnel["name"]
    lacks = [lack for child in tunnel["children"] for lack in _lacks(child, there)] if there else ["it has no eroute"]
    if known is None:
        return [
            Finding(name, lack, "systemctl start fleet-ipsec-manager; the tunnel manager does not answer")
            for lack in lacks
        ]
    state = known.get(name)
    if state is None:
        return [Finding(name, "it is not defined on this gateway", _SITE)]
    if state["state"] in _TROUBLED or (lacks and state["state"] != "active"):
        # One cause, told once.
        return [Finding(name, f"it is {state['state']} [{state['reason']}]: {state['story']}", state["remedy"])]
    if lacks and not there:
        return [Finding(name, f"{lacks[0]}, though its SAs are up: {_remover(state)}", f"run this again; else {_SITE}")]
    remedy = f"{_SITE} and for its peer: this gateway has another definition than the inventory, or the peer took less"
    return [Finding(name, lack, remedy) for lack in lacks]


def _remover(state: Mapping[str, Any]) -> str:
    last = (state.get("repairs") or {}).get("last")
    before = f" (before: {last['what']}, by {last['culprit'] or 'nobody knows whom'})" if last else ""
    return f"another program has removed its policies{before}, which the manager puts back within a second"


def _lacks(child: Mapping[str, Any], there: Mapping[tuple[Network, Network], Mapping[str, Any]]) -> Iterator[str]:
    for local in child.get("local", ()):
        for remote in child.get("remote", ()):
            source, destination = ipaddress.ip_network(local), ipaddress.ip_network(remote)
            eroute = there.get((source, destination))
            if eroute is None:
                yield f"the eroute from {source} to {destination} is missing"
            elif eroute["action"] == _TRAPPED and child.get("start", _STARTED) == _STARTED:
                yield f"the eroute from {source} to {destination} has no SA: the child is down, its packets are dropped"
