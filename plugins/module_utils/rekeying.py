# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh keys for tunnels that are up, as a task asks for them."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import Manager
from ansible_collections.fleet.ipsec.plugins.module_utils.tunnels import DEFINITION, as_lines, unreached

REKEYED = "rekeyed"
SECONDS = 30.0
# The manager answers at the latest when its time is up; beyond that it has hung.
_ANSWER_SECONDS = 30


def misplaced(params: dict[str, Any]) -> str:
    """Which options do not go with the state, and what to do; empty where all do."""
    if params["state"] != REKEYED:
        only = "reauthenticate: goes with state: rekeyed alone; write that, or leave it out"
        return only if params["reauthenticate"] else ""
    if params["purge"]:
        return "purge: does not go with state: rekeyed, which changes no definition; leave it out"
    for tunnel in params["tunnels"] if params["tunnels"] is not None else [params]:
        given = next((option for option in DEFINITION if tunnel.get(option) is not None), None)
        if given is not None:
            return (
                f"{given}: does not go with state: rekeyed, which changes no definition; define tunnel"
                f" {tunnel['name']} in a task before, and name it alone here"
            )
    return ""


def rekey(module: AnsibleModule, manager: Manager, arguments: dict[str, Any]) -> NoReturn:
    """Have the tunnels of a task given fresh keys, and end the task with what came of it.

    :param arguments: those of the task, as its result shows them.
    """
    params = module.params
    given = params["tunnels"] if params["tunnels"] is not None else [params]
    asked = params["wait"] or {"until": None, "timeout": SECONDS}
    begins = asked["until"] == "defined"
    timeout = 0 if begins else asked["timeout"]
    call = {
        "names": [each["name"] for each in given],
        "phase": params["phase"],
        "only_children": [
            {"name": each["name"], "children": each["only_children"]}
            for each in given
            if each["only_children"] is not None
        ],
        "reauthenticate": params["reauthenticate"],
        "check": module.check_mode,
        "timeout": timeout,
    }
    outcome = manager.call(
        "tunnels.rekey", {key: value for key, value in call.items() if value is not None}, timeout + _ANSWER_SECONDS
    )
    failed = [each for each in outcome["tunnels"] if not (each["reached"] or (begins and not each["reason"]))]
    if failed:
        module.fail_json(msg=unreached(REKEYED, timeout, outcome["tunnels"]), **_result(module, outcome, arguments))
    module.exit_json(**_result(module, outcome, arguments))


def _result(module: AnsibleModule, outcome: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    # What fresh keys bring nobody knows before.
    fresh = "SPIs of fresh keys"
    moved = [each for each in outcome["tunnels"] if each["reached"] or not each["reason"]]
    before = {each["name"]: each["before"] for each in moved}
    after = {each["name"]: {"ike": [fresh]} if module.check_mode else each["after"] for each in moved}
    return {
        "changed": bool(moved),
        "invocation": {"module_args": arguments},
        "tunnels": [
            {"name": each["name"], "action": REKEYED if each in moved else "none"}
            | {key: each[key] for key in ("state", "reason", "story", "remedy")}
            for each in outcome["tunnels"]
        ],
        "impact": "rekey" if moved else "none",
        "waited": {"until": REKEYED, "seconds": outcome["waited"], "tunnels": outcome["tunnels"]},
        "before": before,
        "after": after,
        "diff": {
            "before_header": "keys in use before",
            "after_header": "keys in use",
            "before": as_lines(before),
            "after": as_lines(after),
        },
    }
