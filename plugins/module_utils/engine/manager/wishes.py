# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the definitions of one call: each in itself, then beside each other and beside those there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import InputError
from .build import check_proposals
from .definition import Definition, parse_definition
from .overlap import Claim, overlaps
from .schema import Problems, nearest
from .store import Stored


class Wish(NamedTuple):
    """One tunnel of the call.

    :ivar definition: what it is to be; None where the tunnel is to go.
    :ivar given: whether the call defined it; else a bare name stood for what is already defined.
    """

    name: str
    field: str
    definition: Definition | None
    given: bool


def read_wishes(params: Mapping[str, Any], stored: Mapping[str, Stored]) -> tuple[list[Wish], list[str]]:
    """The tunnels of a call and what is unwise about them.

    :raises Problems: everything that is wrong.
    """
    problems: list[InputError] = []
    warnings: list[str] = []
    wishes: list[Wish] = []
    if "phase" in params and params["state"] not in ("active", "inactive"):
        remedy = "use it with state active or inactive, or leave it out"
        problems.append(InputError("phase", params["phase"], f"has no meaning with state {params['state']}", remedy))
    seen: set[str] = set()
    for position, raw in enumerate(params["definitions"]):
        name = raw.get("name")
        field = f"definitions[{name if isinstance(name, str) and name else position}]"
        try:
            wish = _read_one(raw, field, params["state"], stored, warnings)
        except Problems as found:
            problems += found.problems
            continue
        if wish.name in seen:
            problems.append(InputError(f"{field}.name", wish.name, "is listed twice", "give each tunnel its own name"))
        seen.add(wish.name)
        wishes.append(wish)
    problems += _foreign(wishes, params["owner"], stored)
    if not problems and params["state"] != "absent":
        problems += _conflicts(wishes, params, stored)
    if problems:
        raise Problems(problems)
    return wishes, warnings


def _read_one(raw: dict[str, Any], field: str, state: str, stored: Mapping[str, Stored], warnings: list[str]) -> Wish:
    name = raw.get("name")
    if isinstance(name, str) and name:
        if state == "absent":
            return Wish(name, field, None, False)
        if all(value is None for key, value in raw.items() if key != "name"):
            return Wish(name, field, _defined(name, field, stored), False)
    definition = parse_definition(raw, field)
    warnings += definition.warnings()
    warnings += check_proposals(definition, f"{field}.")
    return Wish(definition.name, field, definition, True)


def _defined(name: str, field: str, stored: Mapping[str, Stored]) -> Definition:
    if name not in stored:
        known = nearest(name, stored) if stored else "nothing is defined yet"
        raise Problems([InputError(f"{field}.name", name, "is not defined here", f"give its definition; {known}")])
    return stored[name].definition


def _foreign(wishes: list[Wish], owner: str, stored: Mapping[str, Stored]) -> list[InputError]:
    """Tunnels that another owner defined: neither redefined nor removed by a slip of the name.

    Whoever names no owner, at the gateway itself, may remove any.
    """
    return [
        InputError(
            f"{wish.field}.name",
            wish.name,
            f"belongs to owner {stored[wish.name].owner!r}, not to {owner!r}",
            "choose another name, or give that owner",
        )
        for wish in wishes
        if (wish.given or (wish.definition is None and owner))
        and wish.name in stored
        and stored[wish.name].owner not in ("", owner)
    ]


def _conflicts(wishes: list[Wish], params: Mapping[str, Any], stored: Mapping[str, Stored]) -> list[InputError]:
    """What cannot stand beside each other; only conflicts that this call brings in are reported."""
    new = {wish.name: wish for wish in wishes if wish.given}
    listed = {wish.name for wish in wishes}
    staying = {
        name: row.definition
        for name, row in stored.items()
        if name not in new and not (params["purge"] and row.owner == params["owner"] and name not in listed)
    }
    everything = [(name, name, definition) for name, definition in staying.items()]
    everything += [(wish.name, wish.field, wish.definition) for wish in new.values() if wish.definition]
    return [*_same_ends(everything, new), *_overlaps(everything, new)]


def _same_ends(everything: list[tuple[str, str, Definition]], new: Mapping[str, Wish]) -> list[InputError]:
    problems = []
    ends: dict[tuple[Any, ...], str] = {}
    for name, field, definition in everything:
        local, remote = definition.document["local"], definition.document["remote"]
        key = (local["address"], local["id"].lower(), remote["address"], remote["id"].lower())
        other = ends.setdefault(key, name)
        if other != name and name in new:
            problem = f"has the same addresses and ids as tunnel {other}, so a peer's request could mean either"
            problems.append(InputError(f"{field}.remote.id", remote["id"], problem, "make them children of one tunnel"))
    return problems


def _overlaps(everything: list[tuple[str, str, Definition]], new: Mapping[str, Wish]) -> list[InputError]:
    claims = [
        Claim(name, child["name"], f"{field}.children[{position}]", local, remote)
        for name, field, definition in everything
        for position, (child, sides) in enumerate(
            zip(definition.document["children"], definition.selectors, strict=True)
        )
        for local in sides[0]
        for remote in sides[1]
    ]
    problems = []
    told: set[tuple[str, str, str, str]] = set()
    for one, other in overlaps(claims):
        if one.tunnel not in new and other.tunnel not in new:
            continue
        mine, theirs = (other, one) if other.tunnel in new else (one, other)
        pair = (mine.tunnel, mine.child, theirs.tunnel, theirs.child)
        if pair in told:
            continue
        told.add(pair)
        problems.append(
            InputError(
                f"{mine.field}.remote",
                f"{mine.local} === {mine.remote}",
                f"overlaps {theirs.local} === {theirs.remote} of child {theirs.child} of tunnel {theirs.tunnel}",
                "give each packet one child: make the networks disjoint, or remove the other tunnel first",
            )
        )
    return problems
