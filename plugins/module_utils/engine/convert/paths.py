# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition's options one by one, by dotted paths, and which of them go without saying."""

from __future__ import annotations

from typing import Any

from ..definition.options import DEFINITION
from ..definition.schema import Schema

_MISSING = object()


def tidy(document: dict[str, Any]) -> dict[str, Any]:
    """The document without options that have their default anyway."""
    tidied: dict[str, Any] = _tidied(document, DEFINITION)
    return tidied


def _tidied(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict) and "properties" in schema:
        inner = {key: _tidied(each, schema["properties"].get(key, {})) for key, each in value.items()}
        return {
            key: each
            for key, each in inner.items()
            if each is not None and each != {} and each != schema["properties"].get(key, {}).get("default", _MISSING)
        }
    if isinstance(value, list):
        return [_tidied(each, schema.get("items", {})) for each in value]
    return value


def leaves(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every option that is no section, by its path; children are left out, they have documents of their own."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key == "children" or value is None:
            continue
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def drop(document: dict[str, Any], path: str) -> None:
    """Take out the option at a path, and sections that it leaves empty."""
    key, dot, rest = path.partition(".")
    if dot and isinstance(document.get(key), dict):
        drop(document[key], rest)
        if not document[key]:
            del document[key]
    elif not dot:
        document.pop(key, None)
