# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel's definition as module options, and what came of it as a task's result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.module_utils.common.validation import check_type_dict
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition import options
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import IMPACTS
from ansible_collections.fleet.ipsec.plugins.module_utils.tunnel_diff import packets, tunnel_diff

_ARRAY = "array"
_TYPES = {"object": "dict", "string": "str", "integer": "int", "boolean": "bool", _ARRAY: "list"}


def _options(section: dict[str, Any]) -> dict[str, Any]:
    """The options of a section of the table as an argument spec.

    Nothing has a default in it: the manager fills them in. Nor is a secret required, or what belongs to one of several
    methods: the manager says where to put it.
    """
    properties = section["properties"]
    required = [
        key
        for key in section.get("required", ())
        if not properties[key].get("writeOnly") and not properties[key].get("only")
    ]
    return {
        key: {**_option(schema), **({"required": True} if key in required else {})}
        for key, schema in properties.items()
    }


def _option(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if "properties" in schema:
        return {"type": "dict", "options": _options(schema)}
    if _ARRAY in kinds:
        items = schema["items"]
        inner = {"options": _options(items)} if "properties" in items else {"no_log": _is_secret(schema)}
        return {"type": "list", "elements": _TYPES[items["type"]], **inner}
    if len(kinds) > 1 or kinds == ["string"]:
        # Said of every text: ansible-core takes some names for those of passwords.
        choices = {"choices": list(schema["enum"])} if "enum" in schema else {}
        return {"type": "str", "no_log": _is_secret(schema), **choices}
    return {"type": _TYPES[kinds[0]]}


def _is_secret(schema: dict[str, Any]) -> bool:
    return bool(schema.get("writeOnly"))


# A name alone stands for a tunnel that is defined already, so nothing else is required of a task.
DEFINITION: dict[str, Any] = {
    key: _option(schema) for key, schema in options.DEFINITION["properties"].items() if key != "name"
}
# Not of what a tunnel is, but of what is meant of it; children that run, or are to, by name.
CHOICE: dict[str, Any] = {"only_children": {"type": "list", "elements": "str"}}
PENDING = ("negotiating", "degraded", "down")
_SHOWN_PROBLEMS = 10


def definition(given: dict[str, Any]) -> dict[str, Any]:
    """What the manager is told of one tunnel: its name and whatever was given."""
    told: dict[str, Any] = _given({"name": given["name"], **{key: given[key] for key in (*DEFINITION, *CHOICE)}})
    return told


def misread(params: dict[str, Any], spec: dict[str, Any]) -> str:
    """Which value is not options by name though it should be, and what to write; the value may be a secret.

    :param params: as far as Ansible understood them: an item of a list that it did not is not there any more.
    """
    if where := _not_options(params, spec, ""):
        option = where.rpartition(".")[2].partition("[")[0]
        return f"{where}: is not a dictionary of options; write {option}: {{...}}"
    many = "tunnels" if params.get("tunnels") is not None else "children"
    inner = ", or of the children of one," if many == "tunnels" else ""
    return f"{many}: an item{inner} is not a dictionary of options; write - {{name: NAME, ...}}"


def _not_options(params: dict[str, Any], spec: dict[str, Any], path: str) -> str:
    """The path of the first value that should be options by name and is not, empty if there is none."""
    for key, rule in spec.items():
        value = params.get(key)
        if value is None or "options" not in rule:
            continue
        many = rule["type"] == "list" and isinstance(value, list)
        for each in value if many else [value]:
            name = each.get("name") if isinstance(each, dict) else None
            at = f"{path}{key}[{name}]" if many and isinstance(name, str) else f"{path}{key}"
            if not _is_options(each):
                return at
            if isinstance(each, dict) and (found := _not_options(each, rule["options"], f"{at}.")):
                return found
    return ""


def _is_options(value: Any) -> bool:
    try:
        check_type_dict(value)
    except TypeError:
        return False
    return True


def _given(value: Any) -> Any:
    """The value without options that were left out."""
    if isinstance(value, dict):
        return {key: _given(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_given(each) for each in value]
    return value


def shown_arguments(params: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The task's arguments without the definitions, which ``before`` and ``after`` show where they matter.

    :param params: as given, possibly not what the options ask for.
    :param known: names of the options; whatever else was given may be a misspelled secret.
    """
    shown = {key: value for key, value in params.items() if key in known and key not in DEFINITION}
    if shown.get("tunnels") is not None:
        tunnels = shown["tunnels"] if isinstance(shown["tunnels"], list) else []
        shown["tunnels"] = [each.get("name") for each in tunnels if isinstance(each, dict)]
    return shown


def shown_changes(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """``tunnels``, ``pending``, ``impact``, ``before``, ``after`` and ``diff`` of a result.

    :param steps: what the manager did or would do, as ``tunnels.apply`` answers it.
    """
    moved = [step for step in steps if step["action"] not in ("none", "repaired")]
    before = {step["name"]: step["before"] for step in moved if step["before"]}
    after = {step["name"]: step["after"] for step in moved if step["after"]}
    shown = ("name", "number", "action", "impact", "changes", "repaired", "missing")
    standing = ("name", "state", "reason", "story", "remedy")
    return {
        "tunnels": [{**{key: step[key] for key in shown}, "packets": packets(step)} for step in steps],
        "pending": [{key: step[key] for key in standing} for step in steps if step["state"] in PENDING],
        "impact": max((step["impact"] for step in steps), key=IMPACTS.index, default="none"),
        "before": before,
        "after": after,
        "diff": tunnel_diff(steps),
    }


def as_lines(value: Any, indent: str = "") -> str:
    """A document as YAML-like lines, in a stable order; the gateway may have no YAML library."""
    lines = []
    for key, each in sorted(value.items()):
        if isinstance(each, dict) and each:
            lines.append(f"{indent}{key}:\n{as_lines(each, indent + '  ')}")
        elif isinstance(each, list) and each and isinstance(each[0], dict):
            inner = "".join(as_lines({item.get("name", "-"): item}, indent + "  ") for item in each)
            lines.append(f"{indent}{key}:\n{inner}")
        elif isinstance(each, list):
            lines.append(f"{indent}{key}: [{', '.join(map(str, each))}]\n")
        elif each is not None:
            lines.append(f"{indent}{key}: {each}\n")
    return "".join(lines)


def unreached(until: str, timeout: float, tunnels: list[dict[str, Any]]) -> str:
    """Why a wait failed, and what to do about each tunnel that did not get there."""
    late = [each for each in tunnels if not each["reached"]]
    lines = []
    for each in late[:_SHOWN_PROBLEMS]:
        what = each["story"] or f"it is {each['state']}"
        remedy = f"; remedy: {each['remedy']}" if each["remedy"] else ""
        reason = f" [{each['reason']}]" if each["reason"] else ""
        lines.append(f"{each['name']}: {what}{reason}{remedy}")
    more = f"; and {len(late) - _SHOWN_PROBLEMS} more, see waited.tunnels" if len(late) > _SHOWN_PROBLEMS else ""
    return f"{len(late)} of {len(tunnels)} tunnels not {until} after {timeout:g} s: {'; '.join(lines)}{more}"
