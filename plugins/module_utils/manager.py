# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules speak with the tunnel manager: one connection, and its refusals as clear task failures."""

from __future__ import annotations

import re
import socket
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import (
    OPTIONS,
    UNKNOWN_CHOICE,
    UNKNOWN_OPTION,
)

MINIMUM_PYTHON = (3, 9)

METHOD_NOT_FOUND = -32601  # of JSON-RPC 2.0

ARGUMENTS: dict[str, Any] = {"control_socket": {"type": "path", "default": "/run/fleet-ipsec/control.sock"}}


def require_python(module: AnsibleModule) -> None:
    """Fail where the engine cannot even be read by the interpreter."""
    if sys.version_info < MINIMUM_PYTHON:
        module.fail_json(
            msg=f"Python {sys.version_info[0]}.{sys.version_info[1]} at {sys.executable} is too old for fleet.ipsec; "
            "set ansible_python_interpreter to a Python 3.9 or newer"
        )


def listening(path: str) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def answering(path: str, patience: float) -> bool:
    """Whether a tunnel manager says something, be it a refusal, within ``patience`` seconds."""
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import MissingError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.manager.client import Client, RpcError

    try:
        with Client(path) as client:
            client.call("manager.info", timeout=patience)
    except RpcError:
        return True
    except MissingError:
        return False
    return True


class Manager:
    """The tunnel manager of this gateway, for one module run.

    :param module: told of every failure; its ``control_socket`` names the manager.
    """

    def __init__(self, module: AnsibleModule) -> None:
        require_python(module)
        # Only now: an older interpreter could not read these files.
        from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
        from ansible_collections.fleet.ipsec.plugins.module_utils.engine.manager.client import Client

        self._module = module
        self._refusals = EngineError
        self._client = Client(module.params["control_socket"])

    def call(self, method: str, params: dict[str, Any], timeout: float = 60.0) -> Any:
        """Call a method of the control socket; a refusal ends the module with the manager's own words.

        :param timeout: seconds for the whole call.
        """
        try:
            return self._client.call(method, params, timeout)
        except self._refusals as refusal:
            details = getattr(refusal, "data", None) or {}
            news = beyond(getattr(refusal, "code", 0), details.get("problems", []))
            if news is not None:
                self._module.fail_json(msg=_outdated(news, method, details.get("version")))
            problems = [{**each, "field": _in_a_task(each["field"])} for each in details.get("problems", [])]
            self._module.fail_json(msg=_in_a_task(str(refusal)), problems=problems)


def beyond(code: int, problems: list[dict[str, Any]]) -> list[str] | None:
    """What of this collection a manager is too old for, by the problems that it has with a call; None if nothing.

    What nobody knows never comes to the manager: Ansible refuses it. So an option or a choice that the manager does not
    know, and this collection does, is newer than the manager.
    """
    if code == METHOD_NOT_FOUND:
        return []
    rows = {row.path: row for row in OPTIONS}
    news = []
    for problem in problems:
        path = _path(problem["field"])
        row = rows.get(path)
        if problem["problem"] == UNKNOWN_OPTION:
            news.append(f"{path} (since {row.since})" if row is not None else path)
        elif (
            problem["problem"] == UNKNOWN_CHOICE and row is not None and problem["value"] in row.schema.get("enum", ())
        ):
            news.append(f"{path}: {problem['value']}")
    return list(dict.fromkeys(news)) or None


def _path(field: str) -> str:
    """The path of an option, without whose it is."""
    return re.sub(r"\[\d+\]", "", re.sub(r"^definitions\[[^\]]*\]\.", "", field))


def _outdated(news: list[str], method: str, version: str | None) -> str:
    release = f" (version {version})" if version else ""
    what = f"does not know {', '.join(news)}" if news else f"has no method {method}"
    return (
        f"upgrade the gateway first: its tunnel manager{release} is older than this collection and {what}; run role "
        "fleet.ipsec.gateway for it (playbook fleet.ipsec.site), then this task again"
    )


def _in_a_task(text: str) -> str:
    """Fields, each at the beginning of a line, by the name that they have in a task: tunnels, not definitions."""
    return re.sub(r"^definitions\[", "tunnels[", text, flags=re.MULTILINE)
