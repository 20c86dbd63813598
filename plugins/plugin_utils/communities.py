# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Communities as the inventory writes them, resolved to who is joined with whom.

Whatever the topology, a resolved community is cliques (everybody with everybody) and at most one star (each hub with
each spoke), so that a pair is a clique of two.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypedDict

from .booleans import flag
from .members import CHILD_KEYS, IKE_KEYS
from .problems import Problems, unknown_keys

Resolve = Callable[[Any], list[str] | None]


class Joined(TypedDict):
    """Who is joined with whom, by names of members.

    :ivar cliques: everybody in one with everybody else; ``hubs``, ``spokes``: each hub with each spoke.
    :ivar via_hub: whether spokes reach each other through the first hub.
    :ivar networks: what sums up what they reach there, as the inventory writes it.
    """

    cliques: list[list[str]]
    hubs: list[str]
    spokes: list[str]
    via_hub: bool
    networks: list[Any]


class Community(Joined):
    """A community with what its tunnels have in common, as a play keeps it.

    :ivar interfaces: whether its tunnels are route-based.
    :ivar reach: the networks that spokes reach through the first hub; the roster finds them.
    """

    name: str
    profile: Any
    ike: dict[str, Any]
    child: dict[str, Any]
    encapsulation: Any
    epoch: Any
    interfaces: bool
    reach: list[str]


VIA_HUB, DIRECT, NONE = "via_hub", "direct", "none"
_COMMON_KEYS = ("name", "topology", "profile", "ike", "child", "encapsulation", "epoch", "interfaces", "allow_empty")
_TOPOLOGY_KEYS = {
    "mesh": ("members",),
    "hub_spoke": ("hubs", "spokes", "spoke_to_spoke", "networks"),
    "pairs": ("pairs",),
}
_INTERFACE_NAME = 15  # characters, Linux's limit
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", re.ASCII)


def read_communities(given: Any, resolve: Resolve, problems: Problems) -> list[Community]:
    """Every usable community, in the inventory's order.

    :param resolve: the member names that a host, group or external peer stands for; None for an unknown word.
    """
    if not isinstance(given, (list, tuple)):
        problems.add("fleet_ipsec_communities is not a list", "write a list of communities", given)
        return []
    found: list[Community] = []
    for place, each in enumerate(given):
        community = _read(each, f"fleet_ipsec_communities[{place}]", resolve, problems)
        if community is None:
            continue
        if community["name"] in {other["name"] for other in found}:
            problems.add(f"two communities are named {community['name']}", "give each its own name", each["name"], each)
        found.append(community)
    return found


def _read(given: Any, variable: str, resolve: Resolve, problems: Problems) -> Community | None:
    if not isinstance(given, Mapping):
        problems.add(f"{variable} is not a dictionary", "write {name: …, topology: …, …}", given)
        return None
    name = str(given.get("name", ""))
    if not _NAME.fullmatch(name):
        problems.add(f"{variable}.name {name!r} is not usable", "use 1 to 32 letters, digits, _ . -", given)
        return None
    what = f"community {name}"
    topology = given.get("topology")
    if topology not in _TOPOLOGY_KEYS:
        choices = ", ".join(_TOPOLOGY_KEYS)
        problems.add(f"{what}: topology {topology!r} is not known", f"choose one of {choices}", topology, given)
        return None
    _check_keys(what, given, (*_COMMON_KEYS, *_TOPOLOGY_KEYS[topology]), problems)
    for key, known in (("ike", IKE_KEYS), ("child", CHILD_KEYS)):
        if isinstance(given.get(key), Mapping):
            _check_keys(f"{what}: {key}", given[key], known, problems)
    interfaces = _interfaces(what, given, problems)
    before = problems.count
    allowed = flag(what, "allow_empty", given, problems)
    community: Community = {
        "name": name,
        "profile": given.get("profile"),
        "ike": dict(given.get("ike") or {}),
        "child": dict(given.get("child") or {}),
        "encapsulation": given.get("encapsulation"),
        "epoch": given.get("epoch"),
        "interfaces": interfaces,
        **_TOPOLOGIES[topology](what, given, resolve, problems),
        "reach": [],
    }
    if problems.count == before and not allowed and not _joins_anybody(community):
        problems.add(
            f"{what} joins nobody: it has {len(nodes(community))} member(s)",
            "name two or more (hubs and spokes); if it is meant, write allow_empty: true in it",
            given,
        )
    return community


def _joins_anybody(community: Community) -> bool:
    return any(len(clique) > 1 for clique in community["cliques"]) or bool(community["hubs"] and community["spokes"])


def _interfaces(what: str, given: Mapping[str, Any], problems: Problems) -> bool:
    """Whether the tunnels of this community are route-based."""
    wanted = flag(what, "interfaces", given, problems)
    child = given.get("child")
    if wanted and isinstance(child, Mapping) and child.get("mode") == "transport":
        problem = f"{what}: packets of transport mode never come to an interface"
        problems.add(problem, "take interfaces out, or child: {mode: transport}", child["mode"], given)
    return wanted


def _check_keys(what: str, given: Mapping[Any, Any], known: tuple[str, ...], problems: Problems) -> None:
    for key, remedy in unknown_keys(given, known):
        problems.add(f"{what} has an unknown key {key!r}", remedy, key, given)


def _cliques(cliques: list[list[str]]) -> Joined:
    """Nothing but cliques."""
    return {"cliques": cliques, "hubs": [], "spokes": [], "via_hub": False, "networks": []}


def _mesh(what: str, given: Mapping[str, Any], resolve: Resolve, problems: Problems) -> Joined:
    return _cliques([sorted(_members(what, "members", given, resolve, problems))])


def _hub_spoke(what: str, given: Mapping[str, Any], resolve: Resolve, problems: Problems) -> Joined:
    hubs = _members(what, "hubs", given, resolve, problems)
    spokes = sorted(_members(what, "spokes", given, resolve, problems))
    both = sorted(set(hubs) & set(spokes))
    if both:
        problems.add(
            f"{what}: {', '.join(both)} is both hub and spoke",
            "take it out of hubs or of spokes",
            given["spokes"],
            given,
        )
    between = given.get("spoke_to_spoke", NONE)
    if between not in (VIA_HUB, DIRECT, NONE):
        remedy = f"choose one of {VIA_HUB}, {DIRECT}, {NONE}"
        problems.add(f"{what}: spoke_to_spoke {between!r} is not known", remedy, between, given)
    networks = given.get("networks") or []
    if "networks" in given and not networks:
        problems.add(
            f"{what}: networks is empty (got {given['networks']!r})",
            "write networks: [NETWORK, …]; if exactly the networks of hub and spokes are meant, leave networks out",
            given["networks"],
            given,
        )
    if networks and between != VIA_HUB:
        problems.add(
            f"{what}: networks sums up what spokes reach through the hub, but they reach nothing there",
            "set spoke_to_spoke: via_hub, or take networks out",
            networks,
            given,
        )
    return {
        "hubs": hubs,
        "spokes": spokes,
        "via_hub": between == VIA_HUB,
        "networks": list(networks),
        "cliques": [spokes] if between == DIRECT else [],
    }


def _pairs(what: str, given: Mapping[str, Any], resolve: Resolve, problems: Problems) -> Joined:
    cliques: list[list[str]] = []
    pairs = given.get("pairs")
    if not isinstance(pairs, (list, tuple)):
        problems.add(f"{what}: pairs is not a list", "write pairs: [{left: HOST, right: HOST}, …]", pairs, given)
        return _cliques([])
    for pair in pairs:
        if not isinstance(pair, Mapping) or set(pair) != {"left", "right"}:
            problems.add(f"{what}: {pair!r} is not a pair", "write {left: HOST, right: HOST}", pair, given)
            continue
        left, right = (_one(what, side, pair, resolve, problems) for side in ("left", "right"))
        if left is None or right is None:
            continue
        if left == right:
            problems.add(f"{what}: {left} is paired with itself", "name two different hosts", pair["left"], pair)
            continue
        if sorted((left, right)) in cliques:
            problems.add(f"{what}: the pair {left} – {right} is listed twice", "list it once", pair["left"], pair)
            continue
        cliques.append(sorted((left, right)))
    return _cliques(cliques)


_TOPOLOGIES = {"mesh": _mesh, "hub_spoke": _hub_spoke, "pairs": _pairs}


def _members(what: str, key: str, given: Mapping[str, Any], resolve: Resolve, problems: Problems) -> list[str]:
    """The members that a key names, each once: those of a group by name, listed ones in their order."""
    value = given.get(key)
    if value is None or not isinstance(value, (str, list, tuple)):
        trouble = "is missing" if value is None else "is neither a name nor a list of names"
        problems.add(f"{what}: {key} {trouble}", f"write {key}: GROUP or {key}: [HOST, …]", value, given)
        return []
    words = [value] if isinstance(value, str) else list(value)
    # A value that is neither true nor false is told once, for the community as a whole.
    allowed = flag(what, "allow_empty", given, Problems())
    found: dict[str, None] = {}
    for word in words:
        names = resolve(word)
        if names is None:
            problems.add(
                f"{what}: {key}: {word!r} is unknown",
                "name a host or a group of the inventory, or an entry of fleet_ipsec_external_peers",
                word,
                given,
            )
            continue
        if not names and not allowed:
            problems.add(
                f"{what}: {key}: {word!r} is a group without a host",
                "look whether the inventory means another name, or fill it; "
                f"if it is meant, write allow_empty: true in {what}",
                word,
                given,
            )
        found.update(dict.fromkeys(names))
    return list(found)


def _one(what: str, side: str, pair: Mapping[str, Any], resolve: Resolve, problems: Problems) -> str | None:
    names = resolve(pair[side])
    if names is None or len(names) != 1:
        problem = "is unknown" if names is None else f"stands for {len(names)} hosts"
        problems.add(
            f"{what}: {side}: {pair[side]!r} {problem}",
            "name one host of the inventory or one entry of fleet_ipsec_external_peers",
            pair[side],
            pair,
        )
        return None
    return names[0]


def nodes(community: Community) -> set[str]:
    """Everybody in it."""
    return {*itertools.chain.from_iterable(community["cliques"]), *community["hubs"], *community["spokes"]}


def peers(community: Community, host: str) -> list[str]:
    """Whom a host is joined with, sorted."""
    found = {name for clique in community["cliques"] if host in clique for name in clique}
    if host in community["hubs"]:
        found.update(community["spokes"])
    if host in community["spokes"]:
        found.update(community["hubs"])
    return sorted(found - {host})


def tunnel_name(community: Community, peer: str) -> str:
    """Name of the tunnel to a peer, on the gateway that has it."""
    return f"{community['name']}-{peer}"


def interface_name(tunnel: str) -> str:
    """Name of the interface of a route-based tunnel: the tunnel's where it fits into 15 characters."""
    if len(tunnel) <= _INTERFACE_NAME:
        return tunnel
    digest = hashlib.sha256(tunnel.encode()).hexdigest()[:8]
    return f"{tunnel[: _INTERFACE_NAME - 9]}-{digest}"


def claimed_twice(one: Community, other: Community) -> tuple[str, str] | None:
    """A pair that two communities both join, or None."""
    common = nodes(one) & nodes(other)
    few, many = sorted((one, other), key=lambda community: _count_within(community, common))
    cliques = [set(clique) for clique in many["cliques"]]
    hubs, spokes = set(many["hubs"]), set(many["spokes"])
    for left, right in _pairs_within(few, common):
        if left in hubs and right in spokes or right in hubs and left in spokes:
            return left, right
        if any(left in clique and right in clique for clique in cliques):
            return left, right
    return None


def _pairs_within(community: Community, among: set[str]) -> Iterator[tuple[str, str]]:
    for clique in community["cliques"]:
        yield from itertools.combinations(_kept(clique, among), 2)
    yield from itertools.product(_kept(community["hubs"], among), _kept(community["spokes"], among))


def _count_within(community: Community, among: set[str]) -> int:
    sizes = [len(_kept(clique, among)) for clique in community["cliques"]]
    star = len(_kept(community["hubs"], among)) * len(_kept(community["spokes"], among))
    return sum(size * (size - 1) // 2 for size in sizes) + star


def _kept(names: Iterable[str], among: set[str]) -> list[str]:
    return [name for name in names if name in among]
