# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an IKE SA beside another one has all that it is to take over, the other one goes (``beside.py``)."""

from __future__ import annotations

from ...wire.v2.delete import Delete
from ...wire.v2.numbers import ProtocolId
from . import beside, lifecycle
from .exchange import last_word
from .sa import ChildState, IkeSa, Kind, Task
from .turn import Turn


def settle(turn: Turn, new: IkeSa) -> None:
    """Close what ``new`` has taken over, when it has all that can be had."""
    if new.replaces is None or not new.alive or new.closing:
        return
    old = beside.living(new.replaces)
    if old is None or old is new:
        new.replaces = None
        return
    there = beside.names(new)
    if beside.names(old) <= there:
        # What is superseded is closed by itself when nothing depends on it any more (``supersede.py``).
        if not beside.proven(new) or any(child.superseded for child in old.children.values()):
            return
        beside.ask_for(turn, new, old, beside.asked_for(old))
        _close(turn, old)
    elif not new.initiator or beside.asked_for(new):
        return
    elif missing := beside.names(old) - there - set(new.unfit):
        beside.ask_for(turn, new, old, missing)
        return
    elif there:
        for child in old.children.values():
            if child.config.name in there and child.state is ChildState.INSTALLED:
                old.queue.append(Task(Kind.DELETE_CHILD, child=child, reason="replaced"))
        turn.touch(old)
    else:
        beside.close(turn, new)
    new.replaces = None


def _close(turn: Turn, old: IkeSa) -> None:
    if old.request is not None and old.request.tries >= turn.settings.suspicious_tries:
        # The peer does not know it any more: nobody is going to answer there.
        last_word(turn, old, Delete(ProtocolId.IKE, ()))
        lifecycle.end(turn, old, "replaced", "the peer goes on in a new IKE SA")
        return
    beside.close(turn, old)
