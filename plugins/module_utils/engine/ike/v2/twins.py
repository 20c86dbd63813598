# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several children of one definition in one IKE SA that carry the same packets: all but one are closed.

Both ends may ask for the same child at once, one end may ask twice, and either may rekey the one that the other is
about to close. As with a rekey (RFC 7296 section 2.8.1) the one with the lowest nonce goes and whoever created it
deletes it, so that both ends come to the same verdict. What the peer created and keeps is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..context import Context
from . import supersede
from .child import Child, ChildState
from .sa import IkeSa
from .tasks import DeleteChild


def settle_crossed(sa: IkeSa, child: Child) -> None:
    """Both ends asked for the same child at once, and this one has just been made."""
    for twin in list(sa.children.values()):
        if twin is child or twin.config.reqid != child.config.reqid or twin.started == child.started:
            continue
        if (twin.state is ChildState.INSTALLED or twin.proof_at) and not twin.superseded and not is_closing(sa, twin):
            mine, theirs = (child, twin) if child.started else (twin, child)
            if mine.lowest_nonce < theirs.lowest_nonce and supersede.covers(theirs, mine):
                close(sa, mine)


def look_later(context: Context, sa: IkeSa, child: Child) -> None:
    """A child has been made: where there are others of its definition, see in a while what is left of them."""
    others = (one for one in sa.children.values() if one is not child and one.config.reqid == child.config.reqid)
    if next(others, None) is not None:
        sa.settle_at = sa.settle_at or context.now + context.settings.duplicate_pause


def settle(context: Context, sa: IkeSa) -> None:
    """Close those of ours that have stood beside another one for a while.

    What is younger may not be known to the other end yet, or be on its way out there, and the two would not agree.
    """
    pause = context.settings.duplicate_pause
    for twins in _groups(sa):
        stay = max(twins, key=lambda one: one.lowest_nonce)
        surplus = [twin for twin in twins if twin is not stay and twin.started]
        settled_at = max(twin.created for twin in twins) + pause
        if context.now < settled_at:
            sa.settle_at = min(sa.settle_at or settled_at, settled_at)
        elif any(twin.state is not ChildState.INSTALLED or is_closing(sa, twin) for twin in twins):
            sa.settle_at = sa.settle_at or context.now + pause
        else:
            for twin in surplus:
                close(sa, twin)


def is_closing(sa: IkeSa, child: Child) -> bool:
    """Whether its Delete is queued or out."""
    return any(isinstance(task, DeleteChild) and task.child is child for task in sa.tasks)


def close(sa: IkeSa, child: Child) -> None:
    """Have a child closed for which another one is there."""
    if not is_closing(sa, child):
        sa.queue.append(DeleteChild(child, reason="replaced"))


def packets(child: Child) -> Any:
    """The selectors of a child, in whatever order: equal where two carry the same packets."""
    return frozenset(child.sa.local_selectors), frozenset(child.sa.remote_selectors)


def _groups(sa: IkeSa) -> Iterator[list[Child]]:
    """Those of one definition that carry the same packets, where there are several."""
    groups: dict[Any, list[Child]] = {}
    for child in sa.children.values():
        if not child.superseded and child.state is not ChildState.DELETING:
            groups.setdefault((child.config.reqid, packets(child)), []).append(child)
    return (group for group in groups.values() if len(group) > 1)
