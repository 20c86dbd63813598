# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/classic-tools.md names, for each command of the classic pages, commands and modules that exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))

from engine.cli import eroute, ike, ipsec  # noqa: E402

PAGE = (ROOT / "docs" / "classic-tools.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
TABLE = [row for row in ROWS if len(row) == 4]
MODULES = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}

# The commands of the five pages with what they could be told to do, and both files.
COMMANDS = [
    "ipsec eroute", "ipsec eroute --add", "--replace", "ipsec eroute --addin", "--replacein", "ipsec eroute --del",
    "ipsec eroute --clear", "ipsec spigrp", "ipsec spigrp SA SA ...", "ipsec spigrp SA", "ipsec spi", "ipsec look",
    "ike cmd=activate", "ike cmd=list", "ike cmd=remove", "ike cmd=log", "ikedb", "ikeping", "ipsec ikeping",
    "/proc/net/ipsec_eroute", "/proc/net/ipsec_spigrp",
]  # fmt: skip


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_command_of_the_pages_has_its_equivalent() -> None:
    classic = [word for row in TABLE for word in words(row[0])]
    assert sorted(classic) == sorted(COMMANDS)
    for row in TABLE:
        ours, task = row[2], words(row[3])
        named = words(ours) or (words(row[0]) if ours.startswith("the same word") else [])
        assert named and task, row
        for command in named:
            program, _blank, rest = command.partition(" ")
            if program == "ipsec":
                assert rest.split()[0] in ipsec.COMMANDS, row
            elif program == "ike":
                assert rest.split()[0].removeprefix("cmd=") in ike._HELP, row
        module = task[0].partition(":")[0]
        assert module in MODULES or (ROOT / "roles" / module).is_dir(), row


@pytest.mark.parametrize(
    "option",
    [
        "--add", "--addin", "--replace", "--replacein", "--del", "--clear", "--eraf", "--src", "--dst",
        "--transport-proto", "--src-port", "--dst-port", "--af", "--edst", "--spi", "--proto", "--said", "--label",
        "--debug", "--help", "--version",
    ],
)  # fmt: skip
def test_every_option_of_the_classic_eroute_is_one_here(option: str) -> None:
    assert f" {option}" in eroute.parser().format_help()
