# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set and remove eroutes by hand (``ipsec eroute``): look, let shunt_plan.py decide, do all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial

from ..errors import EngineError, MissingError
from ..kernel.client import (
    Operation,
    XfrmClient,
    create_policy,
    delete_policy,
    delete_policy_index,
    describe,
    set_policy,
)
from ..kernel.registry import Registry, RegistryView
from ..kernel.routes import Routes
from . import group_snapshot, shunt_rules
from .shunt import number_of, of_shape
from .shunt_plan import Plan, PolicyChange
from .shunt_snapshot import Seen
from .transaction import Transaction, attempt

Decide = Callable[[Seen], Plan]


def look(client: XfrmClient, registry: RegistryView) -> Seen:
    """Read all that a decision needs.

    :raises MissingError: without the permission.
    """
    kernel = group_snapshot.look(client, registry)
    shunts = {number: of_shape(*row) for number, row in registry.shunts().items()}
    problems = [cache(partial(_problem, require)) for require in (shunt_rules.require, shunt_rules.require_ways)]
    return Seen(
        kernel, shunts, registry.children(), shunt_rules.read(), problems[0], cache(_addresses), way_problem=problems[1]
    )


def _problem(require: Callable[[], None]) -> MissingError | None:
    try:
        require()
    except MissingError as exc:
        return exc
    return None


def _addresses() -> Sequence[str]:
    try:
        with Routes() as routes:
            return routes.local_addresses()
    except EngineError:
        # They are for warnings only.
        return ()


def show(plan: Plan) -> tuple[str, str]:
    """Before and after in lines, for a diff; what was damaged shows the policies that were missing or different."""
    before = [change.before.words for change in plan.changes if change.before]
    after = [change.after.words for change in plan.changes if change.after]
    damaged = {change.number for change in plan.changes if change.before == change.after}
    for held, wanted in plan.policies:
        if wanted is not None and number_of(wanted) in damaged:
            before += [f"policy {describe(wanted)}: {'different' if held else 'missing'}"]
            after += [f"policy {describe(wanted)}"]
        elif wanted is None and held is not None and number_of(held) not in {change.number for change in plan.changes}:
            before += [f"policy {describe(held)}: left by a run that was killed"]
    if plan.rules is not None and not plan.changes:
        before, after = ["rules of nftables: missing or different"], ["rules of nftables"]
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)


def _do(client: XfrmClient, registry: Registry, plan: Plan, undo: ExitStack) -> None:
    for change in plan.changes:
        if change.after is None:
            registry.drop_shunt(change.number)
        else:
            registry.put_shunt(change.number, change.after.owner, change.after.shape())
    if plan.rules is not None:
        shunt_rules.apply(plan.rules, plan.state)
        undo.callback(_restore_rules, plan)
    for outcome in attempt(client, [pair for change in plan.policies for pair in _operations(change)], undo):
        if outcome is not None:
            raise outcome


def _restore_rules(plan: Plan) -> None:
    before = plan.rules_before if plan.state is not None else ()
    try:
        shunt_rules.apply(before, shunt_rules.read())
    except EngineError:
        # The first failure is what the user has to hear of; rules without their policies stop packets, not more.
        return


def _operations(change: PolicyChange) -> Iterator[tuple[Operation, Operation]]:
    """What a change takes, and what undoes it."""
    held, wanted = change
    if held is not None and wanted is not None:
        # Replacing sends what the old policy held.
        yield set_policy(wanted), set_policy(held)
    elif wanted is not None:
        yield create_policy(wanted), delete_policy(wanted)
    elif held is not None:
        yield delete_policy_index(held), create_policy(held)


_SETTING: Transaction[Seen, Plan] = Transaction(look, _do)
preview = _SETTING.preview


def perform(runtime_dir: str, decide: Decide) -> Plan:
    """See :meth:`.transaction.Transaction.perform`. Where there is nothing to do, nothing is written at all."""
    plan = preview(runtime_dir, decide)
    return _SETTING.perform(runtime_dir, decide) if plan.changed else plan
