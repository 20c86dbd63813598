# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each text in a definition has to look like: from what its operator wrote to one canonical form."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ..errors import HIDDEN, InputError
from ..identity import Identity
from ..secret import Secret
from ..selector import parse_selector
from .bypass import read_bypass
from .interface import FORMATS as INTERFACE_FORMATS
from .peer import is_network, read_host

MARK = "-----BEGIN "  # of what is PEM, and no path
MOST_PEM = 65536

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d{1,9})\s*([smhdw]?)", re.ASCII)
_LONGEST_PPK_ID = 255
_LONGEST_PATH = 4095  # characters; that many octets the kernel takes
_DEMAND = re.compile(r"(rsa|ecdsa)(-\d{1,5})?(-sha\d{3})?|ed25519|ed448", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,63}", re.ASCII)


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


def _read_peer_address(value: str, field: str) -> str:
    """An address or a host name; or, of many peers, a network or a range."""
    if not is_network(value):
        return read_host(value, field)
    selector = parse_selector(value, field)
    if selector.protocol or not selector.any_port:
        raise InputError(field, value, "has a protocol or a port", "write a network, a range or an address alone")
    return str(selector)


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


def _read_ppk_id(value: str, field: str) -> str:
    name = value.strip()
    if not name.isprintable() or not 0 < len(name.encode(errors="replace")) <= _LONGEST_PPK_ID:
        remedy = f"1 to {_LONGEST_PPK_ID} octets of printable text, the same at both ends"
        raise InputError(field, value, "is not a usable name of a key", remedy)
    return name


def _read_passphrase(value: str, field: str) -> Secret:
    if not value:
        raise InputError(field, "", "is empty", "give the passphrase (from a vault), or leave it out")
    return _read_secret(value, field)


def _read_path(value: str, field: str) -> str:
    path = value.strip()
    if MARK in value:
        raise InputError(field, HIDDEN, "is the content of a file", "name the file: its path on the gateway")
    if len(path) > _LONGEST_PATH:
        shown = f"{path[:40]}…"
        raise InputError(field, shown, "is longer than any path", f"write no more than {_LONGEST_PATH} characters")
    if not path.startswith("/") or any(char < " " or char == "\x7f" for char in path) or not _is_text(path):
        raise InputError(
            field, value, "is not an absolute path", "name a file on the gateway, such as /etc/ipsec/key.pem"
        )
    return path


def _is_text(value: str) -> bool:
    """Whether a text can be written: what JSON and other programs' file names bring along may be half a character."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _read_pem_or_path(value: str, field: str) -> str:
    if MARK not in value:
        return _read_path(value, field)
    if "PRIVATE KEY-----" in value:
        raise InputError(
            field, HIDDEN, "has a private key in it", "give what is public, and name the key's file in key"
        )
    if not _is_text(value):
        raise InputError(field, HIDDEN, "is not valid text", "give PEM as it was issued")
    if len(value) > MOST_PEM:
        raise InputError(field, HIDDEN, f"has more than {MOST_PEM} characters", "give what is needed, and no more")
    return "\n".join(line.strip() for line in value.strip().splitlines()) + "\n"


def _read_demand(value: str, field: str) -> str:
    word = value.strip().lower()
    if _DEMAND.fullmatch(word) is None:
        remedy = "write it such as rsa-3072-sha256, ecdsa-384-sha384, ecdsa-256 or ed25519"
        raise InputError(field, value, "is no demand on keys and signatures", remedy)
    return word


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
    "host": read_host,
    "selector": _read_selector,
    "peer address": _read_peer_address,
    "identity": _read_identity,
    "secret": _read_secret,
    "passphrase": _read_passphrase,
    "path": _read_path,
    "PEM or path": _read_pem_or_path,
    "demand": _read_demand,
    "name": _read_name,
    "ppk_id": _read_ppk_id,
    "owner": _read_owner,
    "words": _read_words,
    **INTERFACE_FORMATS,
    "bypass": read_bypass,
}
