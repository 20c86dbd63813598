# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let IPv6 neighbour discovery pass all policies.

A policy for two hosts on one link would otherwise catch the very packets by which they learn each other's link-layer
address: without these no IKE message gets through either (RFC 4861; RFC 4301 section 4.4.1 asks for such BYPASS
entries). It never leaves the link, as its receivers insist on a hop limit of 255.
"""

from __future__ import annotations

import errno

from ..errors import KernelError
from .client import Operation, XfrmClient, create_policy, delete_policy_index
from .values import IN, OUT, KernelSelector, Policy

SOLICITATION, ADVERTISEMENT = 135, 136
_ICMPV6 = 58
# Its number is how our own policies are told from others: they have no request ID. It stands before all shunts
# (shunt.py): who drops all packets does not mean these.
PRIORITY = 0x0DAD
# Whose they are, for people.
OWNER = "fleet-ipsec-manager"


_SELECTORS = [
    KernelSelector(6, bytes(16), 0, bytes(16), 0, _ICMPV6, kind, 0xFFFF) for kind in (SOLICITATION, ADVERTISEMENT)
]


def _policies() -> list[Policy]:
    return [Policy(selector, direction, PRIORITY) for selector in _SELECTORS for direction in (IN, OUT)]


# A kernel without IPv6 has nothing to let pass.
_NO_IPV6 = errno.EAFNOSUPPORT


def let_neighbours_pass(client: XfrmClient) -> int:
    """Add the policies that are not there; whatever else has those selectors is left alone.

    :returns: how many were added.
    :raises KernelError: the kernel refused.
    """
    missing = [policy for policy in _policies() if client.get_policy(policy.selector, policy.direction) is None]
    return sum(_do(client, create_policy(policy), errno.EEXIST, _NO_IPV6) for policy in missing)


def forget_neighbours(client: XfrmClient) -> None:
    """Remove our own policies again.

    :raises KernelError: the kernel refused.
    """
    for policy in _policies():
        held = client.get_policy(policy.selector, policy.direction)
        if held is not None and is_ours(held):
            _do(client, delete_policy_index(held), errno.ENOENT)


def is_ours(policy: Policy) -> bool:
    """Whether a dumped policy is one of these."""
    return policy.priority == PRIORITY and not policy.templates and policy.selector in _SELECTORS


def _do(client: XfrmClient, operation: Operation, *forgiven: int) -> bool:
    """Whether it was done, or was needless for a reason that is forgiven."""
    try:
        client.do(operation)
    except KernelError as exc:
        if exc.errno not in forgiven:
            raise
        return False
    return True
