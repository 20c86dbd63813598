# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAIDs, the classic names of SAs: protocol, SPI and destination in one word (``esp.1a2b@192.0.2.1``)."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from .errors import InputError

PROTOCOLS = {"ah": 51, "esp": 50, "tun": 4, "comp": 108, "int": 61}
_NAMES = {number: name for name, number in PROTOCOLS.items()}

# SAs of protocol int stand for an action: the SPI says which.
MAGIC = {"%pass": 256, "%drop": 257, "%reject": 258, "%hold": 259, "%trap": 260, "%trapsubnet": 261}
_MAGIC_NAMES = {spi: name for name, spi in MAGIC.items()}
_PASSTHROUGH = {"%passthrough": "0.0.0.0", "%passthrough4": "0.0.0.0", "%passthrough6": "::"}

_SHAPE = re.compile(r"(ah|esp|tun|comp|int)([.:]?)([^@]*)@(.*)", re.DOTALL)
_REMEDY = "write PROTOCOL.SPI@IPV4 or PROTOCOL:SPI@IPV6 with the SPI in hexadecimal, such as esp.1a2b@192.0.2.1"


class Said(NamedTuple):
    """The name of an SA (RFC 4301 section 4.1).

    :ivar protocol: IP protocol number: 50, 51, 108, 4 (tun), 61 (int: an action).
    :ivar spi: 32 bits, 0 for pass-through.
    :ivar destination: address text in its shortest form.
    """

    protocol: int
    spi: int
    destination: str

    @property
    def magic(self) -> str:
        """``%drop``, ``%trap``, … for a SAID that stands for an action, else empty."""
        if self.protocol == PROTOCOLS["int"]:
            return _MAGIC_NAMES.get(self.spi, "")
        if self.protocol == PROTOCOLS["tun"] and self.spi == 0:
            return {"0.0.0.0": "%passthrough4", "::": "%passthrough6"}.get(self.destination, "")
        return ""

    def __str__(self) -> str:
        """The canonical form: ``esp.1a2b@192.0.2.1``, ``ah:f5ed@2001:db8::1``, ``%drop``."""
        family = ":" if ":" in self.destination else "."
        return self.magic or f"{self._name}{family}{self.spi:x}@{self.destination}"

    @property
    def proc(self) -> str:
        """The form of the classic /proc files: ``esp0x1a2b@192.0.2.1``."""
        return self.magic or f"{self._name}0x{self.spi:x}@{self.destination}"

    @property
    def _name(self) -> str:
        return _NAMES.get(self.protocol, f"unk{self.protocol}")


def magic(name: str) -> Said:
    """The SAID of an action such as ``%trap``."""
    return Said(PROTOCOLS["int"], MAGIC[name], "0.0.0.0")


def parse_said(text: str, field: str = "said") -> Said:
    """Read a SAID in any of its forms: ``.``/``:`` and hexadecimal, ``0x``, octal with a leading 0, decimal, ``%word``.

    :raises InputError: naming ``field``.
    """
    if text in MAGIC:
        return magic(text)
    if text in _PASSTHROUGH:
        return Said(PROTOCOLS["tun"], 0, _PASSTHROUGH[text])
    if len(text) < 5:
        raise InputError(field, text, "shorter than 5 characters", _REMEDY)
    if text.startswith("%"):
        raise InputError(field, text, "is no action known here", f"write one of {', '.join(MAGIC)}")
    if "@" not in text:
        raise InputError(field, text, "no @", _REMEDY)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InputError(field, text, "no protocol prefix", "begin with ah, esp, comp or tun, in lower case")
    protocol, prefix, number, address = shape.groups()
    destination = _address(address, text, field)
    if prefix and (prefix == ":") != (":" in destination):
        raise InputError(
            field, text, "address family does not match the family character", "use . with IPv4 and : with IPv6"
        )
    return Said(PROTOCOLS[protocol], _spi(prefix, number, text, field), destination)


def parse_spi(number: str, field: str = "spi") -> int:
    """An SPI in C notation: ``0x`` hexadecimal, leading 0 octal, else decimal; 32 bits.

    :raises InputError: naming ``field``.
    """
    try:
        return _spi("", number, number, field)
    except InputError as exc:
        raise InputError(field, number, exc.problem, "write 0x and hexadecimal digits, or a decimal number") from None


def _spi(prefix: str, number: str, text: str, field: str) -> int:
    if not number:
        problem = "no SPI after the family character" if prefix else "no SPI"
        raise InputError(field, text, problem, _REMEDY)
    base, digits, name = 10, number, "decimal"
    if prefix:
        base, name = 16, "hexadecimal"
    elif number[:2] in ("0x", "0X"):
        base, digits, name = 16, number[2:], "hexadecimal"
    elif number[0] == "0" and len(number) > 1:
        base, name = 8, "octal"
    # int() alone would take signs, blanks, underscores and other scripts' digits.
    allowed = "0123456789abcdefABCDEF"[: base if base < 16 else None]
    if not digits or digits.strip(allowed):
        raise InputError(field, text, f"not {name}", _REMEDY)
    if len(digits.lstrip("0")) > 11:
        raise InputError(field, text, "SPI does not fit in 32 bits", "an SPI is 0x100 to 0xffffffff")
    value = int(digits, base)
    if value > 0xFFFFFFFF:
        raise InputError(field, text, "SPI does not fit in 32 bits", "an SPI is 0x100 to 0xffffffff")
    return value


def _address(address: str, text: str, field: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address))
    except (OSError, ValueError):
        raise InputError(field, text, f"{address!r} is not an address", _REMEDY) from None
