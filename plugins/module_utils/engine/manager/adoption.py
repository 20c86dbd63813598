# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take over what the process before left in the kernel and in its journal, so that neither peers nor packets notice.

In this order: the tunnels and IKE SAs as they were in operation; what was about to be done, once more; what the kernel
did meanwhile; the definitions as the database has them now; and last, what nobody needs goes. Policies and routes that
are needed are not touched. Where there is no journal nothing is known of any SA, and all of them go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ..child_sa import ChildSa
from ..definition.difference import changes
from ..errors import EngineError
from ..ike.action_codec import thaw_actions
from ..ike.actions import Acquire, Action, Expire, InstallInbound, InstallOutbound, PointPolicies
from ..ike.endpoint import Endpoint
from ..ike.views import ChildStage, ChildView
from ..kernel.changes import POLICIES
from ..kernel.policies import packet_selectors
from ..kernel.registry import Child
from ..kernel.values import Policy, SaState
from .action_executor import ActionExecutor, claimant, closes, sends
from .desired_policies import DesiredPolicies
from .host import KernelHost
from .journal import Journal, Kept
from .log import Log
from .losses import Name, ends_of, inbound, lost_policies, outbound, sas_of
from .plan import Step
from .policy_claims import RECEIVES, place_of
from .renames import renames
from .repairs import Repairs
from .states import needed
from .store import Put, Stored
from .tunnels import Act, Tunnels


class Successor(NamedTuple):
    """The parts of the process that goes on.

    :ivar act: performs actions of the protocol engine. :ivar clock: the time in seconds, monotonic.
    """

    endpoint: Endpoint
    tunnels: Tunnels
    policies: DesiredPolicies
    repairs: Repairs
    executor: ActionExecutor
    host: KernelHost
    journal: Journal
    log: Log
    act: Act
    clock: Callable[[], float]


def adopt(successor: Successor, rows: Mapping[str, Stored], kept: Kept) -> None:
    """Go on where the process before ended.

    :param rows: the database; ``kept``: the journal.
    :raises EngineError: the kernel cannot be used.
    """
    for row in kept.rows.values():
        successor.tunnels.resume(row)
    pending, problems = successor.endpoint.resume(kept.records, successor.clock())
    _claim(successor)
    for tunnel, problem in problems.items():
        successor.log.warning("its state cannot be used, it is set up anew", tunnel=tunnel, problem=problem)
    _do_again(successor, kept.undone)
    successor.act(pending)
    _let_go_unknown(successor, rows, kept)
    _catch_up(successor)
    _keep_what_is_left(successor, rows)
    _carry_on(successor, rows, kept)
    _tidy(successor)
    _answer_waiting_packets(successor)
    sas = successor.endpoint.counts().ike
    if sas:
        successor.log.info("went on with what the manager before had", ike_sas=sas)


def _children(successor: Successor) -> list[ChildView]:
    return [child for sa in successor.endpoint.sas() for child in sa.children]


# What was about to be done


def _do_again(successor: Successor, undone: list[list[object]]) -> None:
    """Do what the process before may not have got round to; some of it, or all, is done."""
    living = {child.number: child for child in successor.endpoint.child_sas()}
    try:
        actions = thaw_actions(undone, living.get)
    except (LookupError, TypeError, ValueError) as exc:
        # What the kernel lacks shows below; peers repeat their requests, and we ours.
        successor.log.warning("what was about to be done cannot be read", problem=str(exc))
        return
    standing = _standing(successor)
    todo = [action for each in actions if (action := _left_of(each, standing)) is not None]
    for failure in successor.executor.perform(todo):
        successor.act(successor.endpoint.kernel_event(failure, successor.clock()))


def _left_of(action: Action, standing: set[Name]) -> Action | None:
    """What is still to do of an action: an SA that stands is not installed for a second time."""
    if isinstance(action, InstallInbound) and inbound(action.child) in standing:
        return None
    if isinstance(action, InstallOutbound) and outbound(action.child) in standing:
        return PointPolicies(action.child)
    return action


def _name(sa: SaState) -> Name:
    return sa.destination, sa.protocol, sa.spi


def _standing(successor: Successor) -> set[Name]:
    return {_name(sa) for sa in successor.host.gateway.held_sas() if not sa.larval}


# What the kernel did meanwhile


def _catch_up(successor: Successor) -> None:
    """The events that nobody heard: SAs that reached a hard limit and are gone, and soft limits that are passed."""
    standing = {_name(sa): sa for sa in successor.host.gateway.held_sas() if not sa.larval}
    for child in _children(successor):
        # One that is gone is found when all is compared at last.
        held = [sa for end in ends_of(child) if (sa := standing.get(end)) is not None]
        if any(_beyond_soft_limit(child.sa, one) for one in held):
            event = Expire(child.sa.local_address, child.sa.protocol, child.sa.spi_in, False)
            successor.act(successor.endpoint.kernel_event(event, successor.clock()))


def _beyond_soft_limit(child: ChildSa, sa: SaState) -> bool:
    limits = child.lifetime
    return 0 < limits.soft_bytes <= sa.bytes or 0 < limits.soft_packets <= sa.packets


def _answer_waiting_packets(successor: Successor) -> None:
    """The packets that wait for an SA, and that nobody heard of."""
    for sa in successor.host.gateway.held_sas():
        if sa.hold:
            successor.tunnels.acquired(Acquire(sa.reqid, *packet_selectors(sa.selector)))


# What the database says


def _carry_on(successor: Successor, rows: Mapping[str, Stored], kept: Kept) -> None:
    """From the tunnels as they were in operation to those of the database, as if it changed only now."""
    tunnels = successor.tunnels
    fresh: dict[str, Stored | None] = {}
    gone = {name: before for name, before in kept.rows.items() if name not in rows}
    made = [
        (name, row.wanted, row.definition) for name, row in rows.items() if name not in kept.rows and not row.unreadable
    ]
    again = renames(gone, made) if gone and made else {}
    for name, old in again.items():
        put = Put(rows[name].owner, rows[name].wanted, rows[name].definition, rows[name].asked)
        tunnels.rename(old, Step(name, "created", "none", None, put), rows[name])
    for name, last in gone.items():
        if name not in again.values():
            tunnels.carry_out(Step(name, "removed", "none", last, None), None)
        fresh[name] = None
    for name, row in rows.items():
        before = kept.rows.get(again.get(name, name))
        if before is None or before == row or name in again or row.unreadable:
            tunnels.adopt(row)
        else:
            tunnels.carry_out(_difference(before, row, tunnels.condition(name).running().children), row)
        if before != row:
            fresh[name] = row
        if tunnels.condition(name).state == "active":
            tunnels.retry.succeeded(name)
        tunnels.settle_numbers(name)
    tunnels.settle_instances()
    if fresh:
        successor.journal.keep_rows(fresh)


def _difference(before: Stored, row: Stored, running: frozenset[str]) -> Step:
    """The step that was cut short between the database and the tunnel."""
    differences = tuple(changes(before.definition, row.definition, running))
    after = Put(row.owner, row.wanted, row.definition, row.asked)
    step = Step(row.name, "changed", "hot", before, after, differences)
    ended = tuple(name for name, asked in row.asked.items() if not asked and before.asked.get(name, True))
    if row.wanted != before.wanted and row.wanted == "inactive":
        return replace(step, halts=True)
    if row.wanted != before.wanted and row.wanted == "ike" and needed(before) and not needed(row):
        return replace(step, halts=True, phase=2)
    return replace(step, halts=True, phase=2, only=ended) if ended else step


# What nobody needs


def _let_go_unknown(successor: Successor, rows: Mapping[str, Stored], kept: Kept) -> None:
    """Remove what belongs to no tunnel any more: it would stand in the way of those there are."""
    defined = {(name, child) for row in (*kept.rows.values(), *rows.values()) for name, child in _names(row)}
    registry = successor.host.registry
    keep = {reqid for reqid, names in registry.children().items() if (names.tunnel, names.child) in defined}
    keep |= {child.reqid for child in successor.endpoint.child_sas()}
    # Instances are in no database, and one may be up without a child just now.
    instances = [connection for connection in successor.endpoint.connections if connection.definition]
    keep |= {child.reqid for connection in instances for child in connection.children}
    sas, policies = successor.host.gateway.cleanup(frozenset(keep))
    for reqid in registry.children().keys() - keep:
        registry.forget(reqid)
    if sas or policies:
        successor.log.info("removed what no tunnel has", sas=sas, policies=policies)


def _names(row: Stored) -> Iterator[tuple[str, str]]:
    return ((row.name, child) for child in row.children)


def _claim(successor: Successor) -> None:
    """The policies that the children have, before anything else can be wanted in their place."""
    for child in _children(successor):
        successor.policies.claim(claimant(child.sa), _rank(child), successor.executor.owned(child.sa), True)
    successor.policies.trust()


def _rank(child: ChildView) -> tuple[int, int]:
    if child.stage is ChildStage.RECEIVING:
        return RECEIVES, 0
    return closes(child.sa) if child.stage is ChildStage.ENDING else sends(child.sa)


def _keep_what_is_left(successor: Successor, rows: Mapping[str, Stored]) -> None:
    """What holds the place of a child goes on to do so, whatever is wanted of it, until its tunnel is stopped.

    Where its definition cannot be read, that policy itself is all that tells which place it is.
    """
    for policy in successor.host.gateway.held_policies():
        names = successor.host.registry.names(policy.reqid)
        if names is None or successor.policies.claims_at(place_of(policy)):
            continue
        row = rows.get(names.tunnel)
        if row is not None and row.unreadable and row.wanted != "inactive":
            _hold_found(successor, policy, names)
        else:
            successor.tunnels.places.traps.leave(names.tunnel, [names.child])


def _hold_found(successor: Successor, policy: Policy, names: Child) -> None:
    try:
        successor.tunnels.places.found.hold(policy, names)
    except EngineError as exc:
        successor.log.error(f"what was found in the kernel cannot be held: {exc}", tunnel=names.tunnel)


def _tidy(successor: Successor) -> None:
    """Leave in the kernel what is needed and nothing else; put right what points to nowhere."""
    gateway = successor.host.gateway
    reserved = {spi for sa in successor.endpoint.sas() for spi in sa.reserved}
    needed = {end for child in successor.endpoint.child_sas() for end in sas_of(child)}
    doomed = [
        sa
        for sa in gateway.held_sas()
        if not sa.hold and _name(sa) not in needed and not (sa.larval and sa.spi in reserved)
    ]
    repairs = successor.policies.audit(gateway.standing_policies())
    lost = lost_policies(successor.policies, (repair for repair in repairs if repair.held is None))
    successor.repairs.found(POLICIES, lost.values())
    for refusal in successor.policies.settle():
        successor.log.error(str(refusal.problem))
    unwanted = sum(1 for repair in repairs if repair.wanted is None)
    if doomed or unwanted:
        gateway.discard(doomed, ())
        successor.log.info("removed what no tunnel has", sas=len(doomed), policies=unwanted)
    _open_ways(successor)
    successor.host.tidy_ways()


def _open_ways(successor: Successor) -> None:
    """The routes of what is up, which the host has to know for theirs."""
    for child in _children(successor):
        if child.stage is not ChildStage.RECEIVING:
            try:
                successor.host.open_way(successor.executor.owned(child.sa))
            except EngineError as exc:
                # Forwarded packets may have their route already; the SA serves them.
                successor.log.warning(f"no route for child {child.sa.child}: {exc}", tunnel=child.sa.tunnel)
