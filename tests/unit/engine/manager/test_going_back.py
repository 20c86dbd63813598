# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back to the release before: the database is copied before it becomes one that that cannot read."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tarfile
from pathlib import Path

import pytest
from engine.definition.parsing import parse_definition
from engine.errors import MissingError
from engine.manager import store as store_module
from engine.manager.command import main
from engine.manager.database_copy import copy_name, restore
from engine.manager.store import VERSION, Put, Remove, Store
from manager_lab import Process, definition

FILES = Path(__file__).resolve().parent / "data" / "release-0.1.0.tar.xz"
RELEASED = 2  # the version of the databases of release 0.1.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One of release 0.1.0, with the tunnel t."""
    with tarfile.open(FILES) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - our own
    (tmp_path / "left").chmod(0o700)
    return tmp_path / "left" / "definitions.sqlite"


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def rows_of(path: Path) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return (
            connection.execute("SELECT * FROM tunnel").fetchall() + connection.execute("SELECT * FROM child").fetchall()
        )
    finally:
        connection.close()


def put(name: str, **changes: object) -> Put:
    return Put("me", "active", parse_definition(definition(name, **changes)))


def changed(path: Path, *changes: Put | Remove) -> None:
    store = Store(str(path))
    store.load()
    store.commit(changes)
    store.close()


def test_as_long_as_nothing_is_defined_the_release_before_can_go_on(database: Path) -> None:
    before = rows_of(database)
    store = Store(str(database))
    assert list(store.load()) == ["t"]
    store.close()
    changed(database)
    assert version_of(database) == RELEASED and rows_of(database) == before
    assert not Path(copy_name(str(database), RELEASED)).exists()
    assert main(["go-back", "--database", str(database)]) == 0 and version_of(database) == RELEASED


def test_it_is_copied_before_anything_is_defined_and_can_be_had_again(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(database, Remove("gone"))
    before = rows_of(database)
    changed(database, put("new"))
    copy = Path(copy_name(str(database), RELEASED))
    assert (version_of(database), version_of(copy)) == (VERSION, RELEASED) and rows_of(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    changed(database, put("newer"), put("t"))
    assert rows_of(copy) == before, "later changes copy nothing"
    newest = rows_of(database)
    assert main(["go-back", "--database", str(database)]) == 0
    said = capsys.readouterr().out
    assert "created new, newer; changed t; all of it is in " in said and "removed" not in said
    assert version_of(database) == RELEASED and rows_of(database) == before
    (aside,) = database.parent.glob("*.newer-*")
    assert rows_of(aside) == newest and stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert {path.name for path in database.parent.glob("definitions*")} == {database.name, aside.name}


def test_what_means_the_same_was_not_changed(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(database))
    row = store.load()["t"]
    store.commit([Put(row.owner, row.wanted, row.definition, row.asked)])
    store.close()
    assert version_of(database) == VERSION
    assert main(["go-back", "--database", str(database)]) == 0
    assert "since then: nothing was defined" in capsys.readouterr().out


def test_it_can_go_forth_and_back_again(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows_of(database)
    for name in ("one", "two"):
        changed(database, put(name))
        assert main(["go-back", "--database", str(database)]) == 0
        assert f"created {name};" in capsys.readouterr().out and rows_of(database) == before


def test_an_older_table_is_copied_before_it_is_altered(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "definitions.sqlite"
    path.parent.mkdir(mode=0o700)
    connection = sqlite3.connect(path)
    connection.executescript(f"{store_module._SCHEMA} PRAGMA user_version = 1;")
    connection.close()
    Store(str(path)).close()
    assert version_of(path) == RELEASED and version_of(Path(copy_name(str(path), 1))) == 1


def test_where_there_is_no_room_for_a_copy_nothing_is_changed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_of(database)

    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "keep_copy", full)
    store = Store(str(database))
    with pytest.raises(MissingError, match="No space left"):
        store.commit([put("new")])
    store.commit([Remove("nobody")])
    assert list(store.load()) == ["t"]
    store.close()
    assert version_of(database) == RELEASED and rows_of(database) == before


def test_what_a_manager_uses_is_left_alone(database: Path) -> None:
    changed(database, put("new"))
    store = Store(str(database))
    for attempt in (lambda: restore(str(database), RELEASED), lambda: Store(str(database))):
        with pytest.raises(MissingError, match="in use"):
            attempt()
    assert main(["go-back", "--database", str(database)]) == 1
    store.close()
    assert version_of(database) == VERSION


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_database_is_left_to_who_opens_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "definitions.sqlite"
    assert restore(str(path), VERSION) is None and not path.exists()
    path.write_bytes(content)
    assert restore(str(path), VERSION) is None and path.read_bytes() == content


def test_a_manager_of_the_release_before_goes_back_by_itself(tmp_path: Path) -> None:
    """Where it knows how, as every release after 0.1.0 does: an upgrade to one that does not exist yet is undone."""
    process = Process(tmp_path / "m", "127.9.9.9", 45001, 45002)
    path = process.root / "definitions.sqlite"
    process.root.chmod(0o700)
    changed(path, put("kept"), put("lost"))
    shutil.copy(path, copy_name(str(path), VERSION))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM tunnel WHERE name = 'lost'")
        connection.execute("UPDATE tunnel SET definition = ?", ('{"option": "of a release to come"}',))
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    process.start()
    try:
        assert {tunnel["name"] for tunnel in process.call("tunnels.list")["tunnels"]} == {"kept", "lost"}
    finally:
        process.stop()
    assert "since then: changed kept; removed lost; all of it is in " in process.log.read_text()
