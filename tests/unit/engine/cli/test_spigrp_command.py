# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spigrp``: the listing, and words that make no command."""

from __future__ import annotations

import io
import json

import pytest
from engine.classic import groups
from engine.cli import spigrp
from engine.cli.ipsec import main as ipsec
from engine.kernel.registry import Manual, Registry
from engine.kernel.values import KernelSelector, Policy, SaState
from engine.release import VERSION
from engine.said import parse_said

ANY = KernelSelector(4, bytes(4), 0, bytes(4), 0)
GROUP = ("tun.3d0@192.0.2.2", "esp.187a101b@192.0.2.2", "ah.187a101a@192.0.2.2")


def sa(spi: int, protocol: int, destination: str = "192.0.2.2", larval: bool = False) -> SaState:
    return SaState(
        "192.0.2.1", destination, spi, protocol, "tunnel", 0, 4, (), None, 0, False, larval, 0, 0, 0, 0, 0, 0, 0, ANY
    )


class Kernel:
    def dump_sas(self) -> list[SaState]:
        return [
            sa(0xC0000002, 50, "2001:db8::1"),
            sa(0xC0000001, 50),
            sa(0x187A101A, 51),
            sa(0x187A101B, 50),
            sa(0xC0000009, 50, larval=True),
            sa(0xC0000201, 4),  # the kernel's own, beside IPComp
        ]

    def dump_policies(self) -> list[Policy]:
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def runtime(monkeypatch, tmp_path) -> str:
    monkeypatch.setattr(groups, "XfrmClient", Kernel)
    registry = Registry(str(tmp_path))
    registry.add_group(tuple(parse_said(text) for text in GROUP))
    registry.close()
    return str(tmp_path)


def test_groups_then_single_sas(runtime, capsys):
    assert ipsec(["spigrp", "--runtime-dir", runtime]) == 0
    assert capsys.readouterr().out == (
        "tun0x3d0@192.0.2.2 esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\n"
        "esp0xc0000001@192.0.2.2\n"
        "esp0xc0000002@2001:db8::1\n"
    )


def test_a_line_for_each_sa_as_the_last_klips_had_it(runtime, capsys):
    assert spigrp.main(["--each-sa", "--runtime-dir", runtime]) == 0
    assert capsys.readouterr().out == (
        "tun0x3d0@192.0.2.2 esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\n"
        "esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\n"
        "ah0x187a101a@192.0.2.2\n"
        "esp0xc0000001@192.0.2.2\n"
        "esp0xc0000002@2001:db8::1\n"
    )


TABLE = """\
tun0x3d0@192.0.2.2 comp0x3d0@192.0.2.2  esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\x20
comp0x3d0@192.0.2.2 esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\x20

  esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2
ah0x187a101a@192.0.2.2
nonsense
tun:3d0@3049:1::1 esp:187a101b@3049:1::1
esp0x1ffffffff@192.0.2.2
"""
FOLDED = [
    ["tun.3d0@192.0.2.2", "comp.3d0@192.0.2.2", "esp.187a101b@192.0.2.2", "ah.187a101a@192.0.2.2"],
    ["tun:3d0@3049:1::1", "esp:187a101b@3049:1::1"],
]


def test_a_classic_table_is_listed_and_bad_lines_are_named(tmp_path, capsys):
    """Lines of either kind, with extra blanks; nothing is asked of a kernel, which this test has none of."""
    file = tmp_path / "ipsec_spigrp"
    file.write_text(TABLE)
    assert spigrp.main(["--json", "--file", str(file)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == FOLDED
    assert err.splitlines() == [
        "spigrp: line 6: 'nonsense': no @",
        "spigrp: line 8: 'esp0x1ffffffff@192.0.2.2': SPI does not fit in 32 bits",
    ]
    assert file.read_text() == TABLE


def test_a_file_that_is_no_table_is_not_poured_out(tmp_path, capsys):
    file = tmp_path / "words"
    file.write_text("word\n" * 25)
    assert spigrp.main(["--file", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 11
    assert err.splitlines()[-1] == f"spigrp: 15 more lines cannot be read; is {file} such a table?"


def test_what_is_listed_reads_back_the_same(runtime, monkeypatch, capsys):
    for each in ([], ["--each-sa"]):
        spigrp.main([*each, "--runtime-dir", runtime])
        listing = capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.StringIO(listing))
        assert spigrp.main([*each, "--file", "-"]) == 0
        assert capsys.readouterr() == (listing, "")


def test_an_empty_table_is_no_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert spigrp.main(["--file", "-"]) == 0 and capsys.readouterr() == ("", "")


def test_json_has_canonical_saids(runtime, capsys):
    assert spigrp.main(["--json", "--runtime-dir", runtime]) == 0
    assert json.loads(capsys.readouterr().out) == [
        list(GROUP),
        ["esp.c0000001@192.0.2.2"],
        ["esp:c0000002@2001:db8::1"],
    ]


def test_empty_table_prints_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(groups, "XfrmClient", Kernel)
    monkeypatch.setattr(Kernel, "dump_sas", lambda self: [])
    assert spigrp.main(["--runtime-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--label"], "--label: expected one argument"),
        (["--said"], "--said: expected at least one argument"),
        (["inet", "192.0.2.2", "0x113"], "3 words, which is no multiple of 4 (got 'inet 192.0.2.2 0x113')"),
        (["inet", "192.0.2.2", "0x113", "esp", "--said", "ah.114@192.0.2.2"], "cannot stand beside --said"),
        (["esp.113@192.0.2.2", "ah.114@192.0.2.2"], "SAs in one word come after --said"),
        (["ipv4", "192.0.2.2", "0x113", "esp"], "is no address family (got 'ipv4')"),
        (["inet", "2001:db8::1", "0x113", "esp"], "has no inet address"),
        (["inet6", "192.0.2.2", "0x113", "esp"], "has no inet6 address"),
        (["inet", "192.0.2.2", "0xgarbage", "esp"], "not hexadecimal"),
        (["inet", "192.0.2.2", "0x100000000", "esp"], "does not fit in 32 bits"),
        (["inet", "192.0.2.2", "0xff", "esp"], "SPIs below 0x100 are reserved"),
        (["inet", "192.0.2.2", "0x113", "ipip"], "is no protocol of an SA (got 'ipip')"),
        (["inet", "192.0.2.2", "0x113", "ESP"], "in lower case"),
        (["inet", "host.invalid", "0x113", "esp"], "has no inet address"),
        (["--said", "esp.1x3@192.0.2.2"], "not hexadecimal"),
        (["--said", "%drop"], "is an action and no SA"),
        (["--said", "ah.114@192.0.2.2", "inet", "192.0.2.2", "0x113", "esp"], "inet: cannot stand beside --said"),
        (["--label", ""], "--label: is empty"),
        (["inet", "192.0.2.2", "-5", "esp"], "SA: not decimal (got '-5'); write 0x and hexadecimal digits"),
        (["--said", *(f"esp.11{number}@192.0.2.2" for number in range(5))], "--said: a group has at most 4 SAs"),
        (
            ["inet", "192.0.2.2", "0x113", "esp"] * 5,
            "SA: a group has at most 4 SAs in the words of the classic command",
        ),
        (["--said", "esp.113@192.0.2.2", "--json"], "--json: is for the listing"),
        (["--file", "/nonexistent"], "--file: No such file or directory"),
    ],
)
def test_wrong_words_are_named_and_exit_1(runtime, capsys, words, problem):
    assert spigrp.main(["--runtime-dir", runtime, *words]) == 1
    out, err = capsys.readouterr()
    assert out == "" and problem in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["--label", "Y"], ["--label=Y"]])
@pytest.mark.parametrize("command", ["spigrp", "spi", "eroute"])
def test_a_label_begins_messages_however_it_is_written(command, words, capsys):
    assert ipsec([command, *words, "--said", "%refuse"]) != 0
    assert capsys.readouterr().err.startswith(f"{command} --label Y: ")


def test_help_tells_the_forms_and_statuses(capsys):
    with pytest.raises(SystemExit) as caught:
        spigrp.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert (
        "--said SAID [SAID]{0,3}" in text and "[FAMILY DESTINATION SPI PROTOCOL]{0,4}" in text and "exit status" in text
    )


@pytest.mark.parametrize(
    ("word", "instead"),
    [("look", "ipsec eroute --verbose"), ("auto", "ike "), ("tncfg", "interface"), ("lok", "known")],
)
def test_commands_of_old_lead_to_those_of_today(word, instead, capsys):
    assert ipsec([word, "--up", "x"]) == 64
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"ipsec: {word!r} is no command") and instead in told.err


def test_its_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        spigrp.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"spigrp of fleet.ipsec {VERSION}\n"


def test_a_tun_in_no_group_stands_alone(runtime, capsys):
    """One that was made for itself; one in a group is not listed again."""
    registry = Registry(runtime)
    with registry.changing():
        for said in ("tun.999@192.0.2.2", GROUP[0]):
            registry.put_manual(parse_said(said), Manual("tests", 0, "192.0.2.1"))
    registry.close()
    assert spigrp.main(["--runtime-dir", runtime]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "tun0x999@192.0.2.2" and len(lines) == 4
