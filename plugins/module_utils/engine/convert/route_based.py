# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route-based connections: marks, VTI and XFRM interfaces of other programs into the interface of a tunnel.

Their networks are often 0.0.0.0/0 at both ends, and a mark or an interface chooses the packets. Such a connection
becomes a tunnel with an interface, or none at all: never a policy for everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..definition.interface import OWN_IDS
from .report import LOST, SKIPPED, Entry, Unfit
from .rows import Part, Tell
from .words import FALSE, TRUE

if TYPE_CHECKING:
    from .assemble import Draft

# Under this key parts keep what options say about an interface, until settle() makes one of it.
KEY = "device"
_BY_HAND = "give the tunnel an interface: {name: …} by hand"
_NONE = "0"


def raw(text: str, tell: Tell) -> str | None:
    """Reader of a number in its words; None where it says that there is none: with a mask, 0 is a mark like others."""
    value, _slash, mask = text.partition("/")
    return None if _number(value or _NONE) == _number(mask or _NONE) == 0 else text


def name(text: str, tell: Tell) -> str | None:
    """Reader of the name of an interface."""
    return None if text.lower() in FALSE else text


def numbered(text: str, tell: Tell) -> int | None:
    """Reader of Libreswan's ipsec-interface=, which is the number of an interface."""
    if text != _NONE and text.lower() in FALSE:
        return None
    if text.lower() in TRUE:
        return 1
    if not (text.isascii() and text.isdigit()):
        raise Unfit(SKIPPED, "is not the number of an interface", "write yes, no or a number")
    return int(text)


def routing(text: str, tell: Tell) -> bool:
    """Reader of whether the networks are routed into the interface."""
    return text.lower() not in FALSE


def address(text: str, tell: Tell) -> str:
    """Reader of an address of the interface."""
    try:
        return ipaddress.ip_interface(text.strip()).with_prefixlen
    except ValueError:
        raise Unfit(LOST, "the interface gets no address", "add it to the definition by hand") from None


def no_policies(text: str, tell: Tell) -> None:
    """Reader of an option that may say that whoever else makes the policies."""
    if text.lower() in FALSE:
        raise Unfit(SKIPPED, "another program makes its policies, by which the packets are chosen", _BY_HAND)


def settle(draft: Draft) -> None:
    """Give a tunnel the interface that its options speak of; children that have another one, or none, are skipped."""
    common = draft.document.pop(KEY, {})
    chosen: list[dict[str, Any] | None] = []
    for child in draft.children:
        device = {**common, **child.document.pop(KEY, {})}
        if child.skipped:
            continue
        try:
            interface = _interface(device, child)
        except Unfit as unfit:
            option = next(iter(device))
            where = Entry(option, str(device[option]), child.place.file, child.place.line)
            child.tell(where, unfit.severity, unfit.instead, unfit.remedy)
            continue
        if chosen and chosen[0] != interface:
            instead = "all children of a tunnel have one interface, and others have another, or none"
            child.tell(
                child.place, SKIPPED, instead, "define it as a tunnel of its own, with an address or id of its own"
            )
        chosen.append(interface)
    if chosen and chosen[0] is not None:
        draft.document["interface"] = chosen[0]


def _interface(device: Mapping[str, Any], part: Part) -> dict[str, Any] | None:
    """The interface that options speak of, None where they speak of none.

    :raises Unfit: SKIPPED, where it cannot be told which.
    """
    marks = {device[key] for key in ("mark", "mark_in", "mark_out") if key in device}
    ids = {device[key] for key in ("if_id_in", "if_id_out") if key in device}
    given = device.get("name") or (f"ipsec{device['ipsec']}" if "ipsec" in device else None)
    if not (given or marks or ids or "local" in device):
        return None
    if len(ids) > 1:
        raise Unfit(SKIPPED, "two interfaces for the two directions are not possible", "give both directions one ID")
    number = _number(*ids) if ids else device.get("ipsec") or (_number(*marks) if len(marks) == 1 else None)
    if ids and number is None:
        raise Unfit(SKIPPED, "the ID of its interface is chosen when it comes up", _BY_HAND)
    if given is None and ids:
        given = f"ipsec{number}"
        remedy = "rename it, and add its addresses and routes, which stand outside of the file"
        part.tell(part.place, LOST, f"the manager makes its interface, which is called {given} here", remedy)
    if given is None:
        raise Unfit(SKIPPED, "its packets are chosen by a mark, and no interface is named", _BY_HAND)
    interface = {"name": given, "addresses": [device["local"]] if "local" in device else []}
    if number and number not in OWN_IDS and number <= 0xFFFFFFFF:
        interface["id"] = number
    if ids or not device.get("routes", True):
        interface["routes"] = []
    return interface


def _number(text: str) -> int | None:
    """A mark or an ID, with or without a mask; None where a word, or a number below 0, asks for any that is free."""
    try:
        number = int(text.partition("/")[0], 0)
    except ValueError:
        return None
    return number if number >= 0 else None
