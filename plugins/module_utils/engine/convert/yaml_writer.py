# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain documents as YAML, for a gateway without a YAML library; YAML 1.1 and 1.2 read it alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..definition.credentials import METHODS, without_secrets
from ..definition.ppks import PPK
from ..definition.table import PSK, TEXT
from .paths import tidy

VARIABLE = "ipsec_tunnels"
SECRETS = "ipsec_tunnel_secrets"
PPKS = "ipsec_tunnel_ppks"
HEAD = (
    f"Tunnels for the module fleet.ipsec.ipsec_tunnel: tunnels: {{{{ {VARIABLE} }}}}",
    f"Their pre-shared keys, and passphrases of private keys, belong into a vault, as {SECRETS}: {{NAME: KEY}}",
    f"Post-quantum preshared keys, where there are any, as {PPKS}: {{ID: KEY}}",
    "Where secret_format stands, the digits as the file has them, with or without 0x or 0s before them.",
)

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*", re.ASCII)
_WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null", "nan", "inf"}
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Reference(str):
    """A text that Ansible is to work out; any other text that looks so is marked as unsafe."""

    __slots__ = ()


def playable(documents: Iterable[dict[str, Any]], remarks: Iterable[str] = ()) -> str:
    """Definitions as a file of variables for ``ipsec_tunnel``.

    :param documents: as the module takes them; secrets in them are replaced by references to a variable.
    :param remarks: lines of comment before them.
    """
    shown = [{**tidy(document), "auth": _referring(document)} for document in documents]
    head = [f"# {line}".rstrip() for remark in remarks for line in _printable(remark).splitlines()]
    return "\n".join(["---", *head, dump({VARIABLE: shown})])


def secret_of(name: str) -> Reference:
    """Where the pre-shared key of a tunnel, or the passphrase of its private key, is expected: in a dictionary that
    belongs into a vault."""
    return Reference(f"{{{{ {SECRETS}['{name}'] }}}}")


def ppk_of(name: str) -> Reference:
    """Where a post-quantum preshared key is expected, likewise."""
    return Reference(f"{{{{ {PPKS}[{json.dumps(name)}] }}}}")


def tidy_ppk(ppk: dict[str, Any]) -> dict[str, Any]:
    """What is to be said of one: its defaults are not."""
    defaults = {"secret_format": TEXT, "required": True}
    return {key: value for key, value in ppk.items() if value != defaults.get(key) and key != "secret"}


def _referring(document: dict[str, Any]) -> dict[str, Any]:
    auth = document.get("auth", {})
    form = {key: auth[key] for key in ("secret_format",) if auth.get(key, TEXT) != TEXT}
    ppks = [{**tidy_ppk(ppk), "secret": ppk_of(ppk["id"])} for ppk in auth.get(PPK, ())]
    more: dict[str, Any] = {PPK: ppks} if ppks else {}
    method = auth.get("method", PSK)
    option = METHODS[method].secrets[0]
    if method == PSK or auth.get(option):
        more = {option: secret_of(document["name"]), **more}
    return {**without_secrets(auth), **form, **more}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def dump(value: Any) -> str:
    """Dictionaries (with keys shorter than 100 characters), lists, texts, whole numbers, booleans and None as YAML."""
    return "".join(f"{line}\n" for line in _lines(value, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _under(f"{indent}{scalar(key)}:", each, indent)
    elif isinstance(value, list) and value:
        for each in value:
            inner = list(_lines(each, indent + "  "))
            yield f"{indent}- {inner[0].lstrip(' ')}"
            yield from inner[1:]
    else:
        yield indent + scalar(value)


def _under(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, (dict, list)) and value:
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield f"{head} {scalar(value)}"


def scalar(value: Any) -> str:
    """One value on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = "".join(_escaped(char) for char in text)
    unsafe = not isinstance(value, Reference) and _TEMPLATE.search(text)
    return f'!unsafe "{quoted}"' if unsafe else f'"{quoted}"'


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if " " <= char <= "~":
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
