# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next process needs to go on where this one ends: a journal of this boot in the runtime directory, root only.

It holds the IKE SAs with their keys, the tunnels as they are in operation, and what is about to be done. The runtime
directory is in memory and the kernel's SAs end with the boot too, so nothing is ever synced: what a process has
written survives its death. Each frame is written with one call and has a checksum, so that one cut short counts as
not written; what it tells of was then not begun either.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Union

from ..definition.parsing import parse_stored
from ..errors import EngineError, MissingError
from ..ike.action_codec import freeze_actions
from ..ike.actions import Action, Send
from ..ike.records import Changes, RecordKey
from ..newer_python import zip
from ..private_directory import NO_LINK
from .log import Log
from .store import Stored

FILE_NAME = "live"
_MAGIC = "fleet-ipsec live state 2"
_OLDER = ("fleet-ipsec live state 1",)  # where each IKE SA is one record; read, and then begun anew
_HEAD = 18  # octets before a frame's payload: length and CRC-32 in hexadecimal
_SLACK = 1 << 20  # octets that the file may have beyond twice what is true
_FRAME_LINES = 500  # in one frame of a journal begun anew
_ROW = "tunnel"

_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


class RowKey(NamedTuple):
    """What the record of a tunnel in operation is of."""

    kind: str
    name: str


Key = Union[RowKey, RecordKey]


class Kept(NamedTuple):
    """What the process before left.

    :ivar rows: the tunnels in operation, by name. :ivar records: the latest ones of ``Endpoint.changes``.
    :ivar undone: frozen actions that it may not have got round to.
    """

    rows: dict[str, Stored]
    records: dict[RecordKey, dict[str, Any]]
    undone: list[list[Any]]


class Journal:
    """The journal of this boot.

    :param directory: the runtime directory, in memory.
    :param boot: names this boot; a journal of another one is of no use.
    :raises MissingError: it cannot be written.
    """

    def __init__(self, directory: str, log: Log, boot: str) -> None:
        self._path = os.path.join(directory, FILE_NAME)
        self._log = log
        self._first = f"{_MAGIC} {boot}\n".encode()
        self._older = tuple(f"{magic} {boot}\n".encode() for magic in _OLDER)
        self._is_older = False
        self._where: dict[Key, tuple[int, int]] = {}
        self._alive = 0
        self._size = 0
        self._undone = False
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK, 0o600)
            os.fchmod(self._file, 0o600)
        except OSError as exc:
            raise MissingError(
                f"cannot write {self._path} ({exc.strerror})", "run as root, or give another --runtime-dir"
            ) from None

    def close(self) -> None:
        """Close the file, which stays for the next process."""
        if self._file >= 0:
            os.close(self._file)

    def load(self, rows: Mapping[str, Stored]) -> Kept:
        """What is there, as far as it is whole; to be called once, before anything is written.

        :param rows: the database, where most tunnels stand as they are in operation: those need not be read again.
        :raises MissingError: the file cannot be read.
        """
        try:
            with open(self._path, "rb") as stream:
                data = stream.read()
        except OSError as exc:
            raise MissingError(f"cannot read {self._path} ({exc.strerror})", "run as root") from None
        found, undone = self._whole(data)
        try:
            if not self._size:
                self._restart()
            elif self._size != len(data):
                os.truncate(self._file, self._size)
        except OSError as exc:
            raise MissingError(f"cannot write {self._path} ({exc.strerror})", "make room, or run as root") from None
        self._undone = bool(undone)
        held = [_row(value, rows.get(key.name)) for key, value in found.items() if isinstance(key, RowKey)]
        records = {key: value for key, value in found.items() if isinstance(key, RecordKey)}
        return Kept({row.name: row for row in held if row is not None}, records, undone)

    def _whole(self, data: bytes) -> tuple[dict[Key, Any], list[list[Any]]]:
        """All that can be used: everything, or nothing where anything is not as we write it."""
        self._is_older = data.startswith(self._older)
        if not self._is_older and not data.startswith(self._first):
            if data:
                self._log.info("the state of another boot or release is not used")
            return {}, []
        try:
            return self._parse(data)
        except (ValueError, TypeError, RecursionError):
            # What stands before it is older: who goes on with it uses Message IDs and IVs for a second time.
            self._log.error("the state of the manager before is damaged and not used; all tunnels are set up anew")
        self._where, self._alive, self._size, self._is_older = {}, 0, 0, False
        return {}, []

    def _parse(self, data: bytes) -> tuple[dict[Key, Any], list[list[Any]]]:
        found: dict[Key, Any] = {}
        undone: list[list[Any]] = []
        self._size = data.index(b"\n") + 1
        while (frame := _frame(data, self._size)) is not None:
            at = self._size + _HEAD
            undone = []
            for line in frame.splitlines(keepends=True):
                kind, *names, value = json.loads(line)
                if kind == "do":
                    undone = _list(value)
                elif not isinstance(value, (dict, type(None))):
                    raise ValueError(kind)
                else:
                    key = _key(kind, names)
                    self._note(key, at, len(line), value is None)
                    if value is None:
                        found.pop(key, None)
                    else:
                        found[key] = value
                at += len(line)
            self._size = at
        return found, undone

    # Writing

    def keep(self, changes: Changes, actions: Iterable[Action]) -> None:
        """Before ``actions`` are performed: how the IKE SAs are by now.

        What was to be done before counts as done from now on.
        """
        lines = [(key, record) for key, record in changes.items() if record is not None or key in self._where]
        if not lines:
            return
        todo = list(actions)
        self._undone = any(not isinstance(action, Send) for action in todo)
        self._append(lines, freeze_actions(todo))

    def done(self) -> None:
        """All of it was performed."""
        if self._undone:
            self._undone = False
            self._append([], [])

    def keep_rows(self, rows: Mapping[str, Stored | None]) -> None:
        """The tunnels of these names are in operation this way, None for one that is not any more.

        One whose definition cannot be read is in no operation that anybody could go on with.
        """
        known = {name: None if row is None or row.unreadable else row for name, row in rows.items()}
        self._append([(RowKey(_ROW, name), row and _row_record(row)) for name, row in known.items()], [])

    def _append(self, lines: Sequence[tuple[Key, Any]], todo: list[list[Any]]) -> None:
        if self._file < 0:
            return
        texts = [_encode([*key, value]).encode() + b"\n" for key, value in lines]
        rest = _encode(["do", 0, todo]).encode() + b"\n" if todo else b""
        try:
            if self._is_older or self._size > 2 * self._alive + _SLACK:
                self._begin_anew()
            at = self._write(b"".join(texts) + rest)
        except OSError as exc:
            self._give_up(exc)
            return
        for (key, value), text in zip(lines, texts, strict=True):
            self._note(key, at, len(text), value is None)
            at += len(text)

    def _write(self, payload: bytes) -> int:
        """Append one frame; where its payload begins."""
        frame = b"%08x %08x\n%b" % (len(payload), zlib.crc32(payload), payload)
        if os.write(self._file, frame) != len(frame):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        at = self._size + _HEAD
        self._size += len(frame)
        return at

    def _note(self, key: Key, at: int, length: int, gone: bool) -> None:
        before = self._where.pop(key, None)
        self._alive -= before[1] if before else 0
        if not gone:
            self._where[key] = at, length
            self._alive += length

    def _begin_anew(self) -> None:
        """Write a journal of what is true and nothing else, and put it in the place of the old one."""
        fresh = f"{self._path}.new"
        old, self._file = self._file, os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | NO_LINK, 0o600)
        try:
            os.write(self._file, self._first)
            self._size = len(self._first)
            held = list(self._where.items())
            for start in range(0, len(held), _FRAME_LINES):
                chunk = held[start : start + _FRAME_LINES]
                texts = [os.pread(old, length, at) for _key, (at, length) in chunk]
                at = self._write(b"".join(texts))
                for (key, _place), text in zip(chunk, texts, strict=True):
                    self._where[key] = at, len(text)
                    at += len(text)
            os.replace(fresh, self._path)
            self._is_older = False
        finally:
            os.close(old)

    def _restart(self) -> None:
        os.truncate(self._file, 0)
        os.write(self._file, self._first)
        self._size = len(self._first)

    def _give_up(self, exc: OSError) -> None:
        """Old state is worse than none: who goes on with it uses Message IDs and IVs for a second time."""
        for path in (self._path, f"{self._path}.new"):
            with contextlib.suppress(OSError):
                os.truncate(path, 0)  # where it cannot be unlinked, in a folder that became read-only
            with contextlib.suppress(OSError):
                os.unlink(path)
        os.close(self._file)
        self._file = -1
        problem = exc.strerror or str(exc)
        outlook = "the tunnels go on, but the next start sets them up anew; make room"
        self._log.error(f"cannot write {self._path} ({problem}): {outlook}")


def _frame(data: bytes, at: int) -> bytes | None:
    """The payload of the frame that begins there, None where it is cut short, as by the death of who wrote it.

    :raises ValueError: it is damaged, which no death explains.
    """
    head, begin = data[at : at + _HEAD], at + _HEAD
    if len(head) < _HEAD:
        return None
    length, check = int(head[:8], 16), int(head[9:17], 16)
    payload = data[begin : begin + length]
    if len(payload) < length:
        return None
    if zlib.crc32(payload) != check:
        raise ValueError("checksum")
    return payload


def _key(kind: Any, names: list[Any]) -> Key:
    """What a line is of.

    :raises ValueError: nothing that we write of.
    """
    if kind == _ROW and len(names) == 1 and isinstance(names[0], str):
        return RowKey(_ROW, names[0])
    if kind != _ROW and isinstance(kind, str) and len(names) in (1, 2) and all(map(_is_number, names)):
        return RecordKey(kind, *names)
    raise ValueError(kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: Any) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
        raise ValueError("a list of actions")
    return value


def _row_record(row: Stored) -> dict[str, Any]:
    return {
        "number": row.number,
        "owner": row.owner,
        "wanted": row.wanted,
        "definition": row.definition.stored(),
        "children": row.children,
        "asked": row.asked,
    }


def _row(record: Mapping[str, Any], stored: Stored | None) -> Stored | None:
    """The row of a record; None where this release cannot read it, as after an upgrade that changed the options.

    :param stored: the row of the same tunnel in the database, which is taken if it says the same.
    """
    try:
        if stored is not None and not stored.unreadable and _row_record(stored) == record:
            return stored
        definition = parse_stored(record["definition"])
        more = record["owner"], record["wanted"], definition, record["children"], record["asked"]
        return Stored(record["number"], definition.name, *more)
    except (EngineError, LookupError, TypeError, ValueError):
        return None


def boot_id() -> str:
    """What tells this boot from every other."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()
