# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is lastingly wanted of a tunnel and of its children, and what a call makes of that.

``wanted`` is of the tunnel: ``active`` (each child as its ``start`` says), ``ike`` (the IKE SA, and children that their
own traffic asks for), ``present`` (as it comes) or ``inactive``.
``asked`` is of those children of which something else is wanted: True if somebody started it, by its name or with all
of its tunnel, False if somebody ended it. So a tunnel that was activated is ``active`` with every child asked for that
does not start by itself, and an enabled one is ``active`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Document = dict[str, Any]
# What brings a child back that ended without being told to: nothing, its next packet, this side at once.
NONE, TRAP, START = "none", "trap", "start"


def is_needed(wanted: str, asked: Mapping[str, bool], child: Document) -> bool:
    """Whether this side is to keep the child up."""
    return asked.get(child["name"], wanted == "active" and child["start"] == "auto")


def answers_packets(wanted: str, asked: Mapping[str, bool], child: Document) -> bool:
    """Whether a packet may start the child."""
    on_demand = child["start"] == "trap" and wanted != "inactive"
    return is_needed(wanted, asked, child) or (on_demand and asked.get(child["name"], True))


def holds_place(wanted: str, asked: Mapping[str, bool], child: Document) -> bool:
    """Whether the kernel is to hold the child's place while it is down, so that nothing of it leaves in clear.

    Where only phase 1 is started, or phase 2 or a child is ended, the tunnel itself is still wanted, and its packets
    wait. Who wants them to pass without protection ends the tunnel as a whole.
    """
    kept = child["start"] != "manual" and wanted in ("active", "ike")
    return kept or answers_packets(wanted, asked, child)


def of_tunnel(
    wanted: str | None, asked: Mapping[str, bool], state: str, phase: int | None, children: Sequence[Document]
) -> tuple[str, dict[str, bool]]:
    """The lasting wish after something was asked of a tunnel as a whole: of the tunnel, and of its children.

    :param children: those that it has from now on.
    """
    names = [child["name"] for child in children]
    after = wanted_after(wanted, state, phase)
    if state == "active" and phase == 1:
        # Where nothing keeps the IKE SA up, ``active`` alone would leave it down.
        idle = bool(children) and not any(is_needed(after, asked, child) for child in children)
        return ("ike" if idle else after), dict(asked)
    if state == "active":
        return after, dict.fromkeys(names, True)
    if state == "enabled":
        return after, {name: up for name, up in asked.items() if up}
    if state == "inactive":
        # Where the IKE SA stays, a packet must not bring back at once what was ended.
        return after, dict.fromkeys(names, False) if phase == 2 else {}
    return after, dict(asked)


def wanted_after(before: str | None, state: str, phase: int | None) -> str:
    """The lasting wish for a tunnel, by the lasting wish so far and what is asked now of all of it."""
    if state in ("active", "enabled"):
        return "ike" if phase == 1 and before != "active" else "active"
    if state == "inactive":
        if phase == 2:
            return "ike" if before in ("active", "ike") else before or "present"
        return "inactive"
    return before or "present"


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
        if name in asked and _meant(wanted, asked, child) != _meant(wanted, {}, child):
            found[name] = asked[name]
    return found


def _meant(wanted: str, asked: Mapping[str, bool], child: Document) -> tuple[bool, bool, bool]:
    said = wanted, asked, child
    return is_needed(*said), answers_packets(*said), holds_place(*said)
