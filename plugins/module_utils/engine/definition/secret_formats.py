# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a pre-shared key is written: a key is octets, and no text says all of them.

Other programs mark digits with ``0x`` and base64 with ``0s``; both are passed over here, so that a key can be taken
from their files as it stands.
"""

from __future__ import annotations

import base64
import binascii
import re

from ..errors import HIDDEN, InputError
from ..secret import Secret
from .table import BASE64, HEX, TEXT

_BETWEEN = re.compile(r"[\s:_]+")


def read_secret(written: str, format: str, field: str) -> Secret:
    """The octets of a key.

    :param format: one of the choices of ``auth.secret_format``.
    :raises InputError: naming ``field``, and never showing what stands there.
    """
    if format == TEXT:
        return Secret(written.encode())
    try:
        octets = _from_hex(written) if format == HEX else _from_base64(written)
    except (ValueError, binascii.Error):
        raise InputError(field, HIDDEN, f"is not {_WHAT[format]}", _REMEDIES[format]) from None
    if not octets:
        raise InputError(field, "", "is empty", "give the pre-shared key (from a vault)")
    return Secret(octets)


_WHAT = {HEX: "hexadecimal", BASE64: "base64"}
_REMEDIES = {
    HEX: "write an even number of digits, 0 to 9 and a to f, or take secret_format: text",
    BASE64: "write it as base64 does, with = at the end where that has some, or take secret_format: text",
}


def _from_hex(written: str) -> bytes:
    digits = _BETWEEN.sub("", written)
    return bytes.fromhex(digits[2:] if digits[:2].lower() == "0x" else digits)


def _from_base64(written: str) -> bytes:
    text = "".join(written.split())
    # Without the mark there are four characters for every three octets.
    marked = text[:2].lower() == "0s" and len(text) % 4 == 2
    return base64.b64decode(text[2:] if marked else text, validate=True)


def write_secret(secret: Secret, format: str) -> str:
    """The key as :func:`read_secret` reads it, for whoever may have it."""
    octets = secret.reveal()
    if format == TEXT:
        return octets.decode()
    return octets.hex() if format == HEX else base64.b64encode(octets).decode("ascii")
