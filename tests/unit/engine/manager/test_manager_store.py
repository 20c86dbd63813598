# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: numbers that last, all or nothing, and what happens when the file is unusable."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from engine.definition.parsing import parse_definition
from engine.errors import DamagedError, MissingError
from engine.manager.store import Put, Remove, Store
from manager_lab import HERE, SECRET, definition
from stored_tunnels import put


def children(*names: str) -> dict:
    return {
        "children": [{"name": n, "local": ["10.1.0.0/16"], "remote": [f"10.{i}.0.0/24"]} for i, n in enumerate(names)]
    }


@pytest.fixture
def store(tmp_path: Path):
    opened = Store(str(tmp_path / "lib" / "definitions.sqlite"))
    yield opened
    opened.close()


def test_everything_comes_back(store, tmp_path):
    stored = store.commit([put("a", 1), put("b", 2, "active")])
    store.close()
    again = Store(str(tmp_path / "lib" / "definitions.sqlite"))
    rows = again.load()
    again.close()
    assert list(rows) == ["a", "b"] and rows["b"].wanted == "active" and rows["b"].owner == "fleet"
    assert rows["a"].definition.credential == stored["a"].definition.credential
    assert rows["a"].definition.document == stored["a"].definition.document
    assert rows["a"].number == stored["a"].number and rows["a"].children == stored["a"].children


def test_what_is_asked_of_children_comes_back_and_goes_with_them(store, tmp_path):
    asked = {"lan": False, "voice": True}
    store.commit([replace(put("a", 1, "active", **children("lan", "voice", "guest")), asked=asked)])
    assert store.load()["a"].asked == asked
    whole = put("a", 1, "active", **children("lan", "voice", "guest"))
    store.commit([replace(whole, definition=whole.definition.without(["voice", "guest"]), asked={"lan": False})])
    assert store.load()["a"].asked == {"lan": False} and list(store.load()["a"].children) == ["lan"]
    store.commit([replace(whole, definition=whole.definition.without(["lan", "voice", "guest"]))])
    row = store.load()["a"]
    assert (row.asked, row.children, row.definition.document["children"]) == ({}, {}, [])


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path):
    path = str(tmp_path / "definitions.sqlite")
    old = sqlite3.connect(path)
    old.executescript(
        """CREATE TABLE tunnel (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL, wanted TEXT NOT NULL, definition TEXT NOT NULL);
        CREATE TABLE child (number INTEGER PRIMARY KEY AUTOINCREMENT,
            tunnel INTEGER NOT NULL REFERENCES tunnel (number) ON DELETE CASCADE, name TEXT NOT NULL,
            UNIQUE (tunnel, name));
        PRAGMA user_version = 1;"""
    )
    stored = parse_definition(definition("a")).stored()
    for option in ("groups", "interface"):  # which that version did not know
        stored.pop(option, None)
    old.execute("INSERT INTO tunnel VALUES (3, 'a', 'fleet', 'active', ?)", (json.dumps(stored),))
    old.execute("INSERT INTO child VALUES (8, 3, 'lan')")
    old.commit()
    old.close()
    for _unused in range(2):  # and is then what any other is
        store = Store(path)
        row = store.load()["a"]
        assert (row.number, row.children, row.asked, row.wanted) == (3, {"lan": 8}, {}, "active")
        assert row.definition == parse_definition(definition("a"))
        store.commit([Put("fleet", "active", row.definition, {"lan": False})])
        assert store.load()["a"].asked == {"lan": False}
        store.commit([Put("fleet", "active", row.definition)])
        store.close()


def test_numbers_stay_and_are_never_used_again(store):
    first = store.commit([put("a", 1, **children("x", "y")), put("b", 2)])
    assert [first[name].number for name in "ab"] == [1, 2] and first["a"].children == {"x": 1, "y": 2}
    changed = store.commit([put("a", 1, **children("y", "z"))])["a"]
    assert changed.number == 1 and changed.children == {"y": 2, "z": 4}
    assert store.commit([Remove("b")]) == {"b": None}
    assert store.commit([put("c", 3)])["c"].number == 3
    assert list(store.load()) == ["a", "c"]


def test_all_or_nothing(store, monkeypatch):
    store.commit([put("a", 1)])
    bad = put("b", 2)
    monkeypatch.setattr(type(bad.definition), "stored", lambda self: {"x": object()} if self.name == "b" else {})
    with pytest.raises(TypeError):
        store.commit([Remove("a"), bad])
    monkeypatch.undo()
    assert list(store.load()) == ["a"]


def test_only_root_may_read(store, tmp_path):
    store.commit([put("a")])
    folder = tmp_path / "lib"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes and set(modes.values()) == {0o600}, modes


def test_an_open_mode_is_mended(tmp_path):
    path = tmp_path / "definitions.sqlite"
    path.touch(0o644)
    os.chmod(path, 0o644)
    Store(str(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_unusable_files_are_told(tmp_path, store):
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError, match="not usable"):
        Store(str(broken))
    with pytest.raises(MissingError, match="cannot be opened"):
        Store(str(tmp_path))
    store.commit([put("a")])
    with pytest.raises(MissingError, match="in use by another manager") as refused:
        Store(str(tmp_path / "lib" / "definitions.sqlite"))
    assert not isinstance(refused.value, DamagedError)
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(MissingError, match="newer engine"):
        Store(str(newer))


def test_killed_while_writing(tmp_path):
    """Whatever the moment of a SIGKILL, the file holds whole transactions, none that was promised is lost."""
    path = tmp_path / "definitions.sqlite"
    program = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {[str(HERE), str(HERE.parents[3] / "plugins" / "module_utils")]!r}
        from stored_tunnels import put
        from engine.manager.store import Remove, Store
        store = Store({str(path)!r})
        have = list(store.load())
        for n in range(10**6):
            names = [f"t{{n}}-{{i}}" for i in range(3)]
            store.commit([*map(Remove, have), *(put(name, i + 1) for i, name in enumerate(names))])
            have = names
            print(n, flush=True)
    """)
    for turn in range(6):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
            for _unused in range(5 + turn * 3):
                promised = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            promised = max([promised, *(int(line) for line in writer.stdout.read().splitlines() if line.isdigit())])
        store = Store(str(path))
        rows = store.load()
        store.close()
        generations = {int(name[1:].split("-")[0]) for name in rows}
        assert len(rows) == 3 and len(generations) == 1 and generations.pop() in (promised, promised + 1)
        assert all(row.definition.credential.secret.reveal().decode() == SECRET for row in rows.values())
