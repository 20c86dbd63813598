# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of a child, and what comes of it."""

from __future__ import annotations

from ..actions import Expire, InstallFailed, KernelEvent, MappingChanged, Unanswered, Vanished
from ..context import Context
from . import children, lifecycle, timers
from .child import Child, ChildState
from .sa import IkeSa
from .tasks import DeleteAtPeer


def take(context: Context, sa: IkeSa, child: Child, event: KernelEvent) -> None:
    """An event about one of the two SAs of a child."""
    if isinstance(event, Expire):
        _expire(context, sa, child, event)
    elif isinstance(event, Vanished):
        context.touch(sa)
        children.make_anew(context, sa, child)
    elif isinstance(event, Unanswered):
        timers.suspect(context, sa)
    elif isinstance(event, InstallFailed):
        children.not_installed(context, sa, child, event.problem)
    elif isinstance(event, MappingChanged):
        _mapping_changed(context, sa, event)


def _expire(context: Context, sa: IkeSa, child: Child, event: Expire) -> None:
    context.touch(sa)
    if event.hard:
        children.remove(context, sa, child, "expired", "the kernel ended it: a hard limit was reached")
        sa.queue.append(DeleteAtPeer(children.as_made(child), child.sa.spi_in.to_bytes(4, "big")))
    elif child.state is ChildState.INSTALLED:
        timers.start_rekey(sa, child)


def _mapping_changed(context: Context, sa: IkeSa, event: MappingChanged) -> None:
    """ESP that passed its integrity check came from another address or port: the peer is there now."""
    if sa.alive:
        moved = sa.path._replace(remote_address=event.address, remote_port=event.port)
        lifecycle.follow_path(context, sa, moved)
        context.touch(sa)
