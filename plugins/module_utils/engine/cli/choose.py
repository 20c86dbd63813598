# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels the words of ``ike`` mean: by number, name, remote identity, pair of addresses, or autostart."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import InputError
from ..identity import ID_IPV4_ADDR, ID_IPV6_ADDR, Identity
from ..newer_python import zip
from ..selector import Selector, parse_selector
from .common import parse_numbers, write_numbers

Entry = dict[str, Any]
_IN_DATABASE = "see ike cmd=list db"


class Chosen(NamedTuple):
    """A tunnel, and the names of those of its children that are meant; None where it is not about single ones."""

    tunnel: Entry
    children: tuple[str, ...] | None = None


# (tunnels of the database, what the word says, phase) -> what it means
Chooser = Callable[..., list[Chosen]]


def numbers_of(tunnel: Entry, phase: int | None) -> set[int]:
    """The numbers of a tunnel in a phase; without one it is phase 1."""
    return {child["number"] for child in tunnel["children"]} if phase == 2 else {tunnel["number"]}


def unknown_numbers(numbers: Iterable[int], tunnels: Iterable[Entry], phase: int | None) -> list[int]:
    """Those that no tunnel of the listing has."""
    known = set().union(*(numbers_of(tunnel, phase) for tunnel in tunnels))
    return [number for number in numbers if number not in known]


def with_numbers(tunnels: Sequence[Entry], numbers: Iterable[int], phase: int | None) -> list[Chosen]:
    """The tunnels that have one of the numbers; in phase 2 with just those children."""
    wanted = set(numbers)
    if phase != 2:
        return [Chosen(tunnel) for tunnel in tunnels if tunnel["number"] in wanted]
    return _with_children(tunnels, lambda tunnel, child: child["number"] in wanted)


def by_number(tunnels: Sequence[Entry], text: str, phase: int | None) -> list[Chosen]:
    """``numlist=``: numbers of the listing.

    :raises InputError: a number that is not there.
    """
    numbers = parse_numbers(text)
    unknown = unknown_numbers(numbers, tunnels, phase)
    if unknown:
        problem = f"is no number of a phase {phase or 1} tunnel in the database"
        raise InputError("numlist", write_numbers(unknown), problem, _IN_DATABASE)
    return with_numbers(tunnels, numbers, phase)


def by_name(tunnels: Sequence[Entry], text: str, phase: int | None) -> list[Chosen]:
    """``namelist=``: names of phase 1 tunnels; with phase 2 ``CHILD``, ``TUNNEL/CHILD``, or a tunnel with all its own.

    :raises InputError: a name that is not defined, or that several phase 2 tunnels have.
    """
    if phase is None:
        raise InputError("namelist", text, "needs the phase of the tunnels", "add phase=1 or phase=2")
    find = _child_by_name if phase == 2 else _tunnel_by_name
    return [find(tunnels, name) for name in dict.fromkeys(text.split(","))]


def _tunnel_by_name(tunnels: Sequence[Entry], name: str) -> Chosen:
    known = {tunnel["name"]: tunnel for tunnel in tunnels}
    if name not in known:
        raise _undefined(name, known)
    return Chosen(known[name])


def _child_by_name(tunnels: Sequence[Entry], name: str) -> Chosen:
    tunnel, slash, child = name.rpartition("/")
    fitting = _with_children(tunnels, lambda t, c: c["name"] == child and (not slash or t["name"] == tunnel))
    if len(fitting) > 1:
        remedy = f"write {fitting[0].tunnel['name']}/{name}"
        raise InputError("namelist", name, f"is a phase 2 tunnel of {len(fitting)} phase 1 tunnels", remedy)
    if fitting:
        return fitting[0]
    whole = [_all_children(each) for each in tunnels if each["name"] == name]
    if not whole:
        raise _undefined(
            name, (f"{t['name']}/{c['name']}" if slash else c["name"] for t in tunnels for c in t["children"])
        )
    return whole[0]


def _undefined(name: str, known: Iterable[str]) -> InputError:
    near = get_close_matches(name, list(known), 1)
    return InputError("namelist", name, "is not defined", f"did you mean {near[0]}?" if near else _IN_DATABASE)


def by_addresses(tunnels: Sequence[Entry], text: str, phase: int | None) -> list[Chosen]:
    """``ipaddr=LOCAL,REMOTE``: both identities are these addresses, of the phase 2 tunnel or of the phase 1 tunnel.

    :raises InputError: not two addresses, or nothing is defined between them.
    """
    ends = [_address(end) for end in text.split(",")]
    if len(ends) != 2 or None in ends:
        raise InputError("ipaddr", text, "is not two addresses", "write ipaddr=LOCAL,REMOTE")
    sides = list(zip(("local", "remote"), ends, strict=True))
    tunnels1 = [t for t in tunnels if all(_same_id(t[side]["id"], end) for side, end in sides)]
    if phase == 2:
        children = _with_children(tunnels, lambda _tunnel, c: all(_is_host(c[side], end) for side, end in sides))
        found = children or [_all_children(tunnel) for tunnel in tunnels1]
    else:
        found = [Chosen(tunnel) for tunnel in tunnels1]
    if not found:
        problem = "no tunnel is defined between these identities"
        raise InputError("ipaddr", text, problem, f"{_IN_DATABASE}; other identities than addresses: use remid=")
    return found


def by_remote_id(tunnels: Sequence[Entry], text: str, phase: int | None) -> list[Chosen]:
    """``remid=``: the peer's identity (phase 1), what lies behind it (phase 2), or a group of tunnels.

    Phase 2 is an address, ``ID,MASK``, ``FROM,TO`` or a network; without a phase, phase 1 is looked at first.

    :raises InputError: nothing is defined towards it.
    """
    group = [Chosen(tunnel) for tunnel in tunnels if text in tunnel["groups"]]
    peers = group or [Chosen(tunnel) for tunnel in tunnels if _same_id(tunnel["remote"]["id"], _identity(text))]
    behind = _ranges(tunnels, text)
    if phase == 2:
        found = behind or [_all_children(each.tunnel) for each in peers]
    else:
        found = peers or (behind if phase is None else [])
    if not found:
        raise InputError("remid", text, "no tunnel to this identity is defined", _IN_DATABASE)
    return found


def autostarting(tunnels: Sequence[Entry], text: str, phase: int | None) -> list[Chosen]:
    """``autostart``: what is defined to start by itself."""
    return [Chosen(each) for each in tunnels if any(child["start"] == "auto" for child in each["children"])]


CHOOSERS: dict[str, Chooser] = {
    "numlist": by_number,
    "namelist": by_name,
    "remid": by_remote_id,
    "ipaddr": by_addresses,
    "autostart": autostarting,
}


# Parts


def _with_children(tunnels: Iterable[Entry], fits: Callable[[Entry, Entry], bool]) -> list[Chosen]:
    found = []
    for tunnel in tunnels:
        names = tuple(child["name"] for child in tunnel["children"] if fits(tunnel, child))
        if names:
            found.append(Chosen(tunnel, names))
    return found


def _all_children(tunnel: Entry) -> Chosen:
    return Chosen(tunnel, tuple(child["name"] for child in tunnel["children"]))


def _address(text: str) -> Identity | None:
    found = _identity(text)
    return found if found is not None and found.type in (ID_IPV4_ADDR, ID_IPV6_ADDR) else None


def _identity(text: str | None) -> Identity | None:
    try:
        # A distinguished name needs no prefix here, where only one of them has an equals sign.
        return Identity.parse(f"dn:{text}" if "=" in text and ":" not in text else text) if text else None
    except InputError:
        return None


def _same_id(text: str | None, wanted: Identity | None) -> bool:
    found = _identity(text)
    return found is not None and wanted is not None and found.matches(wanted)


def _is_host(selectors: Iterable[str], wanted: Identity | None) -> bool:
    return any(_span(text) == (wanted.data, wanted.data) for text in selectors) if wanted else False


def _span(text: str) -> tuple[bytes, bytes]:
    selector = parse_selector(text)
    return selector.first, selector.last


def _ranges(tunnels: Sequence[Entry], text: str) -> list[Chosen]:
    selector = _phase2_id(text)
    if selector is None:
        return []
    wanted = selector.first, selector.last
    return _with_children(tunnels, lambda _tunnel, child: any(_span(each) == wanted for each in child["remote"]))


def _phase2_id(text: str) -> Selector | None:
    """An address, ``ID,MASK``, ``FROM,TO`` or a network as a selector; None for what is none of these."""
    first, comma, second = text.partition(",")
    try:
        prefix = _prefix(second) if comma else None
        if prefix is not None:
            return Selector.from_network(ipaddress.ip_network(f"{first}/{prefix}", strict=False))
        return parse_selector(f"{first}-{second}" if comma else text)
    except (InputError, ValueError):
        return None


def _prefix(mask: str) -> int | None:
    """The length of a network mask, None for an address that is none."""
    address = ipaddress.ip_address(mask)
    number, bits = int(address), address.max_prefixlen
    hosts = ~number & ((1 << bits) - 1)
    return bits - hosts.bit_length() if not hosts & (hosts + 1) else None
