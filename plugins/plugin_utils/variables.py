# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables that look like those of the collection and are not, which Ansible would ignore in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .problems import Problems

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Names of the user's own that are near to one of ours, and meant.
OWN = "fleet_own_variables"
# Those of the playbooks alone, but for import: it names its own, which begin like those of other collections.
_PLAYBOOKS = frozenset(["fleet_hosts", "teardown_everything"])
# What roles and playbooks set themselves while they run.
_SET = frozenset(
    [
        "fleet_host",
        "fleet_roster",
        "fleet_names",
        "fleet_expected",
        "gateway_found",
        "gateway_engine",
        "gateway_written",
        "gateway_pending",
        "gateway_wanted_state",
        "gateway_there",
        "gateway_closed",
        "gateway_removed",
        "gateway_said",
        "verify_host",
        "verify_roster",
        "verify_targets",
        "verify_alive",
        "verify_eroutes",
        "verify_tunnels",
        "verify_expected",
        "verify_found",
        "verify_states",
        "verify_wire",
        "verify_rules",
        "teardown_swept",
        "teardown_swept_again",
        "teardown_misspelt",
    ]
)
_HEADS = ("fleet", "gateway", "verify", "teardown")
_PREFIX = re.compile(f"({'|'.join(_HEADS)})_")
_SWAPPED = "ipsec_fleet_"
# How near a first word is that is meant to be one of these: a letter too few or too many, or two that changed places.
_NEAR_HEAD = 0.75
# How near a whole name is whose first word is right: it makes all that have it alike.
_NEAR_WHOLE = 0.85
# How near what follows the prefix is, by the measure of difflib: two letters changed places in a word of four.
_NEAR = 0.75
_PART = "ipsec_"


@cache
def options() -> frozenset[str]:
    """Every variable that a user may set."""
    found = {OWN, *_PLAYBOOKS}
    for file in ROLES.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= set(entry.get("options") or ())
    return frozenset(found)


@cache
def known() -> frozenset[str]:
    """These, what the roles have fixed, and what they set while they run."""
    fixed = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in ROLES.glob("*/vars/main.yml")]
    return options().union(_SET, *fixed)


def misspelt(variables: Mapping[str, Mapping[str, Any]], problems: Problems) -> None:
    """Note every variable that is nearly one of ours, with one host that has it.

    Others that begin like ours are left to whoever uses them.

    :param variables: by host.
    """
    _note(variables, nearest, problems)


def misspelt_variables(
    hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str], more: Iterable[str] = ()
) -> list[str]:
    """What :func:`misspelt` notes of some hosts, in words.

    :param more: names that a playbook takes besides, with words that other collections use, too.
    """
    problems, variables = Problems(), {host: hostvars[host] for host in hosts if host in hostvars}
    misspelt(variables, problems)
    names = frozenset(more)
    _note(variables, lambda name, _given: _nearest_of(names, name), problems)
    return problems.found


def _note(
    variables: Mapping[str, Mapping[str, Any]], near: Callable[[str, Iterable[str]], str], problems: Problems
) -> None:
    told: set[str] = set()
    for host, own in variables.items():
        names = {name: right for name in own if isinstance(name, str) and (right := near(name, own))}
        meant = own.get(OWN) or () if names else ()
        for name in [name for name in names if name not in told and name not in meant]:
            told.add(name)
            problems.add(
                f"the variable {name} (of {host}) is none of fleet.ipsec; did you mean {names[name]}?",
                f"rename it; if it is one of your own, set {OWN}: [{name}]",
                name,
                own[name],
            )


@lru_cache(maxsize=65536)
def _nearest_of(names: frozenset[str], name: str) -> str:
    start = name.partition("_")[0] + "_"
    others = [other for other in names if other.startswith(start)]
    near = [] if name in names else difflib.get_close_matches(name, others, 1, _NEAR_WHOLE)
    return near[0] if near else ""


def nearest(name: str, given: Iterable[str]) -> str:
    """The variable of ours that a name is nearly, "" if there is none.

    :param given: the names of all variables there are.
    """
    near = _nearest(name)
    return "" if near.part and near.right in given else near.right


class _Near(NamedTuple):
    """What a name may be meant for.

    :ivar right: the variable of ours, "" if there is none; ``part``: whether that may be made of the other one, which
        has the same words.
    """

    right: str
    part: bool = False


@lru_cache(maxsize=65536)
def _nearest(name: str) -> _Near:
    if name in known():
        return _Near("")
    found = _PREFIX.match(name)
    near = _near_rest(name, found.group()) if found else _near_head(name)
    return near if near.right else _Near(_folded().get(_fold(name), ""), True)


def _near_rest(name: str, start: str) -> _Near:
    """By what follows the first word, which is one of ours."""
    part = _PART if start == "fleet_" else ""
    rests = {other.removeprefix(start): other for other in options() if other.startswith(start)}
    rest = name.removeprefix(start).removeprefix(part)
    near = difflib.get_close_matches(rest, [each.removeprefix(part) for each in rests], 1, _NEAR)
    if not near:
        return _Near("")
    same = [rests[each] for each in (near[0], part + near[0]) if each in rests]
    if near[0] == rest:
        # Only the part of the name is missing or too much.
        return _Near(same[0], True)
    return _Near(min(same, key=lambda other: abs(len(other) - len(name))))


def _near_head(name: str) -> _Near:
    """By the first word, which is none of ours; then the rest has to be right."""
    if name.startswith(_SWAPPED):
        right = f"fleet_{_PART}{name.removeprefix(_SWAPPED)}"
        return _Near(right if right in options() else _near_rest(right, "fleet_").right, True)
    head, _unused, rest = name.partition("_")
    heads = difflib.get_close_matches(head, _HEADS, 1, _NEAR_HEAD) if rest else []
    right = f"{heads[0]}_{rest}" if heads else ""
    return _Near(right if right in options() else "")


@cache
def _folded() -> dict[str, str]:
    return {_fold(name): name for name in options()}


def _fold(name: str) -> str:
    """A name without what is easily left out: capitals, and what joins its words."""
    return name.replace("_", "").lower()
