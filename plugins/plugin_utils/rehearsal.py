# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnel managers would say to the definitions of a fleet, found out on the controller.

One definition of each kind is made and checked with the manager's own code, not one for each pair.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.parsing import parse_definition
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.schema import Problems as Refusal
from ansible_collections.fleet.ipsec.plugins.module_utils.tunnels import CHOICE, DEFINITION, definition

from .communities import Community
from .members import Member, variable_of
from .problems import PlanError, Problems
from .topology import Pairs, Roster

# What stands for a key that is derived from the seed.
_KEY = b"\0" * 32
_VALIDATOR = ArgumentSpecValidator({"name": {"type": "str", "required": True}, **DEFINITION, **CHOICE})


def rehearse(roster: Roster, given: Mapping[str, Any], externals: Mapping[str, Any], problems: Problems) -> None:
    """Note what a tunnel manager would refuse, with the lines of the inventory that it comes from.

    :param given: what the inventory says of each member.
    :param externals: ``fleet_ipsec_external_peers``.
    """
    members = roster["members"]
    for community in roster["communities"]:
        pairs = Pairs(roster, community, 1, _KEY, externals)
        alike: dict[str, tuple[str, str]] = {}
        for host, peer in _ends(community, members):
            alike.setdefault(_kind(members[host], members[peer]), (host, peer))
        for host, peer in alike.values():
            try:
                made = pairs.definition(host, peer)
            except PlanError as error:
                problems.add_found(error)
            else:
                _check(made, community, given, (host, peer), members, problems)


def _ends(community: Community, members: Mapping[str, Member]) -> Iterator[tuple[str, str]]:
    """(host, peer) such that every host of ours is one, every external peer, and every spoke with the first hub."""
    for clique in community["cliques"]:
        own = [name for name in clique if not members[name]["external"]]
        if len(own) > 1:
            yield from zip(own, [*own[1:], own[0]], strict=True)
        yield from itertools.product(own[:1], (name for name in clique if members[name]["external"]))
    hubs, spokes = community["hubs"], community["spokes"]
    for pair in itertools.chain(itertools.product(hubs[:1], spokes), itertools.product(hubs[1:], spokes[:1])):
        yield from ((host, peer) for host, peer in (pair, pair[::-1]) if not members[host]["external"])


def _kind(mine: Member, other: Member) -> str:
    """The same for all pairs of a community whose definitions a manager takes or refuses alike.

    Names, addresses and networks were looked at; how the families of two ends meet through a hub was not.
    """
    families = [sorted({":" in network for network in end["networks"]}) for end in (mine, other)]
    apart = not set(families[0]).intersection(families[1])
    pair = [mine["name"], other["name"]] if apart or other["external"] else families
    return json.dumps([pair, mine["profile"], mine["ike"], mine["child"], mine["moving"], other["moving"]], default=str)


def _check(
    made: dict[str, Any],
    community: Community,
    given: Mapping[str, Any],
    ends: tuple[str, str],
    members: Mapping[str, Member],
    problems: Problems,
) -> None:
    what = f"community {community['name']}: the tunnel of {ends[0]} to {ends[1]}"
    read = _VALIDATOR.validate(made)
    if read.error_messages:
        for message in read.error_messages:
            own = ends[1] if members[ends[1]]["external"] else ends[0]
            remedy = f"correct it in {variable_of(members[own])} or in community {community['name']}"
            problems.add(f"{what}: {message}", remedy, given[own])
        return
    try:
        parse_definition(definition(read.validated_parameters))
    except Refusal as refusal:
        for problem in refusal.problems:
            got = "" if problem.value is None else f" (got {problem.value!r})"
            value, where = _source(problem.field, community, given, ends, members)
            remedy = f"{problem.remedy}: {where}"
            problems.add(f"{what}: {problem.field}: {problem.problem}{got}", remedy, value)


def _source(
    field: str, community: Community, given: Mapping[str, Any], ends: tuple[str, str], members: Mapping[str, Member]
) -> tuple[Any, str]:
    """The value of the inventory that a field of a definition was made of, or what it stands in; and that in words."""
    first, _dot, key = field.partition(".")
    # What an external peer needs goes first.
    end = ends[1] if members[ends[1]]["external"] or first == "remote" else ends[0]
    own, variable = given[end], variable_of(members[end])
    if first in ("local", "remote"):
        return own.get(key, own), f"{key} in {variable}"
    group = "child" if first.startswith("children") else first
    option = f"{group}.{key}" if key else group
    for holder, where in ((own, variable), (community, f"community {community['name']}")):
        inner = holder.get(group)
        if isinstance(inner, Mapping) and key in inner:
            return inner[key], f"{option} in {where}"
        if inner is not None and not key:
            return inner, f"{option} in {where}"
    return own, f"{variable} or in community {community['name']}"
