# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The eroutes out of the text of ``ip -s xfrm policy`` and ``ip -s xfrm state``: what our facts are measured against.

Written to be fast: the text is cut at its records, and only records of interest meet a regular expression. It knows as
much as the text says: port masks are not in it, nor are names, groups or the packets that wait.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_ENDS = re.compile(r"src (\S+) dst (\S+) (?:proto (\S+) )?(?:(?:sport|type) (\d+) )?(?:(?:dport|code) (\d+) )?")
_RULE = re.compile(r"\tdir out action (\w+) index \d+ priority (\d+)")
_TEMPLATE = re.compile(
    r"\ttmpl src \S+ dst (\S+)\n"
    r"\t\tproto (\S+) spi (0x[0-9a-f]+)\(\d+\) reqid (\d+)\(\S+\) mode (\S+)\n"
    r"\t\tlevel (\w+)"
)
_STATE = re.compile(r"src \S+ dst (\S+)\n\tproto (\S+) spi (0x[0-9a-f]+)\(\d+\) reqid (\d+)\(\S+\) mode (\S+)\n")
_CARRIED = re.compile(r"lifetime current:\n\t  \d+\(bytes\), (\d+)\(packets\)\n\t  add (\S+ \S+) ")
_ALGORITHM = re.compile(r"\n\t(?:aead|enc|auth|auth-trunc|comp) ")
_PROTOCOLS = {"ah": "ah", "esp": "esp", "comp": "comp"}
_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "ipv6-icmp": 58, "ospf": 89, "sctp": 132}


class State(NamedTuple):
    """What of an SA eroutes need."""

    said: str
    packets: int
    added: str


class States(NamedTuple):
    """SAs by what templates name: (protocol, destination, SPI), and (protocol, destination, mode, reqid)."""

    by_spi: dict[tuple[str, str, int], State]
    by_reqid: dict[tuple[str, str, str, int], State]


def eroutes(policy_text: str, state_text: str) -> list[dict[str, Any]]:
    """The rows of ``ipsec_eroutes``, in the same order, without the names of tunnels."""
    states = read_states(state_text)
    rows = [row for record in _records(policy_text) if "\tdir out " in record for row in [_row(record, states)]]
    uses: dict[str, int] = {}
    for row in rows:
        uses[row["said"]] = uses.get(row["said"], 0) + 1
    for row in rows:
        row["packets_shared"] = bool(row["sas"]) and uses[row["said"]] > 1
    rows.sort(
        key=lambda row: (
            row["priority"], row["source"], row["destination"], row["protocol"], row["source_ports"], row["said"],
        )
    )  # fmt: skip
    return rows


def read_states(text: str) -> States:
    """Every SA but reservations, which have no algorithm; of several that fit a template the newest."""
    found = States({}, {})
    for record in _records(text):
        head = _STATE.match(record)
        carried = _CARRIED.search(record)
        if head is None or carried is None or not _ALGORITHM.search(record):
            continue
        destination, protocol, spi, reqid, mode = head.groups()
        number = int(spi, 16)
        colon = ":" if ":" in destination else "."
        said = f"{_PROTOCOLS.get(protocol, protocol)}{colon}{number:x}@{destination}"
        state = State(said, int(carried[1]), carried[2])
        found.by_spi[protocol, destination, number] = state
        key = protocol, destination, mode, int(reqid)
        held = found.by_reqid.get(key)
        if held is None or held.added <= state.added:
            found.by_reqid[key] = state
    return found


def _records(text: str) -> Iterator[str]:
    """Each record begins with ``src`` at the start of a line."""
    first, *others = text.split("\nsrc ")
    if first.strip():
        yield first
    for record in others:
        yield "src " + record


def _row(record: str, states: States) -> dict[str, Any]:
    source, destination, protocol, source_port, destination_port = _ENDS.match(record).groups()  # type: ignore[union-attr]
    action, priority = _RULE.search(record).groups()  # type: ignore[union-attr]
    templates = _TEMPLATE.findall(record)
    said, members, packets, kind = _target(action, templates, states, destination)
    return {
        "packets": packets,
        "packets_shared": False,
        "source": _network(source),
        "source_ports": (int(source_port), int(source_port)) if source_port else (0, 0),
        "destination": _network(destination),
        "destination_ports": (int(destination_port), int(destination_port)) if destination_port else (0, 0),
        "protocol": _protocol(protocol),
        "said": said,
        "sas": members,
        "action": kind,
        "priority": int(priority),
        "reqid": int(templates[0][3]) if templates else 0,
    }


def _target(
    action: str, templates: list[tuple[str, ...]], states: States, destination: str
) -> tuple[str, tuple[str, ...], int, str]:
    """SAID, members, packets and action of a policy."""
    if action == "block":
        return "%drop", (), 0, "drop"
    members = []
    address = destination.partition("/")[0]
    for end, protocol, spi, reqid, mode, level in templates:
        if mode == "tunnel":
            address = end
        number = int(spi, 16)
        if number:
            state = states.by_spi.get((protocol, address, number))
        else:
            state = states.by_reqid.get((protocol, address, mode, int(reqid)))
        if state is not None:
            members.append(state)
        elif level == "required":
            return "%trap", (), 0, "trap"
    if not members:
        return "%pass", (), 0, "pass"
    return members[0].said, tuple(state.said for state in members), members[0].packets, "ipsec"


def _network(text: str) -> str:
    """A network is printed as it was given; only those with host bits need a look."""
    if text.endswith((".0/24", ".0.0/16", ".0.0.0/8", "/32", "/128")):
        return text
    return str(ipaddress.ip_network(text, strict=False))


def _protocol(word: str | None) -> int:
    if word is None:
        return 0
    return int(word) if word.isdigit() else _NUMBERS[word]
