# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the oldest Python lacks is there under the names of the newer ones, and nobody goes past it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from engine.newer_python import bit_count, dataclass, pairwise, zip

ENGINE = Path(__file__).resolve().parents[4] / "plugins" / "module_utils" / "engine"
FILES = [file for file in sorted(ENGINE.rglob("*.py")) if file.name != "newer_python.py"]
NEWER = {"dataclass": "slots", "zip": "strict"}  # called with an option that Python 3.9 lacks


@dataclass(frozen=True, slots=True)
class Point:
    across: int
    up: int = 0


def test_records() -> None:
    assert Point(1) == Point(1, 0)
    assert len({Point(1), Point(1)}) == 1
    assert hasattr(Point(1), "__dict__") == (sys.version_info < (3, 10))
    with pytest.raises(AttributeError):
        Point(1).across = 2  # type: ignore[misc]


def test_zip() -> None:
    assert list(zip("ab", [1, 2], strict=True)) == [("a", 1), ("b", 2)]
    assert list(zip("abc", [1, 2])) == [("a", 1), ("b", 2)]
    assert list(zip(strict=True)) == []
    for uneven in (("ab", "c"), ("a", "bc"), ("", "b"), ("ab", "cd", "e")):
        with pytest.raises(ValueError):
            list(zip(*uneven, strict=True))


def test_numbers_and_neighbours() -> None:
    assert [bit_count(number) for number in (0, 1, 0xFF00, 0xFFFF)] == [0, 1, 8, 16]
    assert list(pairwise("abc")) == [("a", "b"), ("b", "c")]
    assert list(pairwise("a")) == list(pairwise("")) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ENGINE).as_posix())
def test_files_of_the_engine_are_python_3_9(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    named = {
        alias.name: (node.module or "").split(".")[-1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Attribute) and node.attr in ("pairwise", "bit_count")), f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NEWER:
            newer = NEWER[node.func.id] in {keyword.arg for keyword in node.keywords}
            assert not newer or named.get(node.func.id) == "newer_python", f"line {node.lineno}"
