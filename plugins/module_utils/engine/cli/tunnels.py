# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels as the classic listings show them: one line each, or everything in long form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..definition.credentials import METHODS
from ..definition.table import SHUNTS
from ..errors import InputError
from ..identity import ID_DER_ASN1_DN, ID_FQDN, ID_IPV4_ADDR, ID_IPV6_ADDR, ID_KEY_ID, ID_RFC822_ADDR, Identity
from ..newer_python import zip
from ..selector import Selector, parse_selector

NOTHING = "N/A"
_STATUS = {
    "dormant": "Dormant",
    "trapped": "Dormant",
    "negotiating": "Negotiating",
    "active": "Active",
    "expired": "Expired",
}
# Why a tunnel is as it is where somebody wants it so.
_AT_REST = (
    "", "not_started", "negotiating", "started_by_hand", "stopped", "retiring", "waiting_for_peer",
    "waiting_for_traffic",
)  # fmt: skip
_ID_TYPES = {
    ID_IPV4_ADDR: "IPv4_Address",
    ID_IPV6_ADDR: "IPv6_Address",
    ID_FQDN: "FQDN",
    ID_RFC822_ADDR: "User@FQDN",
    ID_DER_ASN1_DN: "ASN.1_DN",
    ID_KEY_ID: "Key_ID",
}

Entry = dict[str, Any]


def _lines(tunnels: list[Entry], phase: str) -> Iterator[tuple[int, Entry, Entry]]:
    """(phase, tunnel, what the line is about) in the order of the listing."""
    for tunnel in tunnels:
        if phase != "2":
            yield 1, tunnel, tunnel
        for child in tunnel.get("children", ()) if phase != "1" else ():
            if phase == "2":
                yield 1, tunnel, tunnel
            yield 2, tunnel, child


# Short form


def short_form(tunnels: list[Entry], phase: str, with_status: bool) -> str:
    """The table of phase, number, status, local ID and remote ID, and below a tunnel what hinders it.

    Behind that stands for how long it is up and since when no packet passed. The database has neither, nor a status.

    :param tunnels: answer of ``tunnels.list``; ``phase``: 1, 1+ or 2.
    """
    rows: list[tuple[str, ...]] = [("Phase", "Tun Id", "Status", "Local Id", "Remote Id", "Up", "Last Packet")]
    reasons = [""]
    for number, tunnel, entry in _lines(tunnels, phase):
        status = _status(tunnel, number, entry)
        ends = [_end(entry, side) for side in ("local", "remote")]
        ages = [span(entry.get(key)) for key in ("established_seconds", "last_traffic_seconds")]
        rows.append((str(number), str(entry["number"]), status, *ends, *ages))
        reasons.append(f"\t{tunnel['story']}\n" if number == 1 and with_status and _is_hindered(tunnel) else "")
    if len(rows) == 1:
        return "no tunnels\n"
    if not with_status:
        rows = [row[:2] + row[3:5] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)
    return "".join(line + reason for line, reason in zip(lines, reasons, strict=True))


def span(seconds: float | None) -> str:
    """A time in its two largest units, empty for none."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def _status(tunnel: Entry, number: int, entry: Entry) -> str:
    """The classic word. What failed and is tried again is being negotiated, also in the pause before the next try."""
    state = entry["phase1"] if number == 1 else entry["state"]
    retried = tunnel["state"] in ("down", "degraded") and _is_hindered(tunnel)
    if state in ("dormant", "trapped") and retried and (number == 1 or entry["start"] == "auto"):
        state = "negotiating"
    return _STATUS[state]


def _is_hindered(tunnel: Entry) -> bool:
    return bool(tunnel["story"]) and tunnel["reason"] not in _AT_REST


def _end(entry: Entry, side: str) -> str:
    end = entry[side]
    if isinstance(end, dict):
        return end["id"] or end["address"] or NOTHING
    return ",".join(end) or NOTHING


# Long form


class Field(NamedTuple):
    """One line of the long form; what may be left out where it shows None is in ``_OPTIONAL``.

    :ivar show: its value, by the tunnel and what the block is about; ``live``: whether only a tunnel that runs has it.
    """

    label: str
    show: Callable[[Entry, Entry], Any]
    live: bool = False


def _live(label: str, show: Callable[[Entry, Entry], Any]) -> Field:
    return Field(label, show, live=True)


def _sa(entry: Entry, key: str) -> Any:
    """From the newest SA of an entry, None without one."""
    sas = entry.get("ike_sas") or entry.get("sas")
    return sas[-1].get(key) if sas else None


def _defined(tunnel: Entry, child: Entry, key: str) -> Any:
    children = tunnel.get("definition", {}).get("children", ())
    return next((row.get(key) for row in children if row["name"] == child["name"]), None)


def _id_type(text: str | None) -> str:
    try:
        return _ID_TYPES.get(Identity.parse(text or "").type, NOTHING)
    except InputError:
        return NOTHING


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    return NOTHING if value in (None, "") else str(value)


def _of_selectors(entry: Entry, side: str, what: Callable[[Selector], str]) -> str:
    return ", ".join(what(parse_selector(text)) for text in entry[side]) or NOTHING


def _shape(selector: Selector) -> str:
    networks = selector.networks()
    family = f"IPv{selector.family}"
    if len(networks) > 1:
        return f"{family}_Address_Range"
    return f"{family}_Address" if networks[0].num_addresses == 1 else f"{family}_Subnet"


def _place(selector: Selector) -> str:
    networks = selector.networks()
    return str(networks[0].network_address) if len(networks) == 1 else f"{networks[0][0]}-{networks[-1][-1]}"


def _mask(selector: Selector) -> str:
    networks = selector.networks()
    if len(networks) > 1 or networks[0].num_addresses == 1:
        return NOTHING
    return str(networks[0].netmask)


def _ports(selector: Selector) -> str:
    if selector.any_port:
        return "any - any"
    return f"{selector.first_port} - {selector.last_port}"


def _protocol(selector: Selector) -> str:
    return str(selector.protocol) if selector.protocol else "all"


def _side1(side: str) -> list[Field]:
    word = side.title()
    return [
        Field(f"{word} ID Type", lambda tunnel, _unused: _id_type(tunnel[side]["id"])),
        Field(f"{word} ID", lambda tunnel, _unused: tunnel[side]["id"]),
        Field(f"{word} Address", lambda tunnel, _unused: _sa(tunnel, side) or tunnel[side]["address"]),
    ]


def _side2(side: str) -> list[Field]:
    word = side.title()
    return [
        Field(f"{word} ID Type", lambda _unused, child: _of_selectors(child, side, _shape)),
        Field(f"{word} ID", lambda _unused, child: _of_selectors(child, side, _place)),
        Field(f"{word} Subnet Mask", lambda _unused, child: _of_selectors(child, side, _mask)),
        Field(f"{word} Port", lambda _unused, child: _of_selectors(child, side, _ports)),
        Field(f"{word} Protocol", lambda _unused, child: _of_selectors(child, side, _protocol)),
    ]


def _traffic(child: Entry, way: str) -> str | None:
    usage = _sa(child, way)
    return f"{usage['bytes']} bytes, {usage['packets']} packets" if usage else None


def _encapsulation(child: Entry) -> str:
    if child["mode"] in SHUNTS:
        return str(child["mode"])
    udp = " in UDP" if _sa(child, "encapsulation") else ""
    return f"{(_sa(child, 'protocol') or child.get('protocol', 'esp')).upper()}_{child['mode']}{udp}"


def _traffic_left(child: Entry, limit: int | None) -> Any:
    """Kilobytes until the SA's limit, by whichever direction has carried more."""
    if not limit:
        return _UNLIMITED
    used = max((usage["bytes"] for way in ("in", "out") if (usage := _sa(child, way))), default=0)
    return max(0, limit - used) // 1024


def _size(tunnel: Entry, child: Entry) -> int:
    return _defined(tunnel, child, "lifetime_bytes") or 0


def _left_unless_renewed(entry: Entry) -> Any:
    """A tunnel goes on with fresh keys for ever, unless it gets none any more."""
    return _UNLIMITED if entry["refresh"] else _sa(entry, "expires_in")


def _tunnel_left(tunnel: Entry) -> Any:
    if tunnel["refresh"]:
        return _UNLIMITED
    left = [_sa(child, "expires_in") for child in tunnel.get("children", ())]
    return max((seconds for seconds in left if seconds is not None), default=None)


def _seconds(entry: Entry, key: str) -> int | None:
    seconds = entry.get(key)
    return None if seconds is None else int(seconds)


def _overlap(tunnel: Entry) -> str:
    low, high = tunnel["rekey_overlap"]
    return f"{low} - {high}"


def _integrity(entry: Entry) -> str | None:
    if not _sa(entry, "encryption") and not _sa(entry, "integrity"):
        return None
    return _sa(entry, "integrity") or "with Encryption Alg"


_AUTH = {method: kind.title for method, kind in METHODS.items()}
_UNLIMITED = "no limit"
_YES = {True: "Yes", False: "No"}

_PHASE1: list[Field] = [
    Field("Phase 1 Tunnel ID", lambda tunnel, _unused: tunnel["number"]),
    Field("Name", lambda tunnel, _unused: tunnel["name"]),
    *_side1("local"),
    *_side1("remote"),
    Field("Mode", lambda tunnel, _unused: f"IKEv{tunnel['definition']['ike']['version']}"),
    Field("Security Policy", lambda tunnel, _unused: _text(tunnel["definition"]["ike"]["proposals"])),
    _live("Role", lambda tunnel, _unused: tunnel["role"].title()),
    _live("Algorithms", lambda tunnel, _unused: _text(_sa(tunnel, "algorithms"))),
    _live("Encryption Alg", lambda tunnel, _unused: _sa(tunnel, "encryption")),
    Field("Auth Alg", lambda tunnel, _unused: _AUTH.get(tunnel["definition"]["auth"]["method"])),
    _live("Hash Alg", lambda tunnel, _unused: _sa(tunnel, "prf")),
    _live("Integrity Alg", lambda tunnel, _unused: _integrity(tunnel)),
    _live("Key Exchange", lambda tunnel, _unused: _sa(tunnel, "key_exchange")),
    _live("Post-Quantum Key", lambda tunnel, _unused: _sa(tunnel, "ppk")),
    _live("Initiator SPI", lambda tunnel, _unused: _sa(tunnel, "initiator_spi")),
    _live("Responder SPI", lambda tunnel, _unused: _sa(tunnel, "responder_spi")),
    Field("Key Lifetime", lambda tunnel, _unused: tunnel["definition"]["ike"]["lifetime"]),
    Field("Key Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    _live("Key Rem Lifetime", lambda tunnel, _unused: _sa(tunnel, "expires_in")),
    _live("Key Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    Field("Key Refresh Overlap", lambda tunnel, _unused: _overlap(tunnel)),
    Field("Tunnel Lifetime", lambda _tunnel, _unused: _UNLIMITED),
    Field("Tunnel Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    _live("Tun Rem Lifetime", lambda tunnel, _unused: _tunnel_left(tunnel)),
    _live("Tun Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    _live("Refreshed", lambda tunnel, _unused: _YES[tunnel["refresh"]]),
    _live("Status", lambda tunnel, _unused: _status(tunnel, 1, tunnel)),
    _live("Up", lambda tunnel, _unused: _seconds(tunnel, "established_seconds")),
    _live("Last Packet", lambda tunnel, _unused: _seconds(tunnel, "last_traffic_seconds")),
    _live("Reason", lambda tunnel, _unused: tunnel["story"] or None),
    _live("Remedy", lambda tunnel, _unused: tunnel["remedy"] or None),
]
_PHASE2: list[Field] = [
    Field("Phase 2 Tunnel ID", lambda _unused, child: child["number"]),
    Field("Name", lambda _unused, child: child["name"]),
    *_side2("local"),
    *_side2("remote"),
    Field("Mode", lambda tunnel, _unused: f"IKEv{tunnel['definition']['ike']['version']}"),
    Field("Security Policy", lambda tunnel, child: _text(_defined(tunnel, child, "proposals"))),
    _live("Role", lambda _unused, child: child["role"].title()),
    _live("Algorithms", lambda _unused, child: _text(_sa(child, "algorithms"))),
    _live("Encryption Alg", lambda _unused, child: _sa(child, "encryption")),
    _live("AH Transform", lambda _unused, child: _sa(child, "integrity") if _sa(child, "protocol") == "ah" else None),
    _live("Auth Alg", lambda _unused, child: _integrity(child)),
    Field("PFS", lambda _unused, child: _YES[child["pfs"]]),
    _live("SPI In", lambda _unused, child: _sa(child, "spi_in")),
    _live("SPI Out", lambda _unused, child: _sa(child, "spi_out")),
    _live("Traffic In", lambda _unused, child: _traffic(child, "in")),
    _live("Traffic Out", lambda _unused, child: _traffic(child, "out")),
    Field("SA Lifetime", lambda tunnel, child: _defined(tunnel, child, "lifetime")),
    Field("SA Lifesize", lambda tunnel, child: _size(tunnel, child) // 1024 or _UNLIMITED),
    _live("SA Rem Lifetime", lambda _unused, child: _sa(child, "expires_in")),
    _live("SA Rem Lifesize", lambda tunnel, child: _traffic_left(child, _size(tunnel, child))),
    Field("Key Refresh Overlap", lambda tunnel, _unused: _overlap(tunnel)),
    Field("Tunnel Lifetime", lambda _tunnel, _unused: _UNLIMITED),
    Field("Tunnel Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    _live("Tun Rem Lifetime", lambda _unused, child: _left_unless_renewed(child)),
    _live("Tun Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    _live("Refreshed", lambda _unused, child: _YES[child["refresh"]]),
    Field("Start", lambda _unused, child: child["start"]),
    Field("Assoc P1 Tunnel", lambda tunnel, _unused: tunnel["number"]),
    Field("Encap Mode", lambda _unused, child: _encapsulation(child)),
    _live("Status", lambda tunnel, child: _status(tunnel, 2, child)),
    _live("Up", lambda _unused, child: _seconds(child, "established_seconds")),
    _live("Last Packet", lambda _unused, child: _seconds(child, "last_traffic_seconds")),
]
_OPTIONAL = {"Reason", "Remedy", "Traffic In", "Traffic Out", "Up", "Last Packet", "Post-Quantum Key"}


def long_form(tunnels: list[Entry], phase: str) -> str:
    """Everything about each tunnel, one field a line; times in seconds, sizes in kilobytes, overlap in percent.

    :param tunnels: answer of ``tunnels.list`` with ``verbose``; ``phase``: 1, 1+ or 2.
    """
    return _blocks(tunnels, phase, {1: _PHASE1, 2: _PHASE2})


def long_form_of_definitions(tunnels: list[Entry], phase: str) -> str:
    """As :func:`long_form`, without what only a tunnel that runs has."""
    # Without their SAs, what is shown of addresses and modes is what was defined.
    defined = [
        {**tunnel, "ike_sas": [], "children": [{**child, "sas": []} for child in tunnel.get("children", ())]}
        for tunnel in tunnels
    ]
    fields = {1: _PHASE1, 2: _PHASE2}
    return _blocks(defined, phase, {number: [field for field in fields[number] if not field.live] for number in fields})


def _blocks(tunnels: list[Entry], phase: str, fields: dict[int, list[Field]]) -> str:
    blocks = []
    for number, tunnel, entry in _lines(tunnels, phase):
        shown = [(field.label, field.show(tunnel, entry)) for field in fields[number]]
        blocks.append(
            "".join(
                f"{label + ':':<22}{_text(value)}\n"
                for label, value in shown
                if value is not None or label not in _OPTIONAL
            )
        )
    return "\n".join(blocks) or "no tunnels\n"
