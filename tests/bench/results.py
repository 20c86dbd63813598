# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures side by side: a table for people, a JSON file for programs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing.

    :ivar theirs: what it is compared with, None where it stands alone; ``reference`` says what that is.
    :ivar better: ``lower`` or ``higher``: which figures are the good ones.
    """

    name: str
    unit: str
    ours: float
    theirs: float | None = None
    reference: str = ""
    better: str = "lower"

    @property
    def ratio(self) -> float | None:
        """Ours in terms of theirs."""
        return None if self.theirs is None else self.ours / self.theirs


def table(figures: Iterable[Figure]) -> str:
    """A line for each figure."""
    head = ("", "ours", "theirs", "ratio", "theirs is")
    rows = [
        (
            f"{figure.name} [{figure.unit}]",
            _number(figure.ours),
            "" if figure.theirs is None else _number(figure.theirs),
            "" if figure.ratio is None else f"{figure.ratio:.3f}",
            figure.reference,
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(4)]
    lines = []
    for row in (head, *rows):
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(row[1:4], widths[1:], strict=True))
        lines.append(f"{row[0].ljust(widths[0])}  {numbers}  {row[4]}".rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    """Two decimals, or three digits of what is smaller."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def write(path: Path, figures: Iterable[Figure], notes: list[str]) -> None:
    """The JSON file: ``{"when", "machine", "notes", "rows": [{"name", "ours", "theirs", "ratio", "unit", …}]}``."""
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "kernel": platform.release(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average": os.getloadavg()[0],
        },
        "notes": notes,
        "rows": [
            {
                "name": figure.name,
                "ours": float(f"{figure.ours:.4g}"),
                "theirs": None if figure.theirs is None else float(f"{figure.theirs:.4g}"),
                "ratio": None if figure.ratio is None else float(f"{figure.ratio:.3g}"),
                "unit": figure.unit,
                "better": figure.better,
                "reference": figure.reference,
            }
            for figure in figures
        ],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
