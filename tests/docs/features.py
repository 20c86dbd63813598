# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/features.md, what became of every line of the classic manual pages: ``python3 -m tests.docs.features``.

The rows are in ``features/*.yml`` beside this file; every row names the tests that prove it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "features.md"
ROWS = Path(__file__).with_name("features")

# What each letter stands for, and how many rows it has.
CHAPTERS = {
    "A": ("ipsec ikeping", 45),
    "B": ("ike: activate, list, remove", 48),
    "C": ("ipsec spigrp, the command", 32),
    "D": ("ipsec spigrp, the listing", 12),
    "E": ("ipsec eroute", 30),
    "F": ("The whole set", 5),
}

HEAD = """<!-- Generated from tests/docs/features/*.yml by: python3 -m tests.docs.features -->

# What the classic tools did, and what does it here

One line for each behaviour of the five manual pages, and (marked +) for what the pages leave out but people meet.
"Module" is the module and its option, "Command" what to type on a gateway, "Proof" the test that fails if the line
is not true. A line marked **unconfirmed** rests on a description of the original that nobody has checked on a
real AIX host or KLIPS kernel: it works as described here, but may differ from the original in detail.
"""


class FeatureError(ValueError):
    """A row that cannot be published, with its file and the remedy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page."""

    id: str
    behaviour: str
    module: str
    command: str
    tests: tuple[str, ...]
    unconfirmed: bool = False
    note: str = ""


def read_rows(folder: Path = ROWS) -> list[Row]:
    """Every row, in the order of the page.

    :raises FeatureError: a row lacks something, or an Id is there twice or not at all.
    """
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob("*.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            row = _row(entry, path.name)
            if row.id in rows:
                raise FeatureError(f"{path.name}: {row.id} is there twice")
            rows[row.id] = row
    expected = {f"{letter}{number}" for letter, (_title, count) in CHAPTERS.items() for number in range(1, count + 1)}
    if missing := expected - rows.keys():
        raise FeatureError(f"rows are missing: {', '.join(sorted(missing, key=_place))}")
    if unknown := rows.keys() - expected:
        raise FeatureError(f"no such rows: {', '.join(sorted(unknown))}")
    return sorted(rows.values(), key=lambda row: _place(row.id))


def _place(id_: str) -> tuple[str, int]:
    """Chapter and number, to sort by."""
    return id_[0], int(id_[1:])


def _row(entry: dict[str, Any], file: str) -> Row:
    try:
        row = Row(**entry | {"tests": tuple(entry.get("tests") or ())})
    except TypeError as exc:
        raise FeatureError(f"{file}: {entry.get('id')}: {exc}") from None
    if re.fullmatch(r"[A-F][1-9]\d?", row.id) is None:
        raise FeatureError(f"{file}: {row.id!r} is not an Id such as A1")
    if not all((row.behaviour, row.module, row.command, row.tests)):
        raise FeatureError(f"{file}: {row.id} needs behaviour, module, command (or –) and tests")
    return row


def known_tests(folder: Path = ROOT / "tests") -> dict[str, list[Path]]:
    """Every test function under ``folder`` with the files it is in; also as ``FILE::NAME``, FILE without ``.py``."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                for name in (node.name, f"{path.stem}::{node.name}"):
                    found.setdefault(name, []).append(path.relative_to(ROOT))
    return found


def page(rows: Iterable[Row], tests: dict[str, list[Path]]) -> str:
    """The whole document.

    :raises FeatureError: a row names a test that does not exist.
    """
    lines = [HEAD]
    chapter = ""
    for row in rows:
        if row.id[0] != chapter:
            chapter = row.id[0]
            lines += [f"\n## {chapter}. {CHAPTERS[chapter][0]}\n"]
            lines += ["| Id | Behaviour | Module | Command | Proof |", "|---|---|---|---|---|"]
        lines.append(_line(row, tests))
    return "\n".join(lines) + "\n"


def _line(row: Row, tests: dict[str, list[Path]]) -> str:
    for name in row.tests:
        if name not in tests:
            raise FeatureError(f"{row.id} names {name}, and there is no such test")
        if len(tests[name]) > 1:
            raise FeatureError(f"{row.id} names {name}, of which there are {len(tests[name])}: write FILE::{name}")
    behaviour = row.behaviour + (" **unconfirmed**" if row.unconfirmed else "") + (f" ({row.note})" if row.note else "")
    proof = ", ".join(f"[`{name.split('::')[-1]}`](../{tests[name][0]})" for name in row.tests)
    cells = (row.id, behaviour, _code(row.module), _code(row.command), proof)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return text if text in "–-" or "`" in text else f"`{text}`"


def main() -> int:
    """Write the page."""
    try:
        PAGE.write_text(page(read_rows(), known_tests()), encoding="utf-8")
    except FeatureError as exc:
        print(f"features: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
