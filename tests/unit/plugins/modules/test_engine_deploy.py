# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's way to a gateway: digests, archives, releases, and switching between them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils import release

from ..running import run_module

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
