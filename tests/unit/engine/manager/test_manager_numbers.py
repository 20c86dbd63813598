# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manager's numbers: given at the creation, kept while it lives, never given again, not even after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.errors import MissingError
from engine.manager.numbers import FILE_NAME, Numbers


def test_a_number_lasts_as_long_as_its_tunnel_and_is_not_given_again(tmp_path: Path) -> None:
    numbers = Numbers(str(tmp_path))
    numbers.settle("a", ["lan", "voice"])
    numbers.settle("b", [])
    assert [numbers.of(*key) for key in (("a",), ("a", "lan"), ("a", "voice"), ("b",), ("c",))] == [1, 1, 2, 2, 0]
    numbers.settle("a", ["voice"])
    numbers.settle("a", ["lan", "voice"])
    assert [numbers.of(*key) for key in (("a",), ("a", "lan"), ("a", "voice"))] == [1, 3, 2]
    numbers.end("a")
    assert numbers.of("a") == numbers.of("a", "voice") == 0
    numbers.end("a")
    numbers.settle("a", ["lan"])
    assert (numbers.of("a"), numbers.of("a", "lan"), numbers.of("b")) == (3, 4, 2)


def test_another_manager_goes_on_with_them(tmp_path: Path) -> None:
    numbers = Numbers(str(tmp_path))
    numbers.settle("a", ["lan"])
    numbers.settle("b", ["lan"])
    numbers.end("b")
    for _unused in range(3):  # each time from the journal that the last one wrote
        numbers = Numbers(str(tmp_path))
        assert (numbers.of("a"), numbers.of("a", "lan"), numbers.of("b")) == (1, 1, 0)
    numbers.settle("b", ["lan"])
    assert (numbers.of("b"), numbers.of("b", "lan")) == (3, 3), "2 was used"
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_crash_at_any_octet_loses_at_most_the_last_number(tmp_path: Path) -> None:
    numbers = Numbers(str(tmp_path))
    numbers.settle("a", ["lan"])
    numbers.settle("b", ["lan"])
    numbers.end("a")
    whole = (tmp_path / FILE_NAME).read_bytes()
    for end in range(len(whole)):
        (tmp_path / FILE_NAME).write_bytes(whole[:end])
        again = Numbers(str(tmp_path))
        assert again.of("b") in (0, 2) and again.of("a") in (0, 1)
        again.settle("c", ["lan"])
        assert again.of("c") not in (again.of("a"), again.of("b"))
        again.close()


def test_rubbish_in_the_journal_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\n 1\n1 x t\n3 1 t\n1 4 t\n2 9 t lan\n2 \xff t\n1 2 3 4 5\n")
    numbers = Numbers(str(tmp_path))
    assert (numbers.of("t"), numbers.of("t", "lan")) == (4, 9)


def test_the_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    numbers = Numbers(str(tmp_path))
    numbers.settle("a", ["lan"])
    for _unused in range(5000):
        numbers.settle("b", [])
        numbers.end("b")
    assert len((tmp_path / FILE_NAME).read_text().splitlines()) < 2000
    again = Numbers(str(tmp_path))
    again.settle("b", [])
    assert (again.of("a"), again.of("b")) == (1, 5002)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="numbers"):
        Numbers(str(tmp_path / "file"))
