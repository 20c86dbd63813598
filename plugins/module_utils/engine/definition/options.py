# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table put together: JSON Schemas of a tunnel's definition, of a child, of what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .table import OPTIONS, Option


def tree(rows: Iterable[Option]) -> dict[str, Any]:
    """The JSON Schema of an object that has these options; a section stands before what it holds."""
    root: dict[str, Any] = {"type": "object", "properties": {}}
    for row in rows:
        *outer, last = row.path.split(".")
        section = root
        for key in outer:
            section = _inner(section["properties"][key])
        if row.required:
            section.setdefault("required", []).append(last)
        only = {"only": list(row.only)} if row.only else {}
        section.setdefault("properties", {})[last] = {**_copied(row.schema), **only, "description": row.text}
    return root


def _inner(schema: dict[str, Any]) -> dict[str, Any]:
    """Where the options of a section are: of a list, in each of its items."""
    return schema["items"] if schema["type"] == "array" else schema


def _copied(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in schema.items()}


DEFINITION = tree(OPTIONS)
NAME = DEFINITION["properties"]["name"]
CHILD = DEFINITION["properties"]["children"]["items"]
# A definition as it is kept: its last child may have been removed.
_PROPERTIES = DEFINITION["properties"]
STORED = {**DEFINITION, "properties": {**_PROPERTIES, "children": {**_PROPERTIES["children"], "minItems": 0}}}
