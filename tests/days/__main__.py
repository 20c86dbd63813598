# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.days [--short] [ROW…]``: each row of ``rows.py`` in a guest with simulated time, two at a time.

Prints a table, writes it to ``build/days.json``, and keeps what each run left (logs of both ends among it) in
``build/days/ROW``. Returns 1 when a run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

from ..setup.stages import lanes
from . import ROOT
from .rows import HOUR, LONG, ROWS, SHORT, SHORT_ROWS, Row, row_named

BUILD = ROOT / "build"
PEERS = ROOT / ".cache/peers"
KERNEL = ROOT / ".cache/uml/linux"  # of "make uml-kernel"
COLUMNS = (
    ("packets", "sent"),
    ("keys", "generations"),
    ("lost", "lost"),
    ("held", "held"),
    ("gaps", "gaps"),
    ("longest", "longest_gap"),
    ("untrue", "untrue"),
    ("clear", "clear_ours"),
    ("theirs", "clear_theirs"),
)


class Runs:
    """Rows still to run, and what became of the others."""

    def __init__(self, rows: list[Row], seconds: int, timeout: int) -> None:
        self._waiting = list(rows)
        self._seconds = seconds
        self._timeout = timeout
        self._lock = threading.Lock()
        self.outcomes: dict[str, dict[str, Any]] = {}

    def work(self, processors: list[int]) -> None:
        """Run one row after the other on these processors until none waits."""
        while (row := self._next()) is not None:
            began = time.monotonic()
            outcome = self._run(row, processors)
            outcome["took"] = round(time.monotonic() - began)
            self.outcomes[row.name] = outcome

    def _next(self) -> Row | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def _run(self, row: Row, processors: list[int]) -> dict[str, Any]:
        folder = BUILD / "days" / row.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # What a run prints goes line by line: two of them share our output.
        subprocess.run(
            [
                *("taskset", "-c", ",".join(map(str, processors)), sys.executable, "-m", "tests.lab.guest"),
                *("--simulated-time", "--timeout", str(self._timeout), "--layer", str(PEERS), "--keep", str(folder)),
                *(sys.executable, "-m", "tests.days.run", row.name, str(self._seconds), "/run/lab-share"),
            ],
            cwd=ROOT,
            env={"LAB_KERNEL": str(KERNEL), **os.environ},
            check=False,
            stdin=subprocess.DEVNULL,
        )
        result = folder / "verdict.json"
        if not result.exists():
            return {"problems": [f"it did not come to an end; see {folder}"]}
        return json.loads(result.read_text(encoding="utf-8"))


def table(rows: list[Row], outcomes: dict[str, dict[str, Any]]) -> str:
    """The outcomes for people."""
    width = max(len(row.name) for row in rows)
    heads = [*(head for head, _key in COLUMNS), "back ours", "theirs", "took"]
    lines = [f"{'':{width}} " + " ".join(f"{head:>9}" for head in heads)]
    for row in rows:
        outcome = outcomes[row.name]
        recovered = outcome.get("recovered", {})
        figures = [outcome.get(key, "") for _head, key in COLUMNS]
        figures += [recovered.get("ours", ""), recovered.get("theirs", ""), outcome["took"]]
        problems = outcome["problems"]
        verdict = "FAILED" if problems else "passed"
        lines.append(f"{row.name:{width}} " + " ".join(f"{figure:>9}" for figure in figures) + f" {verdict}")
        lines += [f"    {problem.strip().splitlines()[-1]}" for problem in problems[:8]]
        if len(problems) > 8:
            lines.append(f"    and {len(problems) - 8} more")
    return "\n".join(lines)


def main() -> int:
    """Run them; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.days", description=__doc__)
    parser.add_argument("--short", action="store_true", help="six hours and a few rows instead of three days and all")
    parser.add_argument("--hours", type=int, help="how long a run is, in hours of its own time")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds of ours for a run, default %(default)s")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of: {' '.join(row.name for row in ROWS)}")
    arguments = parser.parse_args()
    try:
        rows = [row_named(name) for name in arguments.rows]
    except KeyError as error:
        parser.error(f"there is no row {error}")
    rows = rows or list(SHORT_ROWS if arguments.short else ROWS)
    seconds = arguments.hours * HOUR if arguments.hours else SHORT if arguments.short else LONG
    runs = Runs(rows, seconds, arguments.timeout)
    workers = [
        threading.Thread(target=runs.work, args=(share,), daemon=True)
        for share in lanes(sorted(os.sched_getaffinity(0)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("\n" + table(rows, runs.outcomes) + "\n")
    document = {"seconds": seconds, "rows": runs.outcomes}
    (BUILD / "days.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    failed = sum(bool(outcome["problems"]) for outcome in runs.outcomes.values())
    print(f"days: {len(rows) - failed} passed, {failed} failed; what they left is in {BUILD / 'days'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
