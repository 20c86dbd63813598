# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new IKE SA beside one that lives, which takes over before that ends: make before break (RFC 7296 section 2.8.3).

The children are negotiated anew in it; when all of them are there, the old IKE SA is closed. Until then, and if nothing
comes of the new one, the old one goes on as long as it can.
"""

from __future__ import annotations

from . import init
from .sa import ChildState, IkeSa, Kind, State, Task
from .turn import Turn

_AFTER_AUTH = 2  # Message ID that a responder expects when the first two exchanges are over
_CARRIES = (ChildState.INSTALLED, ChildState.REKEYING, ChildState.ANSWERED)


def begin(turn: Turn, old: IkeSa, first: str = "") -> bool:
    """Open an IKE SA that is to take over from ``old``; False when there is no need or no way.

    :param first: the child that goes along with IKE_AUTH.
    """
    connection = turn.connections.get(old.connection.name)
    if connection is None or old.retired or not old.alive or old.closing or old.claims is not None:
        return False
    if any(on_its_way(sa, old) for sa in turn.registry.of_tunnel(connection.name)):
        return False
    names = dict.fromkeys([first, *(child.config.name for child in old.children.values() if child.state in _CARRIES)])
    configs = {child.name: child for child in connection.children}
    # Along the path that works: a NAT on it stays where it is, and port 4500 is as good as 500 (section 2.23).
    new = init.new_initiator(turn, connection, old.path)
    new.handshake.wanted = tuple(configs[name] for name in names if name in configs)
    new.replaces = old
    return True


def on_its_way(sa: IkeSa, old: IkeSa) -> bool:
    """Whether this IKE SA is going to take over from ``old``, or from whatever that one came of."""
    return sa is not old and (sa.replaces is old or (sa.initiator and sa.handshake is not None))


def settle(turn: Turn, new: IkeSa) -> None:
    """Close what ``new`` has taken over, when it has all that can be had."""
    if new.replaces is None or not new.alive or new.closing:
        return
    old = _living(new.replaces)
    if old is None or old is new:
        new.replaces = None
        return
    there = names(new)
    if names(old) <= there:
        if not _proven(new):
            return
        close(turn, old)
    elif _is_pending(new) or not new.initiator:
        return
    elif there:
        for child in old.children.values():
            if child.config.name in there and child.state is ChildState.INSTALLED:
                old.queue.append(Task(Kind.DELETE_CHILD, child=child, reason="replaced"))
        turn.touch(old)
    else:
        close(turn, new)
    new.replaces = None


def names(sa: IkeSa) -> set[str]:
    """Names of the children that carry traffic in it."""
    return {child.config.name for child in sa.children.values() if child.state in _CARRIES}


def take_over(turn: Turn, new: IkeSa, old: IkeSa) -> None:
    """Have ``old`` closed when ``new`` has all that it has, at the peer's end as well."""
    new.replaces = old
    if not _proven(new):
        new.queue.append(Task(Kind.INFORM))
    turn.touch(new)


def ask_for_missing(turn: Turn, new: IkeSa, old: IkeSa) -> None:
    """Ask for the children that only ``old`` has."""
    configs = {child.config.name: child.config for child in old.children.values()}
    for name in names(old) - names(new):
        new.queue.append(Task(Kind.NEW_CHILD, config=configs[name]))
    turn.touch(new)


def close(turn: Turn, sa: IkeSa) -> None:
    """Have an IKE SA deleted for which another one is there."""
    if not sa.closing:
        sa.queue.append(Task(Kind.DELETE_IKE, reason="replaced"))
    turn.touch(sa)


def _proven(sa: IkeSa) -> bool:
    """Whether the IKE SA is known to be up at the peer: it answered there, asked, or made it out of another one.

    Whoever answers IKE_AUTH does not know whether the answer arrives.
    """
    return sa.initiator or sa.next_id > 0 or sa.expected_id > _AFTER_AUTH or bool(sa.lowest_nonce)


def _living(sa: IkeSa) -> IkeSa | None:
    """The IKE SA itself or the one that it was rekeyed to; None if it is over."""
    seen: set[int] = set()
    while sa.state is State.REKEYED and sa.replaced_by is not None and sa.number not in seen:
        seen.add(sa.number)
        sa = sa.replaced_by
    return sa if sa.state is State.ESTABLISHED and not sa.closing else None


def _is_pending(sa: IkeSa) -> bool:
    tasks = [*sa.queue, sa.request.task] if sa.request is not None else sa.queue
    return any(task.kind is Kind.NEW_CHILD for task in tasks)
