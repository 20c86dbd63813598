# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in the fleet and how they are joined, read from the inventory once and checked as a whole."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from . import agreement
from .communities import Community, claimed_twice, nodes, read_communities, tunnel_name
from .members import Member, member_networks, read_host, read_peer
from .networks import Owned, Union, family_of, overlaps
from .problems import Problems
from .secrets import MINIMUM_SEED

Roster = dict[str, Any]

VARIABLE = "fleet_ipsec"
# A traffic selector payload counts its selectors in one octet (RFC 7296 section 3.13); taking one network out of a
# summary leaves up to a few dozen.
MAX_SUMMARY = 255 - 32
MAX_NAME = 64


def make_roster(
    communities: Any, hostvars: Mapping[str, Any], groups: Mapping[str, list[str]], externals: Any, seed: Any
) -> Roster:
    """Who is in the fleet and how they are joined.

    :param hostvars: variables of every host of the inventory; only ``fleet_ipsec`` of the members is read.
    :param externals: ``fleet_ipsec_external_peers``.
    :param seed: only looked at for whether it will do; it is not in the roster.
    :raises PlanError: everything that is wrong, naming hosts and lines.
    """
    problems = Problems()
    externals = externals or {}

    def resolve(word: Any) -> list[str] | None:
        if not isinstance(word, str):
            return None
        if word in groups:
            return sorted(groups[word])
        return [str(word)] if word in hostvars or word in externals else None

    found = read_communities(communities or [], resolve, problems)
    names = sorted({name for community in found for name in nodes(community)})
    given = {name: _given(name, hostvars, externals) for name in names}
    members: dict[str, Member] = {}
    for name in names:
        read = read_host if name in hostvars else read_peer
        member = read(name, given[name], problems)
        if member is not None:
            members[name] = member
    # What follows looks at pairs, which needs both ends to be sound.
    problems.stop_if_any()
    _check_members(members, given, problems)
    for community in found:
        _check_community(community, members, given, problems)
    for one, other in itertools.combinations(found, 2):
        pair = claimed_twice(one, other)
        if pair:
            problems.add(
                f"communities {one['name']} and {other['name']} both join {pair[0]} with {pair[1]}",
                "take one of the two hosts out of one of the two communities in fleet_ipsec_communities",
                communities,
            )
    _check_seed(seed, found, members, problems)
    problems.stop_if_any()
    return {"members": members, "communities": found}


def _given(name: str, hostvars: Mapping[str, Any], externals: Mapping[str, Any]) -> Any:
    return hostvars[name].get(VARIABLE) if name in hostvars else externals[name]


def _check_members(members: Mapping[str, Member], given: Mapping[str, Any], problems: Problems) -> None:
    """What has to be unique in the fleet: identities, fixed addresses, networks."""
    for key, fold in (("id", str.lower), ("address", str)):
        seen: dict[str, str] = {}
        for name, member in members.items():
            if member[key] is None or (key == "address" and member["moving"]):
                continue
            other = seen.setdefault(fold(member[key]), name)
            if other != name:
                word = "identity" if key == "id" else key
                problems.add(
                    f"duplicate {word}: {other} and {name} both have {member[key]}",
                    f"change {key} in {VARIABLE} of one of them",
                    given[other].get(key),
                    given[name].get(key),
                )
    owned = [
        Owned(ipaddress.ip_network(network), name, _at(given[name].get("networks"), place))
        for name, member in members.items()
        for place, network in enumerate(member["networks"])
    ]
    for one, other in overlaps(owned):
        problems.add(
            f"overlapping networks: {one.network} of {one.owner} and {other.network} of {other.owner}",
            f"change networks in {VARIABLE} of one of them",
            one.value,
            other.value,
        )


def _at(values: Any, place: int) -> Any:
    return values[place] if values else None


def _check_community(
    community: Community, members: Mapping[str, Member], given: Mapping[str, Any], problems: Problems
) -> None:
    """What both ends of each pair need; looks at sides (a clique with itself, hubs with spokes), not at pairs."""
    what = f"community {community['name']}"
    longest = max(nodes(community), key=len, default="")
    if len(tunnel_name(community, longest)) > MAX_NAME:
        problems.add(
            f"{what}: the tunnel name {tunnel_name(community, longest)} is longer than {MAX_NAME} characters",
            "give the community a shorter name",
        )
    sides = [(clique, clique) for clique in community["cliques"]]
    if community["hubs"]:
        sides.append((community["hubs"], community["spokes"]))
    for left, right in sides:
        for row in _UNFIT:
            pair = _first_pair(left, right, members, row)
            if pair:
                places = (_value(given[end], row.key) for end in pair)
                problems.add(f"{what}: {pair[0]} and {pair[1]} {row.trouble}", row.remedy, *places)
    transport = community["child"].get("mode") == "transport"
    if transport and community["via_hub"]:
        problems.add(f"{what}: transport mode reaches no network", "set spoke_to_spoke: none, or child.mode: tunnel")
    moving = sorted(name for name in nodes(community) if members[name]["address"] is None)
    if transport and moving:
        problems.add(
            f"{what}: transport mode needs fixed addresses, but {', '.join(moving)} has none",
            f"give {VARIABLE}.address, or set child.mode: tunnel",
        )
    agreement.check(community, sides, members, given, problems)
    _set_reach(community, members, problems)


def _value(given: Any, key: str) -> Any:
    value = given.get(key)
    # Nobody knows in which line a yes or no stands.
    return given if value is None or isinstance(value, bool) else value


class Unfit(NamedTuple):
    """Why two members cannot be joined.

    :ivar key: what of ``fleet_ipsec`` to look at.
    :ivar kind: what of a member counts; ``unfit`` tells whether two such kinds go together.
    """

    trouble: str
    remedy: str
    key: str
    kind: Callable[[Member], Any]
    unfit: Callable[[Any, Any], bool]


def _both(one: bool, other: bool) -> bool:
    return one and other


def _version(member: Member) -> int:
    return ipaddress.ip_address(member["address"]).version if member["address"] else 0


_UNFIT = (
    Unfit(
        "both have no address that the other could reach (nat or dynamic)",
        "give one of them a fixed address, or join them through a hub",
        "dynamic",
        lambda member: member["moving"],
        _both,
    ),
    Unfit(
        "are both external peers",
        "join an external peer with hosts of the inventory only",
        "address",
        lambda member: member["external"],
        _both,
    ),
    Unfit(
        "have addresses of different families",
        "give both an IPv4 or both an IPv6 address",
        "address",
        _version,
        lambda one, other: {one, other} == {4, 6},
    ),
)


def _first_pair(left: Iterable[str], right: Iterable[str], members: Mapping[str, Member], row: Unfit) -> Any:
    """Two ends that do not fit each other, or None; in time proportional to the number of members."""
    kinds: list[dict[Any, list[str]]] = [{}, {}]
    for side, names in zip(kinds, (left, right), strict=True):
        for name in names:
            # Two of each kind are enough to find a pair within a clique.
            held = side.setdefault(row.kind(members[name]), [])
            if len(held) < 2:
                held.append(name)
    for one, other in itertools.product(kinds[0], kinds[1]):
        if row.unfit(one, other):
            pair = next((p for p in itertools.product(kinds[0][one], kinds[1][other]) if p[0] != p[1]), None)
            if pair:
                return pair
    return None


def _check_seed(seed: Any, found: list[Community], members: Mapping[str, Member], problems: Problems) -> None:
    needing = [community["name"] for community in found if _joins_own(community, members)]
    if not needing:
        return
    remedy = (
        "vault one for all hosts: openssl rand -hex 32 | tr -d '\\n' "
        "| ansible-vault encrypt_string --stdin-name fleet_ipsec_seed"
    )
    if not seed:
        what = f"missing credential: fleet_ipsec_seed is not set, community {needing[0]} needs it"
        problems.add(what, remedy)
    elif len(str(seed)) < MINIMUM_SEED:
        problems.add(f"fleet_ipsec_seed is shorter than {MINIMUM_SEED} characters", remedy)


def _joins_own(community: Community, members: Mapping[str, Member]) -> bool:
    """Whether a pair of it has no external peer, so that its secret comes from the seed."""
    cliques = [[name for name in clique if not members[name]["external"]] for clique in community["cliques"]]
    star = [[name for name in community[side] if not members[name]["external"]] for side in ("hubs", "spokes")]
    return any(len(clique) > 1 for clique in cliques) or all(star)


def _set_reach(community: Community, members: Mapping[str, Member], problems: Problems) -> None:
    """What the spokes reach through the first hub: its networks, theirs, and the summaries; without other hubs'."""
    community["reach"] = []
    texts = community.pop("networks")
    if not community["via_hub"] or not community["hubs"]:
        return
    what = f"community {community['name']}"
    summaries = []
    for text in texts:
        try:
            summaries.append(ipaddress.ip_network(str(text).strip()))
        except ValueError as error:
            problems.add(f"{what}: networks: {error}", "write a network such as 10.0.0.0/8", text)
    first, *others = community["hubs"]
    reached = summaries + member_networks(members, [first, *community["spokes"]])
    for version in (4, 6):
        whole = Union(family_of(reached, version))
        left = whole.without(family_of(member_networks(members, others), version))
        if len(left) > MAX_SUMMARY:
            problems.add(
                f"{what}: spokes would reach {len(left)} networks through the hub; a tunnel takes {MAX_SUMMARY}",
                "sum them up in the community: networks: [10.0.0.0/8]",
            )
        community["reach"] += [str(network) for network in left]
