# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set and remove eroutes by hand (``ipsec eroute``): look, let shunt_plan.py decide, do all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache

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
from ..kernel.values import Policy
from ..newer_python import zip
from . import groups, shunt_rules
from .shunt import number_of, of_shape
from .shunt_plan import Plan, PolicyChange, Seen

Decide = Callable[[Seen], Plan]


def look(client: XfrmClient, registry: RegistryView) -> Seen:
    """Read all that a decision needs.

    :raises MissingError: without the permission.
    """
    kernel = groups.look(client, registry)
    shunts = {number: of_shape(*row) for number, row in registry.shunts().items()}
    return Seen(kernel, shunts, registry.children(), shunt_rules.read(), cache(_problem), cache(_addresses))


def _problem() -> MissingError | None:
    try:
        shunt_rules.require()
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


def carry_out(client: XfrmClient, registry: Registry, decide: Decide) -> Plan:
    """Decide and do, alone. On any failure all is as before.

    :raises EngineError: from ``decide``, or from the kernel.
    """
    undo: list[Operation] = []
    plan = Plan()
    ruled = False
    try:
        with registry.changing():
            plan = decide(look(client, registry))
            for change in plan.changes:
                if change.after is None:
                    registry.drop_shunt(change.number)
                else:
                    registry.put_shunt(change.number, change.after.owner, change.after.shape())
            if plan.rules is not None:
                shunt_rules.apply(plan.rules, plan.state)
                ruled = True
            _set_policies(client, plan.policies, undo)
    except EngineError:
        client.batch(undo[::-1])
        if ruled:
            _restore_rules(plan)
        raise
    return plan


def _restore_rules(plan: Plan) -> None:
    before = plan.rules_before if plan.state is not None else ()
    try:
        shunt_rules.apply(before, shunt_rules.read())
    except EngineError:
        # The first failure is what the user has to hear of; rules without their policies stop packets, not more.
        return


def _set_policies(client: XfrmClient, changes: Sequence[PolicyChange], undo: list[Operation]) -> None:
    outcomes = client.batch([_do(*change) for change in changes])
    undo += [_undo(*change) for change, outcome in zip(changes, outcomes, strict=True) if outcome is None]
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


def _do(held: Policy | None, wanted: Policy | None) -> Operation:
    if wanted is None:
        return delete_policy_index(held)
    # Replacing sends what the old policy held.
    return create_policy(wanted) if held is None else set_policy(wanted)


def _undo(held: Policy | None, wanted: Policy | None) -> Operation:
    if held is None:
        return delete_policy(wanted)
    return create_policy(held) if wanted is None else set_policy(held)


def preview(runtime_dir: str, decide: Decide) -> Plan:
    """What :func:`perform` would do; nothing is changed.

    :raises EngineError: as :func:`carry_out`, as far as looking tells.
    """
    with closing(XfrmClient()) as client, closing(RegistryView(runtime_dir)) as registry:
        return decide(look(client, registry))


def perform(runtime_dir: str, decide: Decide) -> Plan:
    """Set or remove; see :func:`carry_out`. Where there is nothing to do, nothing is written at all."""
    plan = preview(runtime_dir, decide)
    if not plan.changed:
        return plan
    with closing(XfrmClient()) as client, closing(Registry(runtime_dir)) as registry:
        return carry_out(client, registry, decide)
