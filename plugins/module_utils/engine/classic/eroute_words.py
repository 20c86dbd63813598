# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An eroute in the words of people, as a value: networks, protocols and ports by number or name, SAIDs and actions."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InputError
from ..kernel.values import IN, OUT, KernelSelector
from ..newer_python import zip
from ..said import MAGIC, Said, parse_said
from ..selector import Network
from .shunt import BOTH, DROP, IPSEC, PASS, REJECT, TRAP, Shunt, selector_of

FAMILIES = {"inet": 4, "inet6": 6}
DIRECTIONS = (OUT, IN, BOTH)

_EVERYTHING = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
_WITH_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ACTIONS = {"%pass": PASS, "%drop": DROP, "%reject": REJECT, "%trap": TRAP}
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}")
_LONGEST_OWNER = 64

Name = Callable[[str], str]


class Words(NamedTuple):
    """What was written. None: left out."""

    source: str | None = None
    destination: str | None = None
    protocol: str | None = None
    source_port: str | None = None
    destination_port: str | None = None
    family: str | None = None


def read_selector(words: Words, name: Name) -> KernelSelector:
    """Which packets.

    :param name: what the user calls a field.
    :raises InputError: naming the field.
    """
    ends = []
    for field, text in (("source", words.source), ("destination", words.destination)):
        if not text:
            raise InputError(
                name(field), text, "is missing", "write a network such as 10.1.0.0/16, or 0.0.0.0/0 for all"
            )
        ends.append(text)
    family = _family(ends, words, name)
    source, destination = (
        _network(text, family, name(f)) for f, text in zip(("source", "destination"), ends, strict=True)
    )
    protocol = _protocol(words.protocol, name("protocol"))
    ports = [
        _port(text, protocol, name(field))
        for field, text in (("source_port", words.source_port), ("destination_port", words.destination_port))
    ]
    return selector_of(source, destination, protocol, *ports)


def _family(ends: list[str], words: Words, name: Name) -> int:
    """The family that is given, or that the networks have; IPv4 where they leave it open."""
    if words.family is not None:
        if words.family not in FAMILIES:
            raise InputError(name("family"), words.family, "is no address family", "write inet (IPv4) or inet6")
        return FAMILIES[words.family]
    return 6 if any(":" in text for text in ends) else 4


def _network(text: str, family: int, field: str) -> Network:
    if text in ("0/0", "any") or (text == "0:0/0" and family == 6):
        return _EVERYTHING[family]
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise InputError(field, text, str(exc), "write ADDRESS/BITS, such as 10.1.0.0/16 or 2001:db8::/32") from None
    if found.version != family:
        raise InputError(
            field,
            text,
            f"is no IPv{family} network",
            "write both networks in one family, the one that is given",
        )
    return found


def _protocol(text: str | None, field: str) -> int:
    if text is None or text in ("any", ""):
        return 0
    remedy = "write tcp, udp or another name of /etc/protocols, or a number 0-255"
    if _NUMBER.fullmatch(text):
        return _number(text, 255, field, remedy)
    try:
        return socket.getprotobyname(text)
    except OSError:
        raise InputError(field, text, "is no protocol that this host knows", remedy) from None


def _port(text: str | None, protocol: int, field: str) -> int:
    if text is None or text in ("any", "", "0"):
        return 0
    if protocol not in _WITH_PORTS:
        raise InputError(field, text, "needs a protocol that has ports", "give the protocol: tcp or udp")
    remedy = "write a number 0-65535 or a name of /etc/services"
    if _NUMBER.fullmatch(text):
        return _number(text, 65535, field, remedy)
    try:
        return socket.getservbyname(text, _WITH_PORTS[protocol])
    except OSError:
        raise InputError(field, text, f"is no {_WITH_PORTS[protocol]} service that this host knows", remedy) from None


def _number(text: str, highest: int, field: str, remedy: str) -> int:
    # In decimal a zero may lead, which Python's own literals do not allow.
    number = int(text, 0) if text[:2] in ("0x", "0X") else int(text)
    if number > highest:
        raise InputError(field, text, "is out of range", remedy)
    return number


def read_target(text: str, field: str) -> tuple[str, str]:
    """(action, SAID) of a SAID or magic word; the SAID is empty for an action.

    :raises InputError: naming ``field``.
    """
    if text in _ACTIONS:
        return _ACTIONS[text], ""
    if text.startswith("%passthrough"):
        parse_said(text, field)
        return PASS, ""
    if text == "%hold":
        raise InputError(field, text, "cannot be set", "set %trap: the first packet that meets it becomes a %hold")
    if text == "%trapsubnet":
        raise InputError(field, text, "this kernel holds packets by their own addresses only", "set %trap")
    said = parse_said(text, field)
    if said.protocol == 61:
        raise InputError(field, text, "is of an internal protocol", f"write {', '.join(MAGIC)}, or the SAID of an SA")
    return check_spi(said, field)


def check_family(text: str | None, selector: KernelSelector, field: str) -> None:
    """Refuse the pass-through of one family for packets of the other.

    :raises InputError: naming ``field``.
    """
    if {"%passthrough4": 4, "%passthrough6": 6}.get(text or "", selector.family) != selector.family:
        raise InputError(field, text, "is of another family than the networks", "write %pass")


def check_spi(said: Said, field: str) -> tuple[str, str]:
    """(action, SAID) of an SA.

    :raises InputError: its SPI is one of those that are reserved.
    """
    if said.spi < 0x100:
        raise InputError(field, str(said), "SPIs below 0x100 are reserved", "an SPI is 0x100 to 0xffffffff")
    return IPSEC, str(said)


def read_direction(text: str | None, action: str, field: str) -> str:
    """The direction; where it is left out, what passes may come back, and all else is about outgoing packets.

    :raises InputError: naming ``field``.
    """
    direction = text or (BOTH if action == PASS else OUT)
    if direction not in DIRECTIONS:
        raise InputError(field, text, "is no direction", f"write {', '.join(DIRECTIONS)}")
    if action in (REJECT, TRAP) and direction != OUT:
        raise InputError(field, direction, f"{action} is for outgoing packets only", "write out, or use drop")
    if action == IPSEC and direction == BOTH:
        raise InputError(field, direction, "an SA goes one way", "write out, or in with the SA that comes in")
    return direction


def build(selector: KernelSelector, target: tuple[str, str], direction: str, owner: str) -> Shunt:
    """The shunt; whether it stands first, and is counted, is for shunts.py to settle."""
    action, said = target
    return Shunt(selector, direction, action, owner, said)


def check_owner(owner: str, field: str) -> str:
    """The owner.

    :raises InputError: naming ``field``.
    """
    if not owner or len(owner) > _LONGEST_OWNER or not owner.isprintable():
        raise InputError(field, owner, "is no name of an owner", f"write 1 to {_LONGEST_OWNER} printable characters")
    return owner
