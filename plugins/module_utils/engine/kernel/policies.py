# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors into policies: prefixes, port masks and the priority that lets the most specific one win."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping

from ..errors import KernelError
from ..newer_python import bit_count
from ..selector import OPAQUE_PORT, Selector
from .values import FWD, IN, IPCOMP, OUT, KernelSelector, Policy, Template

# Lower numbers win. Those before this stay free for an operator's own shunts (pass, drop) that must come first, and for
# the priorities that definitions say themselves.
PRIORITY_FIRST = 0x10000
PRIORITY_OWN_FIRST = 3
# Prefix lengths weigh most, then the protocol, then the bits of the port masks: 0 to 256, 0 to 1, 0 to 32. So between
# two definitions, one within the other, there is room for what belongs to the wider one and comes before all of it.
_PREFIX_WEIGHT, _PROTOCOL_WEIGHT, _PORT_WEIGHT = 128, 30, 3
_PASS, _PART = 2, 1
PRIORITY_LAST = PRIORITY_FIRST + 257 * _PREFIX_WEIGHT

# A peer's narrowing decides how many policies a child takes: bound it.
MAX_POLICIES = 256

_ICMP = (1, 58)
_HOST_BITS = {4: 32, 6: 128}
_FAMILY = {4: socket.AF_INET, 16: socket.AF_INET6}
_ANY = ((0, 0),)


def priority(selector: KernelSelector) -> int:
    """Of two policies that match a packet, one within the other, the inner one gets the lower number.

    Both ends of a tunnel compute the same: only sums of the two sides count.
    """
    ports = bit_count(selector.source_port_mask) + bit_count(selector.destination_port_mask)
    specific = (
        (selector.source_prefix + selector.destination_prefix) * _PREFIX_WEIGHT
        + (_PROTOCOL_WEIGHT if selector.protocol else 0)
        + ports * _PORT_WEIGHT
    )
    return PRIORITY_LAST - specific


def covers(wide: KernelSelector, narrow: KernelSelector) -> bool:
    """Whether all packets of ``narrow`` are of ``wide`` too."""
    if wide.family != narrow.family or wide.protocol not in (0, narrow.protocol):
        return False
    sides = (
        (wide.source, wide.source_prefix, narrow.source, narrow.source_prefix),
        (wide.destination, wide.destination_prefix, narrow.destination, narrow.destination_prefix),
    )
    if any(prefix > longer or not _begin_alike(a, b, prefix) for a, prefix, b, longer in sides):
        return False
    ports = (
        (wide.source_port, wide.source_port_mask, narrow.source_port, narrow.source_port_mask),
        (wide.destination_port, wide.destination_port_mask, narrow.destination_port, narrow.destination_port_mask),
    )
    return all(not mask & ~other_mask and not (port ^ other) & mask for port, mask, other, other_mask in ports)


def _begin_alike(a: bytes, b: bytes, bits: int) -> bool:
    rest = len(a) * 8 - bits
    return int.from_bytes(a, "big") >> rest == int.from_bytes(b, "big") >> rest


Sides = tuple[tuple[Selector, ...], tuple[Selector, ...]]


def ranked_selectors(negotiated: Sides, defined: Sides, own: int = 0) -> dict[KernelSelector, int]:
    """Selectors of the outbound policies that cover every combination of ``negotiated``, each with its priority.

    That is the priority of the definition which they were narrowed from (RFC 7296 section 2.9), or the one before it
    for a part of that: how far a peer narrows must not decide which of two definitions a packet belongs to.

    :param negotiated: (local, remote), which ``defined`` contains; what it does not contain ranks by itself.
    :param own: the priority of the definition, where it says one.
    :raises KernelError: as :func:`kernel_selectors`.
    """
    selectors = kernel_selectors(*negotiated)
    if negotiated == defined:
        return {selector: own or priority(selector) for selector in selectors}
    # No limit here: nobody but an operator wrote them.
    claims = [claim for here in defined[0] for there in defined[1] for claim in combine(here, there)]
    return {selector: _rank(selector, claims, own) for selector in selectors}


def _rank(selector: KernelSelector, claims: list[KernelSelector], own: int) -> int:
    if selector in claims:
        return own or priority(selector)
    parts = ((own or priority(claim)) - _PART for claim in claims if covers(claim, selector))
    return min(parts, default=own or priority(selector))


def passes(pieces: Iterable[tuple[Selector, Selector]], defined: Sides, if_id: int = 0, own: int = 0) -> list[Policy]:
    """Policies that let packets pass by a definition: they come before all of it, and after every narrower one.

    :param pieces: (local, remote) selectors, each within ``defined``. What is defined by itself does not pass.
    """
    claims = [claim for here in defined[0] for there in defined[1] for claim in combine(here, there)]
    found: dict[KernelSelector, int] = {}
    for here, there in pieces:
        for selector in combine(here, there):
            ranks = [(own or priority(claim)) - _PASS for claim in claims if covers(claim, selector)]
            if ranks and selector not in claims:
                found[selector] = min(ranks)
    return [
        Policy(each, direction, rank, if_id=if_id, local_ok=True)
        for selector, rank in found.items()
        for each, direction in ((reverse(selector), IN), (reverse(selector), FWD), (selector, OUT))
    ]


def shunts(ranks: Mapping[KernelSelector, int], dropping: Template | None) -> list[Policy]:
    """Policies of a child of which nothing is negotiated, by the selectors of what goes out, each with its priority.

    :param dropping: that of a child which drops its packets, and by which it is known whose they are; None for one that
        lets them pass in clear.
    """
    plain = Policy(next(iter(ranks)), OUT, 0, local_ok=True)
    if dropping is not None:
        plain = plain._replace(action="block", templates=(dropping,), local_ok=False)
    return [
        plain._replace(selector=each, direction=direction, priority=rank)
        for selector, rank in ranks.items()
        for each, direction in ((reverse(selector), IN), (reverse(selector), FWD), (selector, OUT))
    ]


def is_pass(policy: Policy) -> bool:
    """Whether a policy of the kernel is one of :func:`passes`, or one of :func:`shunts` that lets packets pass."""
    ours = PRIORITY_OWN_FIRST - _PASS <= policy.priority <= PRIORITY_LAST
    return policy.local_ok and ours and policy.action == "allow" and not policy.templates


def owner_of_pass(policy: Policy, others: Iterable[Policy]) -> Policy | None:
    """The outbound policy of the definition that a pass belongs to: of all of it, else of a part of it."""
    part = None
    for other in others:
        if other.templates and other.if_id == policy.if_id:
            if other.priority == policy.priority + _PASS and covers(other.selector, policy.selector):
                return other
            if other.priority == policy.priority + _PASS - _PART and covers(other.selector, policy.selector):
                part = other
    return part


def kernel_selectors(local: tuple[Selector, ...], remote: tuple[Selector, ...]) -> list[KernelSelector]:
    """Selectors of the outbound policies that cover every combination of ``local`` and ``remote``.

    :raises KernelError: when nothing is covered, a port is OPAQUE, or more than :data:`MAX_POLICIES` were needed.
    """
    found: dict[KernelSelector, None] = {}
    for here in local:
        for there in remote:
            for selector in combine(here, there):
                found[selector] = None
                if len(found) > MAX_POLICIES:
                    raise KernelError(
                        "turn the traffic selectors into policies", errno.E2BIG, f"more than {MAX_POLICIES} are needed"
                    )
    if not found:
        raise KernelError(
            "turn the traffic selectors into policies",
            errno.EINVAL,
            "local and remote have no family or protocol in common",
        )
    return list(found)


def combine(here: Selector, there: Selector) -> Iterator[KernelSelector]:
    """The selectors that match exactly the packets from ``here`` to ``there``, none of them within another.

    :raises KernelError: a port is OPAQUE.
    """
    if here.family != there.family:
        return
    if here.protocol and there.protocol and here.protocol != there.protocol:
        return
    if OPAQUE_PORT in ((here.first_port, here.last_port), (there.first_port, there.last_port)):
        raise KernelError(
            "turn the traffic selectors into policies", errno.EOPNOTSUPP, "OPAQUE ports (RFC 4301) are not supported"
        )
    protocol = here.protocol or there.protocol
    if protocol in _ICMP:
        pairs = _icmp_masks(here if not here.any_port else there)
    else:
        sources, destinations = _masks(here.first_port, here.last_port), _masks(there.first_port, there.last_port)
        pairs = [(source, destination) for source in sources for destination in destinations]
    for source in here.networks():
        for destination in there.networks():
            for (source_port, source_mask), (destination_port, destination_mask) in pairs:
                yield KernelSelector(
                    here.family,
                    source.network_address.packed,
                    source.prefixlen,
                    destination.network_address.packed,
                    destination.prefixlen,
                    protocol,
                    source_port,
                    source_mask,
                    destination_port,
                    destination_mask,
                )


def _masks(first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The fewest (value, mask) pairs of 16 bits that match exactly ``first`` to ``last``."""
    if (first, last) == (0, 0xFFFF):
        return _ANY
    pairs = []
    while first <= last:
        size = first & -first or 0x10000
        while first + size - 1 > last:
            size >>= 1
        pairs.append((first, 0x10000 - size))
        first += size
    return tuple(pairs)


def _icmp_masks(selector: Selector) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Type and code travel in one 16-bit number (RFC 4301 section 4.4.1.1); the kernel has them as source and
    destination port, each 16 bits wide."""
    pairs = []
    for value, mask in _masks(selector.first_port, selector.last_port):
        kind, code = (value >> 8, mask >> 8), (value & 0xFF, mask & 0xFF)
        pairs.append((_widen(*kind), _widen(*code)))
    return pairs


def _widen(value: int, mask: int) -> tuple[int, int]:
    return (value, 0xFF00 | mask) if mask else (0, 0)


def reverse(selector: KernelSelector) -> KernelSelector:
    """The same packets the other way round. ICMP type and code do not change places."""
    s = selector
    ports = (s.destination_port, s.destination_port_mask, s.source_port, s.source_port_mask)
    if s.protocol in _ICMP:
        ports = (s.source_port, s.source_port_mask, s.destination_port, s.destination_port_mask)
    return KernelSelector(
        s.family, s.destination, s.destination_prefix, s.source, s.source_prefix, s.protocol, *ports, s.ifindex
    )


def policies(selector: KernelSelector, rank: int, outbound: Template, *more: Template) -> list[Policy]:
    """The policies of one outbound selector, in the order of installing: what comes in may be received before
    anything is sent. ``rank`` is the priority of all of them.

    ``fwd`` is for tunnels only: nothing that is forwarded was protected in transport mode. Inbound templates name
    no SPI, so that both generations pass during a rekey, and IPComp is optional there: what does not shrink travels
    without it (RFC 3173 section 2.2).

    :param more: of the SAs around the first one.
    """
    chain = (outbound, *more)
    inbound = tuple(
        [
            Template(t.destination, t.source, 0, t.protocol, t.mode, t.reqid, t.optional or t.protocol == IPCOMP)
            for t in chain
        ]
    )
    back = reverse(selector)
    directions = (IN, FWD) if outbound.mode == "tunnel" else (IN,)
    return [Policy(back, direction, rank, templates=inbound) for direction in directions] + [
        Policy(selector, OUT, rank, templates=chain)
    ]


def packet_selectors(selector: KernelSelector) -> tuple[Selector, Selector]:
    """(local, remote) selectors of the packet that a larval SA waits with (RFC 7296 section 2.9)."""
    if selector.protocol in _ICMP:
        number = selector.source_port << 8 | selector.destination_port & 0xFF
        local_ports = remote_ports = (number, number)
    else:
        local_ports = _packet_ports(selector.source_port)
        remote_ports = _packet_ports(selector.destination_port)
    source = network(selector.source, selector.source_prefix)
    destination = network(selector.destination, selector.destination_prefix)
    return (
        Selector.from_network(source, selector.protocol, local_ports),
        Selector.from_network(destination, selector.protocol, remote_ports),
    )


def _packet_ports(port: int) -> tuple[int, int]:
    return (port, port) if port else (0, 0xFFFF)


def network(address: bytes, prefix: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network from octets; host bits are dropped."""
    kind = ipaddress.IPv4Network if len(address) == 4 else ipaddress.IPv6Network
    return kind((address, prefix), strict=False)


def network_text(address: bytes, prefix: int) -> str:
    """The same as text, in a quarter of the time; host bits are dropped."""
    bits = 8 * len(address) - prefix
    octets = (int.from_bytes(address, "big") >> bits << bits).to_bytes(len(address), "big")
    return f"{socket.inet_ntop(_FAMILY[len(address)], octets)}/{prefix}"
