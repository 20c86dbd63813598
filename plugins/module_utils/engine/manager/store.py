# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definitions on disk: one SQLite file (WAL), root only, that survives a power cut at any moment."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from ..definition.parsing import Definition
from ..definition.remnant import read_stored
from ..errors import DamagedError, MissingError
from ..newer_python import dataclass
from ..private_directory import NO_LINK, private_directory
from .database_copy import keep_copy
from .desired_state import NONE, START, Document, answers_packets, holds_place, is_needed

VERSION = 3  # of 3: rows may have options that release 0.1.0, of version 2, does not know
# From this version on the tables are what they are now. A database stays of it until something is put into it, so that
# the release before can go on with it until then.
_TABLES = 2
# AUTOINCREMENT: a number that an operator has seen never comes to mean another tunnel.
_SCHEMA = """
CREATE TABLE tunnel (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    wanted TEXT NOT NULL,
    definition TEXT NOT NULL
);
CREATE TABLE child (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tunnel INTEGER NOT NULL REFERENCES tunnel (number) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (tunnel, name)
);
"""
# What brings a database of an older engine up to date: by the version it has, to be done in order.
_UPGRADES = {1: "ALTER TABLE child ADD COLUMN asked INTEGER"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One row.

    :ivar number: phase 1 number, never used again for another tunnel.
    :ivar owner: tag of whoever defined it.
    :ivar wanted: ``active``, ``ike`` (the IKE SA alone), ``present`` (as it comes) or ``inactive``.
    :ivar children: phase 2 numbers by name.
    :ivar asked: children of which something else is wanted than of the tunnel, see ``desired_state.py``.
    :ivar unreadable: why this release cannot read its definition, empty where it can; the ``definition`` is then what
        is left of it (``definition/remnant.py``), and is neither negotiated nor ever written back.
    :ivar resting: of children that ended without being told to, what brings them back instead of what is wanted
        (``resting.py``). It is not in the database: what begins to run begins as it is wanted.
    """

    number: int
    name: str
    owner: str
    wanted: str
    definition: Definition
    children: dict[str, int]
    asked: dict[str, bool] = field(default_factory=dict)
    unreadable: str = ""
    resting: dict[str, str] = field(default_factory=dict, compare=False)

    def needs(self, child: Document) -> bool:
        """Whether this side is to keep a child of it up, just now."""
        rest = self.resting.get(child["name"])
        return rest == START or (rest is None and is_needed(self.wanted, self.asked, child))

    def answers(self, child: Document) -> bool:
        """Whether a packet may start a child of it, just now."""
        rest = self.resting.get(child["name"])
        if rest is not None and self.wanted != "inactive":
            return rest != NONE
        return answers_packets(self.wanted, self.asked, child)

    def holds(self, child: Document) -> bool:
        """Whether the kernel is to hold the place of a child of it while that is down."""
        return self.answers(child) or holds_place(self.wanted, self.asked, child)


@dataclass(frozen=True, slots=True)
class Put:
    """Create or replace a tunnel; see :class:`Stored`."""

    owner: str
    wanted: str
    definition: Definition
    asked: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget a tunnel."""

    name: str


class Store:
    """The open database; used by one thread at a time.

    :raises MissingError: the file cannot be used, with the remedy; a DamagedError where its content is no good.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            _make_place(Path(path).absolute())
            self._version = 0
            self._connection = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except OSError as exc:
            raise MissingError(
                f"the database {path} cannot be opened ({exc.strerror})", "run as root, or give another --database"
            ) from None
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            # The library's message may cite octets of a damaged file.
            raise self._unusable(exc) from None

    def _prepare(self) -> None:
        execute = self._connection.execute
        # Exclusive: a second manager on the same file would undo what this one does.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        # With a write-ahead log this is one fsync per commit; an answer is given after it.
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")
        (found,) = execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"damaged: {found}")
        (version,) = execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise MissingError(
                f"the database {self._path} is of a newer engine (version {version}, this one knows {VERSION})",
                "install the newer engine again, or move the file away",
            )
        if 0 < version < _TABLES:
            keep_copy(self._connection, self._path, version)
        execute("BEGIN IMMEDIATE")  # is refused where another manager has it
        if version < _TABLES:
            self._make_tables(version)
        execute("COMMIT")
        self._version = max(version, _TABLES)

    def _make_tables(self, version: int) -> None:
        """Those of now, out of those of an older version, or of none (0)."""
        execute = self._connection.execute
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                execute(statement)
        for step in range(version or 1, _TABLES):
            execute(_UPGRADES[step])
        execute(f"PRAGMA user_version = {_TABLES}")

    def _unusable(self, exc: Exception) -> MissingError:
        if "locked" in str(exc):
            return MissingError(f"the database {self._path} is in use by another manager", "stop that one first")
        # A full or failing disk is an OperationalError.
        kind = MissingError if isinstance(exc, sqlite3.OperationalError) else DamagedError
        return kind(
            f"the database {self._path} is not usable ({exc})",
            f"restore it, or move it away (mv {self._path}* ELSEWHERE) and define the tunnels anew",
        )

    def close(self) -> None:
        """Write everything back and close."""
        self._connection.close()

    def load(self) -> dict[str, Stored]:
        """Every tunnel by name, in the order of their numbers, also those whose definition cannot be read.

        :raises MissingError: the file is damaged.
        """
        try:
            tunnels = self._connection.execute(
                # Octets, so that text which is none spoils one row alone.
                "SELECT number, name, owner, wanted, CAST(definition AS BLOB) FROM tunnel ORDER BY number"
            ).fetchall()
            return self._read(tunnels)
        except sqlite3.Error as exc:
            raise self._unusable(exc) from None

    def commit(self, changes: Iterable[Put | Remove]) -> dict[str, Stored | None]:
        """Do all changes in one transaction or, on an error, none.

        :returns: what now stands under each name that was touched, None if removed.
        :raises MissingError: the disk is full or the file is damaged.
        """
        outcome: dict[str, Stored | None] = {}
        changes = list(changes)
        newer = self._version < VERSION and any(isinstance(change, Put) for change in changes)
        try:
            if newer:
                keep_copy(self._connection, self._path, self._version)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if newer:
                    self._connection.execute(f"PRAGMA user_version = {VERSION}")
                for change in changes:
                    if isinstance(change, Remove):
                        self._connection.execute("DELETE FROM tunnel WHERE name = ?", (change.name,))
                        outcome[change.name] = None
                    else:
                        outcome[change.definition.name] = self._put(change)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        except OSError as exc:
            problem = f"the database {self._path} cannot be copied before it is changed ({exc.strerror})"
            raise MissingError(problem, "make room beside it") from None
        except sqlite3.Error as exc:
            raise self._unusable(exc) from None
        self._version = VERSION if newer else self._version
        return outcome

    def _put(self, change: Put) -> Stored:
        execute = self._connection.execute
        name = change.definition.name
        text = json.dumps(change.definition.stored(), separators=(",", ":"), ensure_ascii=False)
        held = execute("SELECT number FROM tunnel WHERE name = ?", (name,)).fetchone()
        if held is None:
            number = self._insert(
                "INSERT INTO tunnel (name, owner, wanted, definition) VALUES (?, ?, ?, ?)",
                (name, change.owner, change.wanted, text),
            )
        else:
            number = held[0]
            execute(
                "UPDATE tunnel SET owner = ?, wanted = ?, definition = ? WHERE number = ?",
                (change.owner, change.wanted, text, number),
            )
        wanted = [child["name"] for child in change.definition.document["children"]]
        known = dict(execute("SELECT name, number FROM child WHERE tunnel = ?", (number,)).fetchall())
        for child in known.keys() - set(wanted):
            execute("DELETE FROM child WHERE number = ?", (known[child],))
        for child in wanted:
            if child not in known:
                known[child] = self._insert("INSERT INTO child (tunnel, name) VALUES (?, ?)", (number, child))
        execute("UPDATE child SET asked = NULL WHERE tunnel = ? AND asked IS NOT NULL", (number,))
        for child, up in change.asked.items():
            execute("UPDATE child SET asked = ? WHERE number = ?", (up, known[child]))
        children = {child: known[child] for child in wanted}
        return Stored(number, name, change.owner, change.wanted, change.definition, children, change.asked)

    def _insert(self, statement: str, values: tuple[str | int, ...]) -> int:
        """Put in one row; its number."""
        self._connection.execute(statement, values)
        number: int
        (number,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        return number

    def _read(self, tunnels: list[tuple[int, str, str, str, bytes]]) -> dict[str, Stored]:
        children: dict[int, dict[str, int]] = {}
        asked: dict[int, dict[str, bool]] = {}
        for number, tunnel, name, up in self._connection.execute("SELECT number, tunnel, name, asked FROM child"):
            children.setdefault(tunnel, {})[name] = number
            if up is not None:
                asked.setdefault(tunnel, {})[name] = bool(up)
        rows = {}
        for number, name, owner, wanted, text in tunnels:
            definition, problem = read_stored(name, text)
            numbers = children.get(number, {})
            strange = [child["name"] for child in definition.document["children"] if child["name"] not in numbers]
            if strange:
                definition = definition.without(strange)
                problem = problem or f"its child {strange[0]} has no number"
            rows[name] = Stored(number, name, owner, wanted, definition, numbers, asked.get(number, {}), problem)
        return rows


def _make_place(path: Path) -> None:
    """The file and its folders, there after a power cut too, for root only.

    SQLite gives its ``-wal`` file the mode of the database, so the mode has to be right before the first write.
    """
    fresh = [folder for folder in path.parents if not folder.exists()]
    private_directory(str(path.parent), "directory of the database")
    new = not path.exists()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o600))
    os.chmod(path, 0o600)
    for folder in [*([path.parent] if new else ()), *(folder.parent for folder in fresh)]:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
