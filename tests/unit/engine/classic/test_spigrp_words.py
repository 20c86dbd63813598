# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of spigrp(8) and the lines of spigrp(5)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engine.classic.groups import read_file
from engine.classic.klips import group_lines, read_groups, sa_lines
from engine.classic.positional import parse_named, parse_positional
from engine.errors import InputError
from engine.said import Said, parse_said

DATA = Path(__file__).parent / "data"
CANONICAL = re.compile(r"(ah|esp|comp|tun)(\.[0-9a-f]{1,8}@[0-9.]+|:[0-9a-f]{1,8}@[0-9a-f:.]+)")
# The page says that either is a group of three.
EXAMPLES = [
    "tun.3d0@192.168.2.110 comp.3d0@192.168.2.110 esp.187a101b@192.168.2.110 ah.187a101a@192.168.2.110",
    "tun:3d0@3049:1::1 comp:3d0@3049:1::1 esp:187a101b@3049:1::1 ah:187a101a@3049:1::1",
]


def words(text: str) -> tuple[Said, ...]:
    return tuple(parse_said(word) for word in text.split())


@pytest.mark.parametrize(
    ("text", "spi"),
    [("0x113", 0x113), ("275", 0x113), ("0423", 0x113), ("0X113", 0x113), ("0xffffffff", 0xFFFFFFFF), ("256", 0x100)],
)
def test_an_spi_is_hexadecimal_decimal_or_octal(text: str, spi: int) -> None:
    assert parse_positional(["inet", "192.0.2.2", text, "esp"]) == (Said(50, spi, "192.0.2.2"),)


@pytest.mark.parametrize("text", ["0x", "x113", "113x", "-1", "+275", "1_0", "0x1_0", "08", "", "0x100000000", "٣٣٣"])
def test_other_spis_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_positional(["inet", "192.0.2.2", text, "esp"])


@pytest.mark.parametrize(("family", "address"), [("inet", "127.0.0.1"), ("inet6", "::1")])
def test_a_name_is_resolved_in_the_family_given(monkeypatch, family: str, address: str) -> None:
    found = {2: "127.0.0.1", 10: "::1"}
    monkeypatch.setattr(
        "engine.classic.positional.socket.getaddrinfo",
        lambda _name, _port, kind, _type: [(kind, 2, 17, "", (found[kind], 0))],
    )
    assert parse_positional([family, "gw2.example.net", "0x113", "esp"])[0].destination == address
    separator = "." if family == "inet" else ":"
    assert parse_named(f"esp{separator}113@gw2.example.net", "--said") == Said(50, 0x113, address)


def test_addresses_are_read_in_any_spelling() -> None:
    assert parse_positional(["inet6", "2001:DB8:0::2", "0x113", "tun"])[0].destination == "2001:db8::2"
    assert str(parse_named("tun:113@2001:DB8:0::2", "--said")) == "tun:113@2001:db8::2"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="--said: has no inet address"):
        parse_named("esp.113@host.invalid", "--said")


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_examples_of_the_page_read_and_print_back(line: str) -> None:
    (group,), problems = read_groups(line)
    assert len(group) == 4 and problems == []
    assert " ".join(map(str, group)) == line
    assert all(CANONICAL.fullmatch(str(said)) for said in group)
    assert read_groups(group_lines([group])[0]) == ([group], [])


def test_every_real_line_reads_and_prints_back() -> None:
    lines = [line.split("\t")[0] for line in (DATA / "spigrp_proc.tsv").read_text().splitlines() if line[:1] != "#"]
    assert len(lines) > 20
    for line in lines:
        (group,), problems = read_groups(f"{line} \n")  # the kernel ended them in a blank
        assert problems == [] and [" ".join(said.proc for said in group)] == group_lines([group])
        assert group_lines([group])[0].lower() == line.lower()
        assert all(CANONICAL.fullmatch(str(said)) for said in group)


def test_blanks_do_not_matter() -> None:
    plain, _none = read_groups(EXAMPLES[0])
    assert read_groups("\n  " + EXAMPLES[0].replace(" ", "   ") + " \t\n\n") == (plain, [])


def test_either_listing_reads_as_the_same_groups() -> None:
    groups = [words(EXAMPLES[0]), words(EXAMPLES[1]), words("esp.115@192.0.2.2")]
    per_group, per_sa = group_lines(groups), sa_lines(groups)
    assert len(per_group) == 3 and len(per_sa) == 9
    assert read_groups("\n".join(per_group)) == (groups, [])
    assert read_groups("\n".join(reversed(per_sa)))[0] == groups[::-1]


def test_a_bad_line_is_reported_with_its_number_and_the_others_are_kept() -> None:
    groups, problems = read_groups(f"{EXAMPLES[0]}\nesp0x115@192.0.2.2 nonsense\n\n{EXAMPLES[1]}\n")
    assert [len(group) for group in groups] == [4, 4]
    assert [(problem.number, problem.reason) for problem in problems] == [(2, "'nonsense': no @")]


def test_an_empty_table_is_an_empty_list() -> None:
    assert read_groups("") == ([], []) and read_groups("\n \n") == ([], [])


def test_the_direction_is_told_by_the_destination() -> None:
    found, _problems = read_file("\n".join(EXAMPLES), lambda address: address == "3049:1::1")
    assert [group.direction for group in found] == ["out", "in"]
