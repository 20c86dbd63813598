# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The classic texts: every sample line is read, and what is written reads the same."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from engine.classic.klips import (
    ErouteLine,
    format_eroute,
    format_group,
    group_lines,
    parse_eroute,
    read_eroutes,
    read_groups,
)
from engine.errors import InputError
from engine.newer_python import zip
from engine.said import Said, parse_said
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data"


def lines(name: str) -> list[str]:
    return (DATA / f"{name}.tsv").read_text(encoding="utf-8").splitlines()


def rows(name: str) -> list[list[str]]:
    return [[*line.split("\t"), "", "", ""][:4] for line in lines(name)]


def whole_table(name: str) -> list[ErouteLine]:
    found, problems = read_eroutes("\n".join(lines(name)))
    assert problems == [] and len(found) == len(lines(name))
    return found


def squeezed(line: str) -> str:
    return " ".join(line.split())


# SAIDs


@pytest.mark.parametrize(("text", "verdict", "canonical", "proc"), rows("said_cases"))
def test_said_cases(text: str, verdict: str, canonical: str, proc: str) -> None:
    if verdict == "error":
        with pytest.raises(InputError) as caught:
            parse_said(text)
        assert canonical.partition(" (")[0] in caught.value.problem
        return
    said = parse_said(text)
    assert (str(said), said.proc) == (canonical, proc)
    if not said.magic:
        assert parse_said(str(said)) == parse_said(said.proc) == said


saids = st.builds(
    Said,
    st.sampled_from([4, 50, 51, 108]),
    st.integers(0x100, 0xFFFFFFFF),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(lambda a: parse_said(f"esp0x100@{a}").destination),
)


@given(saids)
def test_every_said_is_read_as_it_is_written(said: Said) -> None:
    assert parse_said(str(said)) == parse_said(said.proc) == said


# Eroutes


def test_every_sample_of_the_eroute_table_is_written_as_it_was() -> None:
    for line, eroute in zip(lines("eroute_proc"), whole_table("eroute_proc"), strict=True):
        # A count that wrapped is turned back; all else is as it was.
        count, _blank, rest = squeezed(line).partition(" ")
        written_count, _blank, written = squeezed(format_eroute(eroute)).partition(" ")
        assert written == rest
        assert (int(written_count) - int(count)) % (1 << 32) == 0 and eroute.packets >= 0


def test_lines_without_a_count_have_none() -> None:
    for line, eroute in zip(lines("eroute_nocount"), whole_table("eroute_nocount"), strict=True):
        assert eroute.packets is None
        assert squeezed(format_eroute(eroute)) == f"0 {squeezed(line)}"


def test_lines_of_look_have_the_group_and_the_count_last() -> None:
    for line, eroute in zip(lines("eroute_look"), whole_table("eroute_look"), strict=True):
        left, _arrow, right = line.partition("=>")
        *words, count = right.split()
        assert eroute.packets == int(count.strip("()"))
        # Behind a colon: the transport protocol.
        saids = [re.sub(r"(@[0-9.]+):\d+$", r"\1", word) for word in words]
        assert eroute.group == tuple(str(parse_said(word)) for word in saids)
        assert eroute.target == eroute.group[0]
        assert squeezed(format_eroute(eroute)) == squeezed(f"{eroute.packets} {left}=> {words[0]}")


networks4 = st.builds(lambda a, p: ip_network((int(a), p), strict=False), st.ip_addresses(v=4), st.integers(0, 32))
networks6 = st.builds(lambda a, p: ip_network((a.packed, p), strict=False), st.ip_addresses(v=6), st.integers(0, 128))
ends = st.one_of(st.tuples(networks4, networks4), st.tuples(networks6, networks6))
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789.@-", max_size=12)


@given(
    st.integers(0, 0x7FFFFFFF), ends, st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 255),
    st.one_of(saids.map(str), st.sampled_from(["%trap", "%hold", "%pass", "%passthrough"])),
    st.one_of(st.none(), st.tuples(names, names)),
)  # fmt: skip
def test_every_eroute_is_read_as_it_is_written(
    packets, networks, source_port, destination_port, protocol, target, identities
) -> None:
    source, destination = networks
    eroute = ErouteLine(
        packets, source, source_port, destination, destination_port, target, protocol, *(identities or (None, None)),
        group=(target,),
    )  # fmt: skip
    assert parse_eroute(format_eroute(eroute)) == eroute


# The examples of the manual page, and what they say.
@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "1867     172.31.252.0/24:0    -> 0.0.0.0/0:0    => tun0x130@192.168.43.1:0\n         () ()",
            (1867, "172.31.252.0/24", 0, "0.0.0.0/0", 0, "tun.130@192.168.43.1", 0, "", ""),
        ),
        (
            "125      3049:1::/64    -> 0:0/0    => tun:130@3058:4::5\t() ()",
            (125, "3049:1::/64", 0, "::/0", 0, "tun:130@3058:4::5", 0, "", ""),
        ),
        (
            "42  192.168.6.0/24:0  -> 192.168.7.0/24:0  => %passthrough",
            (42, "192.168.6.0/24", 0, "192.168.7.0/24", 0, "%passthrough", 0, None, None),
        ),
        (
            "2112  192.168.8.55/32:0  -> 192.168.9.47/24:0 => %hold (east) ()",
            (2112, "192.168.8.55/32", 0, "192.168.9.47/24", 0, "%hold", 0, "east", ""),
        ),
        (
            "2001  192.168.2.110/32:0  -> 192.168.2.120/32:25 => esp0xe6de@192.168.2.120:6 () ()",
            (2001, "192.168.2.110/32", 0, "192.168.2.120/32", 25, "esp.e6de@192.168.2.120", 6, "", ""),
        ),
        (
            "3  3049:1::110/128  -> 3049:1::120/128 => ah:f5ed@3049:1::120 () ()",
            (3, "3049:1::110/128", 0, "3049:1::120/128", 0, "ah:f5ed@3049:1::120", 0, "", ""),
        ),
        ("0:0/0 -> 0:0/0 => %trap () ()", (None, "::/0", 0, "::/0", 0, "%trap", 0, "", "")),
    ],
)
def test_every_shape_of_the_manual_page_reads_as_it_says(text: str, values: tuple) -> None:
    (e,), problems = read_eroutes(text)
    assert problems == []
    assert (
        e.packets, str(e.source), e.source_port, str(e.destination), e.destination_port, e.target, e.protocol,
        e.source_identity, e.destination_identity,
    ) == values  # fmt: skip


@pytest.mark.parametrize(
    ("target", "said", "protocol"),
    [
        # What is an address to its end has no protocol …
        ("esp0x1234@2001:db8::23:6", "esp:1234@2001:db8::23:6", 0),
        # … but one group more than an address has can only be one …
        ("esp0x1234@2001:db8:1:2:3:4:5:6:17", "esp:1234@2001:db8:1:2:3:4:5:6", 17),
        # … and brackets say where it ends.
        ("esp0x1234@[2001:db8::23]:6", "esp:1234@2001:db8::23", 6),
    ],
)
def test_a_number_behind_an_ipv6_address(target: str, said: str, protocol: int) -> None:
    line = parse_eroute(f"1 2001:db8:1::/64 -> 2001:db8:2::/64 => {target}")
    assert (line.target, line.protocol) == (said, protocol)
    assert parse_eroute(format_eroute(line)) == line


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("1 10.1.0.0/24 -> 10.2.0.0/24 => %trapsubnet:6", "1 10.1.0.0/24 -> 10.2.0.0/24 => %trapsubnet:6"),
        ("1 10.1.0.0/24 -> 10.2.0.0/24 => %unk-262:6", "1 10.1.0.0/24 -> 10.2.0.0/24 => %unk-262:6"),
        ("1 10.1.0.0/24 -> 10.2.0.0/24 => unk12.34@10.0.0.1", "1 10.1.0.0/24 -> 10.2.0.0/24 => unk120x34@10.0.0.1"),
        ("1 10.1.2.0/255.0.255.0 -> 10.2.0.0/255.255.0.0:25 => %drop:6",
         "1 10.0.2.0/255.0.255.0 -> 10.2.0.0/16:25 => %drop:6"),
        ("-1 10.1.0.0/24 -> 10.2.0.0/24 =>tun0x130@10.0.0.1",
         "4294967295 10.1.0.0/24 -> 10.2.0.0/24 => tun0x130@10.0.0.1"),
        ("3049:1::/64:25 -> [3049:2::/64]:80 => %pass:6", "0 [3049:1::/64]:25 -> [3049:2::/64]:80 => %pass:6"),
    ],
)  # fmt: skip
def test_rare_shapes(line: str, written: str) -> None:
    eroute = parse_eroute(line)
    assert squeezed(format_eroute(eroute)) == written
    assert squeezed(format_eroute(parse_eroute(written))) == written


@given(st.text(max_size=200))
def test_no_line_whatsoever_breaks_the_reader(text: str) -> None:
    found, problems = read_eroutes(text)
    assert len(found) + len(problems) <= len(text.splitlines())


@given(st.text("0123456789abcdef:./->=% @()[]espahtundrop \t", max_size=120))
def test_what_looks_like_a_line_is_read_or_reported(noise: str) -> None:
    found, problems = read_eroutes(f"1 10.1.0.0/24 -> 10.2.0.0/24 => {noise}")
    assert found or problems


def test_identities_may_stand_in_a_line_of_their_own() -> None:
    found, problems = read_eroutes(
        "12 10.0.0.0/8 -> 0.0.0.0/0 => %trap\n    (east) ()\n\n3 10.0.0.0/8 -> 0:0/0 => %pass"
    )
    assert problems == []
    assert [(e.packets, e.source_identity, e.destination_identity) for e in found] == [
        (12, "east", ""),
        (3, None, None),
    ]
    assert found[1].destination == ip_network("0.0.0.0/0")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("12 10.0.0.0/8 10.1.0.0/16 => %trap", "no ->"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 %trap", "no =>"),
        ("12 10.0.0.0 -> 10.1.0.0/16 => %trap", "has no mask"),
        ("12 10.0.0.0/33 -> 10.1.0.0/16 => %trap", "10.0.0.0/33"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 => %detrap", "'%detrap': is no action known here"),
        ("12 10.0.0.0/8:70000 -> 10.1.0.0/16 => %trap", "port 70000 is out of range"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 =>", "nothing after =>"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 => esp.12@", "is not an address"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 => %trap:300", "transport protocol 300"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 => esp0x123@10.0.0.1 ah0x124@10.0.0.1", "is too much"),
        (f"{'9' * 5000} 10.0.0.0/8 -> 10.1.0.0/16 => %trap", "is not a subnet"),
        (f"12 10.0.0.0/8:{'9' * 5000} -> 10.1.0.0/16 => %trap", "10.0.0.0/8"),
        ("12 10.0.0.0/8 -> fd00::/8 => %pass", "10.0.0.0/8 and fd00::/8 are of two families"),
        ("12 fd00::/8 -> 0.0.0.0/0 => %pass", "are of two families"),
        ("12 fd00::/8 -> fd01::/16 => %passthrough4", "%passthrough4 is of another family"),
        ("12 10.0.0.0/8 -> 10.1.0.0/16 => %passthrough6", "%passthrough6 is of another family"),
        ("٣ 10.0.0.0/8 -> 10.1.0.0/16 => %trap", "is not a subnet"),
    ],
)
def test_lines_that_cannot_be_read_are_reported_and_the_others_kept(line: str, reason: str) -> None:
    good = "1 10.0.0.0/8 -> 10.1.0.0/16 => %trap"
    found, problems = read_eroutes(f"{good}\n{line}\n{good}")
    assert len(found) == 2
    shown = f"{line[:100]}…{line[-100:]}" if len(line) > 200 else line
    assert [(p.number, p.line) for p in problems] == [(2, shown)] and reason in problems[0].reason


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("192.168.9.47/24", "%passthrough"),
        ("192.168.9.47/24:25", "%passthrough4:6"),
        ("fd00::5/16", "%passthrough6"),
        ("[fd00::5/16]:25", "%passthrough:17"),
    ],
)
def test_what_is_written_is_shown(source: str, target: str) -> None:
    """Neither the host before a mask nor the word of a pass-through becomes another."""
    line = f"7          {source:<18s} -> {'::/0' if 'f' in source else '0.0.0.0/0':<18s} => {target}"
    assert format_eroute(parse_eroute(line)) == line


# Groups


@pytest.mark.parametrize("line", lines("spigrp_proc"))
def test_every_sample_of_the_group_table_is_written_as_it_was(line: str) -> None:
    (members,), problems = read_groups(f"{line} \n")
    assert problems == [] and format_group(members) == line
    canonical = " ".join(map(str, members))
    assert read_groups(canonical) == ([members], [])


def test_a_line_for_each_sa_is_folded_into_groups() -> None:
    whole = "tun0x1@10.0.0.1 esp0x2@10.0.0.1 ah0x3@10.0.0.1"
    found, _problems = read_groups(f"esp0x2@10.0.0.1 ah0x3@10.0.0.1\n{whole}\nah0x3@10.0.0.1\nesp0x9@10.0.0.1\n")
    assert [format_group(members) for members in found] == [whole, "esp0x9@10.0.0.1"]


def test_a_bad_line_of_the_group_table_is_reported_with_its_number() -> None:
    found, problems = read_groups("\nesp0x100@10.0.0.1\n\nesp0x100@10.0.0.1 espx@10.0.0.1\n")
    assert len(found) == 1
    assert [(p.number, p.reason) for p in problems] == [(4, "'espx@10.0.0.1': not decimal")]


def test_an_empty_table_is_no_error() -> None:
    assert read_groups("") == read_eroutes("") == ([], [])


def test_groups_with_protocols_that_had_no_name() -> None:
    found, problems = read_groups("unk99.5a0@192.0.2.1 esp.200@192.0.2.1 \nunk300.5@192.0.2.1\n")
    assert [group_lines([members]) for members in found] == [["unk990x5a0@192.0.2.1 esp0x200@192.0.2.1"]]
    assert [(problem.number, problem.reason) for problem in problems] == [
        (2, "'unk300.5@192.0.2.1': no protocol prefix")
    ]
    assert read_groups(group_lines(found)[0])[0] == found


AS_ON_THE_PAGE = """
     1867     172.31.252.0/24:0    -> 0.0.0.0/0:0    =>
              tun0x130@192.168.43.1:0

     () ()

     125      3049:1::/64    -> 0:0/0    =>

              tun:130@3058:4::5

     (@west.example)    (@east.example)

     42       192.168.6.0/24:0
              -> 192.168.7.0/24:0
              => %passthrough
     7        10.0.0.0/8 -> 10.1.0.0/16 => %trap
"""


LOOK = """\
east Fri Nov 29 10:12:14 GMT 2002
10.2.0.0/24        -> 10.1.0.0/24        => tun0x1002@192.0.2.45 comp0x68dd@192.0.2.45 esp0xa7d8251a@192.0.2.45  (0)
10.2.0.0/24        -> 10.3.0.0/24        => tun0x1004@192.0.2.46 esp0xa7d8251b@192.0.2.46
ipsec0->eth1 mtu=16260(1500)->1500
ipsec1->NULL mtu=0(0)->0
esp0xa7d8251a@192.0.2.45 ESP_3DES_HMAC_MD5: dir=out src=192.0.2.23 iv_bits=64bits life(c,s,h)=addtime(2,0,0)
tun0x1001@192.0.2.23 IPIP: dir=in  src=192.0.2.45 policy=10.1.0.0/24->10.2.0.0/24 flags=0x8<> refcount=4 ref=9
Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface
0.0.0.0         192.0.2.254     0.0.0.0         UG       40 0          0 eth1
192.0.2.0       0.0.0.0         255.255.255.0   U        40 0          0 eth1
"""


def test_the_whole_output_of_look_is_read() -> None:
    found, problems = read_eroutes(LOOK)
    assert problems == []
    assert [(line.packets, line.group) for line in found] == [
        (0, ("tun.1002@192.0.2.45", "comp.68dd@192.0.2.45", "esp.a7d8251a@192.0.2.45")),
        (None, ("tun.1004@192.0.2.46", "esp.a7d8251b@192.0.2.46")),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "10 10.2.0.0/24 -> 10.3.0.0/24 => tun0x1004@192.0.2.46 esp0xa7d8251b@192.0.2.46",
        "ipsec0->eth1",
        "east Fri 29",
        "esp0xa7d8251a@192.0.2.45 ESP_3DES_HMAC_MD5:",
        "0.0.0.0 192.0.2.254 0.0.0.0 UG",
    ],
)
def test_what_look_does_not_print_is_told(line: str) -> None:
    found, problems = read_eroutes(line)
    assert not found and len(problems) == 1


def test_examples_in_the_layout_of_the_page_are_read() -> None:
    found, problems = read_eroutes(AS_ON_THE_PAGE)
    assert problems == []
    assert [(line.packets, line.target, line.source_identity, line.destination_identity) for line in found] == [
        (1867, "tun.130@192.168.43.1", "", ""),
        (125, "tun:130@3058:4::5", "@west.example", "@east.example"),
        (42, "%passthrough", None, None),
        (7, "%trap", None, None),
    ]


def test_lines_that_never_end_are_not_heaped_up() -> None:
    """A file of arrows is no table: each line of it is looked at a few times at most."""
    _found, problems = read_eroutes("=>\n" * 1000)
    assert 1000 // 6 <= len(problems) <= 1000 and all(len(problem.line) < 20 for problem in problems)
