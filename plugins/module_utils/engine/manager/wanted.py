# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is lastingly wanted of a tunnel and of its children, and what a call makes of that.

``wanted`` is of the tunnel: ``active``, ``ike`` (the IKE SA alone), ``present`` (as it comes) or ``inactive``.
``asked`` is of those children of which something else is wanted: True if somebody started one by its name, False if
somebody ended one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Document = dict[str, Any]


def is_needed(wanted: str, asked: Mapping[str, bool], child: Document) -> bool:
    """Whether this side is to keep the child up."""
    return asked.get(child["name"], wanted == "active" and child["start"] == "auto")


def holds_place(wanted: str, asked: Mapping[str, bool], child: Document) -> bool:
    """Whether the kernel is to hold the child's place while it is down."""
    on_demand = child["start"] == "trap" and wanted in ("active", "present")
    return is_needed(wanted, asked, child) or (on_demand and asked.get(child["name"], True))


def wanted_after(before: str | None, state: str, phase: int | None) -> str:
    """The lasting wish for a tunnel, by the lasting wish so far and what is asked now of all of it."""
    if state == "active":
        return "ike" if phase == 1 and before != "active" else "active"
    if state == "inactive":
        if phase == 2:
            return "ike" if before in ("active", "ike") else before or "present"
        return "inactive"
    return before or "present"


def asked_after(before: Mapping[str, bool], state: str, phase: int | None) -> dict[str, bool]:
    """The same for its children."""
    if state == "active":
        return {name: up for name, up in before.items() if up or phase == 1}
    return {} if state == "inactive" else dict(before)


def of_children(
    wanted: str | None, asked: Mapping[str, bool], state: str, names: Iterable[str]
) -> tuple[str, dict[str, bool]]:
    """The lasting wish after only these children were started or ended: of the tunnel, and of the children.

    Peers could not use a tunnel that is inactive, and its IKE SA comes with the children.
    """
    if state == "active":
        after = wanted if wanted in ("active", "ike") else "present"
        return after, {**asked, **dict.fromkeys(names, True)}
    return wanted or "present", {**asked, **dict.fromkeys(names, False)}


def settled(wanted: str, asked: Mapping[str, bool], children: Iterable[Document]) -> dict[str, bool]:
    """``asked`` without what goes without saying, and without children that there are no more."""
    found = {}
    for child in children:
        name = child["name"]
        if name in asked:
            without = {other: up for other, up in asked.items() if other != name}
            said = (is_needed(wanted, asked, child), holds_place(wanted, asked, child))
            if said != (is_needed(wanted, without, child), holds_place(wanted, without, child)):
                found[name] = asked[name]
    return found
