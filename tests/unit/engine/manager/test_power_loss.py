# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power is cut at any write of the definitions: afterwards they are as before a change or as after it.

Real commits are made, and the files' octets noted after each. What a disk may hold in between is any choice of the
sectors that the commit changed, in any order, as far as no fsync stands between them: the log before the commit is
answered, then the database while the log is written back into it.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from engine.definition.parsing import parse_definition
from engine.errors import MissingError
from engine.manager.store import Put, Remove, Store
from manager_lab import definition

SECTOR = 512
NAME = "definitions.sqlite"


class Disk(NamedTuple):
    """What the files hold; None for a file that is not there."""

    database: bytes
    log: bytes | None


def put(number: int, text: str) -> Put:
    secret = {"secret": f"{text} of tunnel {number}, long enough" * 3}
    return Put("fleet", "active", parse_definition(definition(f"t{number}", number, auth=secret)))


def content(store: Store) -> dict[str, tuple[int, bytes]]:
    return {name: (row.number, row.definition.credential.secret.reveal()) for name, row in store.load().items()}


def disk(folder: Path) -> Disk:
    log = folder / f"{NAME}-wal"
    return Disk((folder / NAME).read_bytes(), log.read_bytes() if log.exists() else None)


def history(folder: Path, seed: int) -> list[tuple[Disk, dict[str, tuple[int, bytes]]]]:
    """Commits of every kind, the log written back now and then, and a clean end."""
    chance = random.Random(seed)
    store = Store(str(folder / NAME))
    store._connection.execute("PRAGMA wal_autocheckpoint = 12")
    past = [(disk(folder), content(store))]
    for turn in range(24):
        numbers = chance.sample(range(30), chance.choice([1, 1, 3, 12]))
        there = content(store)
        changes = [
            Remove(f"t{number}") if f"t{number}" in there and chance.random() < 0.3 else put(number, f"turn {turn}")
            for number in numbers
        ]
        store.commit(changes)
        past.append((disk(folder), content(store)))
    store.close()
    past.append((disk(folder), past[-1][1]))
    return past


def between(before: Disk, after: Disk, chance: random.Random) -> Iterator[Disk]:
    """What the disk may hold when power is cut between the two."""
    if before.log != after.log and after.log is not None:
        for log in mixtures(before.log or b"", after.log, chance):
            yield Disk(before.database, log)
    if before.database != after.database:
        standing = after.log if after.log is not None else before.log
        for database in mixtures(before.database, after.database, chance):
            yield Disk(database, standing)


def mixtures(old: bytes, new: bytes, chance: random.Random) -> Iterator[bytes]:
    """Prefixes of the changed sectors, one of them torn, and any choice of them."""
    places = [at for at in range(0, max(len(old), len(new)), SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
    for count in sorted({chance.randrange(len(places) + 1) for _unused in range(5)}):
        yield mixed(old, new, places[:count])
        if count < len(places):
            yield mixed(old, new, places[:count], places[count] + chance.randrange(SECTOR))
    for _unused in range(4):
        yield mixed(old, new, [at for at in places if chance.random() < 0.5])


def mixed(old: bytes, new: bytes, places: list[int], torn_at: int = 0) -> bytes:
    octets = bytearray(old)
    for at in places:
        piece = new[at : at + SECTOR]
        if len(octets) < at:
            octets += bytes(at - len(octets))  # a sector behind others that never got there
        octets[at : at + len(piece)] = piece
    if torn_at:
        start = torn_at - torn_at % SECTOR
        octets += bytes(max(0, start - len(octets)))
        octets[start:torn_at] = new[start:torn_at]
    return bytes(octets)


def after_power_loss(folder: Path, left: Disk, goes_on: bool) -> dict[str, tuple[int, bytes]]:
    (folder / NAME).write_bytes(left.database)
    log = folder / f"{NAME}-wal"
    log.unlink(missing_ok=True)
    if left.log is not None:
        log.write_bytes(left.log)
    store = Store(str(folder / NAME))
    try:
        found = content(store)
        if goes_on:
            row = store.commit([put(99, "the next one")])["t99"]
            assert content(store) == found | {"t99": (row.number, row.definition.credential.secret.reveal())}
        return found
    finally:
        store.close()


@pytest.mark.parametrize("seed", range(2))
def test_power_loss_at_any_write_leaves_the_state_before_or_after(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    (tmp_path / "real").mkdir()
    (tmp_path / "left").mkdir()
    past = history(tmp_path / "real", seed)
    kinds = set()
    tried = 0
    for (before, old), (after, new) in zip(past, past[1:]):
        kinds.add((before.log != after.log, before.database != after.database, after.log is None))
        for left in between(before, after, chance):
            tried += 1
            assert after_power_loss(tmp_path / "left", left, tried % 8 == 0) in (old, new)
        assert after_power_loss(tmp_path / "left", after, False) == new, "what was answered lasts"
    assert tried > 150
    assert (True, False, False) in kinds and (True, True, False) in kinds, "the log grew, and was written back"


def test_every_commit_is_synced_before_it_is_answered(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "new" / "deeper" / NAME))
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_new_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    plain = os.fsync

    def noted(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Store(str(tmp_path / "new" / "deeper" / NAME)).close()
    assert sorted(synced) == sorted(map(str, [tmp_path, tmp_path / "new", tmp_path / "new" / "deeper"]))
    synced.clear()
    Store(str(tmp_path / "new" / "deeper" / NAME)).close()
    assert not synced


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_database_is_told_with_a_remedy_or_is_whole(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = Store(str(tmp_path / NAME))
    store.commit([put(number, "x") for number in range(30)])
    whole = content(store)
    store.close()
    good = (tmp_path / NAME).read_bytes()
    told = 0
    for _unused in range(40):
        at, length = chance.randrange(len(good)), chance.choice([1, 16, 600, 5000])
        bad = good[:at] + chance.randbytes(length) + good[at + length :]
        (tmp_path / NAME).write_bytes(chance.choice([bad, bad[: chance.randrange(len(bad))]]))
        try:
            store = Store(str(tmp_path / NAME))
            try:
                found = content(store)
            finally:
                store.close()
        except MissingError as problem:
            told += 1
            assert str(tmp_path / NAME) in problem.what and problem.remedy
        else:
            # A letter of a text, which nothing guards, or a file cut to nothing, which is a new one.
            assert len(found) in (0, len(whole))
    assert told > 10
