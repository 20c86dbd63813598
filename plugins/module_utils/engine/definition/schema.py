# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check values against the JSON Schemas of our tables, and make them canonical.

The part of JSON Schema that the tables use: ``type`` (one or a list), ``properties``, ``required``, ``items``,
``minItems``, ``enum``, ``minimum``, ``maximum``, ``default``, ``format``. An object takes no key that is not in its
``properties``. A key whose value is null counts as not given, which is how Ansible passes unset options.

And one thing of our own, for alternatives: where an object has a ``tag``, the name of one of its properties, the value
of that one decides which others it has. Those that say ``only`` belong to the values listed there.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import InputError, a_few
from .table import UNKNOWN_CHOICE, UNKNOWN_OPTION

Schema = dict[str, Any]
Format = Callable[[Any, str], Any]
Formats = Mapping[str, Format]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_HIDDEN = "…"
_SHOWN = 20


class Problems(InputError):
    """All that is wrong with one input; as an :class:`InputError` it shows the first problem and lists the others.

    :ivar problems: every problem, in the order of the input.
    """

    def __init__(self, problems: Iterable[InputError]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.field, first.value, first.problem, first.remedy)
        lines = [str(problem) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"and {len(self.problems) - _SHOWN} problems more")
        self.args = ("\n".join(lines),)


def conform(value: Any, schema: Schema, field: str, problems: list[InputError], formats: Formats) -> Any:
    """The canonical form of ``value``: defaults filled in, formats applied.

    :param field: path of the value as its user knows it, "" for the whole input.
    :param problems: everything wrong is appended here; the returned value is only meaningful if nothing was.
    :param formats: what each ``format`` does: a function of (value, field) returning the canonical value.
    """
    kinds = schema["type"]
    if not _is(value, kinds):
        shown = _HIDDEN if schema.get("writeOnly") else value
        wanted = kinds if isinstance(kinds, str) else " or ".join(kinds)
        problems.append(InputError(field, shown, f"is not of type {wanted}", f"give {_article(wanted)}"))
        return value
    if "format" in schema:
        return _scalar(value, schema, field, problems, formats)
    if isinstance(value, dict):
        if "properties" not in schema:
            return value
        return _object(value, schema, field, problems, formats)
    if isinstance(value, (list, tuple)):
        return _array(value, schema, field, problems, formats)
    return _scalar(value, schema, field, problems, formats)


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are: {a_few(names)}"


def _is(value: Any, kinds: str | list[str]) -> bool:
    names = (kinds,) if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in names
    if len(names) == 1:
        return isinstance(value, _TYPES[names[0]])
    return any(isinstance(value, _TYPES[name]) for name in names)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _object(value: dict[Any, Any], schema: Schema, field: str, problems: list[InputError], formats: Formats) -> Any:
    properties = schema["properties"]
    prefix = f"{field}." if field else ""
    for key in value:
        if key not in properties:
            problems.append(InputError(f"{prefix}{key}", _HIDDEN, UNKNOWN_OPTION, nearest(str(key), properties)))
    result = {}
    kind = _kind(value, schema)
    for key, rule in properties.items():
        given = value.get(key)
        if "only" in rule and kind not in rule["only"]:
            # Of an object whose tag cannot be read nobody knows what belongs to it.
            if given is not None and kind is not None:
                problems.append(_of_another_kind(f"{prefix}{key}", rule["only"], f"{schema['tag']}: {kind}"))
            continue
        if given is None:
            if key in schema.get("required", ()):
                problems.append(InputError(f"{prefix}{key}", None, "is missing", rule.get("remedy", "give it")))
            elif "default" in rule:
                result[key] = copy.copy(rule["default"])
            elif rule["type"] == "object":
                # Defaults and requirements inside an object that was left out count all the same.
                result[key] = conform({}, rule, f"{prefix}{key}", problems, formats)
            continue
        result[key] = conform(given, rule, f"{prefix}{key}", problems, formats)
    return result


def _kind(value: dict[Any, Any], schema: Schema) -> Any:
    """Which alternative an object is, by its tag; None where there are none, or it is none of them."""
    if "tag" not in schema:
        return None
    rule = schema["properties"][schema["tag"]]
    given = value.get(schema["tag"])
    kind = rule.get("default") if given is None else given
    return kind if kind in rule["enum"] else None


def _of_another_kind(field: str, kinds: list[str], kind: str) -> InputError:
    tag = kind.partition(":")[0]
    remedy = f"leave it out, or write {tag}: {' or '.join(kinds)}"
    return InputError(field, _HIDDEN, f"has no meaning with {kind}", remedy)


def _array(value: Any, schema: Schema, field: str, problems: list[InputError], formats: Formats) -> Any:
    if len(value) < schema.get("minItems", 0):
        problems.append(InputError(field, list(value), "is empty", schema.get("remedy", "give at least one")))
    rule = schema["items"]
    items = [conform(item, rule, f"{field}[{position}]", problems, formats) for position, item in enumerate(value)]
    return items


def _scalar(value: Any, schema: Schema, field: str, problems: list[InputError], formats: Formats) -> Any:
    if "format" in schema:
        try:
            value = formats[schema["format"]](value, field)
        except InputError as problem:
            problems.append(problem)
            return value
    if "enum" in schema and value not in schema["enum"]:
        words = [str(word) for word in schema["enum"]]
        problems.append(InputError(field, value, UNKNOWN_CHOICE, nearest(str(value), words)))
    if "minimum" in schema and value < schema["minimum"]:
        problems.append(InputError(field, value, "is too small", f"at least {schema['minimum']}"))
    if "maximum" in schema and value > schema["maximum"]:
        problems.append(InputError(field, value, "is too large", f"at most {schema['maximum']}"))
    return value
