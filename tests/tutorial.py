# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that README and Getting started have people paste, as they stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
README, GETTING_STARTED = ROOT / "README.md", ROOT / "docs" / "getting-started.md"
ON_A_GATEWAY = "Look around on a gateway"
_FENCE = re.compile(r"^ *```(\w*)$")
_COMMENT = re.compile(r"(^|\s+)# .*$")


# What a clone has not.
_OWN = shutil.ignore_patterns(".git", ".venv*", ".cache", "build", ".hypothesis", ".*_cache", "__pycache__", "*.tar.gz")


def clone(place: Path) -> None:
    """What somebody has who cloned the repository, as it is here now."""
    shutil.copytree(ROOT, place, ignore=_OWN)


class Command(NamedTuple):
    """A line that is typed, and the title of the section that it stands in."""

    section: str
    line: str


def commands(page: Path) -> list[Command]:
    """Every command of a page, in its order: what stands in blocks that are of no language.

    Where a block shows what comes out as well, a command is what has a prompt before it.
    """
    found: list[Command] = []
    section, inside, block = "", None, []
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = _FENCE.match(line)
        if fence and inside is None:
            inside, block = fence[1], []
        elif fence:
            found += [Command(section, each) for each in _typed(block)] if not inside else []
            inside = None
        elif inside is not None:
            block.append(line)
        elif line.startswith("#"):
            section = line.lstrip("# ")
    return found


def _typed(block: list[str]) -> list[str]:
    lines = [_COMMENT.sub("", line).strip() for line in block]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return prompted or [line for line in lines if re.match(r"[a-z][a-z.-]+( |$)", line)]
