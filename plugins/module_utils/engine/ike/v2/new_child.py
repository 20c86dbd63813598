# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CREATE_CHILD_SA: further children, and what its three uses share (RFC 7296 section 1.3)."""

from __future__ import annotations

from typing import Any

from ...crypto.negotiation import Choice, choose_esp, offer_esp
from ...errors import CHILD, IkeError
from ...secret import Secret
from ...selector import Selector
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.numbers import NotifyType
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..connection import ChildConfig
from ..context import Context
from . import auth, child_selectors, children, fallback, follow_up, generations, instances, key_exchange, surplus, twins
from .child import Child
from .features import rows
from .features.feature import ChildTalk
from .incoming import Incoming
from .initiation import MAX_RESTARTS, NONCE_OCTETS
from .sa import Creating, IkeSa, Making, RekeyIke, State
from .tasks import ChildTask, NewChild, RekeyChild, Request, Task
from .traffic import Narrowed, narrow


def begin(context: Context, sa: IkeSa, task: NewChild) -> list[Any] | None:
    """Ask for one more child; None when it is up already."""
    config = task.config
    living = [c for c in sa.children.values() if c.config.name == config.name and generations.serves(c)]
    if living and (task.packet is None or any(child_selectors.takes(c, task.packet) for c in living)):
        return None
    task.spi = children.reserve_spi(context, sa, config)
    if living and task.packet is not None:
        local, remote = child_selectors.rest_selectors(config, living, task.packet)
    else:
        local, remote = child_selectors.asked_selectors(sa, config)
    return request_payloads(context, sa, task, config, [], local, remote)


def request_payloads(
    context: Context,
    sa: IkeSa,
    task: ChildTask,
    config: ChildConfig,
    head: list[Any],
    local: tuple[Selector, ...],
    remote: tuple[Selector, ...],
) -> list[Any]:
    """The payloads that a new child and a rekeyed one share; keeps nonce and key exchange in ``task``."""
    task.nonce = context.entropy.octets(NONCE_OCTETS)
    offered = fallback.offer(sa, task)
    replaced = task.child if isinstance(task, RekeyChild) else None
    guess = key_exchange.guess(sa, (row for proposal in offered for row in proposal.ke), task.group, replaced)
    payloads = [
        *head,
        *rows.FEATURES.child_offers(ChildTalk(context, sa, config, task.spi)),
        SA(offer_esp(offered, task.spi, with_ke=True)),
        Nonce(task.nonce),
    ]
    if guess is not None:
        task.exchange = context.entropy.key_exchange(guess.transform_id)
        payloads.append(KE(guess.transform_id, task.exchange.public))
    return payloads + child_selectors.selector_payloads(local, remote, True)


def answered(context: Context, sa: IkeSa, got: Incoming, request: Request[NewChild]) -> None:
    """The peer's answer to a new child."""
    child = from_answer(context, sa, got.payloads, request.task)
    auth.new_child_up(context, sa, request.task, child)
    if not request.task.reason:
        twins.settle_crossed(sa, child)


def from_answer(context: Context, sa: IkeSa, payloads: Payloads, task: ChildTask) -> Child:
    """The child that the answer to a new or rekeyed child describes.

    :raises IkeError: scope child.
    """
    nonces = (task.nonce, payloads.need(Nonce).data)
    try:
        return auth.child_from_answer(context, sa, task, fallback.offer(sa, task), payloads, nonces)
    except IkeError:
        children.close_at_peer(sa, task)
        raise


def refused(context: Context, sa: IkeSa, got: Incoming, request: Request[NewChild]) -> None:
    """An error notify in place of a new child."""
    task = request.task
    if retry_with_group(context, sa, got.payloads, task):
        return
    error = got.payloads.need_error()
    if error.type in (NotifyType.TEMPORARY_FAILURE, NotifyType.STATE_NOT_FOUND):
        children.release_spi(context, sa, task.config, task.spi)
        fallback.put_off(context, sa, task)
        return
    raise auth.child_refusal(task.config, fallback.offer(sa, task), error.type)


def retry_with_group(context: Context, sa: IkeSa, payloads: Payloads, task: Creating) -> bool:
    """INVALID_KE_PAYLOAD: ask again at once with the group the peer wants, if we allow it.

    Its definition may change meanwhile, and it wants another one then.
    """
    error = payloads.notify(NotifyType.INVALID_KE_PAYLOAD)
    if error is None or len(error.data) != 2 or task.restarts >= MAX_RESTARTS:
        return False
    group = int.from_bytes(error.data, "big")
    if task.exchange is not None and group == task.exchange.group:
        return False
    proposals = sa.connection.proposals if isinstance(task, RekeyIke) else fallback.offer(sa, task)
    if group not in {row.transform_id for proposal in proposals for row in proposal.ke}:
        return False
    if not isinstance(task, RekeyIke):
        children.release_spi(context, sa, task.terms, task.spi)
    sa.queue.insert(0, task.with_group(group))
    return True


class ChildMaking(Making):
    """A child that the peer asked for.

    :ivar narrowed: what it is to carry.
    """

    __slots__ = ("narrowed",)

    def __init__(
        self, choice: Choice, nonces: tuple[bytes, bytes], spi: bytes, secrets: tuple[Secret, ...], narrowed: Narrowed
    ) -> None:
        super().__init__(choice, nonces, spi, secrets)
        self.narrowed = narrowed

    def child(self, context: Context, sa: IkeSa) -> Child:
        """The child itself; nothing is installed yet."""
        terms = self.narrowed, self.choice, self.spi, self.nonces, self.secrets
        return children.make(context, sa, *terms, started_exchange=False)

    def give_up(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        children.release_spi(context, sa, self.narrowed.config, self.spi)


class _Further(ChildMaking):
    """One more child."""

    __slots__ = ()

    def check(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        _check(context, sa)
        if self.narrowed.config not in sa.connection.children:
            raise redefined()
        instances.check_packets(context, sa, self.narrowed)

    def make(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        child = self.child(context, sa)
        children.take_up(context, sa, child)
        children.report_up(context, sa, child)
        twins.settle_crossed(sa, child)
        surplus.close_children(context, sa, child)

    def holds(self, task: Task) -> bool:
        """See :class:`.sa.Making`."""
        return isinstance(task, RekeyIke)


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer asks for one more child."""
    _check(context, sa)
    payloads = got.payloads
    asked = rows.FEATURES.asked_child(sa, payloads, payloads.need(TSr).selectors, payloads.need(TSi).selectors)
    narrowed = narrow(sa.connection.children, asked.local, asked.remote, asked.mode)
    instances.check_packets(context, sa, narrowed)
    surplus.check_alike(context, sa, narrowed)
    choice = choose_esp(narrowed.config.proposals, payloads.need(SA).proposals)
    nonce = payloads.need(Nonce).data
    ours, secrets, extra = key_exchange.answer(context, choice.ke, payloads.one(KE))
    spi = auth.reserve(context, sa, narrowed, choice)
    answer = auth.child_payloads(ChildTalk(context, sa, narrowed.config, spi, payloads), narrowed, choice)
    more = follow_up.proceed(context, sa, _Further(choice, (nonce, ours), spi, secrets, narrowed))
    return [*answer, Nonce(ours), *extra, *more]


def _check(context: Context, sa: IkeSa) -> None:
    """Whether the peer may have one more child.

    :raises IkeError: scope child.
    """
    if being_replaced(sa):
        raise IkeError(NotifyType.TEMPORARY_FAILURE, "the IKE SA is being rekeyed", CHILD, reason="peer_busy")
    children.refuse_in_retired(sa)
    if not sa.makes_children:
        story = "the definition changed: what is up stays until its successor is there, nothing new is made"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="replaced")
    surplus.check_children(context, sa)


def respond_busy(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer wants to make or replace something in an IKE SA that is on its way out (section 2.25)."""
    raise IkeError(NotifyType.TEMPORARY_FAILURE, "this IKE SA is being closed", CHILD, reason="peer_busy")


def redefined() -> IkeError:
    """What is under way is of a definition that is another one by now."""
    return IkeError(NotifyType.TEMPORARY_FAILURE, "the definition of the child changed", CHILD, reason="replaced")


def being_replaced(sa: IkeSa) -> bool:
    """Whether no child may be made or rekeyed in this IKE SA just now (section 2.25.2)."""
    rekeying = sa.request is not None and isinstance(sa.request.task, RekeyIke)
    return rekeying or sa.state is not State.ESTABLISHED


def failed(context: Context, sa: IkeSa, task: NewChild, reason: str, story: str) -> None:
    """A new child was refused or its answer was unusable."""
    children.release_spi(context, sa, task.config, task.spi)
    fallback.new_child_refused(context, sa, task, reason, story)
    fallback.ask_later(context, sa, task, reason)
