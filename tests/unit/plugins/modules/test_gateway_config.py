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


def test_of_a_new_file_a_diff_shows_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "long"
    arguments = files({"path": str(path), "content": TEXT + "".join(f"line {n}\n" for n in range(40))})
    shown = run_module("gateway_config", arguments)["diff"][0]
    assert shown["after"].splitlines()[:3] == [*TEXT.splitlines(), "line 0"]
    assert shown["after"].splitlines()[-1] == "… and 36 lines more"
    path.write_text(path.read_text().replace("line 30", "another"))
    shown = run_module("gateway_config", arguments, check=True)["diff"][0]
    assert "another\n" in shown["before"] and "line 30\n" in shown["after"]


def test_many_new_files_have_a_line_each(tmp_path: Path) -> None:
    rows = [{"path": str(tmp_path / str(n)), "content": TEXT} for n in range(5)]
    (tmp_path / "4").write_text("# fleet.ipsec\nx = 2\n")
    changed, new = run_module("gateway_config", files(*rows))["diff"]
    assert changed["before"] != changed["after"] == TEXT
    assert (new["after_header"], new["before"]) == ("4 files", "")
    assert new["after"].splitlines() == [f"{tmp_path}/{n} (mode 0644): 2 lines" for n in range(4)]
    gone = [{"path": each["path"], "state": "absent"} for each in rows]
    (shown,) = run_module("gateway_config", files(*gone))["diff"]
    assert len(shown["before"].splitlines()) == 5 and shown["after"] == ""


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


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of its own needs root")
def test_a_place_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    fixed, free = tmp_path / "fixed", tmp_path / "free"
    for folder in (fixed, free):
        folder.mkdir()
    script = 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"'
    rows = [{"path": f"{folder}/file", "content": TEXT} for folder in (free, fixed)]
    for check in (True, False):
        wrapper = ["unshare", "--mount", "sh", "-c", script, str(fixed)]
        result = run_module("gateway_config", files(*rows), check=check, wrapper=wrapper)
        assert f"{fixed}/file cannot be written: the file system of {fixed} is read-only" in result["msg"]
        assert "nothing was changed" in result["msg"]
    assert os.listdir(free) == []


def test_what_is_masked_is_told_and_no_obstacle_to_its_removal(tmp_path: Path) -> None:
    link = tmp_path / "drop-in.conf"
    link.symlink_to("/dev/null")
    rows = [{"path": f"{tmp_path}/free", "content": TEXT}, {"path": str(link), "content": TEXT}]
    for check in (True, False):
        refused = run_module("gateway_config", files(*rows), check=check)
        assert refused["failed"]
        assert f"{link} is masked, being a link to /dev/null: rm {link}; nothing was changed" in refused["msg"]
    # The operator's mask is left to the operator.
    result = run_module("gateway_config", files(*({"path": row["path"], "state": "absent"} for row in rows)))
    assert not result["changed"] and "failed" not in result
    assert os.listdir(tmp_path) == ["drop-in.conf"] and os.readlink(link) == "/dev/null"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of its own needs root")
def test_a_disk_that_is_full_is_told_with_the_path(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=4k tmpfs "$0"; exec "$@"'
    rows = [{"path": str(tmp_path / name), "content": TEXT + "#" * 4096} for name in ("one", "two")]
    wrapper = ["unshare", "--mount", "sh", "-c", script, str(tmp_path)]
    result = run_module("gateway_config", files(*rows), wrapper=wrapper)
    assert f"{tmp_path}/one cannot be written: No space left on device" in result["msg"]


def test_a_link_into_the_release_in_use(tmp_path: Path) -> None:
    engine = tmp_path / "engine-of-ours/current/engine"
    engine.mkdir(parents=True)
    (engine / "ike.8").write_text("fleet.ipsec\n")
    path = tmp_path / "man/ike.8"
    arguments = files({"path": str(path), "link": str(engine / "ike.8")})
    planned = run_module("gateway_config", arguments, check=True)
    assert planned["changed"] and planned["diff"][0]["after"] == f"link to {engine}/ike.8\n" and not path.exists()
    assert run_module("gateway_config", arguments)["changed_files"] == [str(path)]
    assert os.readlink(path) == f"{engine}/ike.8" and os.listdir(path.parent) == ["ike.8"]
    assert not run_module("gateway_config", arguments)["changed"]
    elsewhere = files({"path": str(path), "link": str(engine / "other.8")})
    assert run_module("gateway_config", elsewhere)["changed"]
    # It leads into nothing now, and is ours all the same.
    assert not run_module("gateway_config", elsewhere)["changed"]
    gone = files({"path": str(path), "state": "absent"})
    assert run_module("gateway_config", gone)["changed"] and not os.path.lexists(path)
    assert not run_module("gateway_config", gone)["changed"]


def test_a_link_takes_the_place_of_a_file_of_ours_and_a_file_that_of_a_link(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(TEXT)
    assert run_module("gateway_config", files({"path": str(path), "link": "/x/current/engine/y"}))["changed"]
    assert os.readlink(path) == "/x/current/engine/y"
    assert run_module("gateway_config", files({"path": str(path), "content": TEXT}))["changed"]
    assert path.read_text() == TEXT and not path.is_symlink()


@pytest.mark.parametrize("row", [{"link": "/x/current/engine/y"}, {"state": "absent"}])
def test_a_link_of_somebody_else_stays(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "other").write_text("theirs\n")
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "other")
    result = run_module("gateway_config", files({"path": str(path), **row}))
    assert result["failed"] and f"{path} belongs to something else" in result["msg"]
    assert os.readlink(path) == f"{tmp_path}/other"


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
        ({"link": "/etc/shadow"}, "link leads out of the release; let it lead below …/current/engine/"),
        ({"link": "/x/current/engine/y", "content": TEXT}, "mutually exclusive: content|link"),
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


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")
def test_settings_go_back_to_what_they_were(tmp_path: Path) -> None:
    """But for the one that somebody changed meanwhile, and the one that was right before."""
    record = str(tmp_path / "state/record.json")
    script = (
        "ip link add va.1 type veth peer name vb; cd /proc/sys/net/ipv4;"
        "echo 1 > ip_forward; echo 1 > conf/va.1/send_redirects; echo 77 > conf/vb/route_localnet; "
        'echo 0 > conf/vb/route_localnet; exec "$@"'
    )
    wanted = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.*.send_redirects": 0, "net.ipv4.conf.vb.route_localnet": 1}
    given, kept, changed, planned, restored, again = _runs(
        ["unshare", "--net", "sh", "-c", script, "sh"],
        [
            {"sysctl": wanted, "sysctl_record": record},
            {"sysctl": wanted, "sysctl_record": record},
            {"sysctl": {"net.ipv4.conf.vb.route_localnet": 0}},
            {"sysctl_record": record, "sysctl_state": "absent", "_ansible_check_mode": True},
            {"sysctl_record": record, "sysctl_state": "absent"},
            {"sysctl_record": record, "sysctl_state": "absent"},
        ],
    )
    assert "net.ipv4.ip_forward" not in given["changed_settings"] and given["changed"] and not kept["changed"]
    assert changed["changed_settings"] == ["net.ipv4.conf.vb.route_localnet"]
    assert planned["changed_settings"] == restored["changed_settings"] and restored["changed"]
    assert "net.ipv4.conf.va.1.send_redirects = 1" in restored["diff"][0]["after"]
    assert "net.ipv4.conf.va.1.send_redirects = 0" in restored["diff"][0]["before"]
    assert not any("route_localnet" in name or "ip_forward" in name for name in restored["changed_settings"])
    assert not again["changed"] and not os.path.exists(record)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")
def test_what_another_file_sets_at_boot_is_not_put_back(tmp_path: Path) -> None:
    """In a mount namespace where only such files are known."""
    (tmp_path / "60-fleet-ipsec.conf").write_text("# fleet.ipsec\nnet.ipv4.ip_forward = 1\n")
    (tmp_path / "99-admin.conf").write_text("# net.ipv4.conf.all.route_localnet = 1\n-net/ipv4/ip_forward=1\n")
    record = str(tmp_path / "record.json")
    script = (
        f"mount --bind {tmp_path} /etc/sysctl.d; cd /proc/sys/net/ipv4;"
        'echo 0 > ip_forward; echo 0 > conf/all/route_localnet; exec "$@"'
    )
    wanted = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.route_localnet": 1, "-net.ipv4.no_such_thing": 1}
    mine = {"path": "/etc/sysctl.d/60-fleet-ipsec.conf", "state": "absent"}
    given, restored = _runs(
        ["unshare", "--net", "--mount", "sh", "-c", script, "sh"],
        [
            {"sysctl": wanted, "sysctl_record": record},
            {"files": [mine], "sysctl_record": record, "sysctl_state": "absent"},
        ],
    )
    assert given["changed_settings"] == ["net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet"]
    assert restored["changed_settings"] == ["net.ipv4.conf.all.route_localnet"]
    assert restored["changed_files"] == ["/etc/sysctl.d/60-fleet-ipsec.conf"]


def test_a_record_without_a_name_restores_nothing() -> None:
    result = run_module("gateway_config", {"sysctl_record": "", "sysctl_state": "absent"})
    assert result["failed"] and result["msg"].startswith("sysctl_record: names no file")


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text("not json")
    result = run_module("gateway_config", {"sysctl_record": str(record), "sysctl_state": "absent"})
    assert result["failed"] and str(record) in result["msg"] and "remove it" in result["msg"]


def test_a_folder_of_ours_goes_with_its_last_file(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "fleet-ipsec-manager.service.d", tmp_path / "sysctl.d"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "x.conf").write_text(TEXT)
    (ours / "admin.conf").write_text("[Service]\n")
    rows = [{"path": str(folder / "x.conf"), "state": "absent"} for folder in (ours, theirs)]
    assert run_module("gateway_config", files(*rows))["changed"]
    assert os.listdir(ours) == ["admin.conf"] and theirs.is_dir(), (
        "what others have in it stays, and so do others' folders"
    )
    (ours / "admin.conf").unlink()
    (ours / "x.conf").write_text(TEXT)
    assert run_module("gateway_config", files(rows[0]))["changed"]
    assert not ours.exists()


def _twice(wrapper: list[str], arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Two runs of the module in one and the same namespace."""
    return _runs(wrapper, [arguments, arguments])


def _runs(wrapper: list[str], arguments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of the module in one and the same namespace."""
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1]);"
        "from running import run_module;"
        "rows = json.loads(sys.argv[2]);"
        "checks = [row.pop('_ansible_check_mode', False) for row in rows];"
        "print(json.dumps([run_module('gateway_config', row, check=each) for row, each in zip(rows, checks)]))"
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
