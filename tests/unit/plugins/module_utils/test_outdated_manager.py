# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collection that knows more than the gateway's manager says so, and what to do first."""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.engine import release
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.formats import FORMATS
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.options import tree
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.schema import Problems, conform
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import OPTIONS
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.manager import control
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import beyond

from ..running import run_module

SECRET = "correct horse battery staple, at length"
TASK: dict[str, Any] = {
    "name": "a.b",
    "local": {"id": "a.example.net"},
    "remote": {"id": "b.example.net"},
    "auth": {"secret": SECRET},
    "ike": {"retransmit_timeout": "90s"},
    "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"], "start": "trap"}],
}

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def refusal(schema: dict[str, Any]) -> Answer:
    """What a manager whose table has these options says to the definitions of a call."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        problems: list[InputError] = []
        for raw in request["params"]["definitions"]:
            conform(raw, schema, f"definitions[{raw['name']}]", problems, FORMATS)
        return control._error(Problems(problems))

    return answer


def without(*left_out: str) -> dict[str, Any]:
    return tree(row for row in OPTIONS if not row.path.startswith(left_out))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[[Answer], str]]:
    """The path of a control socket at which everything is answered with an error."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = str(tmp_path / "control.sock")
    listener.bind(path)
    listener.listen()
    threads = []

    def serve(answer: Answer) -> str:
        def work() -> None:
            connection, _address = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                request = json.loads(stream.readline())
                stream.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": answer(request)}).encode())
                stream.write(b"\n")

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return path

    yield serve
    for thread in threads:
        thread.join(10)
    listener.close()


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        (["ike.retransmit_timeout"], "does not know ike.retransmit_timeout (since 0.2.0);"),
        (["children.start"], "does not know children.start (since 0.1.0);"),
        (["ike.retransmit_timeout", "children.start"], "ike.retransmit_timeout (since 0.2.0), children.start (since"),
    ],
)
def test_an_option_that_the_manager_does_not_know_asks_for_an_upgrade(manager, lacking, told):
    result = run_module("ipsec_tunnel", TASK | {"control_socket": manager(refusal(without(*lacking)))})
    assert result["failed"] and told in result["msg"]
    assert result["msg"].startswith(
        f"upgrade the gateway first: its tunnel manager (version {release.VERSION}) is older"
    )
    assert "fleet.ipsec.gateway" in result["msg"] and SECRET not in json.dumps(result)


def test_a_choice_that_the_manager_does_not_know_does_so_too(manager):
    older = copy.deepcopy(without())
    older["properties"]["children"]["items"]["properties"]["start"]["enum"] = ["auto", "manual"]
    result = run_module("ipsec_tunnel", TASK | {"control_socket": manager(refusal(older))})
    assert "upgrade the gateway first" in result["msg"] and "does not know children.start: trap;" in result["msg"]


def test_a_manager_that_does_not_tell_its_version_is_older_all_the_same(manager):
    answer = refusal(without("ike.retransmit_timeout"))

    def old(request: dict[str, Any]) -> dict[str, Any]:
        error = answer(request)
        del error["data"]["version"]
        return error

    result = run_module("ipsec_tunnel", TASK | {"control_socket": manager(old)})
    assert result["msg"].startswith("upgrade the gateway first: its tunnel manager is older than this collection")


def test_a_method_that_the_manager_does_not_have_does_so_too(manager):
    error = {"code": -32601, "message": "there is no method 'tunnels.apply'", "data": None}
    result = run_module("ipsec_tunnel", TASK | {"control_socket": manager(lambda request: error)})
    assert "upgrade the gateway first" in result["msg"] and "has no method tunnels.apply;" in result["msg"]


def test_a_value_that_is_bad_here_and_there_is_no_matter_of_age(manager):
    bad = TASK | {"ike": {"lifetime": "soon", "version": 7}}
    result = run_module("ipsec_tunnel", bad | {"control_socket": manager(refusal(without()))})
    assert "upgrade" not in result["msg"]
    assert [problem["field"] for problem in result["problems"]] == [
        "tunnels[a.b].ike.version",
        "tunnels[a.b].ike.lifetime",
    ]


def test_what_else_is_wrong_is_told_by_the_manager():
    assert beyond(-32602, []) is None
    assert beyond(-32602, [{"field": "names", "value": "x", "problem": "is not defined here", "remedy": ""}]) is None
