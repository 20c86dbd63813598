# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages tell what the commands take and how they end; ``mandoc`` judges their form in lint.sh."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from engine.cli import eroute, ike, ikedb, ikeping, import_keys, ipsec, spi, spigrp
from engine.cli.common import UsageError
from engine.manager import command

SHARE = Path(ike.__file__).parent / "share"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in SHARE.glob("man/man?/*")}
PARSERS = {
    "fleet-ipsec-manager.8": command.parser,
    "ike.8": ike.parser,
    "ikedb.8": ikedb.parser,
    "ipsec_eroute.8": eroute.parser,
    "ipsec_ikeping.8": ikeping.parser,
    "ipsec_import.8": import_keys.parser,
    "ipsec_spi.8": spi.parser,
    "ipsec_spigrp.8": spigrp.parser,
}
MAINS = {
    "fleet-ipsec-manager": command.main,
    "ike": ike.main,
    "ikedb": ikedb.main,
    "ipsec": ipsec.main,
    "ipsec_eroute": eroute.main,
    "ipsec_ikeping": ikeping.main,
    "ipsec_import": import_keys.main,
    "ipsec_spi": spi.main,
    "ipsec_spigrp": spigrp.main,
}
# How each can end, besides what interrupts it.
STATUSES = {
    "fleet-ipsec-manager": {"0", "1", "64", "78"},
    "ike": {"0", "1", "64"},
    "ikedb": {"0", "1", "64"},
    "ipsec": {"0", "64"},
    "ipsec_eroute": {"0", "1", "64", "69"},
    "ipsec_ikeping": {"0", "1 to 63", "64", "69"},
    "ipsec_import": {"0", "1", "64"},
    "ipsec_spi": {"0", "1"},
    "ipsec_spigrp": {"0", "1"},
}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found |= options_of(sub)
    return found


def told_options(page: str) -> set[str]:
    items = re.findall(r"^\.It (.*\bFl .*)$", page, re.MULTILINE)
    return {f"-{word}" for item in items for word in re.findall(r"(?:^|, )Fl (\S+)", item)}


def section(page: str, name: str) -> str:
    return page.partition(f".Sh {name}\n")[2].partition("\n.Sh ")[0]


def ended(name: str, words: list[str]) -> int:
    try:
        return MAINS[name](words)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("name", PARSERS)
def test_a_page_has_every_option_and_no_other(name: str) -> None:
    assert told_options(PAGES[name]) == options_of(PARSERS[name]())


def test_the_page_of_ike_has_every_word_and_no_other() -> None:
    told = re.findall(r"^\.It Cm (\w+)", PAGES["ike.8"], re.MULTILINE)
    words = {word for each in ike.COMMANDS.values() for word in each.words}
    assert sorted(told) == sorted([*ike.COMMANDS, *words])


def test_the_page_of_ipsec_has_every_command_and_each_has_a_page() -> None:
    assert re.findall(r"^\.It Cm (\w+)", PAGES["ipsec.8"], re.MULTILINE) == list(ipsec.COMMANDS)
    assert {f"ipsec_{name}.8" for name in ipsec.COMMANDS} < set(PAGES)


def test_the_page_of_the_manager_has_every_command() -> None:
    parser = command.parser()
    choices = next(each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    assert sorted(re.findall(r"^\.It Cm ([a-z-]+)$", PAGES["fleet-ipsec-manager.8"], re.MULTILINE)) == sorted(choices)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete(name: str) -> None:
    page = PAGES[name]
    wanted = ["NAME", "DESCRIPTION", "EXAMPLES", "COMPATIBILITY", "SEE ALSO"]
    wanted += ["SYNOPSIS", "EXIT STATUS"] if name.endswith(".8") else ["FILES"]
    assert set(wanted) <= set(re.findall(r"^\.Sh (.*)$", page, re.MULTILINE))
    assert re.search(rf"^\.Nm {re.escape(name[:-2])}$", page, re.MULTILINE)
    for other, number in re.findall(r"^\.Xr (\S+) (\d)", page, re.MULTILINE):
        assert f"{other}.{number}" in PAGES or number == "1", f"there is no page {other}({number})"


@pytest.mark.parametrize("name", MAINS)
def test_a_page_tells_how_its_command_ends(name: str) -> None:
    told = set(re.findall(r"^\.It (.*)$", section(PAGES[f"{name}.8"], "EXIT STATUS"), re.MULTILINE))
    assert told - {"130"} == STATUSES[name]


@pytest.mark.parametrize("name", MAINS)
def test_wrong_words_end_as_the_page_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With 64; the two commands of one status for all have that."""
    assert ended(name, ["--no-such-option"]) == (64 if "64" in STATUSES[name] else 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line


@pytest.mark.parametrize("name", MAINS)
def test_every_command_tells_its_release_and_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(name, ["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"{name.removeprefix('ipsec_')} of fleet.ipsec ")
    assert ended(name, ["--help"]) == 0
    assert re.search(rf"man (\d )?{'ipsec_COMMAND' if name == 'ipsec' else name}\b", capsys.readouterr().out)


@pytest.mark.parametrize("name", ipsec.COMMANDS)
def test_ipsec_helps_with_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        ipsec.main(["help", name])
    assert not caught.value.code and f"usage: ipsec {name}" in capsys.readouterr().out


def examples() -> list[tuple[str, list[str]]]:
    found = []
    for page, text in PAGES.items():
        for line in re.findall(r"^\.Dl (.*)$", section(text, "EXAMPLES"), re.MULTILINE):
            program, *words = shlex.split(line)
            name = f"{program}_{words.pop(0)}" if program == "ipsec" and words[0] != "help" else program
            found.append((name, words))
        assert ".Dl " in section(text, "EXAMPLES") or page.endswith(".5")
    return found


@pytest.mark.parametrize(("name", "words"), examples(), ids=str)
def test_examples_are_command_lines(name: str, words: list[str]) -> None:
    if name == "ipsec":
        assert words[0] == "help" and words[1] in ipsec.COMMANDS
        return
    parser = PARSERS[f"{name}.8"]()
    try:
        given = parser.parse_intermixed_args(words) if name.startswith("ike") else parser.parse_args(words)
    except UsageError as problem:
        pytest.fail(str(problem))
    if name == "ike":
        ike.command_of(given.words)
