# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a host from being a gateway, found and said before anything changes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="probing the kernel needs root")

# A fresh network namespace: nobody listens there, whatever runs on this machine.
ALONE = ["unshare", "--net"]
HOLDS_PORT = """
import os, socket, sys
holder = socket.socket(type=socket.SOCK_DGRAM)
holder.bind(("", 500))
os.set_inheritable(holder.fileno(), True)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def program(path: Path, text: str) -> str:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def problems(**arguments: object) -> str:
    """Everything that it says against this host."""
    result = run_module("gateway_probe", dict(arguments), wrapper=ALONE)
    return result.get("msg", "")


def test_it_changes_nothing_and_says_what_is_there() -> None:
    result = run_module("gateway_probe", {}, wrapper=ALONE)
    assert not result.get("changed")
    assert result["package_manager"] in ("apt", "other")
    assert result["running"] is False
    # With ESP in the kernel there is nothing to say against this machine, without it there is that.
    if "ESP for IPv4" not in result["features"]:
        assert result["failed"]
        assert "ESP" in result["msg"]
    assert "UDP port" not in result.get("msg", "")


def test_an_old_interpreter(tmp_path: Path) -> None:
    old = program(tmp_path / "python3", "#!/bin/sh\necho 3 9\n")
    assert f"{old} is Python 3.9, too old; install Python 3.11 or newer" in problems(python=old)


def test_no_interpreter(tmp_path: Path) -> None:
    assert f"{tmp_path}/none does not run (No such file or directory)" in problems(python=f"{tmp_path}/none")


def test_missing_packages_are_told_by_their_names(tmp_path: Path) -> None:
    bare = program(tmp_path / "python3", "#!/bin/sh\necho 3 11 cryptography pyroute2\n")
    result = run_module("gateway_probe", {"python": bare, "commands": ["no-such-program"]}, wrapper=ALONE)
    assert result["missing_packages"] == ["python3-cryptography", "python3-pyroute2", "no-such-program"]


def test_another_ike_daemon() -> None:
    holder = [sys.executable, "-c", HOLDS_PORT]
    result = run_module("gateway_probe", {}, wrapper=[*ALONE, *holder])
    assert result["failed"]
    assert "holds UDP port 500; stop and disable that IKE daemon" in result["msg"]


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "ipsec").write_text("#!/bin/sh\n")
    (tmp_path / "ike").write_text("# fleet.ipsec\n")
    said = problems(files=[str(tmp_path / name) for name in ("ipsec", "ike", "none")])
    assert f"{tmp_path}/ipsec belongs to something else" in said
    assert f"{tmp_path}/ike" not in said
    assert f"{tmp_path}/none" not in said
