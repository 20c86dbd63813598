# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs keyed by hand (``ipsec spi``): made, changed and deleted as wanted (RFC 4301 section 4.5.1).

The registry notes which SAs were made here. All others, those of IKE and of other programs, are left alone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from ..errors import InputError, KernelError
from ..kernel import sa_chains
from ..kernel.client import Operation, XfrmClient, add_sa, delete_sa, update_sa
from ..kernel.installed import Installed, shows_keys
from ..kernel.registry import MANUAL_FIRST, SHUNT_FIRST, Child, Manual, Registry, RegistryView
from ..kernel.values import Sa
from ..kernel.xfrm import DELSA
from ..newer_python import pairwise, zip
from ..said import Said
from .manual_show import show_sa
from .manual_words import Wish
from .transaction import Reversible, Transaction, attempt

NONE, CREATED, UPDATED, RECREATED, DELETED = "none", "created", "updated", "recreated", "deleted"
_IMPACTS = {
    NONE: "none",
    CREATED: "none",
    UPDATED: "hot",
    RECREATED: "re-create",
    DELETED: "delete",
}
# What the kernel changes in an SA that lives; all else takes a new one.
_HOT = {"lifetime"}
_LOCKDOWN = "/sys/kernel/security/lockdown"

Members = tuple[Said, ...]


@dataclass(frozen=True)
class Seen:
    """What the kernel and the registry had of the SAs concerned.

    :ivar noted: every SA that was made here. ``keys_hidden``: whether the kernel shows zeros for keys.
    :ivar tunnelled: those in tunnel mode because a group had them so.
    :ivar demanded: the request IDs that policies name, where there are groups whose end they would outlast.
    """

    installed: Mapping[Said, Installed]
    noted: Mapping[Said, Manual]
    groups: Sequence[Members]
    children: Mapping[int, Child]
    keys_hidden: bool = False
    tunnelled: frozenset[Said] = frozenset()
    demanded: frozenset[int] = frozenset()

    def group_of(self, said: Said) -> Members:
        """The group that an SA is in; empty when it is in none."""
        return next((members for members in self.groups if said in members), ())

    def is_demanded(self, members: Members) -> bool:
        """Whether a policy goes on demanding an SA of a group that ends."""
        reqids = {self.noted[said].reqid for said in members if said in self.noted}
        reqids |= {self.installed[said].sa.reqid for said in members if said in self.installed}
        return not reqids.isdisjoint(self.demanded)

    def is_noted(self, said: Said, note: Manual) -> bool:
        """Whether nobody else has taken the name of an SA since it was noted."""
        held = self.installed.get(said)
        return held is None or (not held.state.larval and held.sa.reqid == note.reqid)


class Step(NamedTuple):
    """What becomes of one SA.

    :ivar action: ``none``, ``created``, ``updated``, ``recreated`` or ``deleted``.
    :ivar fields: what differs, in the words of :mod:`.manual_words`.
    :ivar held: the SA as it is; None when there is none, and for a ``tun``. ``wanted``: as it will be.
    :ivar note: for the registry, None to forget it.
    :ivar by_group: whether it is in tunnel mode because of a group, and nobody has named its mode.
    """

    said: Said
    action: str
    fields: tuple[str, ...] = ()
    held: Sa | None = None
    wanted: Sa | None = None
    note_held: Manual | None = None
    note: Manual | None = None
    by_group: bool = False

    @property
    def impact(self) -> str:
        """``none``, ``hot`` (nothing is lost), ``re-create`` (packets, counters, replay window are) or ``delete``."""
        return _IMPACTS[self.action]

    @property
    def before(self) -> dict[str, object]:
        """Without keys; empty when there is none."""
        return show_sa(self.said, self.held, self.note_held, self.fields, "as it was")

    @property
    def after(self) -> dict[str, object]:
        """Without keys; empty when there is none."""
        return show_sa(self.said, self.wanted, self.note, self.fields, "another one")


@dataclass(frozen=True)
class Plan:
    """What is done to all of them."""

    steps: tuple[Step, ...]
    dissolved: tuple[Members, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done at all."""
        return any(step.action != NONE for step in self.steps)


Decide = Callable[[Seen], Plan]


def look(client: XfrmClient, registry: RegistryView, saids: Iterable[Said]) -> Seen:
    """Read what there is of ``saids``, and of every SA that was made here.

    :raises MissingError: without the permission.
    """
    noted = registry.manual_sas()
    real = [said for said in dict.fromkeys((*saids, *noted)) if said.protocol != sa_chains.TUN]
    found = ((said, client.read_sa(said.destination, said.spi, said.protocol)) for said in real)
    groups = registry.groups()
    policies = client.dump_policies() if groups else ()
    demanded = frozenset(template.reqid for policy in policies for template in policy.templates if template.reqid)
    return Seen(
        {said: sa for said, sa in found if sa is not None},
        noted, groups, registry.children(), _keys_hidden(), registry.tunnelled(), demanded,
    )  # fmt: skip


def _keys_hidden() -> bool:
    """Whether the kernel is locked down so far that it shows keys to nobody."""
    try:
        with open(_LOCKDOWN, encoding="ascii") as stream:
            return "[confidentiality]" in stream.read()
    except OSError:
        return False


# Deciding


def plan_present(wishes: Sequence[Wish], owner: str, places: Sequence[str], seen: Seen) -> Plan:
    """Let all of ``wishes`` be as they say.

    :param places: what the user calls each one, for errors.
    :raises InputError: an SA is somebody else's, named twice, or cannot change as it is in a group.
    """
    used = {note.reqid for note in seen.noted.values()}
    steps: list[Step] = []
    named: set[Said] = set()
    for wish, place in zip(wishes, places, strict=True):
        if wish.said in named:
            raise InputError(place, str(wish.said), "is named twice", "name each SA once")
        named.add(wish.said)
        note = _claim(wish.said, owner, place, seen)
        step = _tunnel_step(wish, owner, note) if wish.sa is None else _sa_step(wish, wish.sa, owner, note, used, seen)
        group = seen.group_of(wish.said)
        moved = {"mode", "reqid", "source"} & set(step.fields)
        if step.action == CREATED and _is_behind_tun(wish.said, group) and step.wanted and step.wanted.mode != "tunnel":
            moved |= {"mode"}
        if moved and group:
            raise InputError(
                place, str(wish.said), f"is in the group {_text(group)}, which needs its {' and '.join(sorted(moved))}",
                "ungroup it first, by the name of any of its SAs",
            )  # fmt: skip
        steps.append(step)
    warnings = [warning for wish in wishes for warning in wish.warnings]
    reused = [
        str(s.said)
        for s in steps
        if s.action == RECREATED and s.wanted and s.wanted.aead and "encryption.key" not in s.fields
    ]
    warnings += [
        f"{said} is made anew with the key it had: its packets may repeat a nonce; give it another key"
        for said in reused
    ]
    return Plan(tuple(steps), (), tuple(warnings))


def plan_absent(saids: Sequence[Said], owner: str, places: Sequence[str], seen: Seen) -> Plan:
    """Delete ``saids``; a group that one of them is in ends.

    :raises InputError: an SA is somebody else's.
    """
    steps: list[Step] = []
    dissolved: dict[Members, None] = {}
    where = dict(zip(saids, places, strict=True))  # one that is named twice is deleted once
    for said, place in where.items():
        note = _claim(said, owner, place, seen)
        held = seen.installed.get(said)
        there = note is not None and (held is not None or said.protocol == sa_chains.TUN)
        if there:
            steps.append(Step(said, DELETED, (), held.sa if held else None, None, note, None))
            if group := seen.group_of(said):
                dissolved[group] = None
        else:
            steps.append(Step(said, NONE))
    warnings = [
        f"the group {_text(members)} ended; policies go on demanding all of it, so that nothing leaves with less: "
        "group again, or change them" for members in dissolved if seen.is_demanded(members)
    ]  # fmt: skip
    return Plan(tuple(steps), tuple(dissolved), tuple(warnings))


def with_purge(plan: Plan, owner: str, seen: Seen) -> Plan:
    """``plan``, and the end of every other SA that ``owner`` keyed by hand."""
    named = {step.said for step in plan.steps}
    saids = [
        said for said, note in seen.noted.items()
        if note.owner == owner and said not in named and seen.is_noted(said, note)
    ]  # fmt: skip
    purged = plan_absent(saids, owner, [str(said) for said in saids], seen)
    gone = tuple(step for step in purged.steps if step.action != NONE)
    return Plan(plan.steps + gone, purged.dissolved, plan.warnings + purged.warnings)


def _claim(said: Said, owner: str, place: str, seen: Seen) -> Manual | None:
    """The note of an SA that may be changed; None when there is none of that name yet.

    :raises InputError: when it is somebody else's.
    """
    note = seen.noted.get(said)
    held = seen.installed.get(said)
    if held is not None and (note is None or not seen.is_noted(said, note)):
        names = seen.children.get(held.sa.reqid)
        whose = f"is of tunnel {names.tunnel} (child {names.child})" if names else "is of another program"
        if held.state.larval:
            whose += ", which has reserved its SPI"
        raise InputError(place, str(said), f"{whose}, and left alone", "choose another SPI")
    if note is not None and note.owner != owner and (held is not None or said.protocol == sa_chains.TUN):
        raise InputError(place, str(said), f"belongs to owner {note.owner}", f"act as owner {note.owner}")
    return note


def _tunnel_step(wish: Wish, owner: str, held: Manual | None) -> Step:
    note = Manual(owner, 0, wish.source)
    if held is None:
        return Step(wish.said, CREATED, note=note)
    if held.source == wish.source:
        return Step(wish.said, NONE, note_held=held, note=held)
    return Step(wish.said, RECREATED, ("source",), note_held=held, note=note)


def _sa_step(wish: Wish, sa: Sa, owner: str, note: Manual | None, used: set[int], seen: Seen) -> Step:
    held = seen.installed.get(wish.said)
    if held is None:
        # One that expired keeps the request ID that policies may know it by.
        reqid = wish.reqid or (note.reqid if note else _fresh(used))
        # So does its mode where a group gave it.
        tunnelled = wish.said in seen.tunnelled or _is_behind_tun(wish.said, seen.group_of(wish.said))
        by_group = tunnelled and not wish.mode
        wanted = replace(sa, mode=wish.mode or ("tunnel" if by_group else "transport"), reqid=reqid)
        return Step(wish.said, CREATED, wanted=wanted, note=Manual(owner, reqid, sa.source), by_group=by_group)
    wanted = replace(sa, mode=wish.mode or held.sa.mode, reqid=wish.reqid or held.sa.reqid)
    fields = differing(held.sa, wanted, seen.keys_hidden)
    hot = not fields or all(field in _HOT or _is_hot_port(field, held.sa, wanted) for field in fields)
    action = NONE if not fields else UPDATED if hot else RECREATED
    by_group = not wish.mode and wish.said in seen.tunnelled
    return Step(wish.said, action, fields, held.sa, wanted, note, Manual(owner, wanted.reqid, sa.source), by_group)


def _is_behind_tun(said: Said, group: Members) -> bool:
    return any(before.protocol == sa_chains.TUN and after == said for before, after in pairwise(group))


def _fresh(used: set[int]) -> int:
    mine = {reqid for reqid in used if MANUAL_FIRST <= reqid < SHUNT_FIRST}
    reqid = max(mine, default=MANUAL_FIRST - 1) + 1
    if reqid >= SHUNT_FIRST:
        reqid = next((free for free in range(MANUAL_FIRST, SHUNT_FIRST) if free not in mine), 0)
    if not reqid:
        raise KernelError("choose a request ID", errno.ENOSPC, "all of our range are in use")
    used.add(reqid)
    return reqid


_FIELDS: dict[str, Callable[[Sa], object]] = {
    "source": lambda sa: sa.source,
    "mode": lambda sa: sa.mode,
    "reqid": lambda sa: sa.reqid,
    "encryption.algorithm": lambda sa: sa.aead[::2] if sa.aead else sa.encryption and sa.encryption.name,
    "integrity.algorithm": lambda sa: sa.integrity and sa.integrity[::2],
    "compression": lambda sa: sa.compression,
    "encapsulation": lambda sa: sa.encapsulation,
    "replay_window": lambda sa: sa.replay_window,
    "esn": lambda sa: sa.esn,
    "families": lambda sa: sa.af_unspec,
    "interface": lambda sa: sa.if_id,
    "lifetime": lambda sa: sa.limits,
}


def differing(held: Sa, wanted: Sa, keys_hidden: bool) -> tuple[str, ...]:
    """What differs between two SAs of one name; keys are compared in constant time."""
    fields = [name for name, read in _FIELDS.items() if read(held) != read(wanted)]
    if not keys_hidden:
        for name, mine, theirs in (
            ("encryption.key", held.aead or held.encryption, wanted.aead or wanted.encryption),
            ("integrity.key", held.integrity, wanted.integrity),
        ):
            if mine and theirs and mine.key != theirs.key:
                fields.append(name)
    return tuple(fields)


def _is_hot_port(field: str, held: Sa, wanted: Sa) -> bool:
    """Ports of an SA in UDP may change; whether it is in UDP may not."""
    return field == "encapsulation" and held.encapsulation is not None and wanted.encapsulation is not None


# Doing


def _do(client: XfrmClient, registry: Registry, plan: Plan, undo: ExitStack) -> None:
    """What is taken back has new counters where it was made anew; SAs whose keys the kernel does not show stay gone."""
    for members in plan.dissolved:
        registry.remove_group(members[0])
    for step in plan.steps:
        _note(registry, step)
    pairs = [pair for step in plan.steps for pair in _operations(step)]
    outcomes = attempt(client, pairs, undo)
    for (operation, _back), outcome in zip(pairs, outcomes, strict=True):
        gone = isinstance(outcome, KernelError) and outcome.errno == errno.ESRCH and operation.type == DELSA
        if outcome is not None and not gone:  # what is to be deleted may have expired since we looked
            raise outcome


def _note(registry: Registry, step: Step) -> None:
    if step.note is not None and step.action != NONE:
        registry.put_manual(step.said, step.note)
        if step.by_group:
            registry.put_tunnelled(step.said)
        else:
            registry.drop_tunnelled(step.said)
    elif step.note is None:
        registry.drop_manual(step.said)


def _operations(step: Step) -> list[Reversible]:
    """(do, undo) in order; an SA does not come back with other keys than it had."""
    held, wanted = step.held, step.wanted
    add: list[Reversible] = [(add_sa(wanted), _deletion(wanted))] if wanted else []
    delete: list[Reversible] = [(_deletion(held), add_sa(held) if shows_keys(held) else None)] if held else []
    changes: dict[str, list[Reversible]] = {
        NONE: [],
        CREATED: add,
        UPDATED: [(update_sa(wanted), update_sa(held))] if held and wanted else [],
        RECREATED: delete + add,
        DELETED: delete,
    }
    return changes[step.action]


def _deletion(sa: Sa) -> Operation:
    return delete_sa(sa.destination, sa.spi, sa.protocol)


def _keying(saids: Iterable[Said]) -> Transaction[Seen, Plan]:
    return Transaction(partial(look, saids=tuple(saids)), _do)


def preview(runtime_dir: str, saids: Iterable[Said], decide: Decide) -> Plan:
    """See :meth:`.transaction.Transaction.preview`.

    :param saids: those concerned beside all that were made here.
    """
    return _keying(saids).preview(runtime_dir, decide)


def perform(runtime_dir: str, saids: Iterable[Said], decide: Decide) -> Plan:
    """See :meth:`.transaction.Transaction.perform`, and :func:`preview`."""
    return _keying(saids).perform(runtime_dir, decide)


def carry_out(client: XfrmClient, registry: Registry, saids: Iterable[Said], decide: Decide) -> Plan:
    """See :meth:`.transaction.Transaction.carry_out`, and :func:`preview`."""
    return _keying(saids).carry_out(client, registry, decide)


def _text(members: Iterable[Said]) -> str:
    return " ".join(map(str, members))
