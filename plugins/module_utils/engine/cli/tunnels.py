# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels as the classic listings show them: one line each, or everything in long form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from ..definition.credentials import METHODS
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
_AT_REST = ("", "not_started", "started_by_hand", "stopped", "retiring", "waiting_for_peer", "waiting_for_traffic")
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

    The database has no status.

    :param tunnels: answer of ``tunnels.list``; ``phase``: 1, 1+ or 2.
    """
    rows: list[tuple[str, ...]] = [("Phase", "Tun Id", "Status", "Local Id", "Remote Id")]
    reasons = [""]
    for number, tunnel, entry in _lines(tunnels, phase):
        status = _status(tunnel, number, entry)
        rows.append((str(number), str(entry["number"]), status, *(_end(entry, side) for side in ("local", "remote"))))
        reasons.append(f"\t{tunnel['story']}\n" if number == 1 and with_status and _is_hindered(tunnel) else "")
    if len(rows) == 1:
        return "no tunnels\n"
    if not with_status:
        rows = [row[:2] + row[3:] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)
    return "".join(line + reason for line, reason in zip(lines, reasons, strict=True))


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


# Long form: (label, what to show) by rows; a row that shows None is left out.

Field = tuple[str, Callable[[Entry, Entry], Any]]


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
        (f"{word} ID Type", lambda tunnel, _unused: _id_type(tunnel[side]["id"])),
        (f"{word} ID", lambda tunnel, _unused: tunnel[side]["id"]),
        (f"{word} Address", lambda tunnel, _unused: _sa(tunnel, side) or tunnel[side]["address"]),
    ]


def _side2(side: str) -> list[Field]:
    word = side.title()
    return [
        (f"{word} ID Type", lambda _unused, child: _of_selectors(child, side, _shape)),
        (f"{word} ID", lambda _unused, child: _of_selectors(child, side, _place)),
        (f"{word} Subnet Mask", lambda _unused, child: _of_selectors(child, side, _mask)),
        (f"{word} Port", lambda _unused, child: _of_selectors(child, side, _ports)),
        (f"{word} Protocol", lambda _unused, child: _of_selectors(child, side, _protocol)),
    ]


def _traffic(child: Entry, way: str) -> str | None:
    usage = _sa(child, way)
    return f"{usage['bytes']} bytes, {usage['packets']} packets" if usage else None


def _encapsulation(child: Entry) -> str:
    udp = " in UDP" if _sa(child, "encapsulation") else ""
    return f"{(_sa(child, 'protocol') or 'esp').upper()}_{child['mode']}{udp}"


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
    ("Phase 1 Tunnel ID", lambda tunnel, _unused: tunnel["number"]),
    ("Name", lambda tunnel, _unused: tunnel["name"]),
    *_side1("local"),
    *_side1("remote"),
    ("Mode", lambda tunnel, _unused: f"IKEv{tunnel['definition']['ike']['version']}"),
    ("Security Policy", lambda tunnel, _unused: _text(tunnel["definition"]["ike"]["proposals"])),
    ("Role", lambda tunnel, _unused: tunnel["role"].title()),
    ("Algorithms", lambda tunnel, _unused: _text(_sa(tunnel, "algorithms"))),
    ("Encryption Alg", lambda tunnel, _unused: _sa(tunnel, "encryption")),
    ("Auth Alg", lambda tunnel, _unused: _AUTH.get(tunnel["definition"]["auth"]["method"])),
    ("Hash Alg", lambda tunnel, _unused: _sa(tunnel, "prf")),
    ("Integrity Alg", lambda tunnel, _unused: _integrity(tunnel)),
    ("Key Exchange", lambda tunnel, _unused: _sa(tunnel, "key_exchange")),
    ("Initiator SPI", lambda tunnel, _unused: _sa(tunnel, "initiator_spi")),
    ("Responder SPI", lambda tunnel, _unused: _sa(tunnel, "responder_spi")),
    ("Key Lifetime", lambda tunnel, _unused: tunnel["definition"]["ike"]["lifetime"]),
    ("Key Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Key Rem Lifetime", lambda tunnel, _unused: _sa(tunnel, "expires_in")),
    ("Key Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Key Refresh Overlap", lambda tunnel, _unused: _overlap(tunnel)),
    ("Tunnel Lifetime", lambda _tunnel, _unused: _UNLIMITED),
    ("Tunnel Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Tun Rem Lifetime", lambda tunnel, _unused: _tunnel_left(tunnel)),
    ("Tun Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Refreshed", lambda tunnel, _unused: _YES[tunnel["refresh"]]),
    ("Status", lambda tunnel, _unused: _status(tunnel, 1, tunnel)),
    ("Reason", lambda tunnel, _unused: tunnel["story"] or None),
    ("Remedy", lambda tunnel, _unused: tunnel["remedy"] or None),
]
_PHASE2: list[Field] = [
    ("Phase 2 Tunnel ID", lambda _unused, child: child["number"]),
    ("Name", lambda _unused, child: child["name"]),
    *_side2("local"),
    *_side2("remote"),
    ("Mode", lambda tunnel, _unused: f"IKEv{tunnel['definition']['ike']['version']}"),
    ("Security Policy", lambda tunnel, child: _text(_defined(tunnel, child, "proposals"))),
    ("Role", lambda _unused, child: child["role"].title()),
    ("Algorithms", lambda _unused, child: _text(_sa(child, "algorithms"))),
    ("Encryption Alg", lambda _unused, child: _sa(child, "encryption")),
    ("AH Transform", lambda _unused, child: _sa(child, "integrity") if _sa(child, "protocol") == "ah" else None),
    ("Auth Alg", lambda _unused, child: _integrity(child)),
    ("PFS", lambda _unused, child: _YES[child["pfs"]]),
    ("SPI In", lambda _unused, child: _sa(child, "spi_in")),
    ("SPI Out", lambda _unused, child: _sa(child, "spi_out")),
    ("Traffic In", lambda _unused, child: _traffic(child, "in")),
    ("Traffic Out", lambda _unused, child: _traffic(child, "out")),
    ("SA Lifetime", lambda tunnel, child: _defined(tunnel, child, "lifetime")),
    ("SA Lifesize", lambda tunnel, child: _size(tunnel, child) // 1024 or _UNLIMITED),
    ("SA Rem Lifetime", lambda _unused, child: _sa(child, "expires_in")),
    ("SA Rem Lifesize", lambda tunnel, child: _traffic_left(child, _size(tunnel, child))),
    ("Key Refresh Overlap", lambda tunnel, _unused: _overlap(tunnel)),
    ("Tunnel Lifetime", lambda _tunnel, _unused: _UNLIMITED),
    ("Tunnel Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Tun Rem Lifetime", lambda _unused, child: _left_unless_renewed(child)),
    ("Tun Rem Lifesize", lambda _tunnel, _unused: _UNLIMITED),
    ("Refreshed", lambda _unused, child: _YES[child["refresh"]]),
    ("Start", lambda _unused, child: child["start"]),
    ("Assoc P1 Tunnel", lambda tunnel, _unused: tunnel["number"]),
    ("Encap Mode", lambda _unused, child: _encapsulation(child)),
    ("Status", lambda tunnel, child: _status(tunnel, 2, child)),
]
_OPTIONAL = {"Reason", "Remedy", "Traffic In", "Traffic Out"}


_LIVE1 = ("Role", "Algorithms", "Encryption Alg", "Hash Alg", "Integrity Alg", "Key Exchange", "Initiator SPI",
          "Responder SPI", "Key Rem Lifetime", "Key Rem Lifesize", "Tun Rem Lifetime", "Tun Rem Lifesize", "Refreshed",
          "Status", "Reason", "Remedy")  # fmt: skip
_LIVE2 = ("Role", "Algorithms", "Encryption Alg", "AH Transform", "Auth Alg", "SPI In", "SPI Out", "Traffic In",
          "Traffic Out", "SA Rem Lifetime", "SA Rem Lifesize", "Tun Rem Lifetime", "Tun Rem Lifesize", "Refreshed",
          "Status")  # fmt: skip
# (phase, label) of what only a tunnel that runs has.
LIVE = frozenset([*((1, label) for label in _LIVE1), *((2, label) for label in _LIVE2)])


def defined(tunnels: list[Entry]) -> list[Entry]:
    """The tunnels without their SAs, so that what is shown of addresses and modes is what was defined."""
    return [
        {**tunnel, "ike_sas": [], "children": [{**child, "sas": []} for child in tunnel.get("children", ())]}
        for tunnel in tunnels
    ]


def long_form(tunnels: list[Entry], phase: str, without: Collection[tuple[int, str]] = ()) -> str:
    """Everything about each tunnel, one field a line; times in seconds, sizes in kilobytes, overlap in percent.

    :param tunnels: answer of ``tunnels.list`` with ``verbose``; ``phase``: 1, 1+ or 2.
    :param without: (phase, label) of fields that are left out.
    """
    blocks = []
    for number, tunnel, entry in _lines(tunnels, phase):
        fields = _PHASE1 if number == 1 else _PHASE2
        shown = [(label, show(tunnel, entry)) for label, show in fields if (number, label) not in without]
        blocks.append(
            "".join(
                f"{label + ':':<22}{_text(value)}\n"
                for label, value in shown
                if value is not None or label not in _OPTIONAL
            )
        )
    return "\n".join(blocks) or "no tunnels\n"
