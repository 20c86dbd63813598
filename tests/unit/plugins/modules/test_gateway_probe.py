# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a host from being a gateway, found and said before anything changes."""

from __future__ import annotations

import os
import shutil
import sys
import venv
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
    old = program(tmp_path / "python3", "#!/bin/sh\necho 3 8 /usr/bin/python3.8\n")
    assert f"{old} is Python 3.8, too old; install Python 3.9 or newer" in problems(python=old)


def test_no_interpreter(tmp_path: Path) -> None:
    assert f"{tmp_path}/none does not run (No such file or directory)" in problems(python=f"{tmp_path}/none")


def test_missing_packages_are_told_by_their_names(tmp_path: Path) -> None:
    said = f"3 11 {os.path.realpath('/usr/bin/python3')}\ncryptography missing\npyroute2 missing"
    bare = program(tmp_path / "python3", f"#!/bin/sh\necho '{said}'\n")
    result = run_module("gateway_probe", {"python": bare, "commands": ["no-such-program"]}, wrapper=ALONE)
    assert result["missing_packages"] == ["python3-cryptography", "python3-pyroute2", "no-such-program"]


def test_an_interpreter_that_no_package_of_the_distribution_helps(tmp_path: Path) -> None:
    """A virtual environment beside the system's Python: what apt installs never gets there."""
    venv.create(tmp_path / "v", with_pip=False)
    said = problems(python=f"{tmp_path}/v/bin/python3")
    for name in ("cryptography", "pyroute2"):
        assert f"the Python package {name} cannot be imported by {tmp_path}/v/bin/python3; install it" in said
    assert "gateway_python" in said


def test_a_package_that_is_there_and_does_not_load(tmp_path: Path) -> None:
    """Built for another Python, or half removed: it is found, and the manager would end over it all the same."""
    venv.create(tmp_path / "v", with_pip=False)
    [packages] = (tmp_path / "v/lib").glob("python3*/site-packages")
    (packages / "cryptography").mkdir()
    (packages / "cryptography/__init__.py").write_text("raise ImportError('libssl.so.9: no such file')\n")
    said = problems(python=f"{tmp_path}/v/bin/python3")
    assert "cryptography cannot be imported" in said and "ImportError libssl.so.9: no such file" in said


READ_ONLY = [
    "unshare",
    "--net",
    "--mount",
    "sh",
    "-c",
    'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"',
]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("# fleet.ipsec\n")
    (tmp_path / "same").chmod(0o644)  # whatever the umask of the tests is
    (tmp_path / "linked").symlink_to("/x/current/engine/ike.8")
    wanted = [
        {"path": f"{tmp_path}/new/file", "content": "# fleet.ipsec\n"},
        {"path": f"{tmp_path}/man/ike.8", "link": "/x/current/engine/ike.8"},
        {"path": f"{tmp_path}/linked", "link": "/x/current/engine/ike.8"},
        {"path": f"{tmp_path}/same", "content": "# fleet.ipsec\n"},
        {"path": f"{tmp_path}/gone", "content": ""},
        {"path": f"{tmp_path}/init", "content": "# fleet.ipsec\n", "service_manager": "another"},
        {"path": ""},
    ]
    arguments = {"wanted_files": wanted, "writable": [f"{tmp_path}/lib/d"]}
    result = run_module("gateway_probe", arguments, wrapper=[*READ_ONLY, str(tmp_path)])
    for place in ("new/file", "man/ike.8", "lib/d"):
        assert f"{tmp_path}/{place} cannot be written: the file system of {tmp_path} is read-only" in result["msg"]
    assert f"remount,rw {tmp_path}" in result["msg"]
    for place in ("same", "linked", "gone", "init"):
        assert f"{tmp_path}/{place}" not in result["msg"]
    # The same host when nothing has to be written.
    arguments = {"wanted_files": wanted[2:]}
    assert "written" not in run_module("gateway_probe", arguments, wrapper=[*READ_ONLY, str(tmp_path)]).get("msg", "")


@pytest.mark.skipif(not shutil.which("nft", path="/usr/sbin:/sbin"), reason="nftables is not installed")
def test_rules_are_tried_before_they_are_written() -> None:
    good = (
        "table inet fleet_ipsec {\n chain x {\n  type filter hook output priority 0;\n  rt ipsec missing drop\n }\n}\n"
    )
    assert "nftables" not in problems(rules=good)
    said = problems(rules=good.replace("missing", "gone"))
    assert "nftables does not take the rules of gateway_protected_networks" in said and "or leave them out" in said


MANAGER = "import socket, sys\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('', 500))\n"


def test_a_manager_of_ours_that_does_not_answer_is_no_other_program(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(MANAGER + "print(flush=True)\nsys.stdin.read()\n")
    script = f'cd {tmp_path}; sleep 10 | {sys.executable} -m engine manager & sleep 1; "$@"; kill $!'
    result = run_module("gateway_probe", {}, wrapper=[*ALONE, "sh", "-c", script, "sh"])
    assert "UDP port" not in result.get("msg", "")


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


def test_a_masked_unit_is_told_with_its_remedy(tmp_path: Path) -> None:
    """An operator who turned the service off for good, and the folder of units that systemd reads."""
    unit, other = (f"/etc/systemd/system/fleet-ipsec-{name}.service" for name in ("manager", "guard"))
    folder = "/etc/systemd/system"
    script = (
        f'mkdir -p {folder}; mount -t tmpfs none {folder}; ln -s /dev/null "$0"; ln -s /dev/null "$1"; shift; exec "$@"'
    )
    wanted = [{"path": unit, "content": "# fleet.ipsec\n"}, {"path": other, "content": ""}]
    wrapper = [*ALONE, "--mount", "sh", "-c", script, unit, other]
    said = run_module("gateway_probe", {"wanted_files": wanted}, wrapper=wrapper)["msg"]
    assert f"{unit} is masked, so that systemd never starts it: systemctl unmask fleet-ipsec-manager" in said
    # What is not wanted may be masked as well; neither is a package's.
    assert other not in said and "belongs" not in said
