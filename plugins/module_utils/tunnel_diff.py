# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task shows of what it does to tunnels: what an operator decides on, and what becomes of packets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import OPTIONS
from ansible_collections.fleet.ipsec.plugins.module_utils.unprotected import no_longer_protected

DISTURBED = "kernel_disturbed"  # the reason of a tunnel of which the kernel lacks something
# What becomes of packets, by the impact of a change and by what else is done.
_IMPACTS = {
    "none": "nothing that runs is touched",
    "hot": "what runs goes on as it is",
    "rekey": "fresh SAs take over from those that run, no packet is lost",
    "re-establish": "another IKE SA takes over from the one that runs, when the peer agrees; no packet is lost",
}
_ACTIONS = {
    "created": "from now on packets between its networks are held until it is up",
    "removed": "from now on packets between its networks have no policy",
    "started": "packets between its networks are held until it is up",
    "stopped": "nothing is carried any more",
    "repaired": "what others removed is put back",
    "none": "nothing changes",
}
# What is wanted of a tunnel whose packets wait for it.
_HELD = ("active", "ike")
# What is no longer protected is told as far as anybody reads.
_TOLD = 5
# More tunnels than these get a line each.
_IN_FULL = 10
_DEFAULTS = {row.path: row.schema["default"] for row in OPTIONS if "default" in row.schema}
# What an operator looks for first.
_FIRST = ("owner", "wanted", "local", "remote", "children")


def packets(step: dict[str, Any]) -> str:
    """What becomes of packets by what is done to one tunnel, in words."""
    action = step["action"]
    if action == "created" and step["after"].get("wanted") not in _HELD:
        return "nothing yet, since nothing of it is to be up"
    return f"{_IMPACTS[step['impact']]}{_bared(step)}" if action == "changed" else _ACTIONS[action]


def _bared(step: dict[str, Any]) -> str:
    """What is said of packets that this tunnel was to protect and is not any more."""
    bare = no_longer_protected(step["before"], step["after"]) if step["before"].get("wanted") != "inactive" else []
    if not bare:
        return ""
    more = f" and {len(bare) - _TOLD} more" if len(bare) > _TOLD else ""
    return (
        f"; but packets between {', '.join(bare[:_TOLD])}{more} are not protected by it any more: "
        "they leave in clear unless gateway_protected_networks has these networks"
    )


def tunnel_diff(steps: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A diff for each tunnel to which something is done, named in its header; a line for each where they are many."""
    told = [step for step in steps if step["action"] != "none"]
    if len(told) <= _IN_FULL:
        return [_in_full(step) for step in told]
    lines = [(_line(step), step["action"]) for step in told]
    return [
        {
            "before_header": f"{len(told)} tunnels",
            "after_header": f"{len(told)} tunnels",
            "before": "".join(line for line, action in lines if action == "removed"),
            "after": "".join(line for line, action in lines if action != "removed"),
        }
    ]


def _in_full(step: dict[str, Any]) -> dict[str, str]:
    before, after = _sides(step)
    return {
        "before_header": f"tunnel {step['name']}",
        "after_header": f"tunnel {step['name']}, {step['action']}: {packets(step)}",
        "before": before,
        "after": after,
    }


def _sides(step: dict[str, Any]) -> tuple[str, str]:
    action = step["action"]
    if action == "repaired":
        # What could not be put back is missing on both sides.
        lasting = {"missing": step["missing"]} if step["missing"] and step["reason"] == DISTURBED else {}
        return _lines(_lacking(step)), _lines(lasting)
    before, after = dict(_flat(step["before"])), dict(_flat(step["after"]))
    if action == "changed":
        changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
        return _lines({path: before.get(path) for path in changed}), _lines({path: after.get(path) for path in changed})
    if action in ("started", "stopped"):
        # Its definition stays.
        return _lines({"wanted": before.get("wanted")}), _lines({"wanted": after.get("wanted"), "action": action})
    return _lines(_telling(before)), _lines(_telling(after))


def _lacking(step: dict[str, Any]) -> dict[str, list[str]]:
    return {"removed by others, put back since": step["repaired"], "missing": step["missing"]}


def _line(step: dict[str, Any]) -> str:
    shown = step["after"] or step["before"]
    what = {
        "changed": ", ".join(step["changes"]),
        "repaired": ", ".join([*step["repaired"], *step["missing"]]),
    }.get(step["action"]) or f"{_end(shown, 'local')} - {_end(shown, 'remote')}"
    impact, bared = (f" ({step['impact']})", _bared(step)) if step["action"] == "changed" else ("", "")
    return f"{step['name']} {step['action']}{impact}: {what}{bared}\n"


def _end(shown: dict[str, Any], side: str) -> str:
    end = shown.get(side) or {}
    networks = [network for child in shown.get("children", ()) for network in child.get(side, ())]
    return f"{end.get('address') or end.get('id')} {' '.join(dict.fromkeys(networks))}".strip()


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A definition as paths and values, as changes name them, what an operator looks for first."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    keys = sorted(value, key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), key))
    for key in keys:
        each, path = value[key], f"{prefix}.{key}" if prefix else key
        if isinstance(each, dict):
            yield from _flat(each, path)
        elif isinstance(each, list) and each and isinstance(each[0], dict):
            for item in each:
                yield from _flat({k: v for k, v in item.items() if k != "name"}, f"{path}.{item.get('name', '-')}")
        else:
            yield path, each


def _telling(flat: dict[str, Any]) -> dict[str, Any]:
    """What of a whole definition is not the default."""
    return {path: value for path, value in flat.items() if path != "name" and not _is_default(path, value)}


def _is_default(path: str, value: Any) -> bool:
    first, *rest = path.split(".")
    # The second word of a child's option is the child's name.
    default = _DEFAULTS.get(".".join([first, *rest[1:]]) if first == "children" else path)
    return value in (default, [default]) or not value


def _lines(flat: dict[str, Any]) -> str:
    return "".join(f"{path}: {_text(value)}\n" for path, value in flat.items() if value not in (None, []))


def _text(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
