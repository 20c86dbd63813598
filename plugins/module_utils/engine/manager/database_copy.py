# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of the database: made before it becomes one that the release before cannot read, restored to go back to that.

Whoever goes back has the definitions of the moment of the copy. What was defined since is told, and stays in a file
beside.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import NamedTuple

from ..definition.remnant import read_stored
from ..errors import MissingError
from ..private_directory import NO_LINK

_NO_ROWS: dict[str, tuple[str, bytes]] = {}


class Restored(NamedTuple):
    """What going back undid.

    :ivar created: names of the tunnels that the copy has not; ``changed``, ``removed`` likewise.
    :ivar aside: the file that has them.
    """

    created: list[str]
    changed: list[str]
    removed: list[str]
    aside: str

    def story(self) -> str:
        """For people."""
        undone = [
            f"{word} {', '.join(names)}"
            for word, names in (("created", self.created), ("changed", self.changed), ("removed", self.removed))
            if names
        ]
        since = "; ".join(undone) or "nothing was defined"
        return (
            f"the definitions are those of before the upgrade again; since then: {since}; all of it is in {self.aside}"
        )


def copy_name(path: str, version: int) -> str:
    """The file with the database as it was when it had this version last."""
    return f"{path}.version-{version}"


def keep_copy(connection: sqlite3.Connection, path: str, version: int) -> None:
    """Copy the open database, so that it is there after a power cut too.

    :raises sqlite3.Error, OSError: there is no room for it.
    """
    copy = copy_name(path, version)
    fresh = f"{copy}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600))
    target = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
    finally:
        target.close()
    _sync(fresh)
    os.replace(fresh, copy)
    _sync(os.path.dirname(os.path.abspath(path)))


def restore(path: str, known: int) -> Restored | None:
    """Put the latest copy in the place of a database that is of a later version than ``known``.

    :returns: None where there is no such database, or no copy of it that has a version of those.
    :raises MissingError: it is in use, or cannot be replaced.
    """
    if not os.path.exists(path):
        return None
    try:
        connection = sqlite3.connect(path, timeout=2.0, isolation_level=None)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            copies = [copy_name(path, each) for each in range(min(known, version - 1), 0, -1)]
            copy = next((each for each in copies if os.path.exists(each)), None)
            if version <= known or copy is None:
                return None
            connection.execute("PRAGMA journal_mode = DELETE")  # nothing of it is to be taken for the copy's
            now = _rows(connection)
        finally:
            connection.close()
        return _replaced(path, copy, version, now)
    except sqlite3.Error as exc:
        if "locked" in str(exc):
            raise MissingError(f"the database {path} is in use by another manager", "stop that one first") from None
        return None  # a damaged one is told of where it is opened
    except OSError as exc:
        raise MissingError(f"the copy of {path} cannot be restored ({exc.strerror})", "run as root") from None


def versions_before(path: str) -> int:
    """The latest version that is older than that of the database, 0 where there is none.

    :raises MissingError: it is in use, or no database.
    """
    try:
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=2.0)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise MissingError(
            f"the database {path} cannot be read ({exc})", "stop the manager first; run as root"
        ) from None
    return max(int(version) - 1, 0)


def _replaced(path: str, copy: str, version: int, now: dict[str, tuple[str, bytes]] | None) -> Restored:
    aside = f"{path}.newer-{version}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    os.link(path, aside)
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        then = _rows(connection)
    finally:
        connection.close()
    # At no moment is there none: that would be taken for a first start.
    os.replace(copy, path)
    _sync(os.path.dirname(os.path.abspath(path)))
    now, then = _NO_ROWS if now is None else now, _NO_ROWS if then is None else then
    both = [name for name in now if name in then]
    return Restored(
        sorted(now.keys() - then.keys()),
        sorted(name for name in both if not _same(name, now[name], then[name])),
        sorted(then.keys() - now.keys()),
        aside,
    )


def _rows(connection: sqlite3.Connection) -> dict[str, tuple[str, bytes]] | None:
    """By name what is wanted of a tunnel, and its definition; None where a later release has it in another way."""
    try:
        found = connection.execute("SELECT name, wanted, CAST(definition AS BLOB) FROM tunnel").fetchall()
    except sqlite3.Error:
        return None
    return {name: (wanted, definition) for name, wanted, definition in found}


def _same(name: str, one: tuple[str, bytes], other: tuple[str, bytes]) -> bool:
    if one == other:
        return True
    # A later release writes defaults that the one before did not have.
    mine, theirs = read_stored(name, one[1]), read_stored(name, other[1])
    return one[0] == other[0] and not mine.problem and mine == theirs


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
