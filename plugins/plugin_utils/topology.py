# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnels of a host, a pure function of the roster; costs the host's own pairs, not those of the fleet."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any, TypedDict

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.bypass import NONE
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.credentials import Preshared

from . import agreement
from .communities import Community, interface_name, peers, tunnel_name
from .members import Member, member_networks, variable_of
from .networks import Network, Union, family_of, holds
from .problems import PlanError, Problems
from .published import published
from .secrets import extract, guessable, pair_secret


class Roster(TypedDict):
    """Who is in the fleet and how they are joined, without secrets; a play keeps it."""

    members: dict[str, Member]
    communities: list[Community]


CHILD_NAMES = {4: "lan", 6: "lan6"}
TRANSPORT_CHILD = "host"


def host_peers(roster: Roster, host: str) -> list[dict[str, Any]]:
    """Whom a host has a tunnel with: ``host``, ``tunnel``, ``community``, and what the roster knows of the peer."""
    shown = ("external", "address", "moving", "id", "port", "check_address", "check_addresses", "networks")
    return [
        {
            "host": peer,
            "tunnel": tunnel_name(community, peer),
            "community": community["name"],
            **{key: value for key, value in roster["members"][peer].items() if key in shown},
        }
        for community in roster["communities"]
        for peer in peers(community, host)
    ]


def host_tunnels(
    roster: Roster, host: str, seed: Any = None, epoch: Any = 1, externals: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The definitions of a host's tunnels, as M(fleet.ipsec.ipsec_tunnel) takes them.

    :param externals: ``fleet_ipsec_external_peers``, for their secrets; None where no secret is needed.
    :raises PlanError: for an epoch that is no number from 1, or a seed that everybody knows or can guess.
    """
    if host not in roster["members"]:
        return []
    if published(seed):
        raise PlanError([f"fleet_ipsec_seed of {host} is the one of an example, which everybody knows; vault another"])
    if seed and guessable(str(seed)):
        raise PlanError([f"fleet_ipsec_seed of {host} is easily guessed; vault one of: openssl rand -hex 32"])
    key = extract(str(seed)) if seed else b""
    found = []
    for community in roster["communities"]:
        others = peers(community, host)
        if others:
            pairs = Pairs(roster, community, epoch_of(community, epoch), key, externals)
            found += [pairs.definition(host, peer) for peer in others]
    return found


def epoch_of(community: Community, default: Any) -> int:
    """Generation of the keys of a community.

    :raises PlanError: it is no number from 1.
    """
    value = default if community["epoch"] is None else community["epoch"]
    if isinstance(value, bool) or not (str(value).isascii() and str(value).isdigit()) or int(value) < 1:
        found = Problems()
        what = f"community {community['name']}: the epoch {value!r} is no number from 1"
        found.add(what, "set fleet_ipsec_epoch (or epoch of the community) to 1, and raise it by one to rotate", value)
        found.stop_if_any()
    return int(value)


class Pairs:
    """The pairs of one community, each seen from one of its ends.

    :param key: for the secrets of pairs of the fleet's own hosts.
    :param externals: what has the secrets of the others; None leaves them out.
    """

    def __init__(
        self, roster: Roster, community: Community, epoch: int, key: bytes, externals: Mapping[str, Any] | None
    ) -> None:
        self._key = key
        self._externals = externals
        self._roster = roster
        self._members: Mapping[str, Member] = roster["members"]
        self._community = community
        self._epoch = epoch
        reach = [ipaddress.ip_network(text) for text in community["reach"]]
        self._reach = {version: Union(family_of(reach, version)) for version in (4, 6)}
        self._elsewhere = [other for other in roster["communities"] if other is not community]

    def definition(self, host: str, peer: str) -> dict[str, Any]:
        """The tunnel of ``host`` to ``peer``.

        :raises PlanError: when the two protect no networks of a common family.
        """
        mine, other, community = self._members[host], self._members[peer], self._community
        settings = agreement.settings(community, mine, other)
        remote = {"address": other["address"], "id": other["id"], "port": other["port"]}
        definition: dict[str, Any] = {
            "name": tunnel_name(community, peer),
            "local": _given_only({"address": mine["local_address"], "id": mine["id"]}),
            "remote": _given_only(remote),
            "auth": self._auth(mine, other),
            "role": self._role(mine, other),
            "ike": settings.ike,
            "children": self._children(host, peer, settings.child),
        }
        if community["encapsulation"]:
            definition["encapsulation"] = community["encapsulation"]
        if community["interfaces"]:
            definition["interface"] = {"name": interface_name(definition["name"])}
        elif mine["bypass"] is not None:
            definition["bypass"] = _bypass(mine["bypass"], definition["children"])
        return definition

    def _auth(self, mine: Member, other: Member) -> dict[str, Any]:
        if other["external"]:
            agreed = self._externals[other["name"]]["auth"] if self._externals is not None else {}
            return {"method": Preshared.method, **agreed}
        ids, name = (mine["id"], other["id"]), self._community["name"]
        secret = pair_secret(self._key, name, ids, self._epoch)
        auth: dict[str, Any] = {"method": Preshared.method, "secret": secret, "epoch": self._epoch}
        if self._epoch > 1:
            auth["also_accept"] = [pair_secret(self._key, name, ids, self._epoch - 1)]
        return auth

    def _role(self, mine: Member, other: Member) -> str:
        if other["external"]:
            return "responder" if other["moving"] else "both"
        return "initiator" if initiator(self._community, mine, other) == mine["name"] else "responder"

    def _children(self, host: str, peer: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
        if settings.get("mode") == "transport":
            return [{"name": TRANSPORT_CHILD, **settings}]
        children = []
        for version, name in CHILD_NAMES.items():
            local, remote = self._selectors(host, peer, version), self._selectors(peer, host, version)
            if local and remote:
                children.append({"name": name, "local": local, "remote": remote, **settings})
        if not children:
            raise PlanError(
                [
                    f"community {self._community['name']}: {host} and {peer} protect no networks of a common family; "
                    f"give both IPv4 or both IPv6 networks: in {variable_of(self._members[host])} and "
                    f"{variable_of(self._members[peer])}"
                ]
            )
        return children

    def _selectors(self, owner: str, viewer: str, version: int) -> list[str]:
        """What lies on the side of ``owner`` in its tunnel with ``viewer``."""
        community = self._community
        if community["via_hub"] and owner == community["hubs"][0] and viewer in community["spokes"]:
            # What the spoke is, or reaches by a tunnel of its own, does not go through the hub.
            aside = [viewer, *(name for other in self._elsewhere for name in peers(other, viewer))]
            parts = family_of(member_networks(self._members, [name for name in aside if name != owner]), version)
            return [str(network) for network in self._reach[version].without(parts)]
        return [str(network) for network in family_of(member_networks(self._members, [owner]), version)]


def _bypass(words: list[str], children: list[dict[str, Any]]) -> list[str]:
    """What passes by this tunnel: of the networks, those that are a part of what lies behind the peer."""
    remotes = [ipaddress.ip_network(text) for child in children for text in child.get("remote", ())]
    found = [word for word in words if "/" not in word or _is_part(ipaddress.ip_network(word), remotes)]
    return found or [NONE]


def _is_part(network: Network, remotes: list[Network]) -> bool:
    return any(network != remote and holds(remote, network) for remote in remotes)


def _given_only(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def initiator(community: Community, one: Member, other: Member) -> str:
    """Which of two members starts: whoever cannot be reached, else the spoke, else one by a fair, fixed choice."""
    for mover in (one, other):
        if mover["moving"]:
            return mover["name"]
    spokes = [member["name"] for member in (one, other) if member["name"] in community["spokes"]]
    if len(spokes) == 1:
        return spokes[0]
    ends = sorted((one, other), key=lambda member: member["id"].lower())
    text = "\0".join([community["name"], *(end["id"].lower() for end in ends)])
    return ends[hashlib.sha256(text.encode()).digest()[0] & 1]["name"]


def tunnels_apart(roster: Roster, host: str, alive: list[str]) -> list[str]:
    """The tunnels, by name, of a host to hosts of the inventory that this play does not reach.

    :param alive: ``ansible_play_hosts``.
    """
    reached = set(alive)
    return [peer["tunnel"] for peer in host_peers(roster, host) if not peer["external"] and peer["host"] not in reached]


def tunnels_at_hand(
    roster: Roster, host: str, all_hosts: list[str], alive: list[str], batch: list[str]
) -> list[dict[str, str]]:
    """The tunnels, by name, of a host to hosts that this play has reached: in this batch or before, and not failed.

    :param all_hosts: ``ansible_play_hosts_all``, in the play's order; ``alive``: ``ansible_play_hosts``;
        ``batch``: ``ansible_play_batch``.
    """
    places = {name: place for place, name in enumerate(all_hosts)}
    last = max((places.get(name, -1) for name in batch), default=-1)
    reached = {name for name in alive if places.get(name, -1) <= last}
    return [{"name": peer["tunnel"]} for peer in host_peers(roster, host) if peer["host"] in reached]
