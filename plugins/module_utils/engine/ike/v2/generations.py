# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that are there for the same packets: which of them stay, and which go for others."""

from __future__ import annotations

from ..context import Context
from . import supersede
from .child import SENDING, Child, ChildState
from .sa import IkeSa
from .tasks import NewChild
from .tunnel_sas import children_of


def serves(child: Child) -> bool:
    """Whether it is what its definition asks for now, and is to stay."""
    return not child.superseded and child.state is not ChildState.DELETING


def successor_of(child: Child) -> Child | None:
    """Who is going to take over when it goes."""
    heir = child.successor
    return heir if heir is not None and heir.state is not ChildState.GONE else None


def heirs_of(context: Context, child: Child) -> list[Child]:
    """The other children of the same definition that stay and carry packets of this one too.

    There may be some with all other packets, where the peer divides what it is asked for.
    """
    return [other for other in staying(context, child) if supersede.overlap(other, child)]


def newer_definitions(context: Context, child: Child) -> list[Child]:
    """Children of other names that took packets over from a superseded one."""
    if not child.superseded:
        return []
    return [
        other
        for _sa, other in children_of(context, child.sa.tunnel)
        if other.config.reqid != child.config.reqid and serves(other) and supersede.overlap(other, child)
    ]


def staying(context: Context, child: Child) -> list[Child]:
    """Those of them that are not being closed."""
    return [other for other in generations(context, child) if other.state is not ChildState.DELETING]


def generations(context: Context, child: Child) -> list[Child]:
    """The other children of the same definition, in whatever IKE SA of the tunnel, those that are being closed too."""
    return [
        other
        for _sa, other in children_of(context, child.sa.tunnel)
        if other is not child and other.config.reqid == child.config.reqid
    ]


def is_replaced(context: Context, child: Child) -> bool:
    """Whether it is still to go: it was rekeyed or superseded, or another one of its definition is there, which the
    peer may have closed meanwhile."""
    fresh = any(not heir.superseded for heir in heirs_of(context, child))
    return fresh or child.state is not ChildState.INSTALLED or child.superseded


def is_needed_yet(context: Context, sa: IkeSa, child: Child) -> bool:
    """Whether what is to take its place is not there yet, here or as far as we know at the peer's end."""
    heirs = heirs_of(context, child)
    if not heirs:
        return any(isinstance(task, NewChild) and task.config.reqid == child.config.reqid for task in sa.tasks)
    return child.state in SENDING and any(h.proof_at for h in heirs) and not any(h.state in SENDING for h in heirs)
