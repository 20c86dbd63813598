# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the peer has our answer: before that it cannot receive on the child that it had us make beside older ones.

Who has no answer repeats its request. When it has not done so for a while it is asked for a proof; its next request is
one by itself.
"""

from __future__ import annotations

from collections.abc import Collection

from ..context import Context
from . import children
from .child import Child, ChildState
from .sa import IkeSa
from .tasks import Inform

PROOF = "proof"  # the reason of a request whose answer proves that the peer has what it asked us for


def doubt(context: Context, sa: IkeSa) -> None:
    """The peer repeats its last request: it has not our answer yet, so what that made is not there at its end.

    A stranger may send a copy of it, too, so this has an end, and nothing is kept of it.
    """
    recent = context.now - context.settings.doubt_ends
    _put_off_proof(context, sa, [c for c in sa.children.values() if c.proof_at and c.created > recent])


def doubt_after_absence(context: Context, sa: IkeSa) -> None:
    """Nobody was here for a while: the peer may have repeated its last request all the time, and goes on to do so."""
    _put_off_proof(context, sa, [child for child in sa.children.values() if child.proof_at])


def _put_off_proof(context: Context, sa: IkeSa, doubtful: Collection[Child]) -> None:
    for child in doubtful:
        child.proof_at = context.now + context.settings.switch_pause
    if doubtful:
        for task in sa.tasks:
            if isinstance(task, Inform) and task.reason == PROOF:
                task.reason = ""


def prove(context: Context, sa: IkeSa) -> None:
    """The peer has all answers that we gave it so far: what was made beside older children may send."""
    for child in list(sa.children.values()):
        if child.proof_at:
            children.switch_to(context, child)


def ask_again(context: Context, sa: IkeSa) -> None:
    """What the peer said proves nothing; ask once more in a moment."""
    for child in sa.children.values():
        if child.proof_at:
            child.proof_at = context.now + context.settings.switch_pause / 4
    context.touch(sa)


def doubt_successor(context: Context, child: Child) -> None:
    """The peer has closed a child at our wish: that is no sign that it has our answer to its rekey of this one."""
    heir = child.successor
    if heir is not None and heir.state is ChildState.ANSWERED and not heir.proof_at:
        heir.proof_at = context.now + context.settings.switch_pause
