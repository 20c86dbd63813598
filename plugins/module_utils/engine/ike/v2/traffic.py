# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selector narrowing (RFC 7296 section 2.9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...errors import CHILD, IkeError, a_few
from ...selector import Selector
from ...wire.v2.numbers import NotifyType
from ..connection import ChildConfig

MAX_SELECTORS = 64  # each pair becomes three kernel policies
_CHILDREN_TOLD = 10


class Narrowed(NamedTuple):
    """The child that fits and what is left of the proposed selectors, from this end's view."""

    config: ChildConfig
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]


def overlap(proposed: Iterable[Selector], allowed: Iterable[Selector]) -> tuple[Selector, ...]:
    """What both match, without duplicates and without selectors that another one contains."""
    allowed = tuple(allowed)
    common = dict.fromkeys(found for p in proposed for a in allowed if (found := p.intersect(a)))
    if len(common) > MAX_SELECTORS:
        raise _unacceptable(f"more than {MAX_SELECTORS} selectors are left")
    return tuple(s for s in common if not any(o is not s and o.contains(s) for o in common))


def narrow(
    configs: Sequence[ChildConfig], local: Sequence[Selector], remote: Sequence[Selector], mode: str
) -> Narrowed:
    """Find the child whose selectors cover most of what the peer proposes.

    :param local: proposed selectors of our side, ``remote`` of the peer's.
    :param mode: what the peer asks for; a child of the other mode does not fit.
    :raises IkeError: TS_UNACCEPTABLE, saying what was asked for and what is defined.
    """
    best: tuple[int, Narrowed] | None = None
    for config in configs:
        if config.mode != mode:
            continue
        ours, theirs = overlap(local, config.local), overlap(remote, config.remote)
        if not ours or not theirs:
            continue
        # Exact agreement beats containment beats a mere overlap.
        rank = same_selectors(ours, config.local) + same_selectors(theirs, config.remote)
        rank += same_selectors(ours, local) + same_selectors(theirs, remote)
        # Where the first of them is the packet that the child is for, that one is to fit (RFC 7296 section 2.9).
        rank += any(s.contains(local[0]) for s in ours) and any(s.contains(remote[0]) for s in theirs)
        if best is None or rank > best[0]:
            best = (rank, Narrowed(config, ours, theirs))
    if best is None:
        differ = any(config.mode != mode and _meet(config, local, remote) for config in configs)
        raise _unacceptable(_story(configs, local, remote, mode), "mode_refused" if differ else "selectors_refused")
    return best[1]


def _meet(config: ChildConfig, local: Sequence[Selector], remote: Sequence[Selector]) -> bool:
    """Whether some of what is proposed is of this child."""
    return bool(overlap(local, config.local) and overlap(remote, config.remote))


def check_answer(config: ChildConfig, local: Sequence[Selector], remote: Sequence[Selector]) -> None:
    """Initiator: the answer may only narrow what we proposed.

    :raises IkeError: TS_UNACCEPTABLE when the peer widened it.
    """
    for answered, proposed in ((local, config.local), (remote, config.remote)):
        if not answered or any(not any(p.contains(a) for p in proposed) for a in answered):
            raise _unacceptable(f"the peer answered with selectors {_join(local)} === {_join(remote)} outside of ours")


def same_selectors(some: Sequence[Selector], others: Sequence[Selector]) -> bool:
    """Whether these are the same ones, in whatever order; mostly they are, and in the same one."""
    return some == others or set(some) == set(others)


def covers_packet(narrowed: Narrowed, packet: tuple[Selector, Selector]) -> bool:
    """Whether what is left of the selectors is for a packet."""
    return any(s.contains(packet[0]) for s in narrowed.local) and any(s.contains(packet[1]) for s in narrowed.remote)


def _unacceptable(story: str, reason: str = "selectors_refused") -> IkeError:
    return IkeError(NotifyType.TS_UNACCEPTABLE, story, CHILD, reason=reason)


def in_words(local: Iterable[Selector], remote: Iterable[Selector], mode: str) -> str:
    """What a child is to carry."""
    return f"{_join(local)} === {_join(remote)} ({mode} mode)"


def _join(selectors: Iterable[Selector]) -> str:
    return a_few(selectors) or "nothing"


def _story(configs: Sequence[ChildConfig], local: Sequence[Selector], remote: Sequence[Selector], mode: str) -> str:
    told = [f"{c.name}: {in_words(c.local, c.remote, c.mode)}" for c in configs[:_CHILDREN_TOLD]]
    more = f" and {len(configs) - _CHILDREN_TOLD} more" if len(configs) > _CHILDREN_TOLD else ""
    return f"the peer asks for {in_words(local, remote, mode)}, defined here is {'; '.join(told) or 'no child'}{more}"
