# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new IKE SA beside one that lives, which takes over before that ends: make before break (RFC 7296 section 2.8.3).

The children are negotiated anew in it; when all of them are there, the old IKE SA is closed. Until then, and if nothing
comes of the new one, the old one goes on as long as it can.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..context import Context
from . import initiation, twins
from .child import ChildState
from .sa import EitherSa, IkeSa, OpeningSa, State
from .tasks import DeleteIke, Inform, NewChild
from .tunnel_sas import all_of, sas_of

# Message ID that a responder expects when IKE_SA_INIT and IKE_AUTH are over; each additional key exchange is one more.
_AFTER_AUTH = 2
_OVER = (ChildState.REKEYED, ChildState.DELETING, ChildState.GONE)
_CARRIES = (ChildState.INSTALLED, ChildState.REKEYING, ChildState.ANSWERED)


def begin(context: Context, old: IkeSa, first: str = "") -> bool:
    """Open an IKE SA that is to take over from ``old``; False when there is no need or no way.

    :param first: the child that goes along with IKE_AUTH.
    """
    connection = context.connections.get(old.connection.name)
    if connection is None or old.outgoing or not old.alive or old.closing or old.claims is not None:
        return False
    if any(on_its_way(sa, old) for sa in all_of(context, connection.name)):
        return False
    wanted = dict.fromkeys([first, *sorted(names(old)), *asked_for(old)])
    configs = {child.name: child for child in connection.children}
    # Along the path that works: a NAT on it stays where it is, and port 4500 is as good as 500 (section 2.23).
    new = initiation.new_initiator(context, connection, old.path)
    new.handshake.wanted = tuple(configs[name] for name in wanted if name in configs)
    new.replaces = old
    return True


def on_its_way(sa: EitherSa, old: IkeSa) -> bool:
    """Whether this IKE SA is going to take over from ``old``, or from whatever that one came of."""
    return sa is not old and (sa.replaces is old or (sa.initiator and isinstance(sa, OpeningSa)))


def names(sa: IkeSa) -> set[str]:
    """Names of the children that carry traffic in it as they are defined now."""
    return {child.config.name for child in sa.children.values() if child.state in _CARRIES and not child.superseded}


def take_over(context: Context, new: IkeSa, old: IkeSa) -> None:
    """Have ``old`` closed when ``new`` has all that it has, at the peer's end as well."""
    new.replaces = old
    if not proven(new):
        new.queue.append(Inform())
    context.touch(new)


def stand_in(context: Context, sa: IkeSa) -> IkeSa | None:
    """Another IKE SA with the same peer that has all children of this one, whose end loses nothing then."""
    needed = {child.config.name for child in sa.children.values() if child.state not in _OVER}
    for other in sas_of(context, sa.connection.name):
        stays = other.alive and not (other.closing or other.superseded) and other.claims is None
        if other is not sa and stays and other.remote_id == sa.remote_id and needed <= names(other):
            return other
    return None


def ask_for(context: Context, new: IkeSa, old: IkeSa, wanted: Iterable[str]) -> None:
    """Ask in ``new`` for children of ``old``, up there or still to come, that it has not and does not ask for yet."""
    configs = {child.config.name: child.config for child in old.children.values()}
    configs |= {config.name: config for config in new.connection.children}
    for name in sorted(set(wanted) & configs.keys() - names(new) - set(asked_for(new))):
        new.queue.append(NewChild(configs[name]))
    context.touch(new)


def close(context: Context, sa: IkeSa) -> None:
    """Have an IKE SA deleted for which another one is there."""
    if not sa.closing:
        sa.queue.append(DeleteIke("replaced"))
    context.touch(sa)


def close_children(context: Context, sa: IkeSa, there: Collection[str]) -> None:
    """Close the children that another IKE SA has."""
    for child in sa.children.values():
        if child.config.name in there and child.state is ChildState.INSTALLED:
            twins.close(sa, child)
    context.touch(sa)


def proven(sa: IkeSa) -> bool:
    """Whether the IKE SA is known to be up at the peer: it answered there, asked, or made it out of another one.

    Whoever answers IKE_AUTH does not know whether the answer arrives.
    """
    handshake = _AFTER_AUTH + len(sa.protection.choice.more)
    return sa.initiator or sa.next_id > 0 or sa.expected_id > handshake or bool(sa.lowest_nonce)


def living(sa: IkeSa) -> IkeSa | None:
    """The IKE SA itself or the one that it was rekeyed to; None if it is over."""
    seen: set[int] = set()
    while sa.state in (State.REKEYED, State.GONE) and sa.replaced_by is not None and sa.number not in seen:
        seen.add(sa.number)
        sa = sa.replaced_by
    return sa if sa.state is State.ESTABLISHED and not sa.closing else None


def asked_for(sa: IkeSa) -> list[str]:
    """Names of the children that this IKE SA is asked for, or going to be."""
    return [task.config.name for task in sa.tasks if isinstance(task, NewChild) and task.reason != "stopped"]
