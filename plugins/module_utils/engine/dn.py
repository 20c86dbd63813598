# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names (X.501): their text form and their DER, as in ID_DER_ASN1_DN (RFC 7296 section 3.5)."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from . import der
from .errors import InputError

_OIDS = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "serialNumber": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "T": "2.5.4.12",
    "postalCode": "2.5.4.17",
    "GN": "2.5.4.42",
    "initials": "2.5.4.43",
    "UID": "0.9.2342.19200300.100.1.1",
    "DC": "0.9.2342.19200300.100.1.25",
    "emailAddress": "1.2.840.113549.1.9.1",
}
_NAMES = {oid: name for name, oid in _OIDS.items()}
_KNOWN = {name.lower(): name for name in _OIDS} | {
    "e": "emailAddress", "email": "emailAddress", "s": "ST", "g": "GN", "i": "initials", "title": "T",
    "surname": "SN", "givenname": "GN", "street": "STREET",
}  # fmt: skip

_UTF8, _PRINTABLE, _TELETEX, _IA5, _BMP = 0x0C, 0x13, 0x14, 0x16, 0x1E
_PRINTABLE_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_CODECS = {_UTF8: "utf-8", _PRINTABLE: "ascii", _TELETEX: "latin-1", _IA5: "ascii", _BMP: "utf-16-be"}
_LONGEST = 8192  # octets; what a peer may make us look at

Pair = tuple[str, str]  # attribute as dotted OID, value
Rdns = tuple[tuple[Pair, ...], ...]


def encode(text: str, field: str = "id") -> bytes:
    """The DER of a name such as ``C=DE, O=Fleet, CN=gw`` or ``/C=DE/O=Fleet/CN=gw``, in the order written.

    A backslash takes the next character as it is; ``+`` joins the attributes of one RDN.

    :raises InputError: naming ``field``.
    """
    rdns = []
    for part in _split(text.strip(), field):
        pairs = [_pair(item, text, field) for item in _cut(part, "+")]
        rdns.append(der.element(der.SET, b"".join(sorted(_attribute(oid, value) for oid, value in pairs))))
    return der.element(der.SEQUENCE, b"".join(rdns))


def decode(name: bytes) -> Rdns | None:
    """The attributes of each RDN; None where the octets are no name, whoever sent them."""
    if len(name) > _LONGEST:
        return None
    try:
        rdns = der.values(der.only(name, der.SEQUENCE), der.SET)
        return tuple(tuple(_read_attribute(octets) for octets in der.values(rdn, der.SEQUENCE)) for rdn in rdns)
    except ValueError:
        return None


def text_of(name: bytes) -> str | None:
    """The name as text, None where the octets are no name; nothing in it that a terminal would interpret."""
    rdns = decode(name)
    return None if rdns is None else _text(rdns)


def folded_text(name: bytes) -> str | None:
    """The same text for names of the same entity; None where the octets are no name."""
    rdns = folded(name)
    return None if rdns is None else _text(rdns)


# Each tunnel with certificates compares the names of all its authorities.
@functools.lru_cache(maxsize=128)
def key(name: bytes) -> bytes:
    """The same octets for names of the same entity: kinds of strings, case and blanks do not count (RFC 5280 7.1).

    What is no name is the same as itself alone, whatever its octets are.
    """
    rdns = folded(name)
    return b"\0" + name if rdns is None else repr(rdns).encode("utf-8", "replace")


def folded(name: bytes) -> list[list[Pair]] | None:
    """The attributes of each RDN, the same for names of the same entity; None where the octets are no name."""
    rdns = decode(name)
    if rdns is None:
        return None
    return [sorted((oid, " ".join(value.casefold().split())) for oid, value in rdn) for rdn in rdns]


# Text


def _text(rdns: Iterable[Iterable[Pair]]) -> str:
    return ", ".join("+".join(f"{_NAMES.get(oid, oid)}={_escaped(value)}" for oid, value in rdn) for rdn in rdns)


def _split(text: str, field: str) -> list[str]:
    """The RDNs as text."""
    parts = _cut(text[1:], "/") if text.startswith("/") else _cut(text, ",")
    if not all(part.strip() for part in parts):
        raise InputError(field, text, "is not a distinguished name", "write it such as C=DE, O=Fleet, CN=gw")
    return parts


def _cut(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash protects; escapes stay."""
    parts, current, escaped = [], "", False
    for char in text:
        if char == separator and not escaped:
            parts.append(current)
            current = ""
        else:
            current += char
        escaped = char == "\\" and not escaped
    return [*parts, current]


def _pair(item: str, text: str, field: str) -> Pair:
    name, equals, value = item.partition("=")
    try:
        name, value = name.strip(), _unescaped(_trimmed(value))
    except UnicodeDecodeError:
        raise InputError(field, text, f"{item.strip()!r} is not UTF-8", "write its characters as they are") from None
    oid = _OIDS.get(_KNOWN.get(name.lower(), "")) or (name if _is_oid(name) else None)
    if not equals or not value:
        raise InputError(field, text, f"{item.strip()!r} is not ATTRIBUTE=VALUE", "write it such as CN=gw")
    if oid is None:
        known = ", ".join(_OIDS)
        raise InputError(field, text, f"{name!r} is no known attribute", f"use {known}, or a number such as 2.5.4.3")
    return oid, value


def _trimmed(value: str) -> str:
    """Without blanks around it; a last one that a backslash protects stays."""
    shorter = value.strip(" ")
    slashes = len(shorter) - len(shorter.rstrip("\\"))
    return shorter + " " if slashes % 2 and value.rstrip(" ") != value else shorter


def _unescaped(value: str) -> str:
    octets = bytearray()
    position = 0
    while position < len(value):
        if value[position] != "\\" or position + 1 == len(value):
            octets += value[position].encode("utf-8", "surrogatepass")
            position += 1
        elif all(char in "0123456789abcdefABCDEF" for char in value[position + 1 : position + 3]) and (
            len(value) >= position + 3
        ):
            octets.append(int(value[position + 1 : position + 3], 16))
            position += 3
        else:
            octets += value[position + 1].encode("utf-8", "surrogatepass")
            position += 2
    return octets.decode()


def _escaped(value: str) -> str:
    shown = ""
    for position, char in enumerate(value):
        edge = char == " " and position in (0, len(value) - 1)
        if char in ',+"\\<>;=#/':
            shown += f"\\{char}"
        elif 0x20 <= ord(char) < 0x7F and not edge:
            shown += char
        else:
            shown += "".join(f"\\{octet:02x}" for octet in char.encode("utf-8", "replace"))
    return shown


def _is_oid(name: str) -> bool:
    arcs = name.split(".")
    if not (name.isascii() and len(arcs) > 1 and all(arc.isdigit() and len(arc) < 10 for arc in arcs)):
        return False
    return int(arcs[0]) < 2 and int(arcs[1]) < 40 or int(arcs[0]) == 2


# DER


def _attribute(oid: str, value: str) -> bytes:
    if oid in (_OIDS["emailAddress"], _OIDS["DC"]) and value.isascii():
        tag = _IA5
    else:
        tag = _PRINTABLE if _PRINTABLE_CHARS.issuperset(value) else _UTF8
    octets = der.element(der.OID, der.oid_octets(oid)) + der.element(tag, value.encode(_CODECS[tag]))
    return der.element(der.SEQUENCE, octets)


def _read_attribute(octets: bytes) -> Pair:
    oid, value = der.elements(octets)
    if oid.tag != der.OID or value.tag not in _CODECS:
        raise ValueError("not an attribute")
    return der.oid_text(oid.value), value.value.decode(_CODECS[value.tag])
