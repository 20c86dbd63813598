# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an authenticated peer makes more of than it may have at once: the oldest goes for the newest.

Nobody is obliged to tell that an IKE SA is its first one (RFC 7296 section 2.4), to delete what it has rekeyed, or to
ask for a child once only. Whoever does so again and again has this host keep, and the kernel hold, whatever it likes.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import CHILD, IkeError
from ...wire.v2.delete import Delete
from ...wire.v2.numbers import NotifyType, ProtocolId
from ..context import Context
from . import lifecycle, twins
from .child import Child
from .exchange import last_word
from .sa import AUTHENTICATED, IkeSa, State
from .tasks import DeleteAtPeer
from .traffic import Narrowed
from .tunnel_sas import sas_of

_TOLD = (State.REKEYED, State.DELETING)  # what the end of these means was told when another one took over


def check_allowance(context: Context, tunnel: str, scope: str = CHILD) -> None:
    """Whether the peer may have one more SA just now.

    :raises IkeError: TEMPORARY_FAILURE.
    """
    if not context.allowances.take(tunnel, context.now):
        story = "the peer has asked for more SAs than it may in so short a time; it is answered again in a moment"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, scope, reason="too_many_requests")


def check_refused(context: Context, sa: IkeSa) -> None:
    """Whether the peer may have one more child, new or rekeyed: not where it leaves many Deletes without an answer.

    :raises IkeError: TEMPORARY_FAILURE, scope child.
    """
    waiting = sum(1 for task in sa.queue if isinstance(task, DeleteAtPeer))
    if waiting > context.settings.children_refused:
        story = "the peer is still to confirm that children which this host could not take are closed"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="too_many_sas")


def check_children(context: Context, sa: IkeSa) -> None:
    """Whether the peer may have one more child, in this IKE SA and beside what its others have.

    :raises IkeError: scope child.
    """
    check_refused(context, sa)
    settings = context.settings
    if len(sa.children) >= settings.max_children:
        raise IkeError(NotifyType.NO_ADDITIONAL_SAS, "the IKE SA has all the children it may have", CHILD)
    if sum(len(each.children) for each in _of_peer(context, sa)) >= settings.max_children_of_peer:
        story = "the IKE SAs of the peer have all the children that they may have together"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="too_many_sas")


def close_ike_sas(context: Context, newest: IkeSa) -> None:
    """The peer has made one more IKE SA: close the oldest, if these are more than it may have.

    First goes what another one has replaced, then what has no children, so that most traffic goes on longest.
    """
    most = context.settings.ike_sas_of_peer
    others = [sa for sa in _of_peer(context, newest) if sa is not newest]
    others.sort(key=lambda sa: (sa.state not in _TOLD, bool(sa.children), sa.number))
    for sa in others[: max(0, len(others) + 1 - most)]:
        story = f"the peer has more than {most} IKE SAs with us and closes none: the oldest ends"
        if sa.state in _TOLD:
            context.report("setback", sa, reason="too_many_sas", story=story)
        if sa.state is not State.DELETING:
            last_word(context, sa, Delete(ProtocolId.IKE, ()))
        lifecycle.end(context, sa, "too_many_sas", story)


def check_alike(context: Context, sa: IkeSa, narrowed: Narrowed) -> None:
    """Whether the peer may have one more child for these packets: not before it has let go of what is too much.

    :raises IkeError: TEMPORARY_FAILURE, scope child.
    """
    packets = frozenset(narrowed.local), frozenset(narrowed.remote)
    alike = sum(1 for child in _made_for(sa, narrowed.config.reqid) if twins.packets(child) == packets)
    if alike > context.settings.children_alike:
        story = "the peer is still to confirm that the oldest of many Child SAs for the same packets is closed"
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="too_many_sas")


def close_children(context: Context, sa: IkeSa, newest: Child) -> None:
    """The peer has made one more child: close the oldest of those that carry the same packets, if these are too many.

    Few may stand beside each other while definitions change or both ends ask at once.
    """
    most, packets = context.settings.children_alike, twins.packets(newest)
    made = [child for child in _made_for(sa, newest.config.reqid) if not twins.is_closing(sa, child)]
    alike = [child for child in made if twins.packets(child) == packets]
    for child in alike[: max(0, len(alike) - most)]:
        twins.close(sa, child)
        story = f"the peer has more than {most} Child SAs for the same packets and closes none: the oldest ends"
        context.report("setback", sa, child, child=child.config.name, reason="too_many_sas", story=story)


def _of_peer(context: Context, sa: IkeSa) -> Iterator[IkeSa]:
    """The IKE SAs of the tunnel with the same peer, this one too."""
    for other in sas_of(context, sa.connection.name):
        if other is sa or (other.state in AUTHENTICATED and lifecycle.same_peer(sa, other)):
            yield other


def _made_for(sa: IkeSa, reqid: int) -> list[Child]:
    """The children of one definition that the peer has had us make, oldest first."""
    return [
        child
        for child in sa.children.values()
        if child.config.reqid == reqid and not (child.started or child.superseded)
    ]
