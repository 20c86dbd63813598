# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an IKE SA beside another one has all that it is to take over, the other one goes (``beside.py``)."""

from __future__ import annotations

from ...wire.v2.delete import Delete
from ...wire.v2.numbers import ProtocolId
from ..context import Context
from . import beside, lifecycle
from .exchange import last_word
from .sa import IkeSa
from .tasks import Inform

HANDOVER = "handover"  # the reason of a request whose answer proves that the peer sends on the new children


def settle(context: Context, new: IkeSa) -> None:
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
        if any(child.proof_at for child in new.children.values()):
            return  # the peer may not have it yet
        if is_silent(context, old):
            _prepare(context, new)
            return
        beside.ask_for(context, new, old, beside.asked_for(old))
        beside.close(context, old)
    elif not new.initiator or beside.asked_for(new):
        return
    elif missing := beside.names(old) - there - set(new.unfit):
        beside.ask_for(context, new, old, missing)
        return
    elif there:
        beside.close_children(context, old, there)
    else:
        beside.close(context, new)
    new.replaces = None


def is_silent(context: Context, sa: IkeSa) -> bool:
    """Whether a request of ours in it has been sent often enough without an answer."""
    return sa.request is not None and sa.request.tries >= context.settings.suspicious_tries


def _prepare(context: Context, new: IkeSa) -> None:
    """The old one is silent, so its Delete may never be answered. First see to it that nobody sends on it any more: a
    peer that lives sends on the children of ``new`` when it has a request that comes after them."""
    if not any(isinstance(task, Inform) and task.reason == HANDOVER for task in new.tasks):
        new.queue.append(Inform(HANDOVER))


def finish(context: Context, new: IkeSa) -> None:
    """The peer sends on the children of ``new``: a silent IKE SA from which it takes over ends, without an answer."""
    old = beside.living(new.replaces) if new.replaces is not None else None
    if old is None or old is new or not is_silent(context, old) or not beside.names(old) <= beside.names(new):
        return  # it has spoken, or there is something else to wait for: ``settle`` goes on
    new.replaces = None
    beside.ask_for(context, new, old, beside.asked_for(old))
    last_word(context, old, Delete(ProtocolId.IKE, ()), new.path)  # its own path may lead to where the peer is no more
    lifecycle.end(context, old, "replaced", "the peer goes on in a new IKE SA")
