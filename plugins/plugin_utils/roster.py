# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in the fleet and how they are joined, read from the inventory once and checked as a whole."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.formats import FORMATS
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import InputError

from . import agreement
from .booleans import flag
from .communities import Community, claimed_twice, nodes, peers, read_communities, tunnel_name
from .members import Member, member_networks, read_host, read_peer, variable_of
from .networks import Owned, Union, duplicates, family_of, nested
from .problems import PlanError, Problems
from .published import published
from .rehearsal import rehearse
from .secrets import MINIMUM_SEED, guessable
from .topology import Roster, epoch_of
from .variables import misspelt

VARIABLE = "fleet_ipsec"
# A traffic selector payload counts its selectors in one octet (RFC 7296 section 3.13); taking one network out of a
# summary leaves up to a few dozen.
MAX_SUMMARY = 255 - 32
MAX_NAME = 64


def make_roster(
    communities: Any,
    hostvars: Mapping[str, Any],
    groups: Mapping[str, list[str]],
    externals: Any,
    seed: Any,
    epoch: Any = 1,
    hosts: Iterable[str] = (),
    allow_empty: Any = False,
) -> Roster:
    """Who is in the fleet and how they are joined.

    :param hostvars: variables of every host of the inventory; of the members ``fleet_ipsec``, the epoch, and the
        names of all are looked at.
    :param externals: ``fleet_ipsec_external_peers``.
    :param seed: only looked at for whether it will do; it is not in the roster. So is ``epoch``, that of hosts which
        have none of their own.
    :param hosts: others whose variables are looked at for misspelt names: those of the play.
    :param allow_empty: whether it is meant that there is no community.
    :raises PlanError: everything that is wrong, naming hosts and lines.
    """
    problems = Problems()
    externals = _externals(externals, problems)

    def resolve(word: Any) -> list[str] | None:
        if not isinstance(word, str):
            return None
        if word in groups:
            return sorted(groups[word])
        return [str(word)] if word in hostvars or word in externals else None

    found = read_communities(communities or [], resolve, problems)
    if not communities:
        _check_no_community(communities, allow_empty, problems)
    names = sorted({name for community in found for name in nodes(community)})
    # Each look at a host makes Ansible put its variables together anew.
    variables = {name: hostvars[name] for name in {*names, *hosts} if name in hostvars}
    misspelt(variables, problems)
    given = {name: variables[name].get(VARIABLE) if name in variables else externals[name] for name in names}
    members: dict[str, Member] = {}
    for name in names:
        read = read_host if name in hostvars else read_peer
        member = read(name, given[name], problems)
        if member is not None:
            members[name] = member
    # What follows looks at pairs, which needs both ends to be sound.
    problems.stop_if_any()
    owned = _check_members(members, given, problems)
    _check_nested(owned, found, members, problems)
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
    _check_external_secrets(externals, members, problems)
    _check_epochs(found, variables, epoch, problems)
    problems.stop_if_any()
    roster = Roster(members=members, communities=found)
    # Only now: it makes definitions, for which all of the above has to be sound.
    rehearse(roster, given, externals, problems)
    problems.stop_if_any()
    return roster


def read_fleet(*given: Any) -> dict[str, Any]:
    """The roster of :func:`make_roster`, with ``problems``: what is wrong, one a line, and then nobody is in it."""
    try:
        return {**make_roster(*given), "problems": []}
    except PlanError as error:
        return {"members": {}, "communities": [], "problems": str(error).splitlines()}


def _externals(given: Any, problems: Problems) -> Mapping[str, Any]:
    if given and not isinstance(given, Mapping):
        problems.add("fleet_ipsec_external_peers is not a dictionary", "write {NAME: {address: …, …}, …}", given)
        return {}
    return given or {}


def _check_no_community(communities: Any, allow_empty: Any, problems: Problems) -> None:
    if not flag("role fleet", "fleet_allow_empty", {"fleet_allow_empty": allow_empty}, problems):
        problems.add(
            "fleet_ipsec_communities is empty, so that no host would have a tunnel",
            "name at least one community; fleet.ipsec.teardown takes tunnels down; "
            "if a fleet without tunnels is meant, set fleet_allow_empty: true",
            communities,
        )


def _check_members(members: Mapping[str, Member], given: Mapping[str, Any], problems: Problems) -> list[Owned]:
    """What has to be unique in the fleet: identities, fixed addresses, networks; the networks and whose they are."""
    ids = {name: member["id"] for name, member in members.items()}
    fixed = {name: member["address"] for name, member in members.items() if member["address"] and not member["moving"]}
    for key, word, fold, values in (("id", "identity", str.lower, ids), ("address", "address", str, fixed)):
        seen: dict[str, str] = {}
        for name, value in values.items():
            other = seen.setdefault(fold(value), name)
            if other != name:
                problems.add(
                    f"duplicate {word}: {other} and {name} both have {value}",
                    f"change {key} in {variable_of(members[other])} or in {variable_of(members[name])}",
                    given[other].get(key),
                    given[name].get(key),
                )
    owned = [
        Owned(ipaddress.ip_network(network), name, _at(given[name].get("networks"), place))
        for name, member in members.items()
        for place, network in enumerate(member["networks"])
    ]
    for first, second in duplicates(owned):
        problems.add(
            f"duplicate network: {first.owner} and {second.owner} both have {first.network}",
            f"change networks in {variable_of(members[first.owner])} or in {variable_of(members[second.owner])}; "
            "a network within the other's is fine",
            first.value,
            second.value,
        )
    return owned


def _check_nested(
    owned: Iterable[Owned], communities: list[Community], members: Mapping[str, Member], problems: Problems
) -> None:
    """A hub passes on between its spokes: what it sends to a smaller network would cross what it sends to a larger one
    that it lies in, so that neither wins."""
    via_hub = [community for community in communities if community["via_hub"] and community["hubs"]]
    if not via_hub:
        return
    for outer, inner in nested(owned):
        for community in via_hub:
            hub = community["hubs"][0]
            star = {hub, *community["spokes"]}
            joined = inner.owner in star and any(outer.owner in peers(each, hub) for each in communities)
            if joined and outer.owner != hub:
                problems.add(
                    f"community {community['name']}: {inner.network} of {inner.owner} lies within {outer.network} of "
                    f"{outer.owner}, and {hub} cannot pass on between them",
                    f"make networks in {variable_of(members[inner.owner])} and {variable_of(members[outer.owner])} "
                    "disjoint, or join them with spoke_to_spoke: direct",
                    inner.value,
                    outer.value,
                )


def _at(values: Any, place: int) -> Any:
    return values[place] if values else None


def _check_community(
    community: Community, members: Mapping[str, Member], given: Mapping[str, Any], problems: Problems
) -> None:
    """What both ends of each pair need; looks at sides (a clique with itself, hubs with spokes), not at pairs."""
    what = f"community {community['name']}"
    _check_names(community, members, problems)
    sides = [(clique, clique) for clique in community["cliques"]]
    if community["hubs"]:
        sides.append((community["hubs"], community["spokes"]))
    transport = community["child"].get("mode") == "transport"
    # Through the first hub more is reached than its own networks; that is looked at when the definitions are made.
    rows = _UNFIT if transport or community["via_hub"] else (*_UNFIT, _APART)
    for left, right in sides:
        for row in rows:
            pair = _first_pair(left, right, members, row)
            if pair:
                places = (_value(given[end], row.key) for end in pair)
                where = " and ".join(variable_of(members[end]) for end in pair)
                problems.add(f"{what}: {pair[0]} and {pair[1]} {row.trouble}", f"{row.remedy}; see {where}", *places)
    if transport and community["via_hub"]:
        problems.add(f"{what}: transport mode reaches no network", "set spoke_to_spoke: none, or child.mode: tunnel")
    moving = sorted(name for name in nodes(community) if members[name]["address"] is None)
    if transport and moving:
        problems.add(
            f"{what}: transport mode needs fixed addresses, but {', '.join(moving)} has none",
            f"give address in {variable_of(members[moving[0]])}, or set child.mode: tunnel",
        )
    agreement.check(community, sides, members, given, problems)
    _set_reach(community, members, problems)


def _check_names(community: Community, members: Mapping[str, Member], problems: Problems) -> None:
    """Names that no tunnel can have, since a tunnel is named after its peer."""
    what = f"community {community['name']}"
    for peer in sorted(nodes(community)):
        name = tunnel_name(community, peer)
        if len(name) > MAX_NAME:
            trouble = f"the tunnel name {name} is longer than {MAX_NAME} characters"
            problems.add(f"{what}: {trouble}", "give the community a shorter name", peer)
            continue
        try:
            FORMATS["name"](name, "name")
        except InputError as error:
            problems.add(
                f"{what}: the tunnels to {peer} would be named {name}, which {error.problem}",
                f"{error.remedy}; rename {variable_of(members[peer])}"
                if members[peer]["external"]
                else f"{error.remedy}; rename it in the inventory (ansible_host keeps the address, id the identity)",
                peer,
            )


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
    address = member["address"] or member["local_address"]
    return ipaddress.ip_address(address).version if address else 0


def _families(member: Member) -> frozenset[int]:
    return frozenset(ipaddress.ip_network(text).version for text in member["networks"])


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
_APART = Unfit(
    "protect no networks of a common family",
    "give both IPv4 or both IPv6 networks",
    "networks",
    _families,
    lambda one, other: not one & other,
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
    elif published(seed):
        what = "fleet_ipsec_seed is the one of an example, which everybody knows"
        problems.add(what, f"take it out of the inventory and {remedy}", seed)
    elif guessable(str(seed)):
        what = "fleet_ipsec_seed is easily guessed: it has few different characters, or repeats a short pattern"
        problems.add(what, f"take it out of the inventory and {remedy}", seed)


def _check_external_secrets(externals: Mapping[str, Any], members: Mapping[str, Member], problems: Problems) -> None:
    for name, member in members.items():
        if member["external"] and published(externals[name]["auth"].get("secret") or ""):
            what = f"the secret of external peer {name} is the one of an example, which everybody knows"
            remedy = f"agree upon another and vault it in fleet_ipsec_external_peers.{name}.auth.secret"
            problems.add(what, remedy, externals[name]["auth"]["secret"])


def _check_epochs(found: list[Community], variables: Mapping[str, Any], default: Any, problems: Problems) -> None:
    for community in found:
        own = [
            default,
            *(variables[name].get("fleet_ipsec_epoch", default) for name in nodes(community) & variables.keys()),
        ]
        for epoch in own if community["epoch"] is None else own[:1]:
            try:
                epoch_of(community, epoch)
            except PlanError as error:
                problems.add_found(error)


def _joins_own(community: Community, members: Mapping[str, Member]) -> bool:
    """Whether a pair of it has no external peer, so that its secret comes from the seed."""
    cliques = [[name for name in clique if not members[name]["external"]] for clique in community["cliques"]]
    star = [[name for name in community[side] if not members[name]["external"]] for side in ("hubs", "spokes")]
    return any(len(clique) > 1 for clique in cliques) or all(star)


def _set_reach(community: Community, members: Mapping[str, Member], problems: Problems) -> None:
    """What the spokes reach through the first hub: its networks, theirs, and the summaries; without other hubs'."""
    if not community["via_hub"] or not community["hubs"]:
        return
    what = f"community {community['name']}"
    summaries = []
    for text in community["networks"]:
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
