# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges of CREATE_CHILD_SA, in IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4), at either end.

What was asked for is made when the last of them is over. Until then the end that asked goes on with the same task,
whose request is of another exchange; the other end keeps a :class:`.sa.Making`, one for each IKE SA.

While both ends replace the same SA in several steps neither can tell whose is to stay, so the second one is put off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...crypto.negotiation import Choice, check_answer_esp, check_answer_ike
from ...errors import CHILD, IKE, IkeError
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import NotifyType
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..context import Context
from . import children, fallback, key_exchange
from .incoming import Incoming
from .sa import Creating, IkeSa, Making, RekeyIke
from .tasks import NewChild, RekeyChild, Steps, Task

LIFETIME = 60.0  # seconds for which the peer may take its time
LINK_OCTETS = 8
MOST_LINK_OCTETS = 256  # of a peer's: it comes back beside a value of ours, in a message that has to hold both
_NUMBER = int(NotifyType.ADDITIONAL_KEY_EXCHANGE)
_COUNT = (SA, KE, Nonce, TSi, TSr)  # payloads that an SA is made of


# The end that asked


def step(context: Context, sa: IkeSa, task: Task, payloads: Payloads) -> Payloads | None:
    """An answer to our request for an SA: what it comes to, or None when one more key exchange has been queued.

    :raises IkeError: what the peer sent is not the key exchange that was agreed on.
    """
    if not isinstance(task, (NewChild, RekeyChild, RekeyIke)) or payloads.error() is not None:
        return payloads
    if task.steps is not None:
        return _one_more(context, sa, task, task.steps, payloads)
    choice = _choice(sa, task, payloads) if payloads.notify(_NUMBER) is not None else None
    if choice is None or not choice.more:
        return payloads
    secrets = key_exchange.finish_one(task.exchange, choice.ke, payloads.one(KE))
    task.steps = Steps(tuple(payload for payload in payloads if _counts(payload)), secrets, b"")
    _queue(context, sa, task, task.steps, choice, payloads)
    return None


def _counts(payload: Any) -> bool:
    """Whether a payload of the first answer is looked at when all is over: it is kept in the journal till then."""
    return isinstance(payload, _COUNT) or (isinstance(payload, Notify) and len(payload.data) <= MOST_LINK_OCTETS)


def _choice(sa: IkeSa, task: Creating, payloads: Payloads) -> Choice | None:
    """What the peer chose; None where it cannot be used, of which whoever handles the answer tells."""
    answer = payloads.one(SA)
    try:
        if answer is None:
            return None
        if isinstance(task, RekeyIke):
            return check_answer_ike(task.offered, answer)
        return check_answer_esp(fallback.offer(sa, task), answer, with_ke=task.exchange is not None)
    except IkeError:
        return None


def _one_more(context: Context, sa: IkeSa, task: Creating, steps: Steps, payloads: Payloads) -> Payloads | None:
    first = Payloads(steps.answer)
    choice = _choice(sa, task, first)
    if choice is None:
        raise IkeError(0, "what was agreed on is not on offer any more", CHILD)
    done = len(steps.secrets)
    try:
        steps.secrets += key_exchange.finish_one(task.exchange, choice.more[done - 1], payloads.one(KE))
    except IkeError as exc:
        if done == len(choice.more):
            _undo_at_peer(sa, task, exc)
        raise
    if done == len(choice.more):
        return first
    _queue(context, sa, task, steps, choice, payloads)
    return None


def _undo_at_peer(sa: IkeSa, task: Creating, exc: IkeError) -> None:
    """With its last answer the peer has made what we cannot have."""
    if isinstance(task, RekeyIke):
        raise IkeError(NotifyType.INVALID_SYNTAX, exc.story, IKE, reason=exc.reason) from exc
    children.close_at_peer(sa, task)


def _queue(context: Context, sa: IkeSa, task: Creating, steps: Steps, choice: Choice, payloads: Payloads) -> None:
    """Have the next key exchange begun, before anything else."""
    link = payloads.notify(_NUMBER)
    if link is None or not sa.alive:
        raise IkeError(0, "the peer does not go on with the additional key exchanges that it chose", CHILD)
    if len(link.data) > MOST_LINK_OCTETS:
        story = f"the peer wants {len(link.data)} octets back to go on with, not {MOST_LINK_OCTETS} at most"
        raise IkeError(0, story, CHILD)
    steps.link = link.data
    task.exchange = context.entropy.key_exchange(choice.more[len(steps.secrets) - 1].transform_id)
    sa.queue.insert(0, task)


def begin(context: Context, sa: IkeSa, task: Creating) -> list[Any]:
    """The next key exchange of a task that has its first answer."""
    if task.exchange is None or task.steps is None:
        raise ValueError("a key exchange that nobody began")
    return [KE(task.exchange.group, task.exchange.public), Notify(_NUMBER, task.steps.link)]


# The other end


def proceed(context: Context, sa: IkeSa, making: Making) -> Sequence[Notify]:
    """Make what the peer asked for, if no key exchange lacks; else have it come back for the next one."""
    if not making.left:
        making.make(context, sa)
        return ()
    drop(context, sa)
    making.link, making.expires = context.entropy.octets(LINK_OCTETS), context.now + LIFETIME
    sa.making = making
    context.touch(sa)
    return [Notify(_NUMBER, making.link)]


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer comes with its next key exchange.

    :raises IkeError: STATE_NOT_FOUND, where it took too long, or somebody else was here when it began.
    """
    making, link, ke = sa.making, got.payloads.notify(_NUMBER), got.payloads.need(KE)
    if making is None or link is None or link.data != making.link:
        story = "the peer goes on with what it has not begun, or too late"
        raise IkeError(NotifyType.STATE_NOT_FOUND, story, CHILD, reason="peer_busy")
    method = making.left[0]
    try:
        making.check(context, sa)
        if ke.group != method.transform_id:
            story = f"the additional key exchange is of method {ke.group}, agreed is {method}"
            raise IkeError(NotifyType.INVALID_SYNTAX, story)
        public, secret = context.entropy.answer(method.transform_id, ke.data)
        making.secrets += (secret,)
        sa.making = None
        more = proceed(context, sa, making)
    except IkeError:
        sa.making = making
        drop(context, sa)
        raise
    return [KE(method.transform_id, public), *more]


def drop(context: Context, sa: IkeSa) -> None:
    """What the peer did not come back for is not made."""
    making, sa.making = sa.making, None
    if making is not None:
        making.give_up(context, sa)
