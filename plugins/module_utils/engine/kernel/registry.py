# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns which of the kernel's objects: a small SQLite file under the runtime directory.

The kernel keeps no names. Everything that the collection installs carries a request ID out of a reserved range, and
this file says whose it is. It also keeps what the kernel has no place for: groups, SAs keyed by hand with the ``tun``
SAs among them, which of these are in tunnel mode for a group, and whose a shunt is.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..errors import DamagedError, KernelError, MissingError
from ..private_directory import NO_LINK, private_directory
from ..said import Said, parse_said

FILE_NAME = "kernel.sqlite"
REQID_FIRST, REQID_LAST = 0x66000000, 0x66FFFFFF
# Each child has a second one, this much higher, of which there is never an SA: for the packets that its peer let into
# none of those there are.
REST = 0x200000
# From here on request IDs are those of SAs keyed by hand, then those of shunts, never of children.
MANUAL_FIRST, SHUNT_FIRST = 0x66400000, 0x66800000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS child(reqid INTEGER PRIMARY KEY, owner TEXT NOT NULL, tunnel TEXT NOT NULL,
    child TEXT NOT NULL, UNIQUE(owner, tunnel, child));
CREATE TABLE IF NOT EXISTS member(grp INTEGER NOT NULL, place INTEGER NOT NULL, said TEXT NOT NULL UNIQUE,
    PRIMARY KEY(grp, place));
CREATE TABLE IF NOT EXISTS manual(said TEXT PRIMARY KEY, owner TEXT NOT NULL, reqid INTEGER NOT NULL,
    source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tunnelled(said TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS identity(tunnel TEXT PRIMARY KEY, local TEXT NOT NULL, remote TEXT);
CREATE TABLE IF NOT EXISTS shunt(number INTEGER PRIMARY KEY, owner TEXT NOT NULL, shape TEXT NOT NULL);
"""
_LOCK_WAIT = 10  # seconds
_LATER = "see who holds it, or make room"
_ANEW = (
    "take everything of fleet.ipsec out of the kernel, for which the file is not needed (module gateway_sweep without "
    "owner, or playbook teardown with -e teardown_everything=true), and move it away; or reboot"
)


class Child(NamedTuple):
    """The names behind a request ID."""

    owner: str
    tunnel: str
    child: str


class Identities(NamedTuple):
    """Who the ends of a tunnel say they are; ``remote`` None where anybody is taken."""

    local: str
    remote: str | None


class Manual(NamedTuple):
    """What is noted of an SA keyed by hand: whose it is, its request ID (0 for a ``tun``) and its source address."""

    owner: str
    reqid: int
    source: str


def is_ours(reqid: int) -> bool:
    """Whether a request ID is out of our range."""
    return REQID_FIRST <= reqid <= REQID_LAST


def is_shunt(index: int) -> bool:
    """Whether the index of a policy is out of the range of shunts: somebody set the policy by hand (an eroute)."""
    return SHUNT_FIRST <= index <= REQID_LAST


def rest_reqid(reqid: int) -> int:
    """The second request ID of a child."""
    return reqid + REST


def child_reqid(reqid: int) -> int:
    """The first request ID of a child, of either."""
    return reqid - REST if REQID_FIRST + REST <= reqid < MANUAL_FIRST else reqid


class RegistryView:
    """The registry in ``directory``, read only; where there is none it reads as empty, and none is created.

    :raises MissingError: when the file is there but cannot be read; a DamagedError where its content is no good. So do
        all methods.
    """

    _PROBLEM, _REMEDY = "cannot read", "run as root (become: true)"

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._path = os.path.join(directory, FILE_NAME)
        try:
            self._open()
        except (OSError, sqlite3.Error) as exc:
            raise self._unusable(exc) from exc

    def _open(self) -> None:
        if os.path.exists(self._path):
            uri = f"file:{urllib.parse.quote(self._path)}?mode=ro"
            self._database = sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT)
            if self._has("child"):
                return
            # Whoever made it was killed before anything was in it.
            self._database.close()
        self._database = sqlite3.connect(":memory:")
        self._database.executescript(_SCHEMA)

    def _unusable(self, exc: Exception) -> MissingError:
        # No permission, a lock, a full or failing disk is an OperationalError.
        if isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
            return DamagedError(f"{self._path}, which tells whose is what in the kernel, is damaged ({exc})", _ANEW)
        busy = any(word in str(exc) for word in ("locked", "full"))
        return MissingError(f"{self._PROBLEM} {self._path}: {exc}", _LATER if busy else self._REMEDY)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Every row that the statement gives."""
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.IntegrityError:
            raise  # what it says is wrong, not the file
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def children(self) -> dict[int, Child]:
        """Every request ID in the file with its names."""
        rows = self._execute("SELECT reqid, owner, tunnel, child FROM child")
        return {reqid: Child(*names) for reqid, *names in rows}

    def identities(self) -> dict[str, Identities]:
        """Those of each tunnel in operation, by its name."""
        rows = self._execute("SELECT tunnel, local, remote FROM identity") if self._has("identity") else ()
        return {tunnel: Identities(*ends) for tunnel, *ends in rows}

    def groups(self) -> list[tuple[Said, ...]]:
        """Every group, members innermost first."""
        found: dict[int, list[Said]] = {}
        for number, text in self._execute("SELECT grp, said FROM member ORDER BY grp, place"):
            found.setdefault(number, []).append(parse_said(text))
        return [tuple(members) for members in found.values()]

    def manual_sas(self) -> dict[Said, Manual]:
        """Every SA keyed by hand that was not deleted through us; the kernel may have it no more."""
        rows = self._execute("SELECT said, owner, reqid, source FROM manual") if self._has("manual") else ()
        return {parse_said(text): Manual(*rest) for text, *rest in rows}

    def tunnelled(self) -> frozenset[Said]:
        """The SAs keyed by hand that are in tunnel mode because a group with a ``tun`` had them so."""
        rows = self._execute("SELECT said FROM tunnelled") if self._has("tunnelled") else ()
        return frozenset(parse_said(text) for (text,) in rows)

    def shunts(self) -> dict[int, tuple[str, str]]:
        """Every shunt by its number: (owner, shape). What a shape says is for shunt.py to read."""
        known = self._has("shunt")
        rows = self._execute("SELECT number, owner, shape FROM shunt ORDER BY number") if known else ()
        return {number: (owner, shape) for number, owner, shape in rows}

    def _has(self, table: str) -> bool:
        """A file that an earlier release made lacks what came later."""
        return bool(self._execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?", (table,)))


class Registry(RegistryView):
    """The registry in ``directory``, to write; created with mode 0600 when there is none.

    :raises MissingError: when the directory cannot be written; a DamagedError as :class:`RegistryView` says. So do all
        methods.
    """

    _PROBLEM, _REMEDY = "cannot write", "run as root, or name another runtime directory"

    def __init__(self, directory: str) -> None:
        private_directory(directory)
        super().__init__(directory)
        self._names = self.children()
        self._identities = self.identities()
        self._reqids = {names: reqid for reqid, names in self._names.items()}

    def _open(self) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o600))
        self._database = sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_WAIT)
        self._database.execute("PRAGMA journal_mode=WAL")
        # The file is of no use after a reboot, which empties the kernel too.
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.executescript(_SCHEMA)

    # Request IDs

    def allocate(self, owner: str, tunnel: str, child: str) -> int:
        """The request ID of a child: the one it has, else a free one.

        :raises KernelError: when all are taken.
        """
        names = Child(owner, tunnel, child)
        reqid = self._reqids.get(names)
        if reqid is None:
            reqid = self._free_reqid()
            self.record(reqid, names)
        return reqid

    def _free_reqid(self) -> int:
        last = MANUAL_FIRST - REST - 1
        after = max(self._names, default=REQID_FIRST - 1) + 1
        if after <= last:
            return after
        for reqid in range(REQID_FIRST, last + 1):
            if reqid not in self._names:
                return reqid
        raise KernelError("choose a request ID", errno.ENOSPC, "all of our range are in use")

    def record(self, reqid: int, names: Child) -> None:
        """Note whose ``reqid`` is; both it and the names leave what they belonged to before.

        :raises KernelError: when it is out of our range.
        """
        if self._names.get(reqid) == names:
            return
        if not is_ours(reqid):
            raise KernelError("note a request ID", errno.ERANGE, f"{reqid:#x} is outside our range")
        self._execute("INSERT OR REPLACE INTO child VALUES(?,?,?,?)", (reqid, *names))
        self._drop(self._reqids.get(names))
        self._drop(reqid)
        self._names[reqid], self._reqids[names] = names, reqid

    def forget(self, reqid: int) -> None:
        """Free a request ID; nothing of it may be left in the kernel."""
        self._execute("DELETE FROM child WHERE reqid=?", (reqid,))
        self._drop(reqid)

    def _drop(self, reqid: int | None) -> None:
        names = self._names.pop(reqid, None) if reqid is not None else None
        if names is not None:
            self._reqids.pop(names, None)

    def names(self, reqid: int) -> Child | None:
        """The names behind ``reqid``, or None."""
        return self._names.get(child_reqid(reqid))

    def identify(self, tunnel: str, ends: Identities) -> None:
        """Note who the ends of a tunnel are."""
        if self._identities.get(tunnel) != ends:
            self._execute("INSERT OR REPLACE INTO identity VALUES(?,?,?)", (tunnel, *ends))
            self._identities[tunnel] = ends

    def forget_identities(self, tunnel: str) -> None:
        """Forget that."""
        if self._identities.pop(tunnel, None):
            self._execute("DELETE FROM identity WHERE tunnel=?", (tunnel,))

    # Groups

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change groups, SAs or shunts: nobody else does meanwhile, and what fails inside leaves them as they were.

        :raises MissingError: when the file cannot be written.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def add_group(self, members: tuple[Said, ...]) -> None:
        """Note a group; to be called inside of :meth:`changing`.

        :raises KernelError: EEXIST when a member is in a group by now.
        """
        ((number,),) = self._execute("SELECT coalesce(max(grp), 0) + 1 FROM member")
        rows = [(number, place, str(said)) for place, said in enumerate(members)]
        try:
            self._database.executemany("INSERT INTO member VALUES(?,?,?)", rows)
        except sqlite3.IntegrityError:
            raise KernelError("group the SAs", errno.EEXIST, "one of them is in a group; ungroup it first") from None

    def replace_member(self, old: Said, new: Said) -> None:
        """Let another SA take a member's place; to be called inside of :meth:`changing`."""
        self._execute("UPDATE OR IGNORE member SET said=? WHERE said=?", (str(new), str(old)))

    def remove_group(self, member: Said) -> bool:
        """Dissolve the group that ``member`` is in; False when it is in none."""
        # Most SAs are in none, and looking needs no lock.
        if not self._execute("SELECT 1 FROM member WHERE said=?", (str(member),)):
            return False
        self._execute("DELETE FROM member WHERE grp IN (SELECT grp FROM member WHERE said=?)", (str(member),))
        return True

    # SAs keyed by hand

    def put_manual(self, said: Said, manual: Manual) -> None:
        """Note an SA, or change the note; to be called inside of :meth:`changing`."""
        self._execute("INSERT OR REPLACE INTO manual VALUES(?,?,?,?)", (str(said), *manual))

    def drop_manual(self, said: Said) -> None:
        """Forget an SA; to be called inside of :meth:`changing`."""
        self._execute("DELETE FROM manual WHERE said=?", (str(said),))
        self.drop_tunnelled(said)

    def put_tunnelled(self, said: Said) -> None:
        """Note that a group gave an SA its tunnel mode; to be called inside of :meth:`changing`."""
        self._execute("INSERT OR REPLACE INTO tunnelled VALUES(?)", (str(said),))

    def drop_tunnelled(self, said: Said) -> None:
        """Forget that; to be called inside of :meth:`changing`."""
        self._execute("DELETE FROM tunnelled WHERE said=?", (str(said),))

    # Shunts

    def put_shunt(self, number: int, owner: str, shape: str) -> None:
        """Note a shunt, or change it; to be called inside of :meth:`changing`."""
        self._execute("INSERT OR REPLACE INTO shunt VALUES(?,?,?)", (number, owner, shape))

    def drop_shunt(self, number: int) -> None:
        """Forget a shunt; to be called inside of :meth:`changing`."""
        self._execute("DELETE FROM shunt WHERE number=?", (number,))
