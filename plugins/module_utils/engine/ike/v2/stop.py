# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator ends an IKE SA, or some of its children, in whatever state they are; the peer is told."""

from __future__ import annotations

from collections.abc import Collection

from ...wire.v2.delete import Delete
from ...wire.v2.numbers import ProtocolId
from ..context import Context
from . import children, lifecycle
from .child import ChildState
from .exchange import last_word
from .sa import EitherSa, IkeSa, OpeningSa, State
from .tasks import DeleteChild, DeleteIke, NewChild


def stop_sa(context: Context, sa: EitherSa) -> None:
    """End an IKE SA with all its children: one that is up with a Delete (RFC 7296 section 1.4.1), others at once."""
    if isinstance(sa, IkeSa) and sa.state in (State.ESTABLISHED, State.REKEYED):
        _stop_ike(context, sa)
        return
    if sa.state is State.AUTH_SENT:
        # For the peer it may be up already.
        last_word(context, sa, Delete(ProtocolId.IKE, ()))
    lifecycle.end(context, sa, "stopped", "stopped by an operator")


def retire(context: Context, sa: EitherSa) -> None:
    """Take down an IKE SA that its children may go on to use; one that is not up yet ends at once."""
    if isinstance(sa, OpeningSa):
        stop_sa(context, sa)
    elif sa.alive:
        lifecycle.retire(context, sa)


def stop_children(context: Context, sa: EitherSa, names: Collection[str]) -> None:
    """End the children of these names, up, being negotiated or only wanted; the IKE SA stays."""
    if isinstance(sa, OpeningSa):
        first = sa.handshake.first
        if first is not None and first.config.name in names:
            first.reason = "stopped"
        sa.handshake.wanted = tuple(child for child in sa.handshake.wanted if child.name not in names)
    for task in [t for t in sa.queue if isinstance(t, NewChild) and t.config.name in names]:
        sa.queue.remove(task)
    asked = sa.request.task if sa.request else None
    if isinstance(asked, NewChild) and asked.config.name in names:
        asked.reason = "stopped"
    for child in list(sa.children.values()):
        if child.config.name in names and child.state is not ChildState.DELETING:
            sa.queue.append(DeleteChild(child, reason="stopped"))
    context.touch(sa)


def _stop_ike(context: Context, sa: IkeSa) -> None:
    """The children's traffic ends at once; the IKE SA lives until the peer has confirmed."""
    for child in list(sa.children.values()):
        children.clear(context, sa, child)
    sa.queue.clear()
    sa.queue.append(DeleteIke("stopped"))
    context.touch(sa)
