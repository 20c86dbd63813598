# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities in the words of other programs, which would be taken for names here, and what to write in their place."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import dn
from .errors import InputError

# What stands there for whoever it may be.
ANYBODY = ("%any", "%any4", "%any6", "0.0.0.0", "::", "*")

_ONE_PEER = (
    "name the peer; or, with certificates, write as remote.id a pattern whose asterisks stand for whole parts, such as "
    "*.branch.example.net or dn:O=Example, CN=*, or any"
)
_MARKED = (("@#", "keyid:#"), ("@@", "email:"), ("@~", "dn:"))
_TYPES = {
    "dns": "fqdn", "rfc822": "email", "userfqdn": "email", "user_fqdn": "email", "asn1dn": "dn", "ipv4addr": "ipv4",
    "ipv6addr": "ipv6",
}  # fmt: skip
_OPAQUE = ("keyid:", "ipv4:", "ipv6:")
_ANY_VALUE = re.compile(r"=\s*\*\s*(?=[,/+]|$)")


class Foreign(NamedTuple):
    """Why an identity is not what it looks like, and what is."""

    problem: str
    remedy: str


def foreign(text: str) -> Foreign | None:
    """What an identity of other programs' means here; None where it is one of ours."""
    value = text.strip()
    low = value.lower()
    if low in ANYBODY:
        return Foreign("stands for anybody elsewhere, and for nobody here", "leave it out, or name the peer")
    if low == "%fromcert":
        return Foreign("stands for the name in a certificate elsewhere", "write the identity itself")
    if low.startswith("%"):
        return Foreign("is a word of another program", "write the identity itself, or leave it out for the address")
    if low.startswith(_OPAQUE):
        return None
    ours = _in_our_words(value)
    if is_pattern(ours or value):
        return Foreign("is a pattern, and a tunnel names one peer", _ONE_PEER)
    return Foreign("is how other programs write it", f"write {ours}") if ours else None


def is_pattern(text: str) -> bool:
    """Whether it stands for all that fit it: an asterisk in a name, or as a whole value of a distinguished name."""
    kind, colon, _rest = text.partition(":")
    if (colon and kind.lower() == "dn") or is_distinguished(text):
        return _ANY_VALUE.search(text) is not None
    return "*" in text and not text.lower().startswith(_OPAQUE)


def is_distinguished(text: str) -> bool:
    """Whether a text without a type is a distinguished name."""
    if "=" not in text:
        return False
    try:
        dn.encode(text)
    except InputError:
        return False
    return True


def _in_our_words(value: str) -> str:
    """The same with its type before it; empty where it has one, or none that is known."""
    for mark, ours in _MARKED:
        if value.startswith(mark):
            return f"{ours}{value[2:].removeprefix('0x') if mark != '@@' else value[2:]}"
    if value.startswith("@[") and value.endswith("]"):
        return f"keyid:{value[2:-1]}"
    kind, colon, rest = value.partition(":")
    if colon and kind.lower() in _TYPES:
        return f"{_TYPES[kind.lower()]}:{rest}"
    return f"dn:{value}" if is_distinguished(value) else ""
