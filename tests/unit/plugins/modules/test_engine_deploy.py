# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's way to a gateway: digests, archives, releases, and switching between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils import release

from ..running import run_module

ROOT = Path(__file__).resolve().parents[4]
FILES = {"__init__.py": "", "a/__init__.py": "", "a/b.py": "VALUE = 1\n", "unit.service": "[Unit]\n"}


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A small engine."""
    write(tmp_path / "source", FILES)
    return tmp_path / "source"


def deploy(place: Path, source: Path, check: bool = False, **more: Any) -> dict[str, Any]:
    """What the action plugin does: ask by manifest, then hand over the archive."""
    arguments = {"path": str(place), "python": sys.executable, "manifest": release.manifest(str(source)), **more}
    result = run_module("engine_deploy", arguments, check)
    if not result.pop("needs_archive", False):
        return result
    assert result["changed"] is False
    archive = place.parent / "engine.tar.gz"
    archive.write_bytes(release.pack(str(source), list(arguments["manifest"])))
    return run_module("engine_deploy", {**arguments, "archive": str(archive)})


def test_the_archive_is_the_same_whenever_it_is_packed(engine: Path) -> None:
    files = release.manifest(str(engine))
    first = release.pack(str(engine), list(files))
    os.utime(engine / "a/b.py", (1, 1))
    (engine / "unit.service").chmod(0o600)
    assert release.pack(str(engine), list(reversed(files))) == first


def test_what_tools_leave_behind_does_not_count(engine: Path) -> None:
    before = release.manifest(str(engine))
    write(engine, {"__pycache__/a.cpython-311.pyc": "x", "a/b.pyc": "x", "a/.cache/0.1/7": "x", "a/.b.py.tmp": "x"})
    assert release.manifest(str(engine)) == before == dict(sorted(before.items()))


@pytest.mark.parametrize("change", [{"a/b.py": "VALUE = 2\n"}, {"a/c.py": ""}])
def test_every_change_has_another_digest(engine: Path, change: dict[str, str]) -> None:
    before = release.digest(release.manifest(str(engine)))
    write(engine, change)
    assert release.digest(release.manifest(str(engine))) != before


def test_a_moved_file_has_another_digest(engine: Path) -> None:
    before = release.digest(release.manifest(str(engine)))
    (engine / "a/b.py").rename(engine / "b.py")
    assert release.digest(release.manifest(str(engine))) != before


def test_deploy_then_nothing_to_do(engine: Path, tmp_path: Path) -> None:
    place = tmp_path / "lib"
    first = deploy(place, engine)
    assert first["changed"] and first["transferred"] > 0 and first["previous"] == ""
    done = subprocess.run(
        [sys.executable, "-c", "import engine.a.b as b; print(b.VALUE, b.__cached__)"],
        env={"PYTHONPATH": str(place / "current"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    value, compiled = done.stdout.split()
    assert value == "1"
    assert Path(compiled).exists()
    again = deploy(place, engine)
    assert not again["changed"]
    assert again["transferred"] == 0
    assert again["digest"] == first["digest"]


def test_check_mode_says_what_it_would_do_and_does_nothing(engine: Path, tmp_path: Path) -> None:
    result = deploy(tmp_path / "lib", engine, check=True)
    assert result["changed"]
    assert "added a/b.py" in result["diff"]["after"]
    assert not (tmp_path / "lib").exists()


def test_many_files_are_counted() -> None:
    before = {f"{n}.py": "a" for n in range(20)}
    after = {f"{n}.py": "b" for n in range(5, 40)}
    assert release.difference({}, after) == "35 files added\n"
    assert release.difference(before, after) == "20 files added, 15 files changed, 5 files removed\n"


def test_an_upgrade_keeps_the_release_before(engine: Path, tmp_path: Path) -> None:
    place = tmp_path / "lib"
    names = [deploy(place, engine)["digest"]]
    for value in (2, 3):
        write(engine, {"a/b.py": f"VALUE = {value}\n"})
        result = deploy(place, engine)
        assert result["previous"] == names[-1]
        assert result["diff"]["after"] == "changed a/b.py\n"
        names.append(result["digest"])
    assert sorted(os.listdir(place / "releases")) == sorted(names[1:])
    assert os.readlink(place / "current") == f"releases/{names[-1]}"


def test_a_damaged_release_is_replaced(engine: Path, tmp_path: Path) -> None:
    place = tmp_path / "lib"
    first = deploy(place, engine)
    (place / "current/engine/a/b.py").write_text("VALUE = 'bad'\n")
    second = deploy(place, engine)
    assert second["changed"]
    assert (place / "current/engine/a/b.py").read_text() == "VALUE = 1\n"
    assert second["digest"] == first["digest"]


def test_a_damaged_archive_changes_nothing(engine: Path, tmp_path: Path) -> None:
    place = tmp_path / "lib"
    name = deploy(place, engine)["digest"]
    files = release.manifest(str(engine))
    write(engine, {"a/b.py": "VALUE = 9\n"})
    archive = tmp_path / "other.tar.gz"
    archive.write_bytes(release.pack(str(engine), list(files)))
    wanted = {**files, "a/b.py": "0" * 64}
    arguments = {"path": str(place), "python": sys.executable, "manifest": wanted, "archive": str(archive)}
    result = run_module("engine_deploy", arguments)
    assert result["failed"]
    assert "damaged" in result["msg"]
    assert os.listdir(place / "releases") == [name]


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
def test_an_archive_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    if name.startswith("/"):
        # An absolute name is taken below the folder by join only if it were relative.
        assert os.path.join("/x", name) == name
    with pytest.raises(ValueError, match="unexpected member"):
        release.unpack(str(tmp_path / "bad.tar.gz"), str(tmp_path / "new"))
    assert not (tmp_path / "outside").exists()


def test_called_without_the_controller_it_says_so() -> None:
    assert "controller" in run_module("engine_deploy", {})["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_a_place_that_cannot_be_is_told_in_check_mode_too(engine: Path, tmp_path: Path, check: bool) -> None:
    (tmp_path / "file").write_text("")
    result = deploy(tmp_path / "file/place", engine, check)
    assert result["msg"].startswith(f"path: {tmp_path}/file/place/releases/")
    assert f"{tmp_path}/file is not a directory" in result["msg"] and "nothing was changed" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of its own needs root")
def test_a_disk_that_is_full_is_told_with_the_remedy(engine: Path, tmp_path: Path) -> None:
    write(engine, {"large.py": "#" * 65536})
    files = release.manifest(str(engine))
    (tmp_path / "archive").write_bytes(release.pack(str(engine), list(files)))
    place = tmp_path / "place"
    place.mkdir()
    arguments = {"path": str(place), "manifest": files, "archive": str(tmp_path / "archive")}
    wrapper = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=16k tmpfs "$0"; exec "$@"', str(place)]
    result = run_module("engine_deploy", arguments, wrapper=wrapper)
    assert f"path: the engine cannot be installed below {place}: No space left on device" in result["msg"]
    assert f"df -h {place}" in result["msg"]


def test_fewer_than_no_releases_cannot_be_kept(engine: Path, tmp_path: Path) -> None:
    assert "keep: -1 releases" in deploy(tmp_path / "place", engine, keep=-1)["msg"]
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_play_leaves_no_folder_of_its_transfer(tmp_path: Path, pipelining: bool) -> None:
    collections = tmp_path / "ansible_collections" / "fleet"
    collections.mkdir(parents=True)
    (collections / "ipsec").symlink_to(ROOT)
    variables = {
        "ansible_connection": "local",
        "ansible_pipelining": pipelining,
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(tmp_path / "remote"),
    }
    task = {"fleet.ipsec.engine_deploy": {"path": str(tmp_path / "place"), "python": sys.executable}}
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task, task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml"]
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ok=2    changed=1" in run.stdout
    assert os.listdir(tmp_path / "remote") == []
