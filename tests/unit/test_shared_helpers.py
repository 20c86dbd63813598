# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several test files share stands in a module of its own beside them, or in ``tests`` where several rooms do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Runs in the tree of release 0.1.0, with the names that its modules had.
OF_ANOTHER_TREE = TESTS / "unit/engine/manager/data/make_release_files.py"


def imported(file: Path) -> Iterator[str]:
    """The names of all modules that a file imports, and of what it imports from packages."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names if not node.module)


def is_test_file(module: str) -> bool:
    return module.rpartition(".")[2].startswith("test_")


def test_no_file_imports_a_test_file() -> None:
    files = sorted(set(TESTS.rglob("*.py")) - {OF_ANOTHER_TREE})
    wrong = {
        str(file.relative_to(TESTS)): found for file in files if (found := [*filter(is_test_file, imported(file))])
    }
    assert len(files) > 200 and not wrong
