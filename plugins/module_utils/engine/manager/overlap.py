# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors that two children of this host claim at once.

The kernel finds the SA of a packet by its selectors alone, so each packet must belong to one child. Only a child
whose remote side is a whole address family (0.0.0.0/0 or ::/0) may lie beneath others: the most specific wins.
Packets that come through an interface are compared with the selectors of its own tunnel only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..selector import Selector


class Claim(NamedTuple):
    """One pair of selectors of one child; ``field`` is where its operator wrote it.

    :ivar interface: name of the interface whose packets it is for, empty for none.
    """

    tunnel: str
    child: str
    field: str
    local: Selector
    remote: Selector
    interface: str = ""


def overlaps(claims: Iterable[Claim]) -> list[tuple[Claim, Claim]]:
    """Every pair of claims of different children that share a packet, in no particular order."""
    comparable: dict[tuple[str, bool], list[Claim]] = {}
    for claim in claims:
        comparable.setdefault((claim.interface, _is_default(claim.remote)), []).append(claim)
    return [pair for group in comparable.values() for pair in _sweep(group)]


def _is_default(remote: Selector) -> bool:
    whole = not any(remote.first) and remote.last == b"\xff" * len(remote.last)
    return whole and not remote.protocol and remote.any_port


def _sweep(claims: list[Claim]) -> list[tuple[Claim, Claim]]:
    """Compare only claims whose ranges meet on the side where the ranges differ most."""
    by_remote = len({claim.remote for claim in claims}) >= len({claim.local for claim in claims})
    side: Callable[[Claim], Selector] = (lambda c: c.remote) if by_remote else (lambda c: c.local)
    claims.sort(key=lambda c: (len(side(c).first), side(c).first))
    found = []
    open_claims: list[Claim] = []
    for claim in claims:
        first = side(claim).first
        open_claims = [c for c in open_claims if len(side(c).last) == len(first) and side(c).last >= first]
        found += [(other, claim) for other in open_claims if _share(other, claim)]
        open_claims.append(claim)
    return found


def _share(one: Claim, other: Claim) -> bool:
    if (one.tunnel, one.child) == (other.tunnel, other.child):
        return False
    return one.local.intersect(other.local) is not None and one.remote.intersect(other.remote) is not None
