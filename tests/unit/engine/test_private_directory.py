# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State of ours is written where nobody else can have put anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from engine.errors import MissingError
from engine.kernel.registry import Registry
from engine.manager.journal import Journal
from engine.manager.log import Log
from engine.manager.numbers import Numbers
from engine.manager.service import Options, serve
from engine.manager.store import Store
from engine.private_directory import private_directory

FOREIGN = 12345


def test_it_is_made_for_us_alone(tmp_path: Path) -> None:
    private_directory(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    private_directory(str(tmp_path / "a" / "b"))


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(MissingError, match="others may write to the runtime directory .*chmod go-w"):
        private_directory(str(tmp_path))
    tmp_path.chmod(0o755)
    private_directory(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_one_of_another_user_or_for_another_group_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, FOREIGN, -1)
    with pytest.raises(MissingError, match=f"belongs to user {FOREIGN}"):
        private_directory(str(tmp_path))
    os.chown(tmp_path, 0, FOREIGN)
    tmp_path.chmod(0o770)
    with pytest.raises(MissingError, match="others may write"):
        private_directory(str(tmp_path))
    tmp_path.chmod(0o750)
    private_directory(str(tmp_path))


def test_a_manager_does_not_start_there_and_writes_nothing(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    runtime.chmod(0o777)
    with pytest.raises(MissingError, match="others may write"):
        serve(Options(str(tmp_path / "db" / "definitions.sqlite"), str(runtime)))
    assert not list(runtime.iterdir()) and not (tmp_path / "db").exists()


def test_neither_registry_nor_database_is_made_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(MissingError, match="runtime directory"):
        Registry(str(tmp_path))
    with pytest.raises(MissingError, match="directory of the database"):
        Store(str(tmp_path / "definitions.sqlite"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["live", "numbers.new", "manager.lock", "kernel.sqlite", "definitions.sqlite"])
def test_links_to_elsewhere_are_not_followed(tmp_path: Path, name: str) -> None:
    runtime, precious = tmp_path / "run", tmp_path / "precious"
    runtime.mkdir(mode=0o700)
    precious.write_text("precious")
    (runtime / name).symlink_to(precious)
    makers = {
        "live": lambda: Journal(str(runtime), Log("error", False), "boot"),
        "numbers.new": lambda: Numbers(str(runtime)),
        "manager.lock": lambda: serve(Options(str(runtime / "definitions.sqlite"), str(runtime))),
        "kernel.sqlite": lambda: Registry(str(runtime)),
        "definitions.sqlite": lambda: Store(str(runtime / "definitions.sqlite")),
    }
    with pytest.raises(MissingError, match="symbolic link"):
        makers[name]()
    assert precious.read_text() == "precious"
