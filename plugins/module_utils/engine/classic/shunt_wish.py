# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shunt as somebody wants it, and what is decided where nothing was said: its precedence, and whether it counts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InputError, MissingError, RefusedError
from ..kernel.policies import covers
from ..kernel.sa_chains import TUN
from ..kernel.values import IN, OUT
from ..said import parse_said
from . import shunt_rules
from .shunt import IPSEC, REJECT, Shunt, number_of_address
from .shunt_snapshot import Seen, name_of_policy


class Wish(NamedTuple):
    """A shunt as somebody wants it.

    :ivar field: what the user calls it, for errors: names of its fields are put behind.
    :ivar first: as :class:`Shunt` has it; None: before every tunnel, unless that would take a tunnel's packets.
    :ivar counted: None: where this host can.
    """

    shunt: Shunt
    field: Callable[[str], str]
    first: bool | None = None
    counted: bool | None = None


def settle(wish: Wish, held: Shunt | None, seen: Seen) -> Shunt:
    """The shunt with what was left open decided.

    :raises InputError: what was said does not go together; a RefusedError where this host stands against it.
    """
    shunt, name = wish.shunt, wish.field
    first = True if wish.first is None else wish.first
    if shunt.action == IPSEC:
        first = False
        if shunt.direction == IN and not (held and held.said == shunt.said):
            _check_end(shunt.said, seen, name)
    elif wish.first is None and not (held and held.first):
        _check_exposed(shunt, seen, name)
    shunt = shunt._replace(first=first)
    if shunt.action == REJECT and not first:
        raise InputError(
            name("precedence"), "specific",
            "a %reject stands before every tunnel, for its ICMP is sent before the kernel looks at any policy",
            "write first, or drop instead of reject",
        )  # fmt: skip
    if shunt.action == REJECT:
        _require_rules(seen)
    return shunt._replace(counted=_counted(wish, shunt, held, seen))


def _counted(wish: Wish, shunt: Shunt, held: Shunt | None, seen: Seen) -> bool:
    able = _by_hand(shunt, seen) if shunt.action == IPSEC else shunt_rules.countable(shunt)
    if wish.counted and not able:
        raise InputError(
            wish.field("count"), wish.counted, "its packets cannot be told from those of other SAs or directions",
            "leave it out; an SA counts by itself",
        )  # fmt: skip
    if wish.counted is False or not able:
        return False
    problem = _lacking(shunt, held, seen)
    if wish.counted and problem:
        raise problem
    return problem is None


def _by_hand(shunt: Shunt, seen: Seen) -> bool:
    """Whether packets go out by SAs that were keyed by hand: no tunnel sends others by these."""
    said = parse_said(shunt.said)
    real = [member for member in seen.kernel.group_of(said) or (said,) if member.protocol != TUN]
    return shunt.direction != IN and bool(real) and all(member in seen.kernel.noted for member in real)


def _lacking(shunt: Shunt, held: Shunt | None, seen: Seen) -> MissingError | None:
    """What counting lacks here; where it counts already, trying is not needed."""
    if shunt.action == IPSEC:
        return None if held and held.counted and held.action == IPSEC else seen.way_problem()
    return None if seen.rules is not None else seen.problem()


def _check_end(said: str, seen: Seen, name: Callable[[str], str]) -> None:
    """Nothing comes in by an SA that ends elsewhere."""
    end = parse_said(said).destination
    if not seen.ends_here(end):
        raise RefusedError(
            name("said"), said, f"is for packets to {end}, which is no address of this host, so nothing comes in by it",
            "name the SA of the other direction, or let packets out by this one",
        )  # fmt: skip


def _require_rules(seen: Seen) -> None:
    if seen.rules is None and (problem := seen.problem()):
        raise problem


def _check_exposed(shunt: Shunt, seen: Seen, name: Callable[[str], str]) -> None:
    """There may be thousands of both: only tunnels that begin where the shunt does are compared with it."""
    s = shunt.selector
    addresses, tunnels = seen.tunnels.get((IN if shunt.direction == IN else OUT, s.family), ([], []))
    low = number_of_address(s.source)
    high = low | (1 << len(s.source) * 8 - s.source_prefix) - 1
    for policy in tunnels[bisect_left(addresses, low) : bisect_right(addresses, high)]:
        if covers(s, policy.selector):
            raise RefusedError(
                name("precedence"), None,
                f"before every tunnel it would take all packets of {name_of_policy(policy, seen)}",
                "write specific, which lets the most specific one win as the classic table did, or first, to mean it",
            )  # fmt: skip
