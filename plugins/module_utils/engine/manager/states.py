# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In what state a tunnel is, in the words of listings, and why it is not up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..ike.reasons import REASONS
from ..ike.views import ChildStage, IkeView, Stage
from .child_shunts import is_shunt
from .plan import Running
from .repairs import Disturbance
from .store import Stored

_PHASE1 = {
    Stage.OPENING: "negotiating",
    Stage.ESTABLISHED: "active",
    Stage.ENDING: "expired",
    Stage.OVER: "dormant",
}
_PHASE2 = {
    ChildStage.RECEIVING: "active",
    ChildStage.SENDING: "active",
    ChildStage.RELIEVED: "active",
    ChildStage.ENDING: "expired",
    ChildStage.OVER: "dormant",
}
# What helps where the peer took the first keys and refuses fresh ones.
_REFUSED_REMEDY = {
    "no_proposal_chosen": "compare the child's proposals at both ends: a key exchange group (PFS) at one end alone "
    "is the usual cause; profile compat also goes without one",
}
# Unanswered sendings of a request after which a waiting operator is told.
_TRIES_TO_TELL = 4
REST_OF_MANY = "waiting_for_peers"  # of a definition for many peers, whether some are there or not
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

    :ivar state: unknown, inactive, dormant, negotiating, active, degraded, down or retiring.
    :ivar phase1: dormant, negotiating, active or expired; ``phase2``: the same or trapped, by child.
    :ivar role: of the IKE SA: initiator, responder or empty.
    :ivar address: of the peer, that the IKE SA is with; empty where there is none.
    :ivar ends_at: when what is up ends for want of fresh keys, on the protocol engine's clock; None if nothing does.
    :ivar up: the children that are negotiated, whether the kernel has all that is theirs just now or not.
    :ivar resting: whether something of it ended without being told to, and waits (``resting.py``).
    :ivar rest: the reason that it has where nothing stands against it; what kept a peer out is nothing to wait for.
    """

    state: str
    phase1: str = "dormant"
    phase2: dict[str, str] = {}
    role: str = ""
    reason: str = ""
    story: str = ""
    remedy: str = ""
    ends_at: float | None = None
    up: frozenset[str] = frozenset()
    rest: str = ""
    resting: bool = False
    address: str = ""

    def running(self) -> Running:
        """As plans look at it."""
        return Running(self.phase1 in ("negotiating", "active"), self.state == "active" and not self.resting, self.up)


UNKNOWN = Condition("unknown", reason="not_started", story="no such tunnel is defined", remedy="define it first")


def of_unreadable(row: Stored) -> Condition:
    """How a tunnel is whose definition this release cannot read."""
    text, remedy = REASONS["unreadable_definition"]
    phase2 = dict.fromkeys(row.children, "dormant")
    state = "inactive" if row.wanted == "inactive" else "down"
    return Condition(state, "dormant", phase2, "", "unreadable_definition", f"{text}: {row.unreadable}", remedy)


def condition(
    row: Stored,
    sas: Iterable[IkeView],
    trapped: frozenset[str],
    notice: Notice | None,
    disturbance: Disturbance | None = None,
    shunted: frozenset[str] = frozenset(),
) -> Condition:
    """How the tunnel ``row`` is.

    :param sas: its IKE SAs.
    :param trapped: its children whose policies wait for traffic.
    :param disturbance: what the kernel lacks of it just now: what is negotiated of these children is of no use then.
    :param shunted: its children that let packets pass, or drop them, and stand.
    """
    sas = list(sas)
    how = _negotiated(row, sas, trapped, notice, shunted)
    up = frozenset(name for name, state in how.phase2.items() if state == "active")
    addresses = [sa.path.remote_address for sa in sas if sa.stage is Stage.ESTABLISHED]
    how = how._replace(up=up, resting=bool(row.resting), address=addresses[-1] if addresses else "")
    if not disturbance or how.state not in ("active", "dormant"):
        return how
    hurt = how.up if "" in disturbance.children else how.up & disturbance.children
    phase2 = {name: "negotiating" if name in hurt else state for name, state in how.phase2.items()}
    state = "degraded" if how.state == "active" else how.state
    remedy = REASONS["kernel_disturbed"].remedy
    return how._replace(state=state, phase2=phase2, reason="kernel_disturbed", story=disturbance.story, remedy=remedy)


def _negotiated(
    row: Stored, sas: list[IkeView], trapped: frozenset[str], notice: Notice | None, shunted: frozenset[str]
) -> Condition:
    children = row.definition.document["children"]
    retired = any(sa.retired and sa.children for sa in sas)
    # For its operator a retired IKE SA is over; only its children are in use.
    phase1 = max(("expired" if sa.retired else _PHASE1[sa.stage] for sa in sas), key=_BEST.index, default="dormant")
    phase2 = {child["name"]: "trapped" if child["name"] in trapped else "dormant" for child in children}
    phase2 |= dict.fromkeys(shunted, "active")
    for sa in sas:
        _count_children(sa, phase2)
    missing = [child["name"] for child in children if phase2[child["name"]] != "active" and row.needs(child)]
    current = next((sa for sa in sas if sa.stage is Stage.ESTABLISHED), sas[0] if sas else None)
    role = "" if current is None else "initiator" if current.initiator else "responder"
    if retired:
        text, remedy = REASONS["retiring"]
        return Condition("retiring", phase1, phase2, role, "retiring", text, remedy)
    state = _state(row, phase1, [phase2[name] for name in missing], notice)
    if state == "active":
        return _worry(sas, Condition(state, phase1, phase2, role))
    rest = "negotiating" if state == "negotiating" else _at_rest(row, trapped)
    reason, story = _why(row, rest, notice)
    return Condition(state, phase1, phase2, role, reason, story, remedy_of(row, reason), rest=rest)


def on_old_terms(row: Stored, how: Condition, awaited: bool, notice: Notice | None) -> Condition:
    """A tunnel that is up, with the reason why that is so on the terms of a definition of before, if it is to stay so.

    :param awaited: whether something that was agreed before stands in for what is defined now.
    """
    if how.state != "active" or how.reason or not awaited:
        return how
    if notice is None and row.definition.document["role"] != "responder":
        return how  # what takes its place is under way
    text, remedy = REASONS["peer_unchanged"]
    story = f"{text} ({notice.story})" if notice is not None else text
    return how._replace(reason="peer_unchanged", story=story, remedy=remedy)


def remedy_of(row: Stored, reason: str) -> str:
    """What to do about a tunnel, with the address of its peer where a command needs that."""
    return REASONS[reason].remedy.replace("PEER", row.definition.document["remote"]["address"] or "PEER")


def starts_itself(row: Stored) -> bool:
    """Whether this side brings the tunnel up without being asked by a packet or by the peer."""
    document = row.definition.document
    if row.wanted == "inactive" or row.unreadable or document["role"] == "responder":
        return False
    # The IKE SA is all there is to a tunnel whose last child was removed.
    alone = row.wanted == "ike" or (row.wanted == "active" and not document["children"])
    return alone or bool(needed(row))


def needed(row: Stored) -> list[str]:
    """The children that this side is to keep negotiated."""
    children = () if row.unreadable else row.definition.document["children"]
    return [child["name"] for child in children if not is_shunt(child) and row.needs(child)]


def _negotiates(row: Stored) -> bool:
    """Whether there is anything to negotiate of a tunnel; one without children has its IKE SA."""
    children = row.definition.document["children"]
    return row.wanted != "active" or not children or not all(map(is_shunt, children))


def is_wanted(row: Stored) -> bool:
    """Whether anything of the tunnel is wanted up, by whichever side."""
    return row.wanted in ("active", "ike") or any(row.asked.values())


def living(row: Stored, now: Condition) -> list[str] | None:
    """The children that the manager runs or is to run; None if it is not concerned with the tunnel at all."""
    if now.state in ("dormant", "inactive", "unknown") and not is_wanted(row):
        return None
    return [
        child["name"]
        for child in row.definition.document["children"]
        if now.phase2.get(child["name"], "dormant") != "dormant" or row.needs(child)
    ]


def reached(now: Condition, until: str, phase: int | None, only: Collection[str] | None = None) -> bool:
    """Whether a tunnel is where a wait wants it.

    :param only: the children to look at, None for what the phase says.
    """
    if until == "defined":
        return now.state != "unknown"
    if until == "established" and now.rest == REST_OF_MANY:
        return now.state != "inactive"  # nobody here can bring about more
    active2 = [name for name, state in now.phase2.items() if state == "active"]
    if only is not None:
        return set(only).issubset(active2) if until == "established" else set(only).isdisjoint(active2)
    if until == "down":
        idle = now.phase1 not in ("negotiating", "active")
        return {1: idle, 2: not active2, None: idle and not active2}[phase]
    if phase == 1:
        return now.phase1 == "active"
    # A tunnel with nothing to start by itself is as far as it gets when its traps are laid.
    idle = now.rest in ("waiting_for_traffic", "started_by_hand")
    laid = now.state in ("dormant", "down") and now.reason != "kernel_disturbed"
    return now.state == "active" or (idle and laid)


def _count_children(sa: IkeView, phase2: dict[str, str]) -> None:
    found = [(child.name, _PHASE2[child.stage]) for child in sa.children]
    found += [(name, "negotiating") for name in sa.coming]
    for name, state in found:
        if name in phase2 and _BEST.index(state) > _BEST.index(phase2[name]):
            phase2[name] = state


def _worry(sas: Iterable[IkeView], how: Condition) -> Condition:
    """A tunnel that is up, with what stands against its staying so: the refusal of fresh keys that ends it first."""
    worries = [(sa.expires_at, sa.refusal) for sa in sas if sa.lasting and sa.refusal is not None]
    newest = {child.name: child for sa in sas for child in sa.children if child.stage is ChildStage.SENDING}
    worries += [(child.expires_at, child.refusal) for child in newest.values() if child.refusal is not None]
    serious = [(ends_at, refusal) for ends_at, refusal in worries if refusal.serious]
    if not serious:
        return _silent(sas, how)
    ends_at, refusal = min(serious)
    reason = refusal.reason if refusal.reason in REASONS else "protocol_error"
    remedy = _REFUSED_REMEDY.get(reason, REASONS[reason].remedy)
    return how._replace(reason=reason, story=refusal.story, remedy=remedy, ends_at=ends_at)


def _silent(sas: Iterable[IkeView], how: Condition) -> Condition:
    """The same where the peer leaves requests unanswered: whether it lives is not known any more."""
    for sa in sas:
        asked = sa.asked
        if sa.stage is Stage.ESTABLISHED and asked is not None and asked.tries >= _TRIES_TO_TELL:
            story = f"{asked.what} of {asked.size} was sent {asked.tries} times without an answer; it may be gone"
            story += f"; {asked.hint}" if asked.hint else ""
            return how._replace(reason="no_answer", story=story, remedy=REASONS["no_answer"].remedy)
    return how


def _state(row: Stored, phase1: str, missing: list[str], notice: Notice | None) -> str:
    if not _negotiates(row):
        return "degraded" if missing else "active"
    if phase1 == "active":
        if not missing:
            return "active"
        return "negotiating" if notice is None and "negotiating" in missing else "degraded"
    if row.wanted == "inactive":
        return "inactive"
    if phase1 == "negotiating":
        return "negotiating"
    if not is_wanted(row):
        return "dormant"
    if notice is not None:
        return "down"
    # Wanted, and nothing stands against it: its turn to start comes in a moment.
    return "negotiating" if starts_itself(row) else "dormant"


def _why(row: Stored, rest: str, notice: Notice | None) -> tuple[str, str]:
    """(reason, story) of a tunnel that is not up."""
    if row.wanted == "inactive" or notice is None:
        return rest, REASONS[rest].text
    return notice.reason if notice.reason in REASONS else "protocol_error", notice.story


def _at_rest(row: Stored, trapped: frozenset[str]) -> str:
    """The reason of a tunnel that is not up and against which nothing stands."""
    if row.wanted == "inactive":
        return "stopped"
    starts = {child["start"] for child in row.definition.document["children"]}
    idle = row.wanted != "ike" and not needed(row)
    if idle and trapped and ("auto" not in starts or row.resting):
        return "waiting_for_traffic"
    if row.definition.document["role"] == "responder":
        return "waiting_for_peer"
    return "started_by_hand" if idle and row.wanted == "active" else "not_started"
