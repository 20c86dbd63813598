# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distinguished encoding rules of ASN.1 (X.690), as far as names, certificates and algorithms need them.

Whoever reads octets of strangers by them has no more to expect than :class:`ValueError`, and no work that grows faster
than the octets.
"""

from __future__ import annotations

from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_LONGEST_LENGTH = 3  # octets: the largest revocation list has less than 16 MiB
_LONGEST_OID = 64  # octets


class Element(NamedTuple):
    """One value with its tag.

    :ivar tag: class, form and number in one octet.
    :ivar whole: the value with its tag and length before it, as it was sent.
    """

    tag: int
    value: bytes
    whole: bytes


def elements(octets: bytes, *tags: int) -> list[Element]:
    """All that stands in a value, one after another.

    :param tags: those that may stand there; all where none is given.
    :raises ValueError: where it is cut short, not as DER has it, or of another tag.
    """
    found, position = [], 0
    while position < len(octets):
        tag, start, end = _extent(octets, position)
        if tags and tag not in tags:
            raise ValueError("another kind of value")
        found.append(Element(tag, octets[start:end], octets[position:end]))
        position = end
    return found


def values(octets: bytes, tag: int) -> list[bytes]:
    """The same without tags, which are all the same.

    :raises ValueError: as :func:`elements`.
    """
    return [element.value for element in elements(octets, tag)]


def only(octets: bytes, tag: int) -> bytes:
    """The value of the one element that the octets are.

    :raises ValueError: where they are another, or more than one.
    """
    found, start, end = _extent(octets, 0)
    if found != tag or end != len(octets):
        raise ValueError("another kind of value")
    return octets[start:end]


def element(tag: int, value: bytes) -> bytes:
    """A value with its tag and length before it."""
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    size = (len(value).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(value).to_bytes(size, "big") + value


def oid_octets(text: str) -> bytes:
    """The value of an object identifier that is written as numbers with dots."""
    first, second, *rest = (int(arc) for arc in text.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return bytes(octets)


def oid_text(octets: bytes) -> str:
    """The value of an object identifier as numbers with dots.

    :raises ValueError: where it is none.
    """
    arcs, value = [], 0
    if not octets or octets[-1] & 0x80 or len(octets) > _LONGEST_OID:
        raise ValueError("not an object identifier")
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def integer(octets: bytes) -> int:
    """The value of an integer.

    :raises ValueError: where there is none.
    """
    if not octets:
        raise ValueError("an integer without octets")
    return int.from_bytes(octets, "big", signed=True)


def bits(octets: bytes) -> tuple[int, ...]:
    """The numbers of those bits of a bit string that are set; the first one is 0.

    :raises ValueError: where there is none.
    """
    if not octets or octets[0] > 7:
        raise ValueError("not a bit string")
    return tuple(8 * place + bit for place, octet in enumerate(octets[1:]) for bit in range(8) if octet & 0x80 >> bit)


def _extent(octets: bytes, position: int) -> tuple[int, int, int]:
    """Tag of the element at a position, and where its value starts and ends."""
    if len(octets) < position + 2:
        raise ValueError("cut short")
    tag, length, start = octets[position], octets[position + 1], position + 2
    if length > 0x7F:
        size = length & 0x7F
        if not 1 <= size <= _LONGEST_LENGTH:
            raise ValueError("a length out of bounds")
        length = int.from_bytes(octets[start : start + size], "big")
        if length < (0x80 if size == 1 else 1 << 8 * (size - 1)):
            raise ValueError("a length that is not as short as it can be")
        start += size
    if len(octets) < start + length:
        raise ValueError("cut short")
    return tag, start, start + length
