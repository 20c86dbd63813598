# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables that look like those of the roles and are not: a setting that Ansible would ignore in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .problems import Problems

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Names of the user's own that are near to one of ours, and meant.
OWN = "fleet_own_variables"
# What the roles set themselves while they run.
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
    ]
)
_PREFIX = re.compile(r"(fleet|gateway|verify)_")
# How near what follows the prefix is, by the measure of difflib: two letters changed places in a word of four.
_NEAR = 0.75
_PART = "ipsec_"


@cache
def options() -> frozenset[str]:
    """Every variable that a user may set."""
    found = {"fleet_hosts", OWN}
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
    told: set[str] = set()
    for host, own in variables.items():
        names = [name for name in own if isinstance(name, str) and _PREFIX.match(name) and name not in known()]
        meant = own.get(OWN) or () if names else ()
        for name in names:
            near = nearest(name, own) if name not in told and name not in meant else ""
            if near:
                told.add(name)
                problems.add(
                    f"the variable {name} (of {host}) is none of fleet.ipsec; did you mean {near}?",
                    f"rename it; if it is one of your own, set {OWN}: [{name}]",
                    name,
                    own[name],
                )


def nearest(name: str, given: Iterable[str]) -> str:
    """The variable of ours that a name is nearly, "" if there is none.

    :param given: the names of all variables there are.
    """
    found = _PREFIX.match(name)
    if found is None or name in known():
        return ""
    start, part = found.group(), _PART if name.startswith("fleet_") else ""
    rests = {other.removeprefix(start): other for other in options() if other.startswith(start)}
    rest = name.removeprefix(start).removeprefix(part)
    near = difflib.get_close_matches(rest, [each.removeprefix(part) for each in rests], 1, _NEAR)
    if not near:
        return ""
    same = [rests[each] for each in (near[0], part + near[0]) if each in rests]
    if near[0] == rest:
        # Only the part of the name is missing or too much: perhaps what the right one is made of.
        return "" if same[0] in given else same[0]
    return min(same, key=lambda other: abs(len(other) - len(name)))
