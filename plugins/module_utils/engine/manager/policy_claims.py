# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is claimed of the kernel's policies, and by whom: the values that :mod:`.desired_policies` works with."""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from ..child_sa import ChildSa
from ..kernel.values import Place, Policy
from ..newer_python import dataclass

Way = tuple[int, frozenset[object]]

# Whoever claims: ("trap", tunnel, child) or ("child", number of the Child SA), or what another file makes up.
Claimant = tuple[object, ...]

# Ranks; the second number decides among equals. What only receives lets its packets in and never stands. What yields
# holds a place as well, but has its packets go where a wider child of the same tunnel takes them; so does what closes,
# whose Delete is out and which sends itself where nothing else does.
RECEIVES, LEFT, YIELDS, HOLDS, CLOSES, SENDS = range(6)
POINTED = 1000  # ranks between a Child SA and the next newer one, for those that are told to send in their place


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claimant wants.

    :ivar rank: the highest stands; ``policies``: what then stands.
    :ivar child: the child; its request ID says whose the policies are, and SAs are named by its SPIs.
    :ivar lives: whether it has an SA whose packets are to be let in.
    """

    claimant: Claimant
    rank: tuple[int, int]
    child: ChildSa
    policies: dict[Place, Policy] = field(repr=False)
    lives: bool = False

    @property
    def carries(self) -> bool:
        """Whether it has an SA that sends."""
        return self.lives and self.rank[0] >= CLOSES

    @property
    def narrowed(self) -> bool:
        """Whether it sends a part of what its definition is for."""
        return self.carries and self.child.defined is not None


class Standing(NamedTuple):
    """Whose policy is to stand at a place, which, and the child whose SA it points to."""

    claim: Claim
    policy: Policy
    child: ChildSa


def place_of(policy: Policy) -> Place:
    """Where a policy stands: the kernel has one there."""
    return policy.selector, policy.direction, policy.if_id


def way_of(child: ChildSa) -> Way:
    """What routes of a child are kept by."""
    return child.reqid, frozenset(child.remote_selectors)
