# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that a file is for: its address stands for what the file leaves open."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from typing import NamedTuple

from ..definition.peer import is_name
from ..errors import InputError
from .assemble import Draft
from .report import LOST, SKIPPED, Entry
from .words import DYNAMIC


def unknown(peer: str) -> str:
    """No address is known."""
    return ""


class Here(NamedTuple):
    """What is known of it.

    :ivar addresses: some or all that it has.
    :ivar towards: the one that it has towards a peer's address, empty where that is not known.
    """

    addresses: Collection[str] = ()
    towards: Callable[[str], str] = unknown


NOWHERE = Here()


def here_of(addresses: Collection[str], towards: Callable[[str], str] = unknown) -> Here:
    """What is known of it.

    :raises InputError: an address is none.
    """
    found = []
    for number, text in enumerate(addresses):
        try:
            found.append(str(ipaddress.ip_address(text.strip())))
        except ValueError:
            remedy = "write the addresses of the host that the file is for, such as 192.0.2.1"
            raise InputError(f"local_addresses[{number}]", text, "is no address", remedy) from None
    return Here(found, towards)


def settle(draft: Draft, here: Here, place: Entry) -> None:
    """Give a tunnel the address of this host, where its identity or its networks are that address and no other is told.

    :param place: where the file leaves it open.
    """
    local = draft.document.get("local", {})
    dynamic = any(_is_dynamic(text) for child in draft.children for text in child.document.get("local", [DYNAMIC]))
    if draft.skipped or local.get("address") or (local.get("id") and not dynamic):
        return
    peer = draft.document.get("remote", {}).get("address")
    address = _address(here, peer if peer and not is_name(peer) else None)
    if address:
        draft.document["local"] = {**local, "address": address}
        draft.tell(place, LOST, f"{address} is taken, which this host has now", "write an identity where that changes")
    elif not local.get("id"):
        instead = "the identity is the address of this host, which is not known"
        remedy = "write the address, or an identity, or say which address this host has (--local, local_addresses)"
        draft.tell(place, SKIPPED, instead, remedy)


def _is_dynamic(text: str) -> bool:
    return text.startswith(DYNAMIC)


def _address(here: Here, peer: str | None) -> str:
    given = [text for text in here.addresses if peer is None or _version(text) == _version(peer)]
    if len(given) == 1:
        return given[0]
    return here.towards(peer) if peer else ""


def _version(address: str) -> int:
    return ipaddress.ip_address(address.partition("%")[0]).version
