# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The classic text of ``/proc/net/ipsec_eroute``, ``/proc/net/ipsec_spigrp`` and ``ipsec look``, both ways."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union

from ..errors import InputError
from ..newer_python import dataclass
from ..said import Said, parse_said


class Masked(NamedTuple):
    """An IPv4 network whose mask has holes, which KLIPS allowed."""

    address: str
    mask: str
    version: int = 4

    def __str__(self) -> str:
        return f"{self.address}/{self.mask}"


# An interface is a network with the host that was written before its mask.
Network = Union[
    ipaddress.IPv4Network, ipaddress.IPv6Network, ipaddress.IPv4Interface, ipaddress.IPv6Interface, Masked
]  # fmt: skip

# KLIPS printed a signed number of 32 bits; a length that is no number of it must not even be read.
_COUNT = re.compile(r"(-?[0-9]{1,20})\s+(?=\S)")
_SUBNET = re.compile(r"\[(?P<six>[0-9a-fA-F:.]+/[0-9]{1,3})\](?P<six_port>:[0-9]{1,5})?|(?P<net>[^\s\[\]]+)")
_IDENTITIES = re.compile(r"\(([^\s()]*)\)\s*\(([^\s()]*)\)\s*$")
_LOOK_COUNT = re.compile(r"\s\((-?[0-9]{1,20})\)\s*$")
# What ipsec look has around its eroutes: host and time, interfaces, SAs, routes.
_OF_LOOK = re.compile(
    r"\S+ (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} .*[0-9]{4}"
    r"|ipsec[0-9]+->\S+ mtu=\S+"
    r"|(esp|ah|comp|tun|int|unk[0-9]{1,3})[.:0][^\s@]*@\S+ \S+: dir=(in|out)\s.*"
    r"|Destination +Gateway +Genmask .*"
    r"|[0-9.]{7,15} +[0-9.]{7,15} +[0-9.]{7,15} +[A-Z!]+ +[0-9]+ +[0-9]+ +[0-9]+ +\S+"
)
_ONLY_IDENTITIES = re.compile(r"\s*\([^\s()]*\)\s*\([^\s()]*\)\s*$")
_ARROWS = ("->", "=>")
_MOST_PARTS = 6  # lines of text that are one of the table: four breaks at arrows, and the identities
_UNKNOWN_MAGIC = re.compile(r"(%unk-[0-9]{1,10})(?::([0-9]{1,9}))?")
_UNKNOWN_PROTOCOL = re.compile(r"unk([0-9]{1,3})([.:0-9].*)", re.DOTALL)
_BRACKETED = re.compile(r"(.+@)\[([0-9a-fA-F:.]+)\](?::([0-9]{1,9}))?")
_TRANSPORT = re.compile(r"(.*):([0-9]{1,9})", re.DOTALL)
_EVERYTHING = ("0:0/0", "0/0")
_REMEDY = "write COUNT SOURCE -> DESTINATION => SAID"
_PASSTHROUGH = {"%passthrough4": 4, "%passthrough6": 6}
_WRAP = 1 << 32
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ErouteLine:
    """One line.

    :ivar packets: the count, None where the line has none; a negative one (it wraps at 2^31) is turned back.
    :ivar source_port: 0 for every port.
    :ivar target: SAID text in its canonical form, ``%trap`` and the like included; ``%unk-N`` and ``%passthrough`` as
        they stand.
    :ivar protocol: transport protocol number, 0 for all.
    :ivar source_identity: without its parentheses; None when the line has none, empty for ``()``.
    :ivar group: of an ``ipsec look`` line, every SAID; else just the target.
    """

    packets: int | None
    source: Network
    source_port: int
    destination: Network
    destination_port: int
    target: str
    protocol: int = 0
    source_identity: str | None = None
    destination_identity: str | None = None
    group: tuple[str, ...] = ()


class Problem(NamedTuple):
    """A line that could not be read: its number (from 1), itself and why, without what a terminal would obey."""

    number: int
    line: str
    reason: str


def read_eroutes(text: str) -> tuple[list[ErouteLine], list[Problem]]:
    """Every line of an eroute table; lines that cannot be read are reported and the others kept.

    Of what ``ipsec look`` prints the rest is passed over.
    """
    found: list[ErouteLine] = []
    problems: list[Problem] = []
    for number, line in _joined(text):
        if _OF_LOOK.fullmatch(line):
            continue
        try:
            found.append(parse_eroute(line))
        except InputError as exc:
            problems.append(_problem(number, line, exc.problem))
    return found, problems


def _problem(number: int, line: str, reason: str) -> Problem:
    return Problem(number, _shown(line), _shown(reason))


def _shown(text: str) -> str:
    # It may be any file at all. What is wrong stands at the end of a reason.
    cut = f"{text[:_SHOWN]}…{text[-_SHOWN:]}" if len(text) > 2 * _SHOWN else text
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in cut)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of what is not blank. As on the manual page a line may be broken at an arrow, and identities on a
    line of their own belong to the line before, also behind a blank one.
    """
    held: tuple[int, str] | None = None
    parts = 0
    for number, line in enumerate(text.split("\n"), 1):
        part = line.strip()
        if not part:
            continue
        if held and parts < _MOST_PARTS and _goes_on(held[1], part):
            held = (held[0], f"{held[1]} {part}")
            parts += 1
            continue
        if held:
            yield held
        held, parts = (number, part), 1
    if held:
        yield held


def _goes_on(line: str, part: str) -> bool:
    # A line that is cut off takes nothing of the next one.
    broken = line.endswith(_ARROWS) and "->" not in part
    return broken or part.startswith(_ARROWS) or bool(_ONLY_IDENTITIES.fullmatch(part))


def parse_eroute(line: str) -> ErouteLine:
    """One line of the table, or of ``ipsec look``.

    :raises InputError: naming what is wrong in it.
    """
    left, arrow, rest = line.strip().partition("->")
    if not arrow:
        raise InputError("eroute", line, "no ->", _REMEDY)
    right, arrow, target = rest.partition("=>")
    if not arrow:
        raise InputError("eroute", line, "no =>", _REMEDY)
    packets, left = _take_count(left.strip())
    look = _LOOK_COUNT.search(target)
    identities = _IDENTITIES.search(target)
    names: tuple[str | None, str | None] = (None, None)
    if identities:
        names, target = (identities[1], identities[2]), target[: identities.start()]
    elif look:
        packets, target = int(look[1]), target[: look.start()]
    source, source_port = _subnet(left.strip(), right, line)
    destination, destination_port = _subnet(right.strip(), left, line)
    if source.version != destination.version:
        problem = f"{source} and {destination} are of two families"
        raise InputError("eroute", line, problem, "both networks of an eroute are IPv4, or both are IPv6")
    words = target.split()
    if not words:
        raise InputError("eroute", line, "nothing after =>", _REMEDY)
    if len(words) > 1 and packets is not None and not look:
        raise InputError(
            "eroute", line, f"{words[1]!r} is too much", "several SAIDs are for ipsec look, COUNT behind them"
        )
    first, protocol = _target(words[0], line)
    if _PASSTHROUGH.get(first, source.version) != source.version:
        raise InputError("eroute", line, f"{first} is of another family than the networks", "write %pass")
    group = (first, *(_target(word, line)[0] for word in words[1:]))
    if packets is not None and packets < 0:
        packets += _WRAP
    return ErouteLine(packets, source, source_port, destination, destination_port, first, protocol, *names, group)


def _take_count(text: str) -> tuple[int | None, str]:
    found = _COUNT.match(text)
    return (int(found[1]), text[found.end() :]) if found else (None, text)


def _subnet(text: str, other: str, line: str) -> tuple[Network, int]:
    found = _SUBNET.fullmatch(text)
    if found is None:
        raise InputError("eroute", line, f"{text!r} is not a subnet", _REMEDY)
    if found["six"]:
        network, port = found["six"], found["six_port"] or ""
    else:
        network, port = _split_port(found["net"])
    if network in _EVERYTHING:
        # The manual's spellings of the default; the one with a colon stood for that of IPv6.
        six = other.count(":") > 1 or (network == "0:0/0" and other.strip().startswith("0:0/0"))
        network = "::/0" if six else "0.0.0.0/0"
    if "/" not in network:
        raise InputError("eroute", line, f"{text!r} has no mask", _REMEDY)
    number = int(port[1:]) if port else 0
    if number > 65535:
        raise InputError("eroute", line, f"port {number} is out of range", "ports are 0 to 65535")
    try:
        written = ipaddress.ip_interface(network)
        return (written.network if written.ip == written.network.network_address else written), number
    except ValueError as exc:
        masked = _masked(network)
        if masked is None:
            raise InputError("eroute", line, str(exc), _REMEDY) from None
        return masked, number


def _masked(text: str) -> Masked | None:
    address, _slash, mask = text.partition("/")
    try:
        bits = [int(ipaddress.IPv4Address(part)) for part in (address, mask)]
    except ValueError:
        return None
    return Masked(str(ipaddress.IPv4Address(bits[0] & bits[1])), mask)


def _split_port(text: str) -> tuple[str, str]:
    """The port of ``10.0.0.0/8:25`` and ``2001:db8::/64:25`` comes after the mask."""
    address, slash, mask = text.partition("/")
    mask, colon, port = mask.partition(":")
    if colon and not (port.isascii() and port.isdecimal() and len(port) <= 9):
        return text, ""
    return address + slash + mask, colon + port


def _target(word: str, line: str) -> tuple[str, int]:
    """(canonical SAID, transport protocol). What may be the address to its end is: ``…@2001:db8::23:6`` has none."""
    unknown = _UNKNOWN_MAGIC.fullmatch(word)
    if unknown:
        return unknown[1], _protocol(unknown[2], line)
    bracketed = _BRACKETED.fullmatch(word)
    if bracketed:
        return str(_said(bracketed[1] + bracketed[2], line)), _protocol(bracketed[3], line)
    ended = _TRANSPORT.fullmatch(word)
    if ended and (word.startswith("%") or not _is_address(word.partition("@")[2])):
        return _canonical(ended[1], line), _protocol(ended[2], line)
    return _canonical(word, line), 0


def _canonical(word: str, line: str) -> str:
    # As a SAID it is that of %passthrough4, in the words of a table that of either family.
    return word if word == "%passthrough" else str(_said(word, line))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _protocol(number: str | None, line: str) -> int:
    value = int(number or 0)
    if value > 255:
        raise InputError("eroute", line, f"transport protocol {value} is out of range", "protocols are 0 to 255")
    return value


def _said(text: str, line: str) -> Said:
    # KLIPS had no name for some protocols.
    unknown = _UNKNOWN_PROTOCOL.fullmatch(text)
    try:
        if unknown and int(unknown[1]) < 256:
            return parse_said(f"esp{unknown[2]}")._replace(protocol=int(unknown[1]))
        return parse_said(text)
    except InputError as exc:
        raise InputError("eroute", line, f"{text!r}: {exc.problem}", exc.remedy) from None


def format_eroute(line: ErouteLine) -> str:
    """As the classic kernel wrote it; IPv6 with a port or protocol is bracketed, so that it can be read back."""
    target = _proc(line.target)
    if line.protocol:
        name, at, address = target.partition("@")
        target = f"{name}@[{address}]" if at and ":" in address else target
        target += f":{line.protocol}"
    names = ""
    if line.source_identity is not None:
        names = f" ({line.source_identity}) ({line.destination_identity or ''})"
    source = _format_subnet(line.source, line.source_port)
    destination = _format_subnet(line.destination, line.destination_port)
    return f"{line.packets or 0:<10d} {source:<18s} -> {destination:<18s} => {target}{names}"


def _format_subnet(network: Network, port: int) -> str:
    if not port:
        return str(network)
    return f"[{network}]:{port}" if network.version == 6 else f"{network}:{port}"


def _proc(target: str) -> str:
    as_it_stands = target == "%passthrough" or _UNKNOWN_MAGIC.fullmatch(target)
    return target if as_it_stands else _said(target, target).proc


def read_groups(text: str) -> tuple[list[tuple[Said, ...]], list[Problem]]:
    """Groups of a spigrp table, innermost SA first.

    Later kernels wrote a line per SA, from it outward: those that are the tail of another are folded into it.
    """
    lines: list[tuple[Said, ...]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            lines.append(tuple(_said(word, line) for word in line.split()))
        except InputError as exc:
            problems.append(_problem(number, line, exc.problem))
    later = {said for members in lines for said in members[1:]}
    return [members for members in lines if members[0] not in later], problems


def format_group(members: Iterable[Said]) -> str:
    """One line of a spigrp table (it ended in a blank; we leave that out)."""
    return " ".join(said.proc for said in members)


def group_lines(groups: Iterable[tuple[Said, ...]]) -> list[str]:
    """A spigrp table with a line per group, as KLIPS had it at first."""
    return [format_group(members) for members in groups]


def sa_lines(groups: Iterable[tuple[Said, ...]]) -> list[str]:
    """A spigrp table with a line per SA, from it outward, as KLIPS had it in the end."""
    return [format_group(members[place:]) for members in groups for place in range(len(members))]
