# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard table: rules of nftables for networks that are never reached in clear, compared with their file.

Role gateway writes the file, with a comment in each rule that changes with the contents. The table stands as the file
wants it when its chains have these comments in their order, and its sets these networks. Counters are no matter.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Union

from .nftables import GUARD, drop_tables, list_table

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_PART = re.compile(
    r"\b(?P<kind>chain|set)\s+(?P<name>\w+)\s*\{|elements\s*=\s*\{(?P<elements>[^}]*)\}|comment\s+\"(?P<comment>[^\"]*)\""
)


class Table(NamedTuple):
    """The comments of the rules of each chain, in order, and the networks of each set.

    :ivar dormant: whether the kernel keeps it and asks it nothing.
    """

    chains: dict[str, list[str]]
    sets: dict[str, frozenset[Network]]
    dormant: bool = False

    def lines(self) -> str:
        """For people, one set or rule a line."""
        sets = [f"set {name}: {', '.join(sorted(map(str, found)))}\n" for name, found in sorted(self.sets.items())]
        rules = [f"chain {name}: {tag or '(no comment)'}\n" for name, tags in self.chains.items() for tag in tags]
        return "".join([*(["flags dormant\n"] if self.dormant else []), *sets, *rules])


def wanted(text: str) -> Table:
    """What a file of rules says, one that role gateway wrote."""
    table = Table({}, {})
    chain = name = ""
    for part in _PART.finditer(text):
        if part["kind"] == "chain":
            chain = part["name"]
            table.chains[chain] = []
        elif part["kind"] == "set":
            name = part["name"]
            table.sets[name] = frozenset()
        elif part["elements"] is not None:
            table.sets[name] = frozenset(
                ipaddress.ip_network(word.strip(), strict=False) for word in part["elements"].split(",")
            )
        else:
            table.chains[chain].append(part["comment"])
    return table


def stands(text: str) -> bool:
    """Whether the kernel's table is as a file of rules says.

    :raises ValueError, KeyError: it is none of role gateway's.
    """
    return wanted(text) == standing()


def standing() -> Table | None:
    """The table of the kernel; None where there is none, or no nftables."""
    entries = list_table(GUARD)
    if entries is None:
        return None
    table = Table({}, {})
    for entry in entries:
        if "table" in entry:
            # A flag is all that ever stands there; nft 1.0.6 tells another word for it.
            table = table._replace(dormant=bool(entry["table"].get("flags")))
        elif "chain" in entry:
            table.chains[entry["chain"]["name"]] = []
        elif "set" in entry:
            table.sets[entry["set"]["name"]] = frozenset(_networks(entry["set"].get("elem", ())))
        elif "rule" in entry:
            table.chains[entry["rule"]["chain"]].append(entry["rule"].get("comment", ""))
    return table


def _networks(elements: Iterable[Any]) -> Iterator[Network]:
    for element in elements:
        if isinstance(element, str):
            yield ipaddress.ip_network(element)
        elif "prefix" in element:
            yield ipaddress.ip_network(f"{element['prefix']['addr']}/{element['prefix']['len']}")
        elif "range" in element:
            yield from ipaddress.summarize_address_range(*map(ipaddress.ip_address, element["range"]))


def drop() -> None:
    """Delete the table.

    :raises KernelError: the kernel refused. MissingError: no nft.
    """
    drop_tables([GUARD])
