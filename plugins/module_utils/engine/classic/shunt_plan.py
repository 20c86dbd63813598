# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what setting or removing eroutes by hand takes: policies, rules of nftables, and whose they are."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from ..errors import InputError, KernelError, RefusedError
from ..kernel.client import describe
from ..kernel.policies import covers, is_pass, network
from ..kernel.values import IN, KernelSelector, Policy
from . import shunt_rules
from .shunt import DROP, IPSEC, NUMBERS, PASS, REJECT, TRAP, Key, Shunt, answers, is_answer, number_of, overlap
from .shunt_snapshot import Seen, name_of_policy, stray_number
from .shunt_templates import with_templates
from .shunt_wish import Wish, settle

Place = tuple[KernelSelector, str]


class PolicyChange(NamedTuple):
    """A policy before and after; None where there is none."""

    held: Policy | None
    wanted: Policy | None


class Change(NamedTuple):
    """A shunt before and after; None for one that is not there. Where both are the same, it was damaged."""

    number: int
    before: Shunt | None
    after: Shunt | None


@dataclass(frozen=True)
class Plan:
    """What it takes.

    :ivar changes: the shunts that change.
    :ivar policies: (held, wanted) policies, in order.
    :ivar rules: of nftables, as they are to be; ``rules_before`` as they were; None when they stay.
    :ivar warnings: what the operator should know about it.
    """

    changes: tuple[Change, ...] = ()
    policies: tuple[PolicyChange, ...] = ()
    rules: Sequence[shunt_rules.Rule] | None = None
    rules_before: Sequence[shunt_rules.Rule] = ()
    state: shunt_rules.State | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done at all."""
        return bool(self.changes or self.policies or self.rules is not None)


def plan_present(seen: Seen, wishes: Sequence[Wish], owner: str, purge: bool = False) -> Plan:
    """Let these stand as wanted; what stands in the way of one and is not the owner's is refused.

    :param purge: whether all others of the owner go.
    :raises InputError: naming the field. KernelError: another has a policy with one of these selectors. MissingError: a
        %reject, or counting that was asked for, needs what this host lacks.
    """
    after = dict(seen.shunts)
    free = _free_numbers(seen)
    numbers: dict[int, Wish] = {}
    keys: set[Key] = set()
    for wish in wishes:
        key = wish.shunt.key
        if key in keys:
            raise InputError(wish.field("source"), wish.shunt.line, "is listed twice", "leave out one of both")
        keys.add(key)
        number = seen.by_key.get(key)
        held = None if number is None else seen.shunts[number]
        _check_owner(held, owner, wish.field)
        number = next(free, None) if number is None else number
        if number is None:
            raise KernelError("add an eroute", errno.ENOSPC, "all numbers of our range are in use")
        after[number], numbers[number] = settle(wish, held, seen), wish
    gone = [n for n, s in seen.shunts.items() if purge and s.owner == owner and n not in numbers]
    for number in gone:
        del after[number]
    return _plan(seen, after, [*numbers, *gone], {n: wish.field for n, wish in numbers.items()})


def _free_numbers(seen: Seen, taken: Iterable[int] = ()) -> Iterator[int]:
    used = (
        set(seen.shunts) | set(taken) | {number for p in seen.kernel.policies if (number := number_of(p)) is not None}
    )
    return (number for number in NUMBERS if number not in used)


def plan_add(seen: Seen, wish: Wish, owner: str) -> Plan:
    """Add one that is not there yet.

    :raises KernelError: EEXIST when one with these selectors is there. Others: as :func:`plan_present`.
    """
    number = seen.by_key.get(wish.shunt.key)
    if number is not None:
        detail = f"there is one with these selectors already: {seen.shunts[number].words}; replace it with --replace"
        raise KernelError("add the eroute", errno.EEXIST, detail)
    return plan_present(seen, [wish], owner)


def plan_absent(seen: Seen, keys: Iterable[tuple[Key, Callable[[str], str]]], owner: str) -> Plan:
    """Let none stand for these packets; what is not ours is left alone.

    :param keys: each with what the user calls it, as :class:`Wish` has it.
    :raises RefusedError: one is another owner's.
    """
    after = dict(seen.shunts)
    gone = []
    for key, name in keys:
        number = seen.by_key.get(key, seen.strays.get(key))
        if number in after:
            _check_owner(after[number], owner, name)
            del after[number]
        if number is not None and number not in gone:
            gone.append(number)
    return _plan(seen, after, gone, {})


def plan_delete(seen: Seen, key: Key, line: str, owner: str) -> Plan:
    """Remove the one for these packets.

    :param line: what the user wrote, for the error.
    :raises KernelError: ENOENT when there is none of ours. RefusedError: it is another owner's.
    """
    if key not in seen.by_key and key not in seen.strays:
        raise KernelError("delete the eroute", errno.ENOENT, f"ipsec eroute has made none for {line}")
    return plan_absent(seen, [(key, lambda name: f"--{name}")], owner)


def plan_repair(seen: Seen) -> Plan:
    """Put back what is missing of the shunts there are; one that leads to an SA that is gone has to wait for it."""
    whole = [number for number, shunt in seen.shunts.items() if _can_stand(shunt, number, seen)]
    return _plan(seen, seen.shunts, whole, dict.fromkeys(whole, str))


def _can_stand(shunt: Shunt, number: int, seen: Seen) -> bool:
    try:
        with_templates(shunt, number, seen.kernel, "said")
    except InputError:
        return False
    return True


def plan_clear(seen: Seen, owner: str) -> Plan:
    """Remove all of the owner."""
    return plan_present(seen, [], owner, purge=True)


def _check_owner(held: Shunt | None, owner: str, name: Callable[[str], str]) -> None:
    if held is not None and held.owner != owner:
        raise RefusedError(
            name("owner"), owner, f"the eroute {held.line} belongs to {held.owner!r}",
            "name that owner, or let it remove the eroute first",
        )  # fmt: skip


def _plan(
    seen: Seen, after: Mapping[int, Shunt], numbers: Iterable[int], names: Mapping[int, Callable[[str], str]]
) -> Plan:
    numbers = list(numbers)
    removed = {number for number in numbers if number not in after}
    own, others = _standing(seen, removed)
    first: list[PolicyChange] = []
    puts: list[PolicyChange] = []
    last: list[PolicyChange] = []
    changes = []
    strays: set[int] = set()
    for number in numbers:
        wanted = [] if number in removed else with_templates(after[number], number, seen.kernel, names[number]("said"))
        left = dict(own.get(number, {}))
        before = len(puts)
        for policy in wanted:
            place = (policy.selector, policy.direction)
            held = left.pop(place, None)
            if held is None and place in others and is_pass(others[place]):
                # What passes by a tunnel gives way to what an operator sets; the manager has it stand again later.
                first.append(PolicyChange(others.pop(place), None))
            if held is None and place in others:
                stray = stray_number(others[place], seen)
                if stray is None:
                    _refuse(others[place], policy, seen)
                strays.add(stray)
            if held is None or _differs(held, policy):
                puts.append(PolicyChange(held, policy))
        # What is removed makes room for what comes; what is replaced goes when its successor stands.
        (first if number in removed else last).extend(PolicyChange(policy, None) for policy in left.values())
        if number not in seen.shunts and number not in after:
            continue
        if left or len(puts) > before or seen.shunts.get(number) != after.get(number):
            changes.append(Change(number, seen.shunts.get(number), after.get(number)))
    first += [PolicyChange(policy, None) for number in strays for policy in own[number].values()]
    if numbers:
        more, needless = _answers(seen, after, others)
        puts, last = [*more, *puts], [*last, *needless]
    rules = shunt_rules.rules_of(after, _ways(after, seen))
    stale = not shunt_rules.matches(seen.rules, rules)
    before_rules = shunt_rules.rules_of(seen.shunts, _ways(seen.shunts, seen))
    policies_ = (*first, *puts, *last)
    return Plan(
        tuple(changes), policies_, rules if stale else None, before_rules, seen.rules, _warnings(seen, changes, after)
    )  # fmt: skip


def _ways(shunts: Mapping[int, Shunt], seen: Seen) -> dict[int, int]:
    """The request IDs of the SAs that counted shunts lead to, as far as these are there."""
    found = {}
    for number, shunt in shunts.items():
        if shunt.action == IPSEC and shunt.counted and _can_stand(shunt, number, seen):
            found[number] = with_templates(shunt, number, seen.kernel, "said")[-1].templates[0].reqid
    return found


def _warnings(seen: Seen, changes: Iterable[Change], after: Mapping[int, Shunt]) -> tuple[str, ...]:
    """What stops packets from a network of ours to itself stops our own there: a login from the inside, too."""
    passing = [shunt.selector for shunt in after.values() if shunt.action == PASS]
    found = []
    for shunt in (change.after for change in changes if change.after):
        within = overlap(shunt.selector)
        if not within or shunt.selector.protocol or shunt.direction == IN or shunt.action not in (DROP, REJECT, TRAP):
            continue
        common = network(within.source, within.source_prefix)
        ours = next((each for each in seen.addresses() if ipaddress.ip_address(each) in common), None)
        if ours and not any(covers(wide, within) for wide in passing):
            found.append(
                f"{shunt.line} stops packets within {common} too, such as those from here ({ours}) to neighbours;"
                " set %pass from that network to itself first, or narrow the destination, if they are to pass"
            )
    return tuple(found)


def _answers(
    seen: Seen, after: Mapping[int, Shunt], others: Mapping[Place, Policy]
) -> tuple[list[PolicyChange], list[PolicyChange]]:
    """What lets the ICMP of every %reject out: policies that come, and those that nothing needs any more."""
    wanted = {(p.selector, p.direction): p for p in answers(after.values(), _free_numbers(seen, after))}
    come = [PolicyChange(None, p) for place, p in wanted.items() if place not in others]
    held = [p for p in seen.kernel.policies if is_answer(p) and (p.selector, p.direction) not in wanted]
    return come, [PolicyChange(p, None) for p in held]


def _standing(seen: Seen, removed: Collection[int]) -> tuple[dict[int, dict[Place, Policy]], dict[Place, Policy]]:
    """The kernel's policies: those of each shunt, and all that do not go with the ``removed`` ones."""
    own: dict[int, dict[Place, Policy]] = {}
    others: dict[Place, Policy] = {}
    for policy in seen.kernel.policies:
        if policy.if_id:
            continue
        number, place = number_of(policy), (policy.selector, policy.direction)
        if number is not None and not is_answer(policy):
            own.setdefault(number, {})[place] = policy
        if number not in removed:
            others[place] = policy
    return own, others


def _differs(held: Policy, wanted: Policy) -> bool:
    fields = ("priority", "action", "templates")
    return any(getattr(held, name) != getattr(wanted, name) for name in fields)


def _refuse(held: Policy, wanted: Policy, seen: Seen) -> NoReturn:
    number = number_of(held)
    if number is not None and number in seen.shunts:
        whose = f"the eroute {seen.shunts[number].words} has these selectors already"
    elif held.reqid in seen.children:
        whose = f"{name_of_policy(held, seen)} has these selectors already; choose narrower ones"
    else:
        whose = "another program has a policy with these selectors already; remove it, or choose other selectors"
    raise KernelError(f"set the policy {describe(wanted)}", errno.EEXIST, whose)
