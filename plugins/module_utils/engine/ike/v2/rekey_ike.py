# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeying an IKE SA (RFC 7296 sections 1.3.2, 2.8.2, 2.18, 2.25.2).

A collision has the same three slots as that of a child: *current* is the IKE SA itself,
*mine* the one our answered request makes, *theirs* ``task.their_sa``. The children stay
with *current* until the verdict, then move to the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...crypto.keys import rederive_ike
from ...crypto.negotiation import Choice, check_answer_ike, choose_ike, offer_ike
from ...errors import CHILD, IKE, IkeError
from ...secret import Secret
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.numbers import NotifyType, notify_name
from ...wire.v2.sa import SA
from ..context import Context
from . import children, fallback, follow_up, key_exchange, lifecycle, new_child, surplus
from .incoming import Incoming
from .initiation import NONCE_OCTETS, protect
from .sa import IkeSa, Making, RekeyIke, State
from .tasks import DeleteAtPeer, DeleteChild, DeleteIke, NewChild, RekeyChild, Request, Task

CHILD_WORK = (NewChild, RekeyChild, DeleteChild, DeleteAtPeer)
# What an error in place of the new IKE SA means.
_REASONS: dict[int, str] = {
    NotifyType.TEMPORARY_FAILURE: "peer_busy",
    NotifyType.STATE_NOT_FOUND: "peer_busy",
    NotifyType.NO_PROPOSAL_CHOSEN: "no_proposal_chosen",
    NotifyType.NO_ADDITIONAL_SAS: "no_additional_sas",
}


def begin(context: Context, sa: IkeSa, task: RekeyIke) -> list[Any]:
    """Ask for a new IKE SA that takes over the children."""
    proposals = sa.connection.proposals
    task.spi = context.entropy.octets(8)
    task.nonce = context.entropy.octets(NONCE_OCTETS)
    guess = key_exchange.guess(sa, (row for proposal in proposals for row in proposal.ke), task.group)
    if guess is None:
        raise ValueError("proposals of an IKE SA without a key exchange")
    group = guess.transform_id
    task.exchange = context.entropy.key_exchange(group)
    task.offered = proposals
    return [SA(offer_ike(proposals, task.spi)), Nonce(task.nonce), KE(group, task.exchange.public)]


def answered(context: Context, sa: IkeSa, got: Incoming, request: Request[RekeyIke]) -> None:
    """The new IKE SA exists at the peer; settle a collision and move the children."""
    task, payloads = request.task, got.payloads
    try:
        choice = check_answer_ike(task.offered, payloads.need(SA))
        _check_spi(choice)
        secrets = key_exchange.finish(task, choice, payloads.one(KE))
    except IkeError as exc:
        # For the peer the children have moved to an IKE SA that we cannot have.
        raise IkeError(NotifyType.INVALID_SYNTAX, exc.story, IKE, reason=exc.reason) from exc
    nonces = (task.nonce, payloads.need(Nonce).data)
    mine = _successor(context, sa, True, choice, secrets, nonces, (task.spi, choice.spi))
    theirs = _theirs(task)
    if theirs is not None and mine.lowest_nonce < theirs.lowest_nonce:
        mine.queue.append(DeleteIke("replaced"))
        mine.replaced_by = theirs
        settle(context, sa, theirs)
        return
    if theirs is not None:
        lifecycle.inherit(context, theirs, mine)
    lifecycle.inherit(context, sa, mine)
    sa.queue.append(DeleteIke("replaced"))


def _theirs(task: RekeyIke) -> IkeSa | None:
    """The successor that the peer's own rekey made while our request was out, if it lives."""
    return task.their_sa if task.their_sa is not None and task.their_sa.state is not State.GONE else None


def settle(context: Context, current: IkeSa, theirs: IkeSa) -> None:
    """The peer's successor takes over, unless it has done so already."""
    if current.replaced_by is None:
        lifecycle.inherit(context, current, theirs)


def refused(context: Context, sa: IkeSa, got: Incoming, request: Request[RekeyIke]) -> None:
    """An error notify in place of the new IKE SA."""
    # Where the peer has made its own successor meanwhile, that one counts: nothing is asked for once more.
    if _theirs(request.task) is None and new_child.retry_with_group(context, sa, got.payloads, request.task):
        return
    error = got.payloads.need_error()
    story = f"the peer refused to rekey the IKE SA with {notify_name(error.type)}"
    reason = _REASONS.get(error.type, "protocol_error")
    raise IkeError(0, story, IKE if error.type == NotifyType.INVALID_SYNTAX else CHILD, reason=reason)


def failed(context: Context, sa: IkeSa, task: RekeyIke, reason: str, story: str) -> None:
    """The rekey came to nothing: the peer's own, if there is one, takes over, or try again in a while."""
    if task.their_sa is not None and task.their_sa.state is State.ESTABLISHED:
        settle(context, sa, task.their_sa)
    if sa.replaced_by is not None:
        return
    fallback.ike_refused(context, sa, reason, story)


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer rekeys the IKE SA."""
    own = _check(sa)
    payloads = got.payloads
    choice = choose_ike(sa.connection.proposals, payloads.need(SA).proposals)
    _check_spi(choice)
    if own is not None and (choice.more or any(proposal.more for proposal in own.offered)):
        raise _busy()
    nonce = payloads.need(Nonce).data
    ours, secrets, extra = key_exchange.answer(context, choice.ke, payloads.one(KE))
    spi = context.entropy.octets(8)
    more = follow_up.proceed(context, sa, _Successor(choice, (nonce, ours), spi, secrets))
    return [SA((children.answer_proposal(choice, spi),)), Nonce(ours), *extra, *more]


def _check(sa: IkeSa) -> RekeyIke | None:
    """Our own rekey of the IKE SA, if there is one.

    :raises IkeError: scope child, where something else of ours does not go together with the peer's.
    """
    own = sa.request.task if sa.request is not None else None
    if isinstance(own, CHILD_WORK) or (isinstance(own, RekeyIke) and own.their_sa is not None):
        raise _busy()
    return own if isinstance(own, RekeyIke) else None


def _busy() -> IkeError:
    return IkeError(NotifyType.TEMPORARY_FAILURE, "a child is being negotiated", CHILD, reason="peer_busy")


class _Successor(Making):
    """The IKE SA that takes over from this one."""

    __slots__ = ()

    def check(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        if _check(sa) is not None:
            raise _busy()

    def make(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`."""
        own, choice = _check(sa), self.choice
        theirs = _successor(context, sa, False, choice, self.secrets, self.nonces, (choice.spi, self.spi))
        if own is not None:
            own.their_sa, theirs.claims = theirs, sa
        else:
            lifecycle.inherit(context, sa, theirs)
        surplus.close_ike_sas(context, theirs)

    def give_up(self, context: Context, sa: IkeSa) -> None:
        """See :class:`.sa.Making`: the SPI of an IKE SA is reserved nowhere."""

    def holds(self, task: Task) -> bool:
        """See :class:`.sa.Making`."""
        return isinstance(task, (*CHILD_WORK, RekeyIke))


def _check_spi(choice: Choice) -> None:
    if len(choice.spi) != 8 or choice.spi == bytes(8):
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, "the SPI of the new IKE SA is not 8 octets, or zero", CHILD)


def _successor(
    context: Context,
    old: IkeSa,
    initiator: bool,
    choice: Choice,
    secrets: Sequence[Secret],
    nonces: tuple[bytes, bytes],
    spis: tuple[bytes, bytes],
) -> IkeSa:
    prf, key = old.protection.prf, old.protection.keys.d
    keys = rederive_ike(prf, key, choice, secrets[0], *nonces, *spis, secrets[1:])
    new = IkeSa(
        context.registry.number(), old.connection, initiator, State.ESTABLISHED, old.path, *spis, context.now,
        protect(choice, keys, initiator), old.local_id, old.remote_id, min(nonces),
    )  # fmt: skip
    new.nat, new.slots = old.nat, old.slots
    new.authenticated, new.reauth_after = old.authenticated, old.reauth_after
    new.proven_by, new.proven_until = old.proven_by, old.proven_until
    context.registry.add(new)
    lifecycle.start_clocks(context, new)
    return new
