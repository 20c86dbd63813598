# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes that people set by hand: shunts (%pass, %drop, %reject, %trap) and ways to an SA, as policies of the kernel.

A policy without a template has no request ID that could say whose it is. But whoever adds a policy may choose its
index, so ours have one out of the range of request IDs that children never get.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..kernel.policies import PRIORITY_FIRST, network, priority, reverse
from ..kernel.registry import REQID_LAST, SHUNT_FIRST, is_shunt
from ..kernel.values import ESP, FWD, IN, OUT, KernelSelector, Policy, Template
from .klips import ErouteLine, format_eroute

PASS, DROP, REJECT, TRAP, IPSEC = "pass", "drop", "reject", "trap", "ipsec"
BOTH = "both"

# Below PRIORITY_FIRST, so before every tunnel; below these an operator's own policies and those of neighbours.py.
_FIRST_CLASS = 0x1000

# One shunt has this many indexes, a multiple of 8: the lowest three bits of an index are the kernel's direction.
_STRIDE = 16
NUMBERS = range(SHUNT_FIRST, REQID_LAST + 1, _STRIDE)
_SLOTS = {IN: 0, OUT: 1, FWD: 2}
_ANSWER_SLOT = 8 + _SLOTS[OUT]

_EXACT = 0xFFFF
_ICMP = {4: 1, 6: 58}
# Destination unreachable, communication administratively prohibited: RFC 1812 section 5.2.7.1, RFC 4443 section 3.1.
_PROHIBITED = {4: (3, 13), 6: (1, 1)}
_UNSPECIFIED = {4: "0.0.0.0", 6: "::"}

Key = tuple[KernelSelector, bool]


class Shunt(NamedTuple):
    """One of them.

    :ivar selector: which packets, as they travel: outgoing ones, or, with direction ``in``, incoming ones. A port is
        one port or every port.
    :ivar direction: ``out``, ``in``, or ``both``: outgoing ones and what comes back.
    :ivar action: ``pass``, ``drop``, ``reject``, ``trap``, or ``ipsec`` with the SA in ``said``.
    :ivar first: whether it stands before every tunnel; else the most specific one of all is taken.
    :ivar counted: whether nftables counts its packets.
    """

    selector: KernelSelector
    direction: str
    action: str
    owner: str
    said: str = ""
    first: bool = True
    counted: bool = False

    @property
    def key(self) -> Key:
        """What no two of them share: the packets, and whether they come in."""
        return self.selector, self.direction == IN

    @property
    def line(self) -> str:
        """The classic words without a count: ``10.1.0.0/24 -> 10.2.0.0/24:25 => %drop:6``."""
        s = self.selector
        source, destination = network(s.source, s.source_prefix), network(s.destination, s.destination_prefix)
        eroute = ErouteLine(
            0, source, s.source_port, destination, s.destination_port, self.said or f"%{self.action}", s.protocol
        )
        return " ".join(format_eroute(eroute).split()[1:])

    @property
    def words(self) -> str:
        """All of it in one line, for people who compare."""
        place = "before tunnels" if self.first else "most specific wins"
        counted = ", counted" if self.counted else ""
        return f"{self.line} ({self.direction}, {place}{counted}, owner {self.owner})"

    def shape(self) -> str:
        """All but the owner as one text; :func:`of_shape` reads it."""
        s = self.selector
        ends = [str(network(s.source, s.source_prefix)), str(network(s.destination, s.destination_prefix))]
        more = [self.direction, self.action, self.said, self.first, self.counted]
        return json.dumps([*ends, s.protocol, s.source_port, s.destination_port, *more])


def of_shape(owner: str, shape: str) -> Shunt:
    """The inverse of :meth:`Shunt.shape`."""
    source, destination, protocol, source_port, destination_port, direction, action, said, first, counted = json.loads(
        shape
    )
    ends = ipaddress.ip_network(source), ipaddress.ip_network(destination)
    selector = selector_of(*ends, protocol, source_port, destination_port)
    return Shunt(selector, direction, action, owner, said, first, counted)


def selector_of(
    source: ipaddress.IPv4Network | ipaddress.IPv6Network,
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    protocol: int,
    source_port: int,
    destination_port: int,
) -> KernelSelector:
    """Packets between two networks of one family; protocol and ports 0 mean all."""
    return KernelSelector(
        source.version, source.network_address.packed, source.prefixlen,
        destination.network_address.packed, destination.prefixlen, protocol,
        source_port, _EXACT if source_port else 0, destination_port, _EXACT if destination_port else 0,
    )  # fmt: skip


def number_of(policy: Policy) -> int | None:
    """The number of the shunt that a policy is of, None for all other policies."""
    return policy.index - policy.index % _STRIDE if is_shunt(policy.index) else None


def trap_number(reqid: int) -> int:
    """The number of the %trap whose template has this request ID, if it is one."""
    return reqid - _SLOTS[OUT]


def is_answer(policy: Policy) -> bool:
    """Whether a policy is one of :func:`answers`."""
    return number_of(policy) is not None and policy.index % _STRIDE == _ANSWER_SLOT


def rank(shunt: Shunt) -> int:
    """The priority of its policies: the lowest number wins."""
    return _rank(shunt.selector, shunt.first)


def _rank(selector: KernelSelector, first: bool) -> int:
    common = priority(selector)
    return common - PRIORITY_FIRST + _FIRST_CLASS if first else common


def policies(shunt: Shunt, number: int) -> list[Policy]:
    """The policies that a shunt takes, what lets packets in before what lets them out.

    Those of action ``ipsec`` have no templates yet.
    """
    action = "block" if shunt.action in (DROP, REJECT) else "allow"
    templates = (_trap(shunt.selector.family, number),) if shunt.action == TRAP else ()
    inbound = reverse(shunt.selector) if shunt.direction == BOTH else shunt.selector
    found = []
    if shunt.direction != OUT:
        found += [_policy(inbound, direction, shunt, number, action) for direction in (IN, FWD)]
    if shunt.direction != IN:
        found.append(_policy(shunt.selector, OUT, shunt, number, action)._replace(templates=templates))
    return found


def answers(shunts: Iterable[Shunt], numbers: Iterator[int]) -> list[Policy]:
    """Policies that let this host tell a sender that its packet was rejected, where a %reject would catch that too:
    where this host has an address in the network whose packets are rejected.

    Others' packets of this kind are not let out: the rule that rejects sees what is forwarded before any policy does.

    :param numbers: free ones; each policy takes one.
    """
    found = dict.fromkeys(answer for s in shunts if s.action == REJECT and (answer := _answer(s.selector)))
    return [Policy(selector, OUT, _rank(selector, True), index=next(numbers) + _ANSWER_SLOT) for selector in found]


def _policy(selector: KernelSelector, direction: str, shunt: Shunt, number: int, action: str) -> Policy:
    return Policy(selector, direction, rank(shunt), action, index=number + _SLOTS[direction])


def _trap(family: int, number: int) -> Template:
    address = _UNSPECIFIED[family]
    # Its own request ID: no SA but one made for this trap may let its packets through.
    return Template(address, address, 0, ESP, "transport", number + _SLOTS[OUT])


def _answer(selector: KernelSelector) -> KernelSelector | None:
    """ICMP out of a network, to senders in it, as far as ``selector`` rejects that; None where it does not."""
    s = selector
    if s.protocol not in (0, _ICMP[s.family]):
        return None
    within = overlap(s)
    if within is None:
        return None
    kind, code = _PROHIBITED[s.family]
    return KernelSelector(
        s.family, s.source, s.source_prefix, within.source, within.source_prefix, _ICMP[s.family],
        kind, _EXACT, code, _EXACT,
    )  # fmt: skip


def number_of_address(address: bytes) -> int:
    """An address as a number."""
    return int.from_bytes(address, "big")


def overlap(selector: KernelSelector) -> KernelSelector | None:
    """All packets of the network that both ends have in common; None when they have none."""
    s = selector
    near, far = network(s.source, s.source_prefix), network(s.destination, s.destination_prefix)
    if not near.overlaps(far):
        return None
    common = near if near.prefixlen >= far.prefixlen else far
    return selector_of(common, common, 0, 0, 0)
