# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors that two children of this host claim at once.

The kernel finds the SA of a packet by its selectors alone. Where one claim lies within another, the inner one wins, on
both hosts; claims that are equal, or that cross each other, leave open whose a packet is. Packets that come through an
interface are compared with the selectors of its own tunnel only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from ..kernel.policies import combine
from ..kernel.values import KernelSelector
from ..newer_python import bit_count
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


Pair = tuple[Claim, Claim]
Five = tuple[int, int, int, int, int]


class Block(NamedTuple):
    """One selector of the kernel as numbers: of source, destination, protocol, source port and destination port.

    :ivar width: bits of an address; ``bits`` of each field that count, from the highest on.
    """

    width: int
    bits: Five
    values: Five


def overlaps(claims: Iterable[Claim]) -> list[Pair]:
    """Every pair of claims of different children that share a packet, neither of which lies within the other; in no
    particular order."""
    plain: dict[tuple[str, int], list[tuple[Claim, Block]]] = defaultdict(list)
    ranges: list[Claim] = []
    for claim in claims:
        blocks = _simple(claim) or [_block(piece) for piece in _pieces(claim.local, claim.remote)]
        if len(blocks) == 1:
            plain[claim.interface, blocks[0].width].append((claim, blocks[0]))
        elif blocks:
            ranges.append(claim)
    found = [pair for group in plain.values() for pair in _plain_overlaps(group)]
    others = [claim for group in plain.values() for claim, _block_ in group] if ranges else []
    found += [(other, claim) for claim in ranges for other in others if _clash(other, claim)]
    found += [pair for pair in combinations(ranges, 2) if _clash(*pair)]
    return found


@lru_cache(maxsize=1024)
def _pieces(local: Selector, remote: Selector) -> tuple[KernelSelector, ...]:
    return tuple(combine(local, remote))


def _block(s: KernelSelector) -> Block:
    masks = bit_count(s.source_port_mask), bit_count(s.destination_port_mask)
    bits = s.source_prefix, s.destination_prefix, 8 if s.protocol else 0, *masks
    addresses = int.from_bytes(s.source, "big"), int.from_bytes(s.destination, "big")
    return Block(8 * len(s.source), bits, (*addresses, s.protocol, s.source_port, s.destination_port))


def _simple(claim: Claim) -> list[Block]:
    """The same of two networks and every packet between them, as most claims are, in a quarter of the time."""
    local, remote = claim.local, claim.remote
    bits, values, width = [], [], 8 * len(local.first)
    for side in (local, remote):
        low, hosts = int.from_bytes(side.first, "big"), int.from_bytes(side.last, "big")
        hosts ^= low
        if side.protocol or not side.any_port or hosts & (hosts + 1) or low & hosts:
            return []
        bits.append(width - hosts.bit_length())
        values.append(low)
    if len(remote.first) != len(local.first):
        return []
    return [Block(width, (bits[0], bits[1], 0, 0, 0), (values[0], values[1], 0, 0, 0))]


def _plain_overlaps(claims: Iterable[tuple[Claim, Block]]) -> Iterator[Pair]:
    """Of claims that are one block each, all of one address family; there may be thousands.

    Which bits count says how two of them can lie to each other: only where it is the same bits, or more of them in one
    place and fewer in another, can they clash.
    """
    kinds: dict[Five, list[tuple[Claim, Block]]] = defaultdict(list)
    for claim, block in claims:
        kinds[block.bits].append((claim, block))
    for bits, group in kinds.items():
        for alike in _by_key(group, bits).values():
            yield from (pair for pair in combinations(alike, 2) if _is_of_two(*pair))
    for one, other in combinations(kinds, 2):
        common = _common(one, other)
        if common not in (one, other):
            held = _by_key(kinds[one], common)
            for key, crossing in _by_key(kinds[other], common).items():
                yield from ((a, b) for a in held.get(key, ()) for b in crossing if _is_of_two(a, b))


def _common(one: Five, other: Five) -> Five:
    """The bits of each field that count in both."""
    source, destination, protocol, source_port, destination_port = map(min, one, other)
    return source, destination, protocol, source_port, destination_port


def _by_key(claims: Iterable[tuple[Claim, Block]], bits: Five) -> dict[Five, list[Claim]]:
    """The claims by what their packets have in the first ``bits`` of each field."""
    found: dict[Five, list[Claim]] = defaultdict(list)
    for claim, (width, _bits, (source, destination, protocol, source_port, destination_port)) in claims:
        found[
            source >> width - bits[0],
            destination >> width - bits[1],
            protocol >> 8 - bits[2],
            source_port >> 16 - bits[3],
            destination_port >> 16 - bits[4],
        ].append(claim)
    return found


def _is_of_two(one: Claim, other: Claim) -> bool:
    return (one.tunnel, one.child) != (other.tunnel, other.child)


def _clash(one: Claim, other: Claim) -> bool:
    """The same of any two claims, some of which are ranges: those become several policies."""
    if one.interface != other.interface or not _is_of_two(one, other):
        return False
    mine, theirs = _pieces(one.local, one.remote), _pieces(other.local, other.remote)
    local, remote = one.local.intersect(other.local), one.remote.intersect(other.remote)
    if local is None or remote is None or not set(_pieces(local, remote)):
        return False
    inner = set(_pieces(local, remote)) in (set(mine), set(theirs))
    return not inner or bool(set(mine) & set(theirs))
