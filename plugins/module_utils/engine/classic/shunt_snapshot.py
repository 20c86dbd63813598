# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What eroutes by hand are decided from, as it was found: shunts, tunnels, policies, rules of nftables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import MissingError
from ..kernel.addresses import is_local
from ..kernel.client import describe
from ..kernel.registry import Child
from ..kernel.values import FWD, IN, Policy
from . import shunt_rules
from .group_snapshot import Snapshot
from .shunt import Key, Shunt, is_answer, number_of, number_of_address


@dataclass
class Seen:
    """What there is.

    :ivar problem: why this host cannot have rules of nftables; None when it can. ``way_problem`` of those that count
        what goes into SAs.
    :ivar addresses: those of this host; ``ends_here``: whether an address is, or could be, one of them.
    """

    kernel: Snapshot
    shunts: Mapping[int, Shunt]
    children: Mapping[int, Child]
    rules: shunt_rules.State | None
    problem: Callable[[], MissingError | None]
    addresses: Callable[[], Sequence[str]] = tuple
    ends_here: Callable[[str], bool] = is_local
    way_problem: Callable[[], MissingError | None] = lambda: None

    @cached_property
    def by_key(self) -> dict[Key, int]:
        """The number of each shunt by its key."""
        return {shunt.key: number for number, shunt in self.shunts.items()}

    @cached_property
    def strays(self) -> dict[Key, int]:
        """Numbers of shunts that the kernel has and the registry has not, because a run was killed, by their keys."""
        return {
            (policy.selector, policy.direction == IN): number
            for policy in self.kernel.policies
            if policy.direction != FWD and (number := stray_number(policy, self)) is not None
        }

    @cached_property
    def tunnels(self) -> dict[tuple[str, int], tuple[list[int], list[Policy]]]:
        """The policies that lead to SAs and are none of ours, but for those of interfaces, by direction and family:
        their source addresses as numbers, in order, and themselves likewise."""
        found: dict[tuple[str, int], list[Policy]] = {}
        for policy in self.kernel.policies:
            if policy.templates and not policy.if_id and number_of(policy) is None:
                found.setdefault((policy.direction, policy.selector.family), []).append(policy)
        for each in found.values():
            each.sort(key=lambda policy: policy.selector.source)
        return {key: ([number_of_address(p.selector.source) for p in each], each) for key, each in found.items()}


def stray_number(policy: Policy, seen: Seen) -> int | None:
    """The number of the shunt that a policy is of, if the registry does not have that."""
    number = number_of(policy)
    return None if number is None or number in seen.shunts or is_answer(policy) else number


def name_of_policy(policy: Policy, seen: Seen) -> str:
    """Whose policy it is, in words: a tunnel's, or another program's."""
    names = seen.children.get(policy.reqid)
    return f"tunnel {names.tunnel} (child {names.child})" if names else f"the policy {describe(policy)}"
