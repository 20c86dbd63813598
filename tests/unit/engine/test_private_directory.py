# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State of ours is written where nobody else can have put anything."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from engine.errors import MissingError
from engine.kernel.registry import Registry
from engine.manager.client import Client
from engine.manager.control import ControlServer
from engine.manager.journal import Journal
from engine.manager.log import Log
from engine.manager.methods import METHODS
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


@pytest.mark.parametrize(("mode", "taken"), [(0o777, False), (0o770, True), (0o1777, True), (0o755, True)])
def test_nor_may_others_put_another_one_in_its_place(tmp_path: Path, mode: int, taken: bool) -> None:
    ours = tmp_path / "between" / "run"
    ours.mkdir(mode=0o700, parents=True)
    link = tmp_path / "link"
    link.symlink_to(ours)
    ours.parent.chmod(mode)
    for directory in (ours, link):
        if taken:
            private_directory(str(directory))
        else:
            with pytest.raises(MissingError, match=f"others may write to {ours.parent}, in which .* chmod go-w"):
                private_directory(str(directory))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_nor_may_another_user_to_whom_the_place_belongs(tmp_path: Path, mode: int) -> None:
    ours = tmp_path / "between" / "run"
    ours.mkdir(mode=0o700, parents=True)
    os.chown(ours.parent, FOREIGN, -1)
    ours.parent.chmod(mode)
    with pytest.raises(MissingError, match=f"{ours.parent}, in which .*, belongs to user {FOREIGN}"):
        private_directory(str(ours))


def test_the_control_socket_is_not_made_where_others_may_put_theirs(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    control = str(tmp_path / "open" / "control.sock")
    server = ControlServer(control, dict.fromkeys(METHODS), Log("error", False))
    with pytest.raises(MissingError, match="others may write to the directory of the control socket .*chmod go-w"):
        asyncio.run(server.open())
    assert not Path(control).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can serve as somebody else")
def test_nothing_is_told_to_another_user_who_serves_in_the_place_of_the_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    serve_as = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.setuid(int(sys.argv[2]));"
        "s.listen(); print(flush=True); c, _ = s.accept(); print(c.recv(100), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", serve_as, path, str(FOREIGN)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        with pytest.raises(MissingError, match=f"is user {FOREIGN}, not root"), Client(path) as client:
            client.call("tunnels.apply", {"secret": "hush"})
        assert process.stdout.readline() == "b''\n"


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
