# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a tunnel: by which of its IKE SAs it is done, and what each of them has to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from ..actions import Path
from ..connection import ChildConfig, Connection
from ..context import Context
from ..paths import default_path
from ..version import Packet
from . import beside, initiation, stop, supersede, timers
from .child import ChildState
from .child_selectors import takes
from .generations import serves
from .sa import EitherSa, IkeSa, OpeningSa, RekeyIke
from .tasks import NewChild
from .tunnel_sas import all_of, sas_of


def current(context: Context, tunnel: str) -> EitherSa | None:
    """The IKE SA of a tunnel to work with: an established one first, else one being set up."""
    return established(context, tunnel) or next(
        (sa for sa in reversed(all_of(context, tunnel)) if isinstance(sa, OpeningSa)), None
    )


def established(context: Context, tunnel: str) -> IkeSa | None:
    """The newest one that may be worked with."""
    return next((sa for sa in _lasting(context, tunnel) if not sa.superseded), None)


def _outgoing(context: Context, tunnel: str) -> IkeSa | None:
    """The newest one that makes children although it is there for those it has: its peer may have made it anew."""
    return next((sa for sa in _lasting(context, tunnel) if sa.superseded and sa.makes_children), None)


def _lasting(context: Context, tunnel: str) -> Iterator[IkeSa]:
    """Those that are up and not about to end, the newest first."""
    for sa in reversed(sas_of(context, tunnel)):
        # While a collision is open the children, and the work on them, are with the one that is being replaced.
        if sa.alive and not sa.closing and sa.claims is None:
            yield sa


def start(
    context: Context,
    connection: Connection,
    children: Sequence[ChildConfig],
    path: Path | None,
    packet: Packet | None,
) -> None:
    """See :class:`..version.Version`."""
    wanted: Sequence[ChildConfig] = children
    sa = current(context, connection.name)
    if sa is None:
        sa = initiation.new_initiator(context, connection, path or default_path(connection, context.settings))
        sa.handshake.wanted = tuple(wanted)
    else:
        wanted = _want(context, sa, children)
        if isinstance(sa, IkeSa):
            sa.retired = False
        if isinstance(sa, IkeSa) and packet is not None and not wanted:
            _want_more(sa, children, packet)
    if packet is not None:
        sa.packets = (sa.packets or {}) | {child.name: packet for child in wanted}


def rekey(context: Context, tunnel: str) -> None:
    """See :class:`..version.Version`."""
    sa = established(context, tunnel)
    if sa is not None:
        sa.queue.append(RekeyIke())
        context.touch(sa)


def rekey_children(context: Context, tunnel: str, names: Collection[str]) -> None:
    """See :class:`..version.Version`."""
    sa = established(context, tunnel)
    if sa is not None:
        for child in sa.children.values():
            if child.config.name in names and child.state is ChildState.INSTALLED and not child.superseded:
                timers.start_rekey(sa, child)
        context.touch(sa)


def reauthenticate(context: Context, tunnel: str) -> None:
    """See :class:`..version.Version`."""
    sa = established(context, tunnel)
    if sa is not None:
        beside.begin(context, sa)


def supersede_all(context: Context, tunnel: str) -> None:
    """See :meth:`..version.Version.supersede`."""
    for sa in all_of(context, tunnel):
        if isinstance(sa, IkeSa) and sa.alive and sa.children:
            supersede.supersede_sa(context, sa)
        elif isinstance(sa, OpeningSa) or (sa.claims is None and sa.alive):
            # Whoever takes over from another one has its children soon; who is on the way out may have some yet.
            stop.stop_sa(context, sa)


def supersede_children(context: Context, tunnel: str, names: Collection[str]) -> None:
    """See :class:`..version.Version`."""
    for sa in all_of(context, tunnel):
        supersede.supersede_children(context, sa, names)
    working = current(context, tunnel) or _outgoing(context, tunnel)
    if working is not None:
        _want(context, working, supersede.awaited(context, tunnel))


def negotiates(context: Context, tunnel: str) -> bool:
    """See :class:`..version.Version`."""
    return any(isinstance(task, NewChild) for sa in sas_of(context, tunnel) for task in sa.tasks)


def redefine(sa: EitherSa, connection: Connection) -> None:
    """See :class:`..version.Version`.

    What is under way ends as it began. A living child that is not defined any more keeps its old definition until it
    is stopped; one that is only wanted so far is wanted no more.
    """
    configs = {child.name: child for child in connection.children}
    for child in sa.children.values():
        supersede.redefine(child, configs.get(child.config.name, child.config))
    if isinstance(sa, OpeningSa):
        wanted = sa.handshake.wanted
        sa.handshake.wanted = tuple(configs[child.name] for child in wanted if child.name in configs)
    for task in [task for task in sa.queue if isinstance(task, NewChild)]:
        if task.config.name in configs:
            if task.config != configs[task.config.name]:
                task.not_before, task.times = 0.0, 0  # what was refused was another one
            task.config = configs[task.config.name]
        else:
            sa.queue.remove(task)


def _want(context: Context, sa: EitherSa, wanted: Iterable[ChildConfig]) -> list[ChildConfig]:
    """Have children negotiated; those that are neither up nor asked for already."""
    known = {child.config.name for child in sa.children.values() if serves(child)}
    known |= {task.config.name for task in sa.tasks if isinstance(task, NewChild) and not task.reason}
    if isinstance(sa, OpeningSa):
        known |= {config.name for config in sa.handshake.wanted}
    missing = [config for config in wanted if config.name not in known]
    if isinstance(sa, OpeningSa):
        sa.handshake.wanted += tuple(missing)
    else:
        sa.queue.extend(NewChild(config) for config in missing)
    context.touch(sa)
    return missing


def _want_more(sa: IkeSa, configs: Iterable[ChildConfig], packet: Packet) -> None:
    """Have a further child negotiated for a packet that the peer did not let into those that are up."""
    for config in configs:
        living = [child for child in sa.children.values() if child.config.name == config.name and serves(child)]
        pending = any(isinstance(task, NewChild) and task.config.name == config.name for task in sa.tasks)
        if living and not pending and not any(takes(child, packet) for child in living):
            sa.queue.append(NewChild(config, packet=packet))
