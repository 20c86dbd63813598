# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored definitions, also those that this release cannot read: of such a one what it can.

A newer release may have written options, choices or proposals that this one does not know. Such a tunnel is not set up
any more, but what its networks are has to be known, so that their packets are held.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import InputError
from .build import check_proposals
from .parsing import Definition, parse_stored
from .schema import Problems

# Definitions with more that is wrong than this are not worth the time.
_ROUNDS = 40
_SHOWN = 60
_KEY = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_STAND_IN = "stands for the secret: nobody authenticates with it"
_PLAIN_NAME = "unreadable"


class StoredDefinition(NamedTuple):
    """A definition out of the database.

    :ivar problem: why it cannot be used, empty where all is well. ``definition`` is then what of it can be read, with
        defaults for the rest and a secret that is none: good for holding packets and for showing, and for nothing else.
    """

    definition: Definition
    problem: str


def read_stored(name: str, text: str | bytes) -> StoredDefinition:
    """The definition of the tunnel of this name, from the database."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return StoredDefinition(remnant(name, None), f"it is not JSON ({type(exc).__name__})")
    try:
        found = _usable(raw)
    except Problems as problems:
        return StoredDefinition(remnant(name, raw), _told(problems))
    if found.name != name:
        return StoredDefinition(remnant(name, raw), f"it is that of another tunnel, {found.name}")
    return StoredDefinition(found, "")


def _usable(raw: Any) -> Definition:
    """A definition that the protocol can be given.

    :raises Problems: this release cannot read it.
    """
    definition = parse_stored(raw)
    check_proposals(definition)
    return definition


def _told(problems: Problems) -> str:
    first, more = problems.problems[0], len(problems.problems) - 1
    shown = repr(first.value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    value = "" if first.value is None else f" (it has {shown})"
    return f"{first.field or 'the whole'} {first.problem}{value}" + (f", and {more} more" if more else "")


def remnant(name: str, raw: Any) -> Definition:
    """What can be read of a definition: without each value that cannot, and without children whose networks cannot.

    Without any child where packets come through an interface that cannot be read: whose they are is not known then.
    """
    given = raw if isinstance(raw, dict) else {}
    document = copy.deepcopy(given) | {"name": _PLAIN_NAME, "auth": {"secret": _STAND_IN}}
    found = None
    for _round in range(_ROUNDS):
        _complete(document)
        try:
            found = _usable(document)
            break
        except Problems as problems:
            # From the end of a list on, so that the positions of what is still to go stay.
            for path in sorted({_path(problem) for problem in problems.problems}, key=_backward, reverse=True):
                _take_out(document, path)
    if found is None:
        document = {"name": _PLAIN_NAME, "auth": {"secret": _STAND_IN}}
        _complete(document)
        found = _usable(document)
    if given.get("interface") is not None and found.document["interface"] is None:
        found = found.without([child["name"] for child in found.document["children"]])
    return replace(found, name=name, document=found.document | {"name": name})


def _complete(document: dict[str, Any]) -> None:
    """Put something in the place of what no definition can be without."""
    document.setdefault("children", [])
    for side in ("local", "remote"):
        end = document.get(side)
        if not isinstance(end, dict):
            end = document[side] = {}
        if end.get("address") is None and end.get("id") is None:
            end["id"] = f"{side}.unreadable"


Path = tuple["str | int", ...]


def _path(problem: InputError) -> Path:
    return tuple(int(number) if number else key for number, key in _KEY.findall(problem.field))


def _backward(path: Path) -> tuple[tuple[int, str], ...]:
    return tuple((key, "") if isinstance(key, int) else (0, key) for key in path)


def _take_out(document: dict[str, Any], path: Path) -> None:
    """Remove the value at a path; where there is none, what it is lacking in."""
    place: Any = document
    holder, held = None, None
    for key in path:
        try:
            inner = place[key]
        except (LookupError, TypeError):
            break
        holder, held, place = place, key, inner
    if holder is not None:
        del holder[held]
