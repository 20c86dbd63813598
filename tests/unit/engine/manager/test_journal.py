# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of what is up: whole frames or nothing, of this boot and no other, and never more than it takes."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from engine.definition.parsing import parse_definition
from engine.ike.actions import Path as Way
from engine.ike.actions import ReleaseSpi, Report, Send
from engine.ike.records import RecordKey
from engine.manager import journal as module
from engine.manager.journal import FILE_NAME, Journal, Kept
from engine.manager.log import Log
from engine.manager.store import Stored
from manager_lab import SECRET, definition

BOOT = "a boot"
SEND = Send(b"octets", Way("192.0.2.1", 500, "192.0.2.2", 500))
RELEASE = ReleaseSpi("192.0.2.1", "192.0.2.2", 50, 0xC0000001)


def opened(folder: Path, boot: str = BOOT) -> tuple[Journal, io.StringIO]:
    text = io.StringIO()
    return Journal(str(folder), Log("debug", False, text), boot), text


def begun(folder: Path) -> Journal:
    journal, _text = opened(folder)
    assert journal.load({}) == Kept({}, {}, [])
    return journal


def found(folder: Path) -> Kept:
    journal, _text = opened(folder)
    try:
        return journal.load({})
    finally:
        journal.close()


def sas(numbered: dict[int, dict | None]) -> dict[RecordKey, dict | None]:
    return {RecordKey("sa", number): record for number, record in numbered.items()}


def records(kept: Kept) -> list[dict]:
    """Those of IKE SAs, oldest first."""
    return [record for _key, record in sorted(kept.records.items())]


def framed(*lines: object) -> bytes:
    payload = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return b"%08x %08x\n%b" % (len(payload), zlib.crc32(payload), payload)


def row(name: str = "t") -> Stored:
    return Stored(7, name, "fleet", "active", parse_definition(definition(name)), {"lan": 3}, {"lan": False})


def test_what_was_kept_last_comes_back(tmp_path):
    journal = begun(tmp_path)
    journal.keep_rows({"t": row(), "u": row("u")})
    journal.keep(sas({1: {"a": 1}, 2: {"b": 2}}), [])
    journal.keep(sas({1: {"a": 5}, 2: None, 3: None}), [Report("moved", "t"), SEND])
    journal.keep_rows({"u": None})
    journal.close()
    kept = found(tmp_path)
    assert records(kept) == [{"a": 5}] and kept.rows == {"t": row()} and kept.undone == []
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert SECRET not in repr(kept)


def test_only_the_last_actions_may_be_undone(tmp_path):
    journal = begun(tmp_path)
    journal.keep(sas({1: {}}), [RELEASE])
    journal.keep(sas({1: {}}), [SEND, RELEASE, Report("moved", "t")])
    assert [name for name, *_rest in found(tmp_path).undone] == ["Send", "ReleaseSpi"]
    journal.done()
    assert found(tmp_path).undone == []
    journal.keep(sas({1: {}}), [SEND])
    journal.done()
    assert len(found(tmp_path).undone) == 1, "to send twice does no harm, and is not worth a note"
    journal.close()


def test_strangers_cannot_make_it_write(tmp_path):
    journal = begun(tmp_path)
    size = (tmp_path / FILE_NAME).stat().st_size
    journal.keep(sas({1: None, 2: None}), [SEND])
    journal.done()
    assert (tmp_path / FILE_NAME).stat().st_size == size
    journal.close()


def test_a_journal_cut_at_any_octet_is_that_of_a_moment(tmp_path):
    journal = begun(tmp_path)
    moments = [[]]
    for turn in range(6):
        journal.keep(sas({turn: {"turn": turn}}), [RELEASE] if turn % 2 else [])
        moments.append([{"turn": each} for each in range(turn + 1)])
    journal.close()
    whole = (tmp_path / FILE_NAME).read_bytes()
    seen = []
    for length in range(len(whole) + 1):
        (tmp_path / FILE_NAME).write_bytes(whole[:length])
        kept = records(found(tmp_path))
        assert kept in moments
        seen.append(moments.index(kept))
    assert seen == sorted(seen) and set(seen) == set(range(len(moments)))


def test_a_journal_cut_short_is_gone_on_with(tmp_path):
    journal = begun(tmp_path)
    journal.keep(sas({1: {"a": 1}}), [])
    journal.keep(sas({1: {"a": 2}}), [])
    journal.close()
    os.truncate(tmp_path / FILE_NAME, (tmp_path / FILE_NAME).stat().st_size - 3)
    journal, _text = opened(tmp_path)
    assert records(journal.load({})) == [{"a": 1}]
    journal.keep(sas({2: {"b": 1}}), [])
    journal.close()
    assert records(found(tmp_path)) == [{"a": 1}, {"b": 1}]


def test_any_damage_is_noticed_and_nothing_behind_it_believed(tmp_path):
    journal = begun(tmp_path)
    for turn in range(5):
        journal.keep(sas({turn: {"turn": turn, "more": "x" * 50}}), [])
    journal.close()
    whole = (tmp_path / FILE_NAME).read_bytes()
    chance = random.Random(1)
    short = 0
    for _unused in range(300):
        at = chance.randrange(len(whole))
        (tmp_path / FILE_NAME).write_bytes(
            whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :]
        )
        kept = records(found(tmp_path))
        assert kept == [{"turn": turn, "more": "x" * 50} for turn in range(len(kept))]
        short += len(kept) < 5
    assert short > 250, "nothing but the letters between the two numbers of a head may differ"


def test_a_journal_of_release_0_1_0_is_read_and_then_begun_anew(tmp_path):
    """It names an IKE SA by its number alone."""
    journal = begun(tmp_path)
    journal.keep_rows({"t": row()})
    journal.close()
    whole = (tmp_path / FILE_NAME).read_bytes().replace(b"live state 2", b"live state 1")
    whole += framed(["sa", 1, {"a": 1}], ["sa", 2, {"b": 1}], ["do", 0, []])
    (tmp_path / FILE_NAME).write_bytes(whole)
    for _unused in range(2):
        kept = found(tmp_path)
        assert kept.rows == {"t": row()} and kept.records == sas({1: {"a": 1}, 2: {"b": 1}})
        assert (tmp_path / FILE_NAME).read_bytes() == whole, "until something is to be written"
    journal, _text = opened(tmp_path)
    journal.load({})
    journal.keep(sas({2: {"b": 2}}), [RELEASE])
    journal.close()
    kept = found(tmp_path)
    assert kept.rows == {"t": row()} and kept.records == sas({1: {"a": 1}, 2: {"b": 2}}) and len(kept.undone) == 1
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"fleet-ipsec live state 2 a boot\n")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"fleet-ipsec journal state 0 a boot\n", b"fleet-ipsec journal state 1 other\n"]
)
def test_what_is_of_another_boot_or_release_is_not_used(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content + b"00000000 00000000\n")
    journal = begun(tmp_path)
    journal.keep(sas({1: {"a": 1}}), [])
    journal.close()
    assert records(found(tmp_path)) == [{"a": 1}]
    other, _text = opened(tmp_path, "the next boot")
    assert records(other.load({})) == []
    other.close()


def test_a_row_that_cannot_be_read_is_left_out(tmp_path):
    journal = begun(tmp_path)
    journal.keep_rows({"t": row()})
    journal._append([(("tunnel", "odd"), {"definition": {"name": "odd"}})], [])
    journal.close()
    assert list(found(tmp_path).rows) == ["t"]


def test_a_row_as_the_database_has_it_is_not_read_again(tmp_path):
    journal = begun(tmp_path)
    journal.keep_rows({"t": row(), "u": row("u")})
    journal.close()
    same, other = row(), replace(row("u"), owner="somebody else")
    journal, _text = opened(tmp_path)
    kept = journal.load({"t": same, "u": other})
    journal.close()
    assert kept.rows["t"] is same
    assert kept.rows["u"] == row("u") != other


def test_it_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLACK", 10_000)
    journal = begun(tmp_path)
    journal.keep_rows({"t": row()})
    for turn in range(2000):
        journal.keep(sas({turn % 7: {"turn": turn, "more": "x" * 100}}), [])
        if turn % 7 == 3:
            journal.keep(sas({turn % 7: None}), [RELEASE])
        assert (tmp_path / FILE_NAME).stat().st_size < 20_000
    journal.close()
    kept = found(tmp_path)
    assert sorted(record["turn"] for record in records(kept)) == [1993, 1994, 1995, 1996, 1997, 1999]
    assert kept.rows == {"t": row()} and os.listdir(tmp_path) == [FILE_NAME]


def test_what_cannot_be_written_is_not_left_behind_old(tmp_path, monkeypatch):
    journal, text = opened(tmp_path)
    journal.load({})
    journal.keep(sas({1: {"a": 1}}), [])

    def full(_descriptor: int, octets: bytes) -> int:
        return len(octets) // 2

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        journal.keep(sas({1: {"a": 2}}), [])
    journal.keep(sas({1: {"a": 3}}), [RELEASE])
    journal.done()
    journal.close()
    assert "make room" in text.getvalue() and records(found(tmp_path)) == []


@pytest.mark.parametrize(
    "frame",
    [
        framed(["sa", 1]), framed("sa"), framed(["sa", "1", {}]), framed(["sa", [], {}]), framed(["tunnel", 1, {}]),
        framed(["sa", 1, []]), framed(["sa", 1, 2, 3, {}]), framed(["sa", True, {}]), framed(["tunnel", "t", 1, {}]),
        framed(["sa", {}]), framed(["do", 0, 5]), framed(["do", 0, ["Send"]]), framed([{}, 1, {}]),
        b"%08x %08x\n%b" % (5, zlib.crc32(b"[[[[["), b"[[[[["), b"00000002 00000000\n{}", b"zzzzzzzz 00000000\n",
        b"%08x %08x\n%b" % (50000, zlib.crc32(b"[" * 50000), b"[" * 50000),
    ],
)  # fmt: skip
def test_nothing_older_is_used_where_anything_is_not_as_it_was_written(tmp_path, frame):
    journal = begun(tmp_path)
    journal.keep(sas({1: {"sealed": 5}}), [RELEASE])
    journal.close()
    with (tmp_path / FILE_NAME).open("ab") as stream:
        stream.write(frame + framed(["sa", 1, {"sealed": 9}]))
    journal, text = opened(tmp_path)
    assert journal.load({}) == Kept({}, {}, []) and "damaged" in text.getvalue()
    journal.keep(sas({2: {"sealed": 1}}), [])
    journal.close()
    assert records(found(tmp_path)) == [{"sealed": 1}]


def test_a_folder_that_became_read_only_keeps_nothing_old(tmp_path, monkeypatch):
    journal = begun(tmp_path)
    journal.keep(sas({1: {"a": 1}}), [])

    def refuse(*_words: object) -> int:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        patched.setattr(os, "unlink", refuse)
        journal.keep(sas({1: {"a": 2}}), [])
    journal.close()
    assert (tmp_path / FILE_NAME).read_bytes() == b"" and records(found(tmp_path)) == []
