# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what a wish does to the tunnels there are; pure, so that a plan and its execution cannot differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple

from ..definition import ppks
from ..definition.difference import Change, changes, worst
from ..definition.parsing import Definition
from ..errors import InputError, a_few
from ..newer_python import dataclass
from .desired_state import of_children, of_tunnel, settled
from .renames import renames
from .repairs import Told
from .request_reader import Wish, read_wishes
from .store import Put, Remove, Stored

_ENDS = ("local", "remote")


class Running(NamedTuple):
    """What runs of a tunnel just now.

    :ivar busy: an IKE SA is up or being negotiated.
    :ivar up: everything that its definition starts by itself is up.
    :ivar children: names of the children that are up.
    """

    busy: bool = False
    up: bool = False
    children: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one tunnel.

    :ivar before: the row as it is, None for a new tunnel; ``after`` what is to be stored, None to remove it.
    :ivar action: created, changed, removed, started, stopped, repaired or none.
    :ivar changes: the options that differ, each with its impact.
    :ivar phase: 1 or 2 where only the IKE SA or only the Child SAs are meant; ``only`` the children where not all are.
    :ivar halts: whether what runs is to be taken down.
    :ivar nudges: whether it is wanted already but not up: its next attempt is to be now.
    :ivar repaired: what others removed of it from the kernel since the last task and is put back, in words.
    :ivar missing: what of it the kernel lacks now.
    """

    name: str
    action: str
    impact: str
    before: Stored | None
    after: Put | None
    changes: tuple[Change, ...] = ()
    phase: int | None = None
    only: tuple[str, ...] | None = None
    halts: bool = False
    nudges: bool = False
    repaired: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether nothing is done about its definition, nor about what is wanted of it."""
        return self.action in ("none", "repaired")

    @property
    def stored_change(self) -> Put | Remove | None:
        """What the database has to take, None if it stays as it is."""
        if self.after is None:
            return Remove(self.name) if self.before is not None else None
        old = self.before
        same = old is not None and not self.changes and not old.unreadable and _wish(old) == _wish(self.after)
        return None if same else self.after

    def shown(self, number: int) -> dict[str, Any]:
        """As the methods answer it; what is left alone shows no definitions."""
        before, after = ({}, {}) if self.stands else (_shown(self.before), _shown(self.after))
        # Neither key is shown; say at least that it is another one.
        if "auth.secret" in {change.path for change in self.changes}:
            after["auth"]["secret"] += " (changed)"
        return {
            "name": self.name,
            "number": number,
            "action": self.action,
            "impact": self.impact,
            "changes": [change.path for change in self.changes],
            "repaired": list(self.repaired),
            "missing": list(self.missing),
            "before": before,
            "after": after,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in the order of the wish; removals by purge last."""

    steps: tuple[Step, ...]
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything is going to differ from now."""
        return any(step.action != "none" for step in self.steps)


def make_plan(
    params: Mapping[str, Any],
    stored: Mapping[str, Stored],
    running: Callable[[str], Running],
    repaired: Mapping[str, Told] | None = None,
) -> Plan:
    """What ``tunnels.apply`` with these (canonical) parameters does.

    :param repaired: by tunnel, what the kernel lacked of it, or lacks.
    :raises Problems: everything that is wrong with the definitions, in themselves and beside the others.
    """
    wishes, warnings = read_wishes(params, stored)
    steps = [_with_repairs(_step(wish, stored.get(wish.name), params, running), repaired or {}) for wish in wishes]
    if params["purge"]:
        listed = {wish.name for wish in wishes}
        own = [row for row in stored.values() if row.owner == params["owner"]]
        purged = [row for row in own if row.name not in listed]
        _check_share(purged, len(own), wishes, params)
        steps += [_removal(row) for row in purged]
    told = [*_cut(steps, params), *_opened(steps, params, running), *_never_started(steps, params)]
    return Plan(tuple(steps), warnings + told)


def _never_started(steps: Sequence[Step], params: Mapping[str, Any]) -> list[str]:
    """What of the steps is to be active, and for whom that means no more than to be in operation."""
    many = [step.name for step in steps if step.after is not None and step.after.definition.pattern is not None]
    if params["state"] != "active" or not many:
        return []
    return [f"{a_few(many)}: for many peers, which alone start it: nothing is started here, nor waited for"]


def _cut(steps: Sequence[Step], params: Mapping[str, Any]) -> list[str]:
    """What of the steps gives a tunnel a key that its peer cannot know: said, or refused.

    :raises InputError: for tunnels that are to keep theirs.
    """
    names = [
        step.name
        for step in steps
        if step.before is not None and step.after is not None and _strangers(step.before, step.after.definition)
    ]
    kept = set(params.get("keep_keys", ())).intersection(names)
    what = (
        "gets another key than the one defined, and neither end would accept the other's: the next authentication fails"
    )
    if kept:
        told = a_few(name for name in names if name in kept)
        remedy = (
            "bring back the seed (or secret) of before, or define both ends in one run; if it is meant, leave them"
            " out of keep_keys (role fleet: -e fleet_new_keys=true)"
        )
        raise InputError("keep_keys", told, f"each of these {len(kept)} {what}", remedy)
    return [f"the peer of {a_few(names)} has to get the new key, too: each {what} until then"] if names else []


def _strangers(before: Stored, after: Definition) -> bool:
    """Whether one end with the old and one with the new definition would not authenticate, by their keys alone."""
    if before.unreadable or any(before.definition.document[end]["id"] != after.document[end]["id"] for end in _ENDS):
        return False  # nobody knows the old key, or who is who changes, which both ends have to be told anyhow
    alike = before.definition.credential.meets(after.credential)
    return not (alike and ppks.meet(before.definition.ppks, after.ppks))


def _opened(steps: Sequence[Step], params: Mapping[str, Any], running: Callable[[str], Running]) -> list[str]:
    """What is not protected any more when this is done: on purpose, and said all the same."""
    ends = [step for step in steps if step.before is not None and step.before.wanted != "inactive"]
    ends = [step for step in ends if step.after is None or step.after.wanted == "inactive"]
    made = [
        (step.name, step.after.wanted, step.after.definition) for step in steps if step.before is None and step.after
    ]
    going = {step.name: step.before for step in ends if step.after is None and step.before is not None}
    again = renames(going, made).values() if going and made else ()
    names = [step.name for step in ends if step.name not in again]
    # Children that are up outlive their IKE SA.
    later = [name for name in names if params.get("phase") == 1 and running(name).children]
    groups = {
        "from now on": [name for name in names if name not in later],
        "when their lifetimes are over": later,
    }
    return [
        f"the networks of {a_few(those)} have no policy {when}: their packets leave in clear where a route takes them"
        " and no firewall stops them"
        for when, those in groups.items()
        if those
    ]


def _check_share(purged: Sequence[Stored], defined: int, wishes: Iterable[Wish], params: Mapping[str, Any]) -> None:
    """Refuse a purge of more than its limit: most likely a list came out shorter than it was meant.

    A tunnel to the same peer under another name takes the place of the old one, so that nothing is lost with that.

    :param defined: how many tunnels this owner has.
    :raises InputError: with both numbers, and how to mean it.
    """
    peers = {wish.definition.document["remote"]["id"] for wish in wishes if wish.given and wish.definition}
    lost = [row.name for row in purged if row.definition.document["remote"]["id"] not in peers]
    if lost and len(lost) * 100 // defined > params.get("purge_limit", 100):
        raise InputError(
            "purge_limit",
            params["purge_limit"],
            f"does not let {len(lost)} of the {defined} tunnels of owner {params['owner'] or '(none)'} be removed at"
            f" once, which this list lacks: {a_few(lost)}",
            "if that is meant, set purge_limit: 100 (role fleet: -e fleet_purge_limit=100); else complete the list",
        )


def _step(wish: Wish, before: Stored | None, params: Mapping[str, Any], running: Callable[[str], Running]) -> Step:
    state = params["state"]
    phase = params.get("phase") if wish.only is None else 2
    if wish.definition is None:
        return _removal(before) if before is not None else Step(wish.name, "none", "none", None, None)
    wanted, asked = _lasting(wish, before, state, phase)
    if before is None:
        put = Put(params["owner"], wanted, wish.definition, asked)
        return Step(wish.name, "created", "none", None, put, phase=phase, only=wish.only)
    put = Put(params["owner"] if wish.given else before.owner, wanted, wish.definition, asked)
    if before.unreadable:
        # What it was is not known, and nothing of it runs.
        return Step(wish.name, "changed", "hot", before, put, (), phase, wish.only, state == "inactive")
    now = running(wish.name)
    differences = tuple(changes(before.definition, wish.definition, now.children))
    impact = worst(differences) if now.busy or now.children or not differences else "hot"
    action = (
        "changed" if differences or put.owner != before.owner else _movement(state, phase, wish.only, before, put, now)
    )
    nudges = action == "none" and state in ("active", "enabled") and not (now.busy if phase == 1 else now.up)
    return Step(wish.name, action, impact, before, put, differences, phase, wish.only, state == "inactive", nudges)


def _with_repairs(step: Step, repaired: Mapping[str, Told]) -> Step:
    told = repaired.get(step.name)
    if told is None or step.action == "removed":
        return step
    # What cannot be put back is no change, however often it is told.
    action = "repaired" if step.action == "none" and (told.back or told.possible) else step.action
    return replace(step, repaired=tuple(told.back), missing=tuple(told.missing), action=action)


def _removal(before: Stored) -> Step:
    return Step(before.name, "removed", "none", before, None)


def _lasting(wish: Wish, before: Stored | None, state: str, phase: int | None) -> tuple[str, dict[str, bool]]:
    """The lasting wish for the tunnel and its children after this one."""
    wanted, asked = (before.wanted, before.asked) if before is not None else (None, {})
    children = wish.definition.document["children"] if wish.definition else []
    if wish.only is not None and state != "absent":
        wanted, asked = of_children(wanted, asked, state, wish.only)
    else:
        wanted, asked = of_tunnel(wanted, asked, state, phase, children)
    return wanted, settled(wanted, asked, children)


def _movement(
    state: str, phase: int | None, only: tuple[str, ...] | None, before: Stored, put: Put, now: Running
) -> str:
    """Started, stopped or none, for a tunnel whose definition stays.

    What is wanted already is tried until it is up, so that wanting it once more changes nothing.
    """
    wish_changes = _wish(before) != _wish(put)
    if state in ("active", "enabled"):
        return "started" if wish_changes else "none"
    if state == "inactive":
        up = now.children if only is None else now.children.intersection(only)
        runs = {1: now.busy, 2: bool(up), None: now.busy or bool(up)}[phase]
        return "stopped" if wish_changes or runs else "none"
    return "none"


def _wish(row: Stored | Put) -> tuple[str, str, dict[str, bool]]:
    return row.owner, row.wanted, row.asked


def _shown(row: Stored | Put | None) -> dict[str, Any]:
    if row is None or (isinstance(row, Stored) and row.unreadable):
        return {}
    asked = {"asked": dict(row.asked)} if row.asked else {}
    return row.definition.public() | {"wanted": row.wanted, "owner": row.owner} | asked


def stored_changes(steps: Iterable[Step]) -> list[Put | Remove]:
    """What the database has to take, removals first, so that names and selectors are free."""
    found = [change for step in steps if (change := step.stored_change) is not None]
    return sorted(found, key=lambda change: isinstance(change, Put))
