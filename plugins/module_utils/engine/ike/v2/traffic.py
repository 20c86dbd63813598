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
        rank = (set(ours) == set(config.local)) + (set(theirs) == set(config.remote))
        rank += (set(ours) == set(local)) + (set(theirs) == set(remote))
        # Where the first of them is the packet that the child is for, that one is to fit (RFC 7296 section 2.9).
        rank += any(s.contains(local[0]) for s in ours) and any(s.contains(remote[0]) for s in theirs)
        if best is None or rank > best[0]:
            best = (rank, Narrowed(config, ours, theirs))
    if best is None:
        raise _unacceptable(_story(configs, local, remote, mode))
    return best[1]


def check_answer(config: ChildConfig, local: Sequence[Selector], remote: Sequence[Selector]) -> None:
    """Initiator: the answer may only narrow what we proposed.

    :raises IkeError: TS_UNACCEPTABLE when the peer widened it.
    """
    for answered, proposed in ((local, config.local), (remote, config.remote)):
        if not answered or any(not any(p.contains(a) for p in proposed) for a in answered):
            raise _unacceptable(f"the peer answered with selectors {_join(local)} === {_join(remote)} outside of ours")


def covers_packet(narrowed: Narrowed, packet: tuple[Selector, Selector]) -> bool:
    """Whether what is left of the selectors is for a packet."""
    return any(s.contains(packet[0]) for s in narrowed.local) and any(s.contains(packet[1]) for s in narrowed.remote)


def _unacceptable(story: str) -> IkeError:
    return IkeError(NotifyType.TS_UNACCEPTABLE, story, CHILD, reason="selectors_refused")


def _join(selectors: Iterable[Selector]) -> str:
    return a_few(selectors) or "nothing"


def _story(configs: Sequence[ChildConfig], local: Sequence[Selector], remote: Sequence[Selector], mode: str) -> str:
    asked = f"the peer asks for {_join(local)} === {_join(remote)} ({mode} mode)"
    defined = "; ".join(f"{c.name}: {_join(c.local)} === {_join(c.remote)} ({c.mode} mode)" for c in configs)
    return f"{asked}, defined here is {defined or 'no child'}"
