# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and kernel settings of a gateway, in a network namespace of their own where settings are written."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..running import run_module

TEXT = "# fleet.ipsec\nx = 1\n"


def files(*rows: dict[str, Any]) -> dict[str, Any]:
    """Module arguments."""
    return {"files": list(rows)}


def test_write_then_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/file"
    arguments = files({"path": str(path), "content": TEXT, "mode": "0755"})
    planned = run_module("gateway_config", arguments, check=True)
    assert planned["changed"] and planned["changed_files"] == [str(path)]
    assert planned["diff"][0]["after"] == TEXT
    assert not path.exists()
    assert run_module("gateway_config", arguments)["changed"]
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert not run_module("gateway_config", arguments)["changed"]
    assert os.listdir(path.parent) == ["file"]


def test_permissions_alone_are_a_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(TEXT)
    path.chmod(0o600)
    assert run_module("gateway_config", files({"path": str(path), "content": TEXT}))["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_absent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(TEXT)
    arguments = files({"path": str(path), "state": "absent"})
    assert run_module("gateway_config", arguments)["changed"]
    assert not path.exists()
    assert not run_module("gateway_config", arguments)["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_what_is_not_ours_stops_everything(tmp_path: Path, state: str) -> None:
    foreign = tmp_path / "ipsec"
    foreign.write_text("#!/bin/sh\n# another product\n")
    mine = tmp_path / "mine"
    row = {"path": str(foreign), "state": state, **({"content": TEXT} if state == "present" else {})}
    result = run_module("gateway_config", files({"path": str(mine), "content": TEXT}, row))
    assert result["failed"]
    assert str(foreign) in result["msg"]
    assert "remove that package" in result["msg"]
    assert foreign.read_text() == "#!/bin/sh\n# another product\n"
    assert not mine.exists()


def test_a_file_of_a_package_is_named(tmp_path: Path) -> None:
    result = run_module("gateway_config", files({"path": "/etc/debian_version", "content": TEXT}), check=True)
    assert result["failed"]
    assert "package base-files" in result["msg"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"content": "no mark\n"}, "does not name fleet.ipsec"),
        ({"content": TEXT, "mode": "rwx"}, "octal"),
        ({}, "content"),
    ],
)
def test_bad_rows(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    result = run_module("gateway_config", files({"path": str(tmp_path / "x"), **row}))
    assert result["failed"]
    assert words in result["msg"]
    assert not (tmp_path / "x").exists()


def test_an_unknown_setting_is_named() -> None:
    result = run_module("gateway_config", {"sysctl": {"net.ipv4.no_such_thing": 1}})
    assert result["failed"]
    assert "net.ipv4.no_such_thing" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")
def test_settings_are_applied_once() -> None:
    """In a namespace whose settings are nobody else's."""
    script = (
        "ip link add va type veth peer name vb; "
        'echo 1 > /proc/sys/net/ipv4/conf/va/send_redirects; echo 0 > /proc/sys/net/ipv4/ip_forward; exec "$@"'
    )
    arguments = {"sysctl": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.*.send_redirects": 0}}
    first, second = _twice(["unshare", "--net", "sh", "-c", script, "sh"], arguments)
    assert "net.ipv4.ip_forward" in first["changed_settings"]
    assert "net.ipv4.conf.va.send_redirects" in first["changed_settings"]
    assert "net.ipv4.ip_forward = 1" in first["diff"][0]["after"]
    assert not second["changed"]


def _twice(wrapper: list[str], arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Two runs of the module in one and the same namespace."""
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1]);"
        "from running import run_module;"
        "print(json.dumps([run_module('gateway_config', json.loads(sys.argv[2])) for _ in (1, 2)]))"
    )
    path = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", code, json.dumps(path), json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
