# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remarks in the XML of ikedb for what AIX has no words for, so that nothing of a definition is lost.

A remark is a processing instruction, which every reader that does not know it passes over, with or without a DTD:
``<?fleet-ipsec {"option": "remote.port", "here": null, "exact": 5000}?>``. ``here`` is what the XML itself says of the
option; where somebody changed that, the XML counts and the remark does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..definition.schema import Schema
from .ikedb_words import REMARK
from .paths import drop, leaves
from .report import LOST, Entry
from .rows import Part, put
from .xml_reader import Element

_KEYS = {"option", "here", "exact"}
_APART = ("name", "auth", "children")


def remarks(here: dict[str, Any], exact: dict[str, Any], needed: dict[str, Any]) -> Iterator[str]:
    """What has to be said besides.

    :param here: what the XML says, as options; ``exact``: what it should say, complete.
    :param needed: ``exact`` without defaults: what has to be said even if the XML is silent.
    """
    said, whole = leaves(here), leaves(exact)
    for option in dict.fromkeys([*said, *leaves(needed)]):
        if option != "name" and said.get(option) != whole.get(option):
            remark = {"option": option, "here": said.get(option), "exact": whole.get(option)}
            text = json.dumps(remark, ensure_ascii=True).replace("?", "\\u003f")
            yield f"<?{REMARK} {text}?>"


def apply(part: Part, element: Element, schema: Schema) -> None:
    """Set the options that the element's remarks tell exactly; ``schema`` has those that there are."""
    for target, text, line in element.remarks:
        if target != REMARK:
            continue
        where = Entry("remark", text, element.file, line)
        remark = _read(text, schema)
        if remark is None:
            part.tell(where, LOST, "it is damaged, the XML counts", "take it out, or export again")
        elif leaves(part.document).get(remark["option"]) != remark["here"]:
            where = Entry(remark["option"], json.dumps(remark["exact"]), element.file, line)
            part.tell(where, LOST, "the XML was changed since it was exported, and counts", "take the remark out")
        elif remark["exact"] is None:
            drop(part.document, remark["option"])
        else:
            put(part.document, remark["option"], remark["exact"])


def _read(text: str, schema: Schema) -> dict[str, Any] | None:
    try:
        remark = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(remark, dict) and remark.keys() == _KEYS and isinstance(remark["option"], str)
    return remark if fits and _is_option(remark["option"], schema) else None


def _is_option(path: str, schema: Schema) -> bool:
    """Whether it is a single option; secrets are kept apart, and a remark is no way around that."""
    *outer, last = path.split(".")
    for key in outer:
        schema = schema.get("properties", {}).get(key, {})
    option = schema.get("properties", {}).get(last)
    return option is not None and "properties" not in option and path.partition(".")[0] not in _APART
