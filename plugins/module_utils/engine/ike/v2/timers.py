# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timers of an IKE SA: what is due, and when to look again."""

from __future__ import annotations

from ...wire.v2.delete import Delete
from ...wire.v2.numbers import ProtocolId
from ..context import Context
from ..timers import NEVER
from . import beside, children, follow_up, lifecycle, message_size, peer_certificates, proof, reauthentication, twins
from .child import Child, ChildState
from .exchange import last_word, retransmit
from .features import fragmentation, nat
from .sa import HALF_OPEN, EitherSa, IkeSa, OpeningSa, RekeyIke, State
from .tasks import DeleteAtPeer, DeleteIke, Inform, Init, RekeyChild, Request, Task


def deadline(context: Context, sa: EitherSa) -> float:
    """When this IKE SA has to be looked at next; infinity for never."""
    due = [sa.request.deadline] if sa.request else _waiting(sa)
    if sa.partials:
        due.append(fragmentation.expires(sa))
    if isinstance(sa, OpeningSa):
        return min([*due, sa.expires_at or NEVER])
    if sa.making is not None:
        due.append(sa.making.expires)
    if _ends_by_itself(sa):
        due.append(sa.expires_at)
    if sa.state is State.ESTABLISHED:
        if sa.opening is not None:
            due.append(_opening_ends(context, sa))
        if sa.settle_at:
            due.append(sa.settle_at)
        due.append(NEVER if sa.retired else sa.rekey_at)
        if sa.connection.reauth:
            due.append(reauthentication.due(context, sa))
        if sa.proven_by:
            due.append(peer_certificates.due(context, sa))
        if sa.connection.dpd_delay and sa.request is None:
            due.append(sa.last_heard + _delay(context, sa))
        due.append(_first_of_children(sa))
    return min(due, default=NEVER)


def _waiting(sa: EitherSa) -> list[float]:
    """When each of the tasks may begin that wait for nothing else."""
    if isinstance(sa, OpeningSa) or sa.making is None:
        return [task.not_before for task in sa.queue]
    return [task.not_before for task in sa.queue if not sa.making.holds(task)]


def _first_of_children(sa: IkeSa) -> float:
    """Asked after every message, of as many children as there are: so it calls nothing."""
    first, rekeys, asks, installed = NEVER, not sa.retired, sa.request is None, ChildState.INSTALLED
    for child in sa.children.values():
        if child.expires_at < first:
            first = child.expires_at
        if child.rekey_at < first and rekeys and child.state is installed:
            first = child.rekey_at
        if child.proof_at and asks and child.proof_at < first:
            first = child.proof_at
    return first


def wake(context: Context, sa: EitherSa) -> None:
    """Do what is due."""
    context.touch(sa)
    if sa.partials:
        fragmentation.drop_expired(context, sa)
    if isinstance(sa, IkeSa):
        _established(context, sa)
    elif sa.expires_at and context.now >= sa.expires_at:
        _not_opened(context, sa)
    elif sa.request is not None and context.now >= sa.request.deadline and not retransmit(context, sa):
        _give_up(context, sa, sa.request)


def _established(context: Context, sa: IkeSa) -> None:
    now = context.now
    if sa.making is not None and now >= sa.making.expires:
        follow_up.drop(context, sa)
    if _ends_by_itself(sa) and now >= sa.expires_at:
        if sa.alive:
            last_word(context, sa, Delete(ProtocolId.IKE, ()))
        lifecycle.end(context, sa, "expired", "its lifetime is over")
        return
    if sa.proven_by and sa.state is State.ESTABLISHED and peer_certificates.look(context, sa):
        return
    if sa.request is not None and now >= sa.request.deadline:
        if not retransmit(context, sa):
            _give_up(context, sa, sa.request)
            return
        if _is_suspicious(context, sa, sa.request) and sa.connection.starts and beside.names(sa):
            _relieve(context, sa)
    if sa.state is not State.ESTABLISHED:
        return
    if sa.opening is not None and now >= _opening_ends(context, sa):
        context.registry.close(sa)
    if sa.settle_at and now >= sa.settle_at:
        lifecycle.settle_duplicates(context, sa)
        twins.settle(context, sa)
    for child in list(sa.children.values()):
        _child(context, sa, child)
    if now >= sa.rekey_at and not sa.retired:
        sa.rekey_at = NEVER
        sa.queue.append(RekeyIke())
    if sa.connection.reauth and now >= reauthentication.due(context, sa):
        reauthentication.begin(context, sa)
    if sa.connection.dpd_delay and now >= sa.last_heard + _delay(context, sa):
        _ask(context, sa)


def suspect(context: Context, sa: IkeSa) -> None:
    """Packets leave through a child and none come: is the peer alive, and does it know where we are?"""
    if sa.alive and sa.connection.dpd_delay and context.now >= sa.last_heard + context.settings.silent_pause:
        _ask(context, sa)
        context.touch(sa)


def _is_suspicious(context: Context, sa: IkeSa, request: Request[Task]) -> bool:
    """Whether a request was sent often enough without an answer, and nothing else was heard meanwhile."""
    tries = context.settings.suspicious_tries
    return request.tries >= tries and context.now >= sa.last_heard + sum(context.settings.retransmit[: tries - 1])


def _relieve(context: Context, sa: IkeSa) -> None:
    """The peer is silent in this IKE SA: it goes on in another one.

    It may have been restarted, or know us by another address: then it answers who begins anew.
    """
    other = beside.stand_in(context, sa)
    if other is None:
        beside.begin(context, sa)
    elif not beside.proven(sa):
        return  # the peer began it beside the other one, and waits for our answer to IKE_AUTH
    elif other.last_heard <= sa.last_heard:
        beside.begin(context, sa)
    elif other.replaces is not sa:
        beside.take_over(context, other, sa)


def _delay(context: Context, sa: IkeSa) -> float:
    """Seconds of silence before the peer is asked whether it is alive."""
    delay = sa.connection.dpd_delay
    return min(delay, context.settings.nat_delay) if nat.FOUND.of(sa).nat_local else delay


def _ask(context: Context, sa: IkeSa) -> None:
    if sa.request is None and all(task.not_before > context.now for task in sa.queue):
        sa.queue.append(Inform())


def _ends_by_itself(sa: IkeSa) -> bool:
    """Whether it has a lifetime of its own; an outgoing one lives as long as its children."""
    return bool(sa.expires_at) and not sa.outgoing


def _opening_ends(context: Context, sa: IkeSa) -> float:
    """Until when a late copy of the first message is known for one, and does not open another IKE SA."""
    return sa.created + context.settings.half_open_lifetime


def _not_opened(context: Context, sa: OpeningSa) -> None:
    """A stranger has not gone on in time, unless it is with another version of its first message."""
    if sa.state in HALF_OPEN and lifecycle.siblings(context, sa):
        lifecycle.forget(context, sa)
        return
    address, port = sa.path.remote_address, sa.path.remote_port
    story = f"{address}/{port} asked for an IKE SA but did not go on to IKE_AUTH; does UDP {port} and 4500 pass?"
    lifecycle.end(context, sa, "no_answer", story)


def _child(context: Context, sa: IkeSa, child: Child) -> None:
    if context.now >= child.expires_at:
        children.remove(context, sa, child, "expired", "its lifetime is over")
        sa.queue.append(DeleteAtPeer(child.config, child.sa.spi_in.to_bytes(4, "big")))
    elif child.state is ChildState.INSTALLED and context.now >= child.rekey_at:
        start_rekey(sa, child)
    elif child.proof_at and context.now >= child.proof_at and sa.request is None:
        child.proof_at = NEVER
        sa.queue.append(Inform(proof.PROOF))


def start_rekey(sa: IkeSa, child: Child) -> None:
    """Queue the rekey of a child, once; where nothing gets fresh keys any more its lifetime is its last."""
    if sa.retired:
        return
    child.rekey_at = NEVER
    sa.queue.append(RekeyChild(child))


def _give_up(context: Context, sa: EitherSa, request: Request[Task]) -> None:
    """No answer to all the retransmissions: the peer is gone, and the IKE SA with it (section 2.4)."""
    tries, task = request.tries, request.task
    size, hint = message_size.size(request), message_size.hint(sa, request)
    peer = f"{sa.path.remote_address}/{sa.path.remote_port}"
    story = f"{peer} did not answer {task.kind.label} of {size} sent {tries} times"
    story += f"; {hint}" if hint else ""
    reason = "no_answer" if isinstance(sa, OpeningSa) else "peer_unreachable"
    if isinstance(sa, OpeningSa):
        if isinstance(task, Init) and sa.handshake.setback is not None:
            reason, story = sa.handshake.setback
    elif isinstance(task, DeleteIke):
        reason = task.reason or "stopped"
    elif sa.alive and beside.stand_in(context, sa) is not None:
        reason = "replaced"
    lifecycle.end(context, sa, reason, story)
