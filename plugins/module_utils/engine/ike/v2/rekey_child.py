# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeying a Child SA without losing a packet (RFC 7296 sections 1.3.3, 2.8, 2.25.1).

When both ends rekey the same child at once there are three of them for a moment:
*current* (``task.child``), *mine* (made by the answer to our request) and *theirs*
(``task.theirs``, made by our answer to the peer's). The exchange with the lowest of the
four nonces loses; whoever started it deletes what it made, the other deletes *current*.
"""

from __future__ import annotations

from typing import Any

from ...crypto.negotiation import Choice, choose_esp
from ...errors import CHILD, IkeError
from ...secret import Secret
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import NotifyType
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..actions import InstallInbound
from ..connection import IP_PROTOCOLS, PROTOCOL_IDS
from ..context import Context
from . import (
    auth,
    child_wanted,
    children,
    fallback,
    follow_up,
    generations,
    instances,
    key_exchange,
    new_child,
    supersede,
    surplus,
)
from .child import Child, ChildState
from .features import rows
from .features.feature import ChildTalk
from .incoming import Incoming
from .new_child import ChildMaking
from .sa import IkeSa, RekeyIke
from .tasks import DeleteAtPeer, DeleteChild, NewChild, RekeyChild, Request, Task
from .traffic import Narrowed, narrow


def begin(context: Context, sa: IkeSa, task: RekeyChild) -> list[Any] | None:
    """Ask for a successor of ``task.child``; None when it needs none any more."""
    child = task.child
    if child.state is not ChildState.INSTALLED or generations.successor_of(child) is not None:
        return None
    task.config = config = child.terms
    task.spi = children.reserve_spi(context, sa, config)
    child.state = ChildState.REKEYING
    rekey = Notify(
        NotifyType.REKEY_SA, protocol=PROTOCOL_IDS[child.sa.protocol], spi=child.sa.spi_in.to_bytes(4, "big")
    )
    return new_child.request_payloads(context, sa, task, config, [rekey], config.local, config.remote)


def answered(context: Context, sa: IkeSa, got: Incoming, request: Request[RekeyChild]) -> None:
    """The successor exists at the peer; settle a collision, then let it carry the traffic."""
    task = request.task
    current, theirs = task.child, task.theirs
    mine = new_child.from_answer(context, sa, got.payloads, task)
    if theirs is not None and mine.lowest_nonce < theirs.lowest_nonce:
        children.forget(context, sa, mine)
        _delete_unused(context, sa, task)
        _settle(context, sa, current, theirs)
        return
    current.successor = mine
    supersede.follow(mine, current)
    children.install(context, sa, mine)
    _settle(context, sa, current, mine)
    if current.state is not ChildState.GONE:
        sa.queue.append(DeleteChild(current, reason="replaced"))


def _settle(context: Context, sa: IkeSa, current: Child, winner: Child) -> None:
    if current.state is not ChildState.GONE:
        current.state = ChildState.REKEYED
    context.report("child_rekeyed", sa, winner, child=winner.config.name, old=current.number)


def _delete_unused(context: Context, sa: IkeSa, task: RekeyChild) -> None:
    children.release_spi(context, sa, task.terms, task.spi)
    sa.queue.append(DeleteAtPeer(task.terms, task.spi, reason="replaced"))


def refused(context: Context, sa: IkeSa, got: Incoming, request: Request[RekeyChild]) -> None:
    """An error notify in place of the successor."""
    task = request.task
    task.child.state = ChildState.INSTALLED if task.child.state is ChildState.REKEYING else task.child.state
    if task.theirs is not None and task.theirs.state is not ChildState.GONE:
        # The peer's own rekey, which we answered meanwhile, is the one that counts.
        children.release_spi(context, sa, task.terms, task.spi)
        _settle(context, sa, task.child, task.theirs)
        return
    if new_child.retry_with_group(context, sa, got.payloads, task):
        return
    error = got.payloads.need_error()
    if error.type == NotifyType.CHILD_SA_NOT_FOUND and task.theirs is None:
        _start_afresh(context, sa, task)
        return
    raise auth.child_refusal(task.terms, fallback.offer(sa, task), error.type)


def _start_afresh(context: Context, sa: IkeSa, task: RekeyChild) -> None:
    """The peer does not know the child any more, so neither do we; its policies keep the traffic inside."""
    children.release_spi(context, sa, task.terms, task.spi)
    if task.child.state is not ChildState.GONE:
        children.remove(context, sa, task.child, "peer_deleted", "the peer does not know this Child SA any more")
        config = child_wanted.still_wanted(sa, task)
        if config is not None and not task.child.superseded:
            sa.queue.append(NewChild(config))


def failed(context: Context, sa: IkeSa, task: RekeyChild, reason: str, story: str) -> None:
    """The rekey came to nothing; the child lives on, and what else may give it fresh keys is tried."""
    children.release_spi(context, sa, task.terms, task.spi)
    child = task.child
    if task.theirs is not None or child.state is ChildState.GONE:
        return
    child.state = ChildState.INSTALLED
    fallback.child_refused(context, sa, task, reason, story)


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer rekeys a child: make the successor, receive on it at once, send on it when the old one is deleted."""
    payloads = got.payloads
    rekey = payloads.need_notify(NotifyType.REKEY_SA)
    current = find(sa, rekey.protocol, rekey.spi)
    if current is None:
        _refuse_unless_known_to_be_gone(sa)
        return [Notify(NotifyType.CHILD_SA_NOT_FOUND, protocol=rekey.protocol, spi=rekey.spi)]
    _check(sa, current)
    surplus.check_refused(context, sa)
    asked = rows.FEATURES.asked_child(sa, payloads, payloads.need(TSr).selectors, payloads.need(TSi).selectors)
    narrowed = narrow([current.terms], asked.local, asked.remote, asked.mode)
    instances.check_packets(context, sa, narrowed)
    try:
        choice = choose_esp(narrowed.config.proposals, payloads.need(SA).proposals)
    except IkeError:
        fallback.asked_in_vain(context, current)
        raise
    nonce = payloads.need(Nonce).data
    if current.state is ChildState.REKEYING and (choice.more or _in_steps(sa)):
        raise _busy()
    ours, secrets, extra = key_exchange.answer(context, choice.ke, payloads.one(KE))
    spi = auth.reserve(context, sa, narrowed, choice)
    answer = auth.child_payloads(ChildTalk(context, sa, narrowed.config, spi, payloads), narrowed, choice)
    making = _Successor(choice, (nonce, ours), spi, secrets, narrowed, current)
    more = follow_up.proceed(context, sa, making)
    return [*answer, Nonce(ours), *extra, *more]


def _check(sa: IkeSa, current: Child) -> None:
    """Whether a child may be rekeyed now.

    :raises IkeError: scope child.
    """
    gone = current.state in (ChildState.DELETING, ChildState.REKEYED, ChildState.ANSWERED, ChildState.GONE)
    if gone or generations.successor_of(current) is not None or new_child.being_replaced(sa):
        raise _busy()
    children.refuse_in_retired(sa)


def _busy() -> IkeError:
    story = "the child is being closed or replaced already"
    return IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="peer_busy")


def _in_steps(sa: IkeSa) -> bool:
    """Whether our own rekey may have more than one key exchange."""
    task = sa.request.task if sa.request is not None else None
    return isinstance(task, RekeyChild) and any(proposal.more for proposal in fallback.offer(sa, task))


class _Successor(ChildMaking):
    """The child that takes over from another one.

    :ivar current: that one.
    """

    __slots__ = ("current",)

    def __init__(
        self,
        choice: Choice,
        nonces: tuple[bytes, bytes],
        spi: bytes,
        secrets: tuple[Secret, ...],
        narrowed: Narrowed,
        current: Child,
    ) -> None:
        super().__init__(choice, nonces, spi, secrets, narrowed)
        self.current = current

    def check(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        if self.current.state is ChildState.REKEYING:
            raise _busy()
        _check(sa, self.current)
        if self.current.terms != self.narrowed.config:
            raise new_child.redefined()
        instances.check_packets(context, sa, self.narrowed)

    def make(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        current, successor = self.current, self.child(context, sa)
        successor.state = ChildState.ANSWERED
        supersede.follow(successor, current)
        context.actions.append(InstallInbound(successor.sa))
        current.successor = successor
        own = sa.request.task if sa.request is not None else None
        if current.state is ChildState.REKEYING and isinstance(own, RekeyChild):
            own.theirs = successor
        else:
            _settle(context, sa, current, successor)

    def holds(self, task: Task) -> bool:
        """See :class:`.sa.Making`."""
        return isinstance(task, RekeyIke) or (isinstance(task, RekeyChild) and task.child is self.current)


def _refuse_unless_known_to_be_gone(sa: IkeSa) -> None:
    """The child may be the one that the peer made of our request: its answer is not here yet.

    :raises IkeError: TEMPORARY_FAILURE, scope child.
    """
    if sa.request is not None and isinstance(sa.request.task, (NewChild, RekeyChild)):
        raise IkeError(NotifyType.TEMPORARY_FAILURE, "a child is being negotiated", CHILD, reason="peer_busy")


def find(sa: IkeSa, protocol: int, spi: bytes) -> Child | None:
    """The child that the peer names by the SPI it receives on, ours to send with."""
    if len(spi) != 4 or protocol not in IP_PROTOCOLS:
        return None
    number, wanted = int.from_bytes(spi, "big"), IP_PROTOCOLS[protocol]
    return next((c for c in sa.children.values() if c.sa.spi_out == number and c.sa.protocol == wanted), None)
