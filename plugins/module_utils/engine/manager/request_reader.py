# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the definitions of one call: each in itself, then beside each other and beside those there are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..definition.authenticators import Authenticators
from ..definition.build import check_proposals
from ..definition.interface import conflicts as interface_conflicts
from ..definition.kernel_limits import check_policies
from ..definition.overlap import Claim, overlaps
from ..definition.parsing import Definition, parse_definition
from ..definition.peer import places_of
from ..definition.schema import Problems, nearest
from ..errors import InputError
from ..newer_python import zip
from .credential_files import read_file
from .store import Stored

# What a phase may limit, by state.
_PHASES = {"present": (), "enabled": (), "active": (1, 2), "inactive": (1, 2), "absent": (2,)}


class Wish(NamedTuple):
    """One tunnel of the call.

    :ivar definition: what it is to be; None where the tunnel is to go.
    :ivar given: whether the call defined it; else a bare name stood for what is already defined.
    :ivar only: the children that alone are meant, None for all of it.
    """

    name: str
    field: str
    definition: Definition | None
    given: bool
    only: tuple[str, ...] | None = None


def read_wishes(params: Mapping[str, Any], stored: Mapping[str, Stored]) -> tuple[list[Wish], list[str]]:
    """The tunnels of a call and what is unwise about them.

    :raises Problems: everything that is wrong.
    """
    problems: list[InputError] = []
    warnings: list[str] = []
    wishes: list[Wish] = []
    state, phase = params["state"], params.get("phase")
    if phase is not None and phase not in _PHASES[state]:
        remedy = "use it with state active or inactive, or leave it out"
        if state == "absent":
            remedy = "leave it out: a definition goes with all its children"
        problems.append(InputError("phase", phase, f"has no meaning with state {state}", remedy))
    seen: set[str] = set()
    authenticators = Authenticators(read_file, time.time())
    for position, raw in enumerate(params["definitions"]):
        name = raw.get("name")
        field = f"definitions[{name if isinstance(name, str) and name else position}]"
        try:
            wish = _read_one(raw, field, params, stored, warnings, authenticators)
        except Problems as found:
            problems += found.problems
            continue
        if wish.name in seen:
            problems.append(InputError(f"{field}.name", wish.name, "is listed twice", "give each tunnel its own name"))
        seen.add(wish.name)
        wishes.append(wish)
    problems += _foreign(wishes, params, stored)
    if not problems and state != "absent":
        problems += _conflicts(wishes, params, stored)
    if problems:
        raise Problems(problems)
    return wishes, warnings


def _read_one(
    raw: dict[str, Any],
    field: str,
    params: Mapping[str, Any],
    stored: Mapping[str, Stored],
    warnings: list[str],
    authenticators: Authenticators,
) -> Wish:
    name = raw.get("name")
    raw = dict(raw)
    only = _only_children(raw.pop("only_children", None), f"{field}.only_children", params)
    if isinstance(name, str) and name:
        if params["state"] == "absent":
            return Wish(name, field, _remaining(field, stored.get(name), only, params.get("phase")), False)
        if all(value is None for key, value in raw.items() if key != "name"):
            return _known_children(Wish(name, field, _defined(name, field, stored), False, only))
        if params.get("keep_secrets") and name in stored and not stored[name].unreadable:
            raw["auth"] = _with_secret(raw.get("auth"), stored[name])
    definition = parse_definition(raw, field)
    warnings += definition.warnings()
    warnings += check_proposals(definition, f"{field}.")
    check_policies(definition, f"{field}.")
    _check_credential(definition, field, authenticators)
    return _known_children(Wish(definition.name, field, definition, True, only))


def _check_credential(definition: Definition, field: str, authenticators: Authenticators) -> None:
    """Read the keys and certificates that a definition names, as they are now.

    :raises Problems: what of them cannot be used.
    """
    try:
        authenticators.make(definition, f"{field}.")
    except InputError as problem:
        raise Problems([problem]) from None


def _with_secret(auth: Any, row: Stored) -> Any:
    """``auth`` with the keys that are stored, where it has none itself and means the same method."""
    if auth is None:
        auth = {}
    if not isinstance(auth, dict) or auth.get("secret") is not None:
        return auth
    method = row.definition.credential.method
    if (auth.get("method") or method) != method:
        return auth
    given = {key: value for key, value in auth.items() if value is not None and key != "secret_format"}
    return row.definition.stored()["auth"] | given


def _only_children(value: Any, field: str, params: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The children that alone are meant, each once.

    :raises Problems: it is no list of names, or goes with nothing else that the call asks for.
    """
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise Problems([InputError(field, value, "is not a list of names", "name the children that are meant")])
    if params["state"] in ("present", "enabled"):
        remedy = "use it with state active, inactive or absent, or leave it out"
        raise Problems([InputError(field, value, f"has no meaning with state {params['state']}", remedy)])
    if params.get("phase") == 1:
        raise Problems([InputError(field, value, "cannot stand beside phase 1", "children are of phase 2")])
    return tuple(dict.fromkeys(value))


def _known_children(wish: Wish) -> Wish:
    known = [child["name"] for child in wish.definition.document["children"]] if wish.definition else []
    unknown = [name for name in wish.only or () if name not in known]
    if unknown:
        remedy = nearest(unknown[0], known) if known else "it has none"
        problem = f"is no child of tunnel {wish.name}"
        raise Problems([InputError(f"{wish.field}.only_children", name, problem, remedy) for name in unknown])
    return wish


def _remaining(field: str, row: Stored | None, only: tuple[str, ...] | None, phase: int | None) -> Definition | None:
    """What stays of a definition that is to go.

    :raises Problems: only a part is to go of what cannot be read.
    """
    if row is None or (only is None and phase is None):
        return None
    _check_readable(field, row)
    return row.definition.without(row.children if only is None else only)


def _defined(name: str, field: str, stored: Mapping[str, Stored]) -> Definition:
    if name not in stored:
        known = nearest(name, stored) if stored else "nothing is defined yet"
        raise Problems([InputError(f"{field}.name", name, "is not defined here", f"give its definition; {known}")])
    _check_readable(field, stored[name])
    return stored[name].definition


def _check_readable(field: str, row: Stored) -> None:
    """Refuse to go on with what is stored where that cannot be read.

    :raises Problems: with what is to be done instead.
    """
    if row.unreadable:
        problem = f"has a stored definition that this release cannot read: {row.unreadable}"
        remedy = "give its whole definition, remove it with state: absent, or install the release that wrote it"
        raise Problems([InputError(f"{field}.name", row.name, problem, remedy)])


def _foreign(wishes: list[Wish], params: Mapping[str, Any], stored: Mapping[str, Stored]) -> list[InputError]:
    """Tunnels that another owner defined: neither redefined nor removed by a slip of the name.

    Whoever names no owner, at the gateway itself, may remove any.
    """
    owner = params["owner"]
    removes = params["state"] == "absent" and owner
    return [
        InputError(
            f"{wish.field}.name",
            wish.name,
            f"belongs to owner {stored[wish.name].owner!r}, not to {owner!r}",
            "choose another name, or give that owner",
        )
        for wish in wishes
        if (wish.given or removes) and wish.name in stored and stored[wish.name].owner not in ("", owner)
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
    documents = [(name, field, definition.document) for name, field, definition in everything]
    return [*_same_ends(everything, new), *interface_conflicts(documents, new), *_overlaps(everything, new)]


def _same_ends(everything: list[tuple[str, str, Definition]], new: Mapping[str, Wish]) -> list[InputError]:
    problems = []
    ends: dict[tuple[Any, ...], str] = {}
    for name, field, definition in everything:
        local, remote = definition.document["local"], definition.document["remote"]
        addresses = places_of(definition.document) or [""]
        keys = [(local["address"], local["id"].lower(), address, remote["id"].lower()) for address in addresses]
        others = [other for key in keys if (other := ends.setdefault(key, name)) != name]
        if others and name in new:
            problem = f"has the same addresses and ids as tunnel {others[0]}, so a peer's request could mean either"
            problems.append(InputError(f"{field}.remote.id", remote["id"], problem, "make them children of one tunnel"))
    return problems


def _interface_name(definition: Definition) -> str:
    interface = definition.document["interface"]
    return interface["name"] if interface else ""


def _overlaps(everything: list[tuple[str, str, Definition]], new: Mapping[str, Wish]) -> list[InputError]:
    claims = [
        Claim(name, child["name"], f"{field}.children[{position}]", local, remote, _interface_name(definition))
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
                f"overlaps {theirs.local} === {theirs.remote} of child {theirs.child} of tunnel {theirs.tunnel}, and "
                "neither lies within the other",
                "give each packet one child: make the networks disjoint, or let one lie wholly within the other, on "
                "both sides: the inner one wins",
            )
        )
    return problems
