# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make before break: what a definition of before brought about goes on until what the new one asks for is there.

What is *superseded* carries packets as it did, but makes nothing new. It is closed by the end that superseded it, as
soon as newer children carry all that it carried and that is still defined. Where they cannot be had, because the peer
does not know the new definition yet, it goes on, and gets fresh keys on the terms that it was agreed on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...selector import Selector
from ..connection import ChildConfig
from ..context import Context
from .child import Child, ChildState
from .sa import EitherSa, IkeSa, OpeningSa
from .tasks import DeleteChild, NewChild, RekeyChild, Task
from .tunnel_sas import children_of

_USED = (ChildState.INSTALLED, ChildState.REKEYING, ChildState.REKEYED)
_CARRY = (*_USED, ChildState.ANSWERED)
_THERE = (*_USED, ChildState.DELETING)  # at the peer's end, as far as we know
Pair = tuple[Selector, Selector]


def supersede_sa(context: Context, sa: IkeSa) -> None:
    """An option of the IKE SA itself changed: it stays for its children alone, and another one takes its place."""
    sa.superseded = True
    for task in list(sa.queue):
        if isinstance(task, NewChild):
            sa.queue.remove(task)
    supersede_children(context, sa, None)


def supersede_children(context: Context, sa: EitherSa, names: Collection[str] | None) -> None:
    """The children of these names changed, or all of them (None); those that are being made as well."""
    for child in sa.children.values():
        if names is None or child.config.name in names:
            child.superseded = True
    context.registry.superseded.add(sa.connection.name)
    under_way: list[Task] = [sa.request.task] if sa.request is not None else []
    if isinstance(sa, OpeningSa) and sa.handshake.first is not None:
        under_way.append(sa.handshake.first)
    for task in under_way:
        if isinstance(task, NewChild) and task.reason != "stopped" and (names is None or task.config.name in names):
            task.reason = "superseded"
    context.touch(sa)


def superseded(context: Context, tunnel: str) -> list[tuple[IkeSa, Child]]:
    """The superseded children of a tunnel that still carry packets."""
    if tunnel not in context.registry.superseded:
        return []
    return [each for each in children_of(context, tunnel) if each[1].superseded and each[1].state in _CARRY]


def awaited(context: Context, tunnel: str) -> list[ChildConfig]:
    """The children of the definition of now that are to take over from superseded ones, and that are not up."""
    old = [child for _sa, child in superseded(context, tunnel)]
    connection = context.connections.get(tunnel)
    if not old or connection is None:
        return []
    fresh = list(_fresh(context, tunnel))
    return [
        config
        for config in connection.children
        if not any(child.config.name == config.name for child in fresh) and any(_common(child, config) for child in old)
    ]


def ask_again(context: Context, sa: IkeSa) -> None:
    """What took over is closed by the peer before what it was to replace: ask for another one, if nobody does."""
    if not sa.makes_children or not sa.alive:
        return
    asked = {task.config.name for task in sa.tasks if isinstance(task, NewChild)}
    wanted = [config for config in awaited(context, sa.connection.name) if config.name not in asked]
    sa.queue.extend(NewChild(config) for config in wanted)


def redefine(child: Child, config: ChildConfig) -> None:
    """The definition of a child is another one, or the same once more."""
    if not child.superseded or child.before is None:
        child.before = child.config if config != child.config else None
    child.config = config


def follow(new: Child, old: Child) -> None:
    """What is superseded stays so with fresh keys."""
    if old.superseded:
        new.superseded, new.config, new.before = True, old.config, old.before


def settle(context: Context, tunnel: str) -> None:
    """Close the superseded children that nothing depends on any more."""
    old = superseded(context, tunnel)
    if not old:
        return
    configs, fresh = _configs(context, tunnel), _in_use(context, tunnel)
    for sa, child in old:
        if _depended_on(child, configs, fresh) or not sa.alive or _closing(sa, child):
            continue
        if _depended_on(child, configs, [one for one in fresh if _stays_beside(context, one, child)]):
            sa.settle_at = sa.settle_at or context.now + context.settings.duplicate_pause
        else:
            sa.queue.append(DeleteChild(child, reason="replaced"))
        context.touch(sa)


def _stays_beside(context: Context, fresh: Child, old: Child) -> bool:
    """Whether the peer surely does not close a child for the very one that we are to close for it.

    Of two that the ends asked for at once, for the peer maybe both of the newest definition, it closes its own where
    that has the lowest nonce; after a while that is decided.
    """
    decided = context.now >= max(fresh.created, old.created) + context.settings.duplicate_pause
    return fresh.started or not old.started or old.lowest_nonce < fresh.lowest_nonce or decided


def is_needed(context: Context, child: Child) -> bool:
    """Whether a superseded child, no other generation of which has its place, still carries packets alone."""
    if not child.superseded or (child.successor is not None and child.successor.state in _CARRY):
        return False
    tunnel = child.sa.tunnel
    return _depended_on(child, _configs(context, tunnel), _in_use(context, tunnel))


def _configs(context: Context, tunnel: str) -> tuple[ChildConfig, ...]:
    connection = context.connections.get(tunnel)
    return connection.children if connection is not None else ()


def _in_use(context: Context, tunnel: str) -> list[Child]:
    """What has been made since: as long as we do not send on it, the peer must not take what is older down."""
    return [child for child in _fresh(context, tunnel) if not child.proof_at]


def _closing(sa: IkeSa, child: Child) -> bool:
    return any(isinstance(task, (DeleteChild, RekeyChild)) and task.child is child for task in sa.tasks)


def _fresh(context: Context, tunnel: str) -> Iterator[Child]:
    for _sa, child in children_of(context, tunnel):
        if not child.superseded and child.state in _CARRY:
            yield child


def _depended_on(old: Child, configs: Iterable[ChildConfig], fresh: Collection[Child]) -> bool:
    """Whether packets that are still defined are carried by this one alone."""
    return any(not any(_covers(child, pair) for child in fresh) for config in configs for pair in _common(old, config))


def _common(old: Child, config: ChildConfig) -> list[Pair]:
    """The packets of a child that this one of the definition is for."""
    if config.if_id != old.sa.if_id:
        return []
    local = [both for one in old.sa.local_selectors for own in config.local if (both := one.intersect(own))]
    remote = [both for one in old.sa.remote_selectors for own in config.remote if (both := one.intersect(own))]
    return [(here, there) for here in local for there in remote]


def covers(child: Child, other: Child) -> bool:
    """Whether ``child`` carries all that ``other`` does."""
    return all(
        _covers(child, (here, there)) for here in other.sa.local_selectors for there in other.sa.remote_selectors
    )


def _covers(child: Child, pair: Pair) -> bool:
    return any(selector.contains(pair[0]) for selector in child.sa.local_selectors) and any(
        selector.contains(pair[1]) for selector in child.sa.remote_selectors
    )


# The other end


def older_in_use(context: Context, sa: IkeSa, child: Child) -> bool:
    """Whether older children of the same peer carry packets that are also this one's."""
    older = (other for other in _beside(context, sa, child) if other.number < child.number)
    return any(other.state in _THERE and overlap(other, child) for other in older)


def newer_in_use(context: Context, sa: IkeSa, child: Child) -> bool:
    """Whether a newer child of the same peer carries all packets of this one."""
    newer = (other for other in _beside(context, sa, child) if other.number > child.number)
    # pylint: disable-next=arguments-out-of-order
    return any(other.state in _USED and covers(other, child) for other in newer)


def _beside(context: Context, sa: IkeSa, child: Child) -> Iterator[Child]:
    """Other children of the same peer, of the same definition or of one before."""
    for one, other in children_of(context, sa.connection.name):
        related = other.superseded or (other.config.reqid == child.config.reqid and one.remote_id == sa.remote_id)
        if other is not child and related:
            yield other


def overlap(one: Child, other: Child) -> bool:
    """Whether some packets may be carried by either."""
    return any(a.intersect(b) for a in one.sa.local_selectors for b in other.sa.local_selectors) and any(
        a.intersect(b) for a in one.sa.remote_selectors for b in other.sa.remote_selectors
    )
