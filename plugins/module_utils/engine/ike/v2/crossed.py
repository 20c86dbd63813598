# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends close a child for another one, and each the one that the other end keeps.

So it is where definitions change at both ends at about the same time. When both Deletes were answered, nothing would
carry the packets. The responder of the IKE SA therefore leaves the peer's Delete without an answer, as if it had not
come yet, and goes on with that child until it has made another; the peer repeats its request, and has it answered then.
"""

from __future__ import annotations

from ..context import Context
from . import generations, supersede
from .child import SENDING, Child
from .sa import IkeSa
from .tasks import DeleteChild


def is_kept(context: Context, sa: IkeSa, child: Child) -> bool:
    """Whether a child that the peer closes goes on for a moment, since nothing else would be left."""
    if sa.initiator or child.state not in SENDING or generations.heirs_of(context, child):
        return False
    if not child.kept_until and (_closes_another(sa, child) or context.now < child.chosen_until):
        child.kept_until = context.now + context.settings.switch_pause
        child.superseded = True
        context.registry.superseded.add(sa.connection.name)
        supersede.ask_again(context, sa)
    return context.now < child.kept_until


def choose(context: Context, child: Child) -> None:
    """The peer has closed a child at our wish: a Delete of one that is to stay may have left it before that."""
    for other in generations.generations(context, child):
        other.chosen_until = context.now + context.settings.switch_pause / 4


def _closes_another(sa: IkeSa, child: Child) -> bool:
    """Whether our own Delete of another one of its definition is out."""
    task = sa.request.task if sa.request is not None else None
    if not isinstance(task, DeleteChild) or task.reason != "replaced":
        return False
    other = task.child
    return other is not child and other.config.reqid == child.config.reqid and supersede.overlap(other, child)
