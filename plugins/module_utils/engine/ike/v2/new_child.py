# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CREATE_CHILD_SA: further children, and what its three uses share (RFC 7296 section 1.3)."""

from __future__ import annotations

from typing import Any

from ...crypto.negotiation import choose_esp, offer_esp
from ...errors import CHILD, IkeError
from ...selector import Selector
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.numbers import ExchangeType, NotifyType
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..connection import ChildConfig
from ..context import Context
from . import auth, children, fallback, follow_up, key_exchange, twins
from .features import rows
from .incoming import Incoming
from .initiation import MAX_RESTARTS, NONCE_OCTETS
from .sa import IkeSa, Kind, Making, Request, State, Task
from .traffic import narrow


def begin(context: Context, sa: IkeSa, task: Task) -> tuple[int, list[Any]] | None:
    """Ask for one more child; None when it is up already."""
    config = task.terms
    living = [c for c in sa.children.values() if c.config.name == config.name and children.serves(c)]
    if living and (task.packet is None or any(children.takes(c, task.packet) for c in living)):
        return None
    task.spi = children.reserve_spi(context, sa, config)
    if living and task.packet is not None:
        local, remote = children.rest_selectors(config, living, task.packet)
    else:
        local, remote = children.asked_selectors(sa, config)
    return ExchangeType.CREATE_CHILD_SA, request_payloads(context, sa, task, config, [], local, remote)


def request_payloads(
    context: Context,
    sa: IkeSa,
    task: Task,
    config: ChildConfig,
    head: list[Any],
    local: tuple[Selector, ...],
    remote: tuple[Selector, ...],
) -> list[Any]:
    """The payloads that a new child and a rekeyed one share; keeps nonce and key exchange in ``task``."""
    task.nonce = context.entropy.octets(NONCE_OCTETS)
    offered = fallback.offer(sa, task)
    guess = key_exchange.guess(sa, (row for proposal in offered for row in proposal.ke), task.group, task.child)
    payloads = [
        *head,
        *rows.FEATURES.child_offers(config),
        SA(offer_esp(offered, task.spi, with_ke=True)),
        Nonce(task.nonce),
    ]
    if guess is not None:
        task.exchange = context.entropy.key_exchange(guess.transform_id)
        payloads.append(KE(guess.transform_id, task.exchange.public))
    return payloads + children.selector_payloads(local, remote, True)


def answered(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """The peer's answer to a new child."""
    child = from_answer(context, sa, got.payloads, request.task)
    auth.new_child_up(context, sa, request.task, child)
    if not request.task.reason:
        twins.settle_crossed(sa, child)


def from_answer(context: Context, sa: IkeSa, payloads: Payloads, task: Task) -> Any:
    """The child that the answer to a new or rekeyed child describes.

    :raises IkeError: scope child.
    """
    nonces = (task.nonce, payloads.need(Nonce).data)
    try:
        return auth.child_from_answer(context, sa, task, fallback.offer(sa, task), payloads, nonces)
    except IkeError:
        children.close_at_peer(sa, task)
        raise


def refused(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """An error notify in place of a new child."""
    task = request.task
    if retry_with_group(context, sa, got.payloads, task):
        return
    error = got.payloads.need_error()
    if error.type in (NotifyType.TEMPORARY_FAILURE, NotifyType.STATE_NOT_FOUND):
        children.release_spi(context, sa, task.terms, task.spi)
        fallback.put_off(context, sa, task)
        return
    raise auth.child_refusal(task.terms, fallback.offer(sa, task), error.type)


def retry_with_group(context: Context, sa: IkeSa, payloads: Payloads, task: Task) -> bool:
    """INVALID_KE_PAYLOAD: ask again at once with the group the peer wants, if we allow it.

    Its definition may change meanwhile, and it wants another one then.
    """
    error = payloads.notify(NotifyType.INVALID_KE_PAYLOAD)
    if error is None or len(error.data) != 2 or task.restarts >= MAX_RESTARTS:
        return False
    group = int.from_bytes(error.data, "big")
    if task.exchange is not None and group == task.exchange.group:
        return False
    proposals = fallback.offer(sa, task) if task.config is not None else sa.connection.proposals
    if group not in {row.transform_id for proposal in proposals for row in proposal.ke}:
        return False
    if task.config is not None:
        children.release_spi(context, sa, task.terms, task.spi)
    again = Task(task.kind, config=task.config, child=task.child, group=group, reason=task.reason, rung=task.rung)
    again.packet, again.times, again.restarts = task.packet, task.times, task.restarts + 1
    sa.queue.insert(0, again)
    return True


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer asks for one more child."""
    _check(context, sa)
    payloads = got.payloads
    asked = rows.FEATURES.asked_child(sa, payloads, payloads.need(TSr).selectors, payloads.need(TSi).selectors)
    narrowed = narrow(sa.connection.children, asked.local, asked.remote, asked.mode)
    choice = choose_esp(narrowed.config.proposals, payloads.need(SA).proposals)
    nonce = payloads.need(Nonce).data
    ours, secrets, extra = key_exchange.answer(context, choice.ke, payloads.one(KE))
    spi = auth.reserve(context, sa, narrowed, choice)
    making = Making(choice, (nonce, ours), spi, secrets, _check_again, _make, narrowed)
    more = follow_up.proceed(context, sa, making)
    return [*auth.child_payloads(narrowed, choice, spi), Nonce(ours), *extra, *more]


def _check(context: Context, sa: IkeSa) -> None:
    """Whether the peer may have one more child.

    :raises IkeError: scope child.
    """
    if being_replaced(sa):
        raise IkeError(NotifyType.TEMPORARY_FAILURE, "the IKE SA is being rekeyed", CHILD, reason="peer_busy")
    children.refuse_in_retired(sa)
    # Who begins no IKE SA has no other one to offer, and this one may be what the peer has made anew already.
    if sa.superseded and sa.connection.starts:
        story = "the definition changed: what is up stays until its successor is there, nothing new is made"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="replaced")
    if len(sa.children) >= context.settings.max_children:
        raise IkeError(NotifyType.NO_ADDITIONAL_SAS, "the IKE SA has all the children it may have", CHILD)


def _check_again(context: Context, sa: IkeSa, making: Making) -> None:
    _check(context, sa)
    if making.narrowed is None or making.narrowed.config not in sa.connection.children:
        raise IkeError(NotifyType.TEMPORARY_FAILURE, "the definition of the child changed", CHILD, reason="replaced")


def _make(context: Context, sa: IkeSa, making: Making) -> None:
    child = children.answer(context, sa, making)
    children.take_up(context, sa, child)
    children.report_up(context, sa, child)
    twins.settle_crossed(sa, child)


def respond_busy(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer wants to make or replace something in an IKE SA that is on its way out (section 2.25)."""
    raise IkeError(NotifyType.TEMPORARY_FAILURE, "this IKE SA is being closed", CHILD, reason="peer_busy")


def being_replaced(sa: IkeSa) -> bool:
    """Whether no child may be made or rekeyed in this IKE SA just now (section 2.25.2)."""
    rekeying = sa.request is not None and sa.request.task.kind is Kind.REKEY_IKE
    return rekeying or sa.state is not State.ESTABLISHED


def failed(context: Context, sa: IkeSa, task: Task, reason: str, story: str) -> None:
    """A new child was refused or its answer was unusable."""
    children.release_spi(context, sa, task.terms, task.spi)
    fallback.new_child_refused(context, sa, task, reason, story)
    fallback.ask_later(context, sa, task, reason)
