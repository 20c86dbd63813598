# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for tests: what is defined, what runs, and what a call would do."""

from __future__ import annotations

from engine.definition.parsing import parse_definition
from engine.manager.methods import check_params
from engine.manager.plan import Plan, Running, make_plan
from engine.manager.store import Stored

UP = Running(busy=True, up=True, children=frozenset({"lan"}))
DOWN = Running()


def row(raw: dict, wanted: str = "active", owner: str = "", number: int = 1) -> Stored:
    """A tunnel as the database has it."""
    parsed = parse_definition(raw)
    names = [child["name"] for child in parsed.document["children"]]
    return Stored(number, parsed.name, owner, wanted, parsed, {name: n for n, name in enumerate(names, 1)})


def plan(*raw: dict, have: list[Stored] | None = None, running: Running = UP, **params: object) -> Plan:
    """What a call with these definitions does where ``have`` is defined."""
    checked = check_params("tunnels.plan", {"definitions": list(raw)} | params)
    return make_plan(checked, {one.name: one for one in have or []}, lambda name: running)
