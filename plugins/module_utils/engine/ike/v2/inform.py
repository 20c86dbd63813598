# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INFORMATIONAL (RFC 7296 section 1.4): deletion of children and IKE SAs, liveness checks."""

from __future__ import annotations

from typing import Any

from ...wire.v2.delete import Delete
from ...wire.v2.numbers import NotifyType, ProtocolId
from ..connection import PROTOCOL_IDS
from ..context import Context
from . import beside, children, crossed, generations, handover, lifecycle, proof, rekey_child, supersede
from .child import ChildState
from .incoming import Incoming
from .sa import IkeSa
from .tasks import DeleteAtPeer, DeleteChild, DeleteIke, Inform, NewChild, RekeyChild, Request

# SPIs that a request of ours remembers as closed meanwhile: a peer may name any number of them while it has no answer,
# and only what it has made of that request, a moment ago, counts.
MOST_CLOSED = 256


def begin_liveness(context: Context, sa: IkeSa, task: Inform) -> list[Any]:
    """An empty request: is the peer alive (section 2.4)?"""
    return []


def alive(context: Context, sa: IkeSa, got: Incoming, request: Request[Inform]) -> None:
    """The peer answered; that it did is all we wanted to know: of it, or of a child that it asked us for."""
    if request.task.reason == proof.PROOF:
        if request.tries > 1:
            # It was away, and our answer to it may be lost with what we sent then: that is still on its way again.
            proof.ask_again(context, sa)
        else:
            proof.prove(context, sa)
    elif request.task.reason == handover.HANDOVER:
        handover.finish(context, sa)


def respond(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """Answer a liveness check, or notifies that need nothing done."""
    if got.payloads.notify(NotifyType.AUTHENTICATION_FAILED) is not None:
        # The initiator did not accept our proof, and for it there is no IKE SA (section 2.21.2).
        lifecycle.end(context, sa, "authentication_failed", f"the peer {sa.remote_id} does not accept our proof")
    return []


def begin_delete_child(context: Context, sa: IkeSa, task: DeleteChild) -> list[Any] | None:
    """Tell the peer that a child is closed: by our inbound SPI."""
    child = task.child
    if child.number not in sa.children:
        return None
    if task.reason == "replaced":
        if supersede.is_needed(context, child) or not generations.is_replaced(context, child):
            return None  # what was to take over is gone meanwhile; when something else does, it is closed
        if generations.is_needed_yet(context, sa, child):
            due = context.now + context.settings.switch_pause / 4
            sa.queue.append(DeleteChild(child, reason="replaced", not_before=due))
            return None
        # The peer receives on it no more when it has this request, so nothing of ours may be under way.
        children.step_aside(context, [child])
    child.state = ChildState.DELETING
    if task.reason == "stopped" and child.successor is not None:
        # Replaced since the operator asked: what carries the traffic now has to go as well.
        sa.queue.append(DeleteChild(child.successor, reason="stopped"))
    return [Delete(PROTOCOL_IDS[child.sa.protocol], (child.sa.spi_in.to_bytes(4, "big"),))]


def begin_delete_at_peer(context: Context, sa: IkeSa, task: DeleteAtPeer) -> list[Any]:
    """Tell the peer that a child is closed which we have not."""
    return [Delete(task.config.proposals[0].protocol, (task.spi,))]


def child_deleted(context: Context, sa: IkeSa, got: Incoming, request: Request[DeleteChild]) -> None:
    """The peer closed it too."""
    task = request.task
    if task.child.state is ChildState.GONE:
        return
    if task.reason == "stopped":
        children.clear(context, sa, task.child)
    else:
        proof.doubt_successor(context, task.child)
        if task.reason == "replaced":
            crossed.choose(context, task.child)
        children.remove(context, sa, task.child, task.reason or "replaced", "closed by us")


def respond_close(context: Context, sa: IkeSa, got: Incoming) -> list[Any] | None:
    """The peer closed children: remove ours and name them, but those whose own Delete is under way (section 2.25.1).

    None, no answer yet, where the peer and we each close what the other end keeps.
    """
    named = ((delete.protocol, spi) for delete in got.payloads.all(Delete) for spi in delete.spis)
    found = {each: rekey_child.find(sa, *each) for each in named}
    if any(child is not None and crossed.is_kept(context, sa, child) for child in found.values()):
        return None
    closed: dict[int, list[bytes]] = {}
    strange: list[bytes] = []
    for (protocol, spi), child in found.items():
        if child is None:
            strange.append(spi)
            continue
        if child.state is not ChildState.DELETING:
            closed.setdefault(protocol, []).append(child.sa.spi_in.to_bytes(4, "big"))
        children.remove(context, sa, child, "peer_deleted", "the peer closed this child")
        if not child.superseded:
            supersede.ask_again(context, sa)
    task = sa.request.task if sa.request is not None else None
    if strange and isinstance(task, (NewChild, RekeyChild)):
        task.closed = tuple(dict.fromkeys((*task.closed, *strange)))[-MOST_CLOSED:]
    return [Delete(protocol, tuple(spis)) for protocol, spis in closed.items()]


def begin_delete_ike(context: Context, sa: IkeSa, task: DeleteIke) -> list[Any]:
    """Tell the peer that the IKE SA and all its children are closed."""
    if task.reason == "replaced":
        children.step_aside(context, sa.children.values())
    return [Delete(ProtocolId.IKE, ())]


def ike_deleted(context: Context, sa: IkeSa, got: Incoming, request: Request[DeleteIke]) -> None:
    """The peer closed it too."""
    lifecycle.end(context, sa, request.task.reason or "stopped", "closed by us")


def respond_end(context: Context, sa: IkeSa, got: Incoming) -> list[Any]:
    """The peer closed the IKE SA."""
    if beside.stand_in(context, sa) is not None:
        lifecycle.end(context, sa, "replaced", "the peer goes on in another IKE SA and closed this one")
    else:
        lifecycle.end(context, sa, "peer_deleted", "the peer closed the IKE SA")
    return []


def close_failed(context: Context, sa: IkeSa, task: DeleteChild, reason: str, story: str) -> None:
    """The answer was unusable: the child is gone all the same."""
    if task.child.state is not ChildState.GONE:
        children.remove(context, sa, task.child, reason, story)


def told(context: Context, sa: IkeSa, got: Incoming, request: Request[DeleteAtPeer]) -> None:
    """The peer has closed what we have not."""


def failed(context: Context, sa: IkeSa, task: Inform | DeleteAtPeer, reason: str, story: str) -> None:
    """The answer was unusable; nothing is to be undone."""
