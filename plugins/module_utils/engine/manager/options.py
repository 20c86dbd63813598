# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a tunnel as one table (JSON Schema), and what each text in it has to look like."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ..errors import InputError
from ..identity import Identity
from ..secret import Secret
from ..selector import parse_selector
from .bypass import BYPASS
from .bypass import FORMATS as BYPASS_FORMATS
from .interface import FORMATS as INTERFACE_FORMATS
from .interface import INTERFACE
from .schema import Schema

HIDDEN = "hidden"
MAX_SECONDS = 30 * 86400

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d{1,9})\s*([smhdw]?)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,63}", re.ASCII)


def _duration(description: str, default: int, minimum: int) -> Schema:
    return {
        "type": ["integer", "string"],
        "format": "duration",
        "default": default,
        "minimum": minimum,
        "maximum": MAX_SECONDS,
        "description": description + " Seconds, or a text such as 4h, 30m, 90s, 1d.",
    }


def _proposals(description: str) -> Schema:
    return {
        "type": ["string", "array"],
        "items": {"type": "string"},
        "format": "words",
        "default": "modern",
        "minItems": 1,
        "description": description,
    }


_SELECTORS: Schema = {
    "type": "array",
    "items": {"type": "string", "format": "selector"},
    "minItems": 1,
    "remedy": "list at least one network, such as 10.1.0.0/16",
}
NAME: Schema = {"type": "string", "format": "name", "remedy": "give each a name", "description": "Its name."}

CHILD: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": NAME,
        "local": _SELECTORS
        | {
            "description": "Networks on this side, as NETWORK[PROTOCOL/PORT]; transport mode: "
            "the local address when left out."
        },
        "remote": _SELECTORS | {"description": "Networks behind the peer; transport mode: its address when left out."},
        "start": {
            "type": "string",
            "enum": ["auto", "trap", "manual"],
            "default": "auto",
            "description": "auto: with the tunnel; trap: at the first packet; manual: when asked.",
        },
        "mode": {
            "type": "string",
            "enum": ["tunnel", "transport"],
            "default": "tunnel",
            "description": "Encapsulation mode.",
        },
        "proposals": _proposals("ESP algorithms: a profile, or proposals in order of preference."),
        "lifetime": _duration("Until the Child SA has to be rekeyed.", 3600, 10),
        "lifetime_bytes": {
            "type": "integer",
            "default": 0,
            "minimum": 0,
            "description": "Octets until a rekey, 0 for no limit.",
        },
        "lifetime_packets": {
            "type": "integer",
            "default": 0,
            "minimum": 0,
            "description": "Packets until a rekey, 0 for no limit.",
        },
        "replay_window": {
            "type": "integer",
            "default": 128,
            "minimum": 0,
            "maximum": 4096,
            "description": "Packets, 0 for no replay protection.",
        },
    },
}

DEFINITION: Schema = {
    "type": "object",
    "required": ["name", "auth", "children"],
    "properties": {
        "name": NAME,
        "local": {
            "type": "object",
            "properties": {
                "address": {
                    "type": "string",
                    "format": "address",
                    "description": "Our address; any of this host's when left out.",
                },
                "id": {
                    "type": "string",
                    "format": "identity",
                    "description": "Our identity; the address when left out.",
                },
            },
        },
        "remote": {
            "type": "object",
            "properties": {
                "address": {
                    "type": "string",
                    "format": "address",
                    "description": "The peer's; left out: the peer always initiates.",
                },
                "id": {
                    "type": "string",
                    "format": "identity",
                    "description": "The peer's identity; the address when left out.",
                },
                "port": {
                    "type": "integer",
                    "default": 500,
                    "minimum": 1,
                    "maximum": 65535,
                    "description": "UDP port of its IKE.",
                },
                "natt_port": {
                    "type": "integer",
                    "default": 4500,
                    "minimum": 1,
                    "maximum": 65535,
                    "description": "UDP port of its IKE and ESP when a NAT is between.",
                },
            },
        },
        "auth": {
            "type": "object",
            "writeOnly": True,  # a secret in the wrong place is not shown either
            "remedy": "give auth: {method: psk, secret: …}",
            "required": ["secret"],
            "properties": {
                "method": {
                    "type": "string",
                    "enum": ["psk"],
                    "default": "psk",
                    "description": "How both ends prove who they are.",
                },
                "secret": {
                    "type": "string",
                    "format": "secret",
                    "writeOnly": True,
                    "description": "Pre-shared key.",
                    "remedy": "give the pre-shared key (from a vault)",
                },
                "also_accept": {
                    "type": "array",
                    "writeOnly": True,
                    "items": {"type": "string", "format": "secret", "writeOnly": True},
                    "default": [],
                    "description": "Keys taken from the peer besides, while a rotation is under way.",
                },
            },
        },
        "role": {
            "type": "string",
            "enum": ["both", "initiator", "responder"],
            "default": "both",
            "description": "both: either side starts; initiator: this side alone, the peer's attempts are refused; "
            "responder: waits for the peer.",
        },
        "ike": {
            "type": "object",
            "properties": {
                "version": {"type": "integer", "enum": [2], "default": 2, "description": "IKE version."},
                "proposals": _proposals("IKE algorithms: a profile, or proposals in order of preference."),
                "lifetime": _duration("Until the IKE SA has to be rekeyed.", 14400, 10),
                "dpd_delay": _duration("Silence before a liveness check, 0 for none.", 30, 0),
                "retransmit_timeout": _duration(
                    "How long a request is repeated before the peer counts as unreachable.", 60, 5
                ),
            },
        },
        "encapsulation": {
            "type": "string",
            "enum": ["auto", "force"],
            "default": "auto",
            "description": "ESP in UDP when a NAT is found, or always.",
        },
        "interface": INTERFACE,
        "bypass": BYPASS,
        "groups": {
            "type": "array",
            "items": {"type": "string", "format": "name"},
            "default": [],
            "description": "Names under which several tunnels are started together: ike cmd=activate remid=GROUP.",
        },
        "children": {
            "type": "array",
            "items": CHILD,
            "minItems": 1,
            "remedy": "list at least one child",
            "description": "What the tunnel protects (phase 2).",
        },
    },
}
# A definition as it is kept: its last child may have been removed.
_PROPERTIES = DEFINITION["properties"]
STORED: Schema = DEFINITION | {"properties": _PROPERTIES | {"children": _PROPERTIES["children"] | {"minItems": 0}}}


def _read_duration(value: Any, field: str) -> int:
    if isinstance(value, int):
        return value
    match = _DURATION.fullmatch(value.strip().lower())
    if match is None:
        raise InputError(
            field, value, "is not a duration", "write seconds, or a number with s, m, h, d or w, such as 4h"
        )
    return int(match[1]) * _UNITS[match[2] or "s"]


def _read_address(value: str, field: str) -> str:
    try:
        address = ipaddress.ip_address(value.strip())
    except ValueError:
        raise InputError(
            field, value, "is not an IP address", "write an address such as 203.0.113.9 or 2001:db8::9"
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise InputError(field, value, "is not the address of a host", "write the address, or leave it out for any")
    return str(address)


def _read_selector(value: str, field: str) -> str:
    return str(parse_selector(value, field))


def _read_identity(value: str, field: str) -> str:
    Identity.parse(value, field)
    return value.strip()


def _read_secret(value: str, field: str) -> Secret:
    if not value:
        raise InputError(field, "", "is empty", "give the pre-shared key (from a vault)")
    try:
        return Secret(value.encode())
    except UnicodeEncodeError:
        raise InputError(field, HIDDEN, "is not valid text", "give the key as UTF-8 text") from None


def _read_name(value: str, field: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise InputError(
            field, value, "is not a usable name", "1 to 64 letters, digits, _ . : @ -, not beginning with . : @ -"
        )
    return value


def _read_owner(value: str, field: str) -> str:
    if value and _NAME.fullmatch(value) is None:
        raise InputError(
            field, value, "is not a usable owner tag", "1 to 64 letters, digits, _ . : @ -, or leave it out"
        )
    return value


def _read_words(value: Any, field: str) -> Any:
    words = [value] if isinstance(value, str) else list(value)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise InputError(field, value, "names no proposal", "give a profile such as modern, or a list of proposals")
    words = [word.strip() for word in words]
    return words[0] if len(words) == 1 else words


FORMATS = {
    "duration": _read_duration,
    "address": _read_address,
    "selector": _read_selector,
    "identity": _read_identity,
    "secret": _read_secret,
    "name": _read_name,
    "owner": _read_owner,
    "words": _read_words,
    **INTERFACE_FORMATS,
    **BYPASS_FORMATS,
}
