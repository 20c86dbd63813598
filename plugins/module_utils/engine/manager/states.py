# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In what state a tunnel is, in the words of listings, and why it is not up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..ike.reasons import REASONS
from ..ike.v2.sa import ChildState, IkeSa, Kind, State
from .plan import Running
from .store import Stored

_PHASE1 = {
    State.START: "negotiating",
    State.INIT_SENT: "negotiating",
    State.INIT_ANSWERED: "negotiating",
    State.AUTH_SENT: "negotiating",
    State.ESTABLISHED: "active",
    State.REKEYED: "expired",
    State.DELETING: "expired",
    State.REFUSED: "dormant",
    State.GONE: "dormant",
}
_PHASE2 = {
    ChildState.INSTALLED: "active",
    ChildState.ANSWERED: "active",
    ChildState.REKEYING: "active",
    ChildState.REKEYED: "active",
    ChildState.DELETING: "expired",
    ChildState.GONE: "dormant",
}
_BEST = ("dormant", "trapped", "expired", "negotiating", "active")


class Notice(NamedTuple):
    """The last thing that kept a tunnel from being up.

    :ivar reason: key of the closed list of reasons.
    :ivar child: name of the child it is about, empty for the IKE SA.
    """

    reason: str
    story: str
    child: str = ""


class Condition(NamedTuple):
    """How one tunnel is.

    :ivar state: unknown, inactive, dormant, negotiating, active, degraded or down.
    :ivar phase1: dormant, negotiating, active or expired; ``phase2``: the same or trapped, by child.
    :ivar role: of the IKE SA: initiator, responder or empty.
    """

    state: str
    phase1: str = "dormant"
    phase2: dict[str, str] = {}
    role: str = ""
    reason: str = ""
    story: str = ""
    remedy: str = ""

    def running(self) -> Running:
        """As plans look at it."""
        up = frozenset(name for name, state in self.phase2.items() if state == "active")
        return Running(self.phase1 in ("negotiating", "active"), self.state == "active", up)


UNKNOWN = Condition("unknown", reason="not_started", story="no such tunnel is defined", remedy="define it first")


def condition(row: Stored, sas: Iterable[IkeSa], trapped: frozenset[str], notice: Notice | None) -> Condition:
    """How the tunnel ``row`` is.

    :param sas: its IKE SAs.
    :param trapped: its children whose policies wait for traffic.
    """
    sas = list(sas)
    children = row.definition.document["children"]
    phase1 = max((_PHASE1[sa.state] for sa in sas), key=_BEST.index, default="dormant")
    phase2 = {child["name"]: "trapped" if child["name"] in trapped else "dormant" for child in children}
    for sa in sas:
        _count_children(sa, phase2)
    needed = [child["name"] for child in children if child["start"] == "auto"] if row.wanted != "ike" else []
    missing = [name for name in needed if phase2[name] != "active"]
    current = next((sa for sa in sas if sa.state is State.ESTABLISHED), sas[0] if sas else None)
    role = "" if current is None else "initiator" if current.initiator else "responder"
    state = _state(row, phase1, [phase2[name] for name in missing], notice)
    if state == "active":
        return Condition(state, phase1, phase2, role)
    reason, story = _why(row, trapped, notice)
    return Condition(state, phase1, phase2, role, reason, story, REASONS[reason].remedy)


def starts_itself(row: Stored) -> bool:
    """Whether this side brings the tunnel up without being asked by a packet or by the peer."""
    document = row.definition.document
    if row.wanted not in ("active", "ike") or document["role"] == "responder":
        return False
    return row.wanted == "ike" or any(child["start"] == "auto" for child in document["children"])


def reached(now: Condition, until: str, phase: int | None) -> bool:
    """Whether a tunnel is where a wait wants it."""
    if until == "defined":
        return now.state != "unknown"
    active2 = [name for name, state in now.phase2.items() if state == "active"]
    if until == "down":
        idle = now.phase1 not in ("negotiating", "active")
        return {1: idle, 2: not active2, None: idle and not active2}[phase]
    if phase == 1:
        return now.phase1 == "active"
    # A tunnel with nothing to start by itself is as far as it gets when its traps are laid.
    return now.state == "active" or (now.reason == "waiting_for_traffic" and now.state == "dormant")


def _count_children(sa: IkeSa, phase2: dict[str, str]) -> None:
    pending = [task.config for task in sa.queue if task.kind is Kind.NEW_CHILD]
    if sa.request is not None and sa.request.task.kind is Kind.NEW_CHILD:
        pending.append(sa.request.task.config)
    if sa.handshake is not None and sa.initiator:
        pending += sa.handshake.wanted
    found = [(child.config.name, _PHASE2[child.state]) for child in sa.children.values()]
    found += [(config.name, "negotiating") for config in pending if config is not None]
    for name, state in found:
        if name in phase2 and _BEST.index(state) > _BEST.index(phase2[name]):
            phase2[name] = state


def _state(row: Stored, phase1: str, missing: list[str], notice: Notice | None) -> str:
    if phase1 == "active":
        if not missing:
            return "active"
        return "negotiating" if notice is None and "negotiating" in missing else "degraded"
    if row.wanted == "inactive":
        return "inactive"
    if phase1 == "negotiating":
        return "negotiating"
    if row.wanted not in ("active", "ike"):
        return "dormant"
    if notice is not None:
        return "down"
    # Wanted, and nothing stands against it: its turn to start comes in a moment.
    return "negotiating" if starts_itself(row) else "dormant"


def _why(row: Stored, trapped: frozenset[str], notice: Notice | None) -> tuple[str, str]:
    """(reason, story) of a tunnel that is not up."""
    if row.wanted == "inactive":
        return "stopped", REASONS["stopped"].text
    if notice is not None:
        return notice.reason if notice.reason in REASONS else "protocol_error", notice.story
    starts = {child["start"] for child in row.definition.document["children"]}
    if "auto" not in starts and trapped:
        reason = "waiting_for_traffic"
    elif row.definition.document["role"] == "responder":
        reason = "waiting_for_peer"
    else:
        reason = "not_started"
    return reason, REASONS[reason].text
