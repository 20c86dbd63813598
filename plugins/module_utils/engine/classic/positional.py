# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs in the words of the classic command line: ``inet gw2.example.net 0x113 esp``, ``esp.113@gw2.example.net``."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from ..errors import InputError
from ..said import PROTOCOLS, Said, parse_said, parse_spi

WORDS_EACH = 4
# The page's limit: one policy and four SAs.
MAX_SAS = 4
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_NAMES = ("ah", "esp", "comp", "tun")
_HOST_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]*")
_SHAPE = "write FAMILY DESTINATION SPI PROTOCOL for each SA, such as inet 192.0.2.1 0x113 esp"


def parse_positional(words: Sequence[str], field: str = "SA") -> tuple[Said, ...]:
    """Read four words for each SA. A name is resolved in the family given.

    :raises InputError: naming the word.
    """
    if not words or len(words) % WORDS_EACH:
        raise InputError(field, " ".join(words), f"{len(words)} words, which is no multiple of {WORDS_EACH}", _SHAPE)
    check_count(len(words) // WORDS_EACH, field)
    return tuple(_parse(words[at : at + WORDS_EACH], field) for at in range(0, len(words), WORDS_EACH))


def _parse(words: Sequence[str], field: str) -> Said:
    family, destination, spi, protocol = words
    if family not in FAMILIES:
        raise InputError(field, family, "is no address family", "write inet (IPv4) or inet6")
    if protocol not in _NAMES:
        raise InputError(field, protocol, "is no protocol of an SA", f"write {', '.join(_NAMES)}, in lower case")
    return Said(PROTOCOLS[protocol], parse_spi(spi, field), _resolve(family, destination, field))


def parse_named(text: str, field: str) -> Said:
    """Read a SAID whose destination may be a name: ``.`` or ``:`` before the SPI tells the family, IPv4 otherwise.

    :raises InputError: naming ``field``.
    """
    head, at, name = text.rpartition("@")
    if not at or not _HOST_NAME.fullmatch(name):
        return parse_said(text, field)
    return parse_said(f"{head}@{_resolve('inet6' if ':' in head else 'inet', name, field)}", field)


def check_count(number: int, field: str) -> None:
    """Refuse more SAs than the classic command took.

    :raises InputError: naming ``field``.
    """
    if number > MAX_SAS:
        raise InputError(
            field, number, f"a group has at most {MAX_SAS} SAs in the words of the classic command",
            "leave out the outermost ones; the option sas of the module ipsec_spigrp takes more",
        )  # fmt: skip


def resolve_like(address: str, name: str, field: str) -> str:
    """An address, or the first one of a name, of the family that ``address`` has.

    :raises InputError: naming ``field``.
    """
    return _resolve("inet6" if ":" in address else "inet", name, field)


def _resolve(family: str, destination: str, field: str) -> str:
    try:
        found = socket.getaddrinfo(destination, None, FAMILIES[family], socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "is no host name"
        raise InputError(
            field, destination, f"has no {family} address: {reason}", "write an address, or a name, of that family"
        ) from None
    address, *_rest = found[0][4]
    return socket.inet_ntop(FAMILIES[family], socket.inet_pton(FAMILIES[family], str(address).partition("%")[0]))
