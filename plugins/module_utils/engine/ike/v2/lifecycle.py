# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Birth and end of an IKE SA, and which of two stays when both ends started at once."""

from __future__ import annotations

from collections.abc import Sequence

from ...crypto.certificate_life import first_to_end
from ...crypto.certificates import Certificate
from ...errors import IkeError
from ...identity import Identity
from ..actions import Path
from ..connection import NEVER
from ..context import Context
from . import beside, children, follow_up
from .child import ChildState
from .exchange import send
from .features import fragmentation, nat
from .sa import HALF_OPEN, EitherSa, Handshake, IkeSa, OpeningSa, RekeyIke, State
from .tasks import DeleteIke, Inform, NewChild, RekeyChild, Task
from .tunnel_sas import all_of, half_open_of, sas_of

STAYS = (RekeyIke, DeleteIke, Inform)  # queued work that is about the old IKE SA itself


def establish(
    context: Context, opening: OpeningSa, local: Identity, remote: Identity, path: Sequence[Certificate] = ()
) -> IkeSa:
    """Both ends are authenticated: the IKE SA is up, and goes on as another object.

    :param path: certificates that the peer has proven itself by.
    """
    sa = IkeSa(
        opening.number, opening.connection, opening.initiator, State.ESTABLISHED, opening.path,
        opening.spi_i, opening.spi_r, opening.created, opening.protected, local, remote,
    )  # fmt: skip
    sa.next_id, sa.expected_id, sa.answered_under = opening.next_id, opening.expected_id, opening.answered_under
    sa.answer, sa.answer_to, sa.answered_digest = opening.answer, opening.answer_to, opening.answered_digest
    sa.nat, sa.slots, sa.packets, sa.replaces = opening.nat, opening.slots, opening.packets, opening.replaces
    sa.queue, sa.partials, sa.wake = opening.queue, opening.partials, opening.wake
    opening.state, opening.became = State.GONE, sa
    if sa.connection.reauth:
        sa.authenticated = context.now
    if path:
        sa.proven_by = tuple([certificate.der for certificate in path])
        sa.proven_until = first_to_end(path).not_after + 1.0
    context.registry.replace(opening, sa)
    start_clocks(context, sa)
    context.report("ike_established", sa, role="initiator" if sa.initiator else "responder")
    for other in _duplicates(context, sa):
        sa.settle_at = context.now + context.settings.duplicate_pause
        _settle_crossed(context, sa, other)
    return sa


def start_clocks(context: Context, sa: IkeSa) -> None:
    """Begin the lifetime of an IKE SA, after authentication or after a rekey."""
    sa.last_heard = context.now
    sa.rekey_at = context.now + context.spread(sa.connection.lifetime)
    sa.expires_at = context.now + sa.connection.lifetime
    context.touch(sa)


def _duplicates(context: Context, sa: IkeSa) -> list[IkeSa]:
    """The other living IKE SAs of the tunnel with the same peer, none where that may have any number of them."""
    if sa.connection.unique == NEVER:
        return []
    return [
        other
        for other in sas_of(context, sa.connection.name)
        if other is not sa and other.alive and not other.closing and not other.superseded
        if other.claims is None and same_peer(sa, other)
    ]


def same_peer(sa: IkeSa, other: IkeSa) -> bool:
    """Whether the peers of two IKE SAs have proven to be the same one."""
    return other.remote_id.matches(sa.remote_id)


def _settle_crossed(context: Context, sa: IkeSa, other: IkeSa) -> None:
    """Both ends started at once: each comes to the same verdict, and the initiator of the loser deletes it."""
    if sa.replaces is not other and other.replaces is not sa and _crossed(context, sa, other):
        loser = _loser(context, sa, other)
        if loser.initiator:
            beside.take_over(context, other if loser is sa else sa, loser)


def settle_duplicates(context: Context, sa: IkeSa) -> None:
    """Two IKE SAs of the tunnel have been up for a while: close the one that nothing needs, whoever began it.

    Not every peer settles this by itself. One that keeps children of its own in each of them has its reasons.
    """
    sa.settle_at = 0.0
    for other in _duplicates(context, sa):
        loser = _loser(context, sa, other)
        winner = other if loser is sa else sa
        if _is_idle(winner, loser) and not _crossed(context, sa, other):
            winner, loser = loser, winner
        if context.now > winner.last_heard + context.settings.silent_pause:
            # Not before it is known that the peer has the one that is to stay.
            if winner.request is None:
                winner.queue.append(Inform())
            context.touch(winner)
            sa.settle_at = context.now + context.settings.silent_pause / 2
            continue
        sa.settle_at = context.now + context.settings.duplicate_pause
        missing = beside.names(loser) - beside.names(winner)
        if not missing:
            beside.take_over(context, winner, loser)
        elif loser.initiator:
            # Whoever began it moves what it has.
            beside.ask_for(context, winner, loser, missing - set(winner.unfit))
            beside.close_children(context, loser, beside.names(winner))


def _is_idle(sa: IkeSa, other: IkeSa) -> bool:
    """Whether we began it, and it has nothing, nor asks for anything, that ``other`` has not."""
    ours = sa.initiator and sa.replaces is not other and not beside.asked_for(sa)
    return ours and beside.names(sa) < beside.names(other)


def _crossed(context: Context, sa: IkeSa, other: IkeSa) -> bool:
    """Whether each end began one of them without knowing of the other's; later ones are begun on purpose."""
    return sa.initiator is not other.initiator and _at_once(context, sa, other)


def _at_once(context: Context, sa: IkeSa, other: IkeSa) -> bool:
    """Whether they began so shortly after each other that the two ends may disagree about which is the older one."""
    patience = max(sa.connection.retransmit_timeout, sum(context.settings.retransmit))
    return abs(sa.created - other.created) <= patience


def _loser(context: Context, sa: IkeSa, other: IkeSa) -> IkeSa:
    """The one to go, the same for both ends: of crossed ones that of the higher identity, else the older one."""
    if not _at_once(context, sa, other):
        return min(sa, other, key=lambda one: one.created)
    if sa.initiator is other.initiator:
        return max(sa, other, key=lambda one: (one.spi_i, one.spi_r))
    ours, theirs = (sa, other) if sa.initiator else (other, sa)
    # The SPIs decide where both ends go by the same identity.
    return ours if (_rank(ours.local_id), ours.spi_i) > (_rank(ours.remote_id), theirs.spi_i) else theirs


def _rank(identity: Identity) -> tuple[int, bytes]:
    return identity.type, identity.data


def drop_older(context: Context, sa: IkeSa) -> None:
    """The peer has no other SA with us (INITIAL_CONTACT, RFC 7296 section 2.4): forget what we still have."""
    for other in sas_of(context, sa.connection.name):
        if other is not sa and same_peer(sa, other):
            end(context, other, "replaced", "the peer started afresh")


def drop_siblings(context: Context, sa: OpeningSa) -> None:
    """The initiator goes on with this version of its first message: forget the others."""
    for other in siblings(context, sa):
        if isinstance(other, OpeningSa) and other.state in HALF_OPEN:
            forget(context, other)


def siblings(context: Context, sa: OpeningSa) -> list[EitherSa]:
    """The other IKE SAs that versions of the same first message opened: with and without a cookie, say."""
    name = sa.connection.name
    known = [*all_of(context, name), *half_open_of(context, name)]
    return [other for other in known if other is not sa and other.spi_i == sa.spi_i]


def heard(context: Context, sa: EitherSa, path: Path) -> None:
    """A fresh authenticated message came along ``path``."""
    sa.last_heard = context.now
    if path != sa.path and path.natt:
        follow_path(context, sa, path)


def follow_path(context: Context, sa: EitherSa, path: Path) -> None:
    """Adopt another path of an authenticated peer: its NAT may have made a new mapping (RFC 7296 section 2.23).

    Whoever is behind a NAT itself does not follow: there it would only help somebody on the way to divert it.
    What the kernel sends goes along the old path until the children are rekeyed, which a NAT
    that changes its mind all the time must not make us do all the time.
    """
    behind = nat.FOUND.of(sa)
    if not behind.nat_remote or behind.nat_local or path == sa.path:
        return
    sa.path = path
    context.report("moved", sa, path=f"{path.remote_address}/{path.remote_port}")
    if sa.request is not None:
        send(context, sa, sa.request.datagrams, path)  # it may have gone to where nobody is any more
    for child in sa.children.values():
        if child.state is ChildState.INSTALLED:
            child.rekey_at = min(child.rekey_at, max(context.now, child.created + context.settings.move_pause))


def retire(context: Context, sa: IkeSa) -> None:
    """Keep the IKE SA for its children alone: drop what would make more of them or give anything fresh keys.

    What is out cannot be taken back: a child that comes of it is closed, a rekey is the last one.
    """
    sa.retired = True
    for task in list(sa.queue):
        if isinstance(task, (NewChild, RekeyChild, RekeyIke)):
            sa.queue.remove(task)
            # Its time has come, should the IKE SA be wanted again.
            if isinstance(task, RekeyIke):
                sa.rekey_at = context.now
            elif isinstance(task, RekeyChild):
                task.child.rekey_at = context.now
    if sa.request is not None and isinstance(sa.request.task, NewChild):
        sa.request.task.reason = "stopped"
    context.touch(sa)


def end_retirement(sa: IkeSa) -> None:
    """Have a retired IKE SA deleted that nothing uses any more."""
    # While a collision is open, the children are with the one that is being replaced.
    if sa.outgoing and sa.alive and not sa.children and sa.claims is None and not sa.closing:
        sa.queue.append(DeleteIke("stopped" if sa.retired else "replaced"))


def inherit(context: Context, old: IkeSa, new: IkeSa) -> None:
    """Move the children and the work queued for them; the old IKE SA waits for its Delete.

    Where either has ended meanwhile there is nothing to move, or nowhere to move it to.
    """
    if State.GONE in (old.state, new.state):
        return
    context.touch(old)
    context.touch(new)
    follow_up.drop(context, old)
    for child in list(old.children.values()):
        del old.children[child.number]
        children.adopt(context, new, child)
    for task in old.queue:
        if not isinstance(task, STAYS):
            new.queue.append(task)
        elif isinstance(task, DeleteIke) and task.reason == "stopped":
            new.queue.append(DeleteIke("stopped"))
    old.queue.clear()
    new.retired, old.retired = old.retired, False
    new.replaces, old.replaces = old.replaces, None
    new.superseded, old.superseded = old.superseded, False
    new.unfit, new.settle_at, old.settle_at = old.unfit, old.settle_at, 0.0
    old.replaced_by = new
    old.claims = new.claims = None
    old.state = State.REKEYED
    old.expires_at = context.now + context.settings.rekeyed_lifetime
    context.report("ike_rekeyed", new, old=old.number)


def keep_answer(context: Context, sa: OpeningSa) -> None:
    """Keep of an IKE SA whose peer failed to authenticate no more than it takes to repeat the answer."""
    context.registry.turn_away(sa)
    sa.handshake, sa.protection, sa.answered_under = Handshake(), None, None


def end(context: Context, sa: EitherSa, reason: str, story: str, answered: Task | None = None) -> None:
    """Remove the IKE SA with all its children and whatever it had under way.

    Where the peer has already made its successor while our own rekey was out, that one carries on.

    :param answered: our request that this comes of, if it is not outstanding any more.
    """
    if isinstance(sa, OpeningSa):
        quiet = sa.state is State.REFUSED
        forget(context, sa)
        if sa.initiator:
            context.report("ike_failed", sa, reason=reason, story=story)
        elif not quiet:
            context.turn_away(sa, IkeError(0, story, reason=reason))
        return
    under_way = sa.request.task if sa.request is not None else answered
    theirs = under_way.their_sa if isinstance(under_way, RekeyIke) else None
    if theirs is not None and sa.replaced_by is None and reason != "stopped":
        inherit(context, sa, theirs)
    for child in list(sa.children.values()):
        if reason == "stopped":
            children.clear(context, sa, child)
        else:
            children.remove(context, sa, child, reason, story)
    _release(context, sa, under_way)
    follow_up.drop(context, sa)
    _leave(context, sa)
    if sa.replaced_by is None:
        context.report("ike_down", sa, reason=reason, story=story)


def forget(context: Context, sa: OpeningSa) -> None:
    """Nothing comes of an IKE SA that was being opened."""
    _release(context, sa, sa.handshake.first)
    if sa.state in (*HALF_OPEN, State.REFUSED):
        context.half_open.leave(sa.path.remote_address)
    _leave(context, sa)


def _release(context: Context, sa: EitherSa, task: Task | None) -> None:
    """Give back the SPI of a child that never came to be."""
    if isinstance(task, (NewChild, RekeyChild)):
        children.release_spi(context, sa, task.terms, task.spi)


def _leave(context: Context, sa: EitherSa) -> None:
    for is_response in list(sa.partials):
        fragmentation.drop(context, sa, is_response)
    sa.request = None
    sa.queue.clear()
    sa.state = State.GONE
    context.registry.remove(sa)
    context.touch(sa)
