# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/features.md is what its rows say, every row is there, and every test it names exists."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.docs import features  # noqa: E402

ROW = {"id": "A1", "behaviour": "b", "module": "m", "command": "c", "tests": ["test_one"]}


def test_the_page_is_what_the_rows_say() -> None:
    written = features.PAGE.read_text(encoding="utf-8")
    fresh = features.page(features.read_rows(), features.known_tests())
    assert written == fresh, "run: python3 -m tests.docs.features"


def test_a_row_that_names_no_existing_test_is_refused() -> None:
    with pytest.raises(features.FeatureError, match="A1 names test_one"):
        features.page([features.Row(**ROW)], {})


def test_a_row_that_names_one_of_two_tests_is_refused() -> None:
    twice = [Path("tests/test_a.py"), Path("tests/test_b.py")]
    with pytest.raises(features.FeatureError, match="write FILE::test_one"):
        features.page([features.Row(**ROW)], {"test_one": twice})


@pytest.mark.parametrize(
    "text, problem",
    [
        ("- {id: A1, behaviour: b, module: m, command: c, tests: []}", "A1 needs"),
        ("- {id: Z1, behaviour: b, module: m, command: c, tests: [test_one]}", "not an Id"),
        ("- {id: A1, behaviour: b, module: m, command: c, tests: [test_one], extra: 1}", "extra"),
        ("- {id: A1, behaviour: b, module: m, command: c, tests: [test_one]}", "rows are missing: A2, A3"),
        ("- &a {id: A1, behaviour: b, module: m, command: c, tests: [test_one]}\n- *a", "twice"),
    ],
)
def test_a_table_with_a_hole_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    with pytest.raises(features.FeatureError, match=problem):
        features.read_rows(tmp_path)
