# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of SAs (``ipsec spigrp``): several transforms for the packets of one policy, made and undone as one.

The kernel has no groups. A group is a list of SAs in the registry, and the policies that led to its first SA demand
the whole list. Ungrouping lets them demand the first SA alone again.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..errors import InputError, KernelError
from ..kernel import sa_chains
from ..kernel.addresses import is_local
from ..kernel.client import Operation, XfrmClient, describe, set_policy
from ..kernel.registry import Registry, RegistryView
from ..kernel.values import IPCOMP, OUT, PROTOCOL_NAMES, Policy
from ..newer_python import zip
from ..said import Said
from . import group_modes as modes
from . import group_rules
from .group_snapshot import Members, Snapshot, look
from .klips import Problem, read_groups
from .transaction import Transaction, attempt
from .views import with_single_sas


class Group(NamedTuple):
    """A group, or an SA in none, as it is listed.

    :ivar sas: innermost first.
    :ivar missing: those of them that the kernel has no more.
    :ivar direction: ``in`` when the outermost SA ends at this host, else ``out``.
    """

    sas: Members
    missing: Members
    direction: str


class Change(NamedTuple):
    """A policy before and after; nothing but its templates differs."""

    held: Policy
    wanted: Policy


@dataclass(frozen=True)
class Plan:
    """What grouping or ungrouping takes.

    :ivar made: the new group; empty when there is none to make.
    :ivar remade: its SAs that are made anew in tunnel mode.
    :ivar restored: SAs that are made anew in transport mode, as they were before a group had them in tunnel mode.
    :ivar dissolved: the groups that end.
    :ivar changes: the policies that change.
    :ivar warnings: what the operator should know about it.
    """

    made: Members = ()
    remade: Members = ()
    dissolved: tuple[Members, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    restored: Members = ()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done at all."""
        return bool(self.made or self.dissolved or self.changes or self.remade or self.restored)


def listing(seen: Snapshot, is_local: Callable[[str], bool]) -> list[Group]:
    """Groups as they were made, then each SA that is in none; SPI reservations are no SAs."""
    found = with_single_sas(seen.groups, seen.sas.values())
    grouped = {said for members in found for said in members}
    found += [(said,) for said in sorted(seen.noted) if said.protocol == sa_chains.TUN and said not in grouped]
    return [Group(members, seen.missing(members), _direction(members, is_local)) for members in found]


def read_file(text: str, is_local: Callable[[str], bool]) -> tuple[list[Group], list[Problem]]:
    """The groups of a classic spigrp table, and its lines that could not be read. What the kernel has is not asked."""
    found, problems = read_groups(text)
    return [Group(members, (), _direction(members, is_local)) for members in found], problems


def _direction(members: Members, is_local: Callable[[str], bool]) -> str:
    return "in" if is_local(members[-1].destination) else "out"


# Deciding


def plan_group(members: Members, seen: Snapshot, name: str = "sas") -> Plan:
    """Make ``members``, innermost first, a group. A group that has lost an SA does not stand in the way: it ends.

    Where it is one already, policies made since join it.

    :param name: what the user calls the list, for errors.
    :raises InputError: when these SAs cannot be grouped.
    """
    group_rules.check_names(members, name)
    remade, restored = modes.to_tunnel(members, seen), modes.to_transport(members, seen, name)
    seen = replace(seen, sas={**seen.sas, **remade, **restored})
    group_rules.check_states(members, seen.sas, name)
    group_rules.check_tunnels(members, seen.sas, {said: note.source for said, note in seen.noted.items()}, name)
    dissolved: list[Members] = []
    for number, said in enumerate(members):
        held = seen.group_of(said)
        if not held or held == members or held in dissolved:
            continue
        if not seen.missing(held):
            raise InputError(
                f"{name}[{number}]", str(said), f"is in the group {_text(held)}",
                "ungroup it first, by the name of any of its SAs",
            )  # fmt: skip
        dissolved.append(held)
    chain = sa_chains.transforms(members, seen.sas)
    first = seen.sas[chain[0][0]]
    wanted = _without(dissolved, seen.policies, seen)
    rivals = list(seen.sas.values())
    led = [sa_chains.leads_to(p, first, rivals) for p in wanted]
    for policy in itertools.compress(wanted, led):
        group_rules.check_family(policy, chain, lambda said: f"{name}[{members.index(said)}]")
    wanted = [sa_chains.with_chain(p, chain) if ours else p for p, ours in zip(wanted, led, strict=True)]
    made = () if members in seen.groups else members
    warnings = modes.stray_tunnels(members, seen) if made else ()
    return Plan(made, tuple(remade), tuple(dissolved), _changes(seen.policies, wanted), warnings, tuple(restored))


def plan_ungroup(members: Members, seen: Snapshot, name: str = "sas") -> Plan:
    """Dissolve the whole groups that ``members`` are in; those in none stay as they are.

    :raises InputError: for an SA that is neither in a group nor in the kernel.
    """
    dissolved: list[Members] = []
    for number, said in enumerate(members):
        group_rules.check_name(said, f"{name}[{number}]")
        held = seen.group_of(said)
        if held:
            dissolved += [held] if held not in dissolved else []
        elif said.protocol != sa_chains.TUN and said not in seen.sas:
            raise group_rules.no_such_sa(said, f"{name}[{number}]")
    after = _without(dissolved, seen.policies, seen)
    changes = _changes(seen.policies, after)
    bare = [change.wanted for change in changes if change.wanted.direction == OUT and _protects_nothing(change.wanted)]
    warnings = [f"{describe(policy)} compresses only from now on: nothing encrypts its packets" for policy in bare]
    restored = tuple(
        said
        for group in dissolved
        for said in group
        if said in seen.tunnelled and not any(modes.needs_tunnel(policy, said, seen) for policy in after)
    )
    return Plan((), (), tuple(dissolved), changes, tuple(warnings), restored)


def _without(dissolved: Iterable[Members], policies: Sequence[Policy], seen: Snapshot) -> Sequence[Policy]:
    for members in dissolved:
        chain = sa_chains.transforms(members, seen.sas)
        policies = [
            sa_chains.without_chain(p) if len(p.templates) > 1 and sa_chains.carries(p, chain) else p for p in policies
        ]
    return policies


def _changes(held: Sequence[Policy], wanted: Sequence[Policy]) -> tuple[Change, ...]:
    return tuple(Change(*pair) for pair in zip(held, wanted, strict=True) if pair[0].templates != pair[1].templates)


def _protects_nothing(policy: Policy) -> bool:
    return all(template.protocol == IPCOMP for template in policy.templates)


def show(plan: Plan, members: Members) -> tuple[str, str]:
    """Before and after in lines: the groups and SAs concerned, as the classic listing has them, then the policies."""
    concerned = dict.fromkeys(said for each in (*plan.dissolved, plan.made or members) for said in each)
    stays = () if plan.made or plan.dissolved or not members else (members,)
    before, after = (*plan.dissolved, *stays), (plan.made,) if plan.made else stays
    modes = [
        "".join(f"{said} is in {mode} mode\n" for mode, saids in pairs for said in saids)
        for pairs in (
            (("transport", plan.remade), ("tunnel", plan.restored)),
            (("tunnel", plan.remade), ("transport", plan.restored)),
        )
    ]
    return (
        _lines(before, concerned, (change.held for change in plan.changes)) + modes[0],
        _lines(after, concerned, (change.wanted for change in plan.changes)) + modes[1],
    )


def _lines(groups: Iterable[Members], concerned: Iterable[Said], policies: Iterable[Policy]) -> str:
    grouped = {said for members in groups for said in members}
    # A tun alone is nothing.
    alone = [(said,) for said in concerned if said not in grouped and said.protocol != sa_chains.TUN]
    lines = [_text(members) for members in (*groups, *alone)]
    lines += [f"{describe(policy)}: {template_words(policy)}" for policy in policies]
    return "".join(f"{line}\n" for line in lines)


# Doing


def _do(client: XfrmClient, registry: Registry, plan: Plan, undo: ExitStack) -> None:
    for members in plan.dissolved:
        registry.remove_group(members[0])
    if plan.made:
        registry.add_group(plan.made)
    for said in plan.remade:
        registry.put_tunnelled(said)
        modes.must_remake(client, said, "tunnel", undo)
    if plan.made:
        for said in plan.restored:
            registry.drop_tunnelled(said)
            modes.must_remake(client, said, "transport", undo)
    _set_policies(client, plan.changes, undo)
    if not plan.made:
        _restore(client, registry, plan.restored, undo)


def _restore(client: XfrmClient, registry: Registry, saids: Members, undo: ExitStack) -> None:
    """Give SAs that no policy demands any more the mode that they had; whose keys are hidden waits for a group."""
    for said in saids:
        there = client.get_sa(said.destination, said.spi, said.protocol) is not None
        if modes.remake(client, said, "transport", undo) or not there:
            registry.drop_tunnelled(said)


def _set_policies(client: XfrmClient, changes: Sequence[Change], undo: ExitStack) -> None:
    outcomes = attempt(client, [(_put(change.wanted), _put(change.held)) for change in changes], undo)
    for change, outcome in zip(changes, outcomes, strict=True):
        if isinstance(outcome, KernelError) and outcome.errno == errno.EINVAL:
            detail = f"{outcome.detail} ({template_words(change.wanted)})"
            raise KernelError(outcome.operation, outcome.errno, detail)
        if outcome is not None:
            raise outcome


def _put(policy: Policy) -> Operation:
    # The kernel keeps the number of a policy that it replaces.
    return set_policy(policy._replace(index=0))


def read_listing(runtime_dir: str) -> list[Group]:
    """The groups of this host; nothing is changed nor created.

    :raises MissingError: without the permission, or without XFRM in the kernel.
    """
    with closing(XfrmClient()) as client, closing(RegistryView(runtime_dir)) as registry:
        return listing(look(client, registry), is_local)


# Group or ungroup.
_GROUPING: Transaction[Snapshot, Plan] = Transaction(look, _do)
preview, perform, carry_out = _GROUPING.preview, _GROUPING.perform, _GROUPING.carry_out


def template_words(policy: Policy) -> str:
    """``ESP 0x1a2b tunnel, AH transport``: what a policy demands, innermost first."""
    return ", ".join(
        f"{PROTOCOL_NAMES.get(t.protocol, t.protocol)}{f' 0x{t.spi:x}' if t.spi else ''} {t.mode}"
        for t in policy.templates
    )


def _text(members: Iterable[Said]) -> str:
    return " ".join(map(str, members))
