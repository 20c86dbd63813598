# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes in people's words: what is read as what, and what is refused by name."""

from __future__ import annotations

import pytest
from engine.classic.eroute_words import Words, check_family, check_owner, read_direction, read_selector, read_target
from engine.classic.shunt import Shunt
from engine.errors import InputError


def name(field: str) -> str:
    return f"--{field}"


def line(*words: str | None) -> str:
    return Shunt(read_selector(Words(*words), name), "out", "drop", "me").line.partition(" => ")[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("10.1.0.0/16", "10.2.0.0/24"), "10.1.0.0/16 -> 10.2.0.0/24"),
        (("10.1.0.5", "0/0"), "10.1.0.5/32 -> 0.0.0.0/0"),
        (("any", "2001:db8::1"), "::/0 -> 2001:db8::1/128"),
        (("0/0", "0/0", None, None, None, "inet6"), "::/0 -> ::/0"),
        (("0:0/0", "0:0/0"), "::/0 -> ::/0"),
        (("any", "any"), "0.0.0.0/0 -> 0.0.0.0/0"),
        (("192.168.9.47/24", "10.0.0.0/255.0.0.0"), "192.168.9.0/24 -> 10.0.0.0/8"),
        (("10.1.0.0/16", "10.2.0.0/24", "tcp", "0", "smtp"), "10.1.0.0/16 -> 10.2.0.0/24:25"),
        (("10.1.0.0/16", "10.2.0.0/24", "17", "0x35", None), "10.1.0.0/16:53 -> 10.2.0.0/24"),
        (("10.1.0.0/16", "10.2.0.0/24", "0x11", "domain", "any"), "10.1.0.0/16:53 -> 10.2.0.0/24"),
    ],
)
def test_which_packets(words: tuple, expected: str) -> None:
    assert line(*words) == expected


def test_protocols_by_name_and_number() -> None:
    def number(text: str | None) -> int:
        return read_selector(Words("0/0", "0/0", text), name).protocol

    assert [number(text) for text in (None, "any", "0", "tcp", "udp", "icmp", "esp", "0x2f", "89")] == [
        0, 0, 0, 6, 17, 1, 50, 47, 89,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((None, "10.2.0.0/24"), "--source: is missing"),
        (("10.1.0.0/16", ""), "--destination: is missing"),
        (("10.1.0.0/33", "10.2.0.0/24"), "--source: '10.1.0.0/33'"),
        (("10.1.0.0/255.0.255.0", "10.2.0.0/24"), "--source: "),
        (("gw.example", "10.2.0.0/24"), "--source: 'gw.example'"),
        (("10.1.0.0/16", "2001:db8::/32"), "--source: is no IPv6 network"),
        (("10.1.0.0/16", "10.2.0.0/24", None, None, None, "inet6"), "--source: is no IPv6 network"),
        (("0/0", "2001:db8::/32", None, None, None, "inet"), "--destination: is no IPv4 network"),
        (("0/0", "0/0", None, None, None, "ipv4"), "--family: is no address family"),
        (("0/0", "0/0", "256"), "--protocol: is out of range"),
        (("0/0", "0/0", "TCPX"), "--protocol: is no protocol"),
        (("0/0", "0/0", "-1"), "--protocol: is no protocol"),
        (("0/0", "0/0", None, "25"), "--source_port: needs a protocol that has ports"),
        (("0/0", "0/0", "icmp", None, "25"), "--destination_port: needs a protocol that has ports"),
        (("0/0", "0/0", "tcp", None, "65536"), "--destination_port: is out of range"),
        (("0/0", "0/0", "tcp", "no-such-service"), "--source_port: is no tcp service"),
        (("0/0", "0/0", "tcp", "8000-8010"), "--source_port: is no tcp service"),
    ],
)
def test_what_is_refused(words: tuple, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        line(*words)
    assert str(caught.value).startswith(problem) and caught.value.remedy


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("%pass", ("pass", "")),
        ("%drop", ("drop", "")),
        ("%reject", ("reject", "")),
        ("%trap", ("trap", "")),
        ("%passthrough", ("pass", "")),
        ("%passthrough6", ("pass", "")),
        ("tun0x113@192.0.2.1", ("ipsec", "tun.113@192.0.2.1")),
        ("esp:1a2b@2001:db8::1", ("ipsec", "esp:1a2b@2001:db8::1")),
    ],
)
def test_targets(text: str, target: tuple[str, str]) -> None:
    assert read_target(text, "said") == target


@pytest.mark.parametrize(
    ("text", "networks", "fits"),
    [
        ("%passthrough", ("fd00::/8", "fd01::/16"), True),
        ("%passthrough6", ("fd00::/8", "fd01::/16"), True),
        ("%passthrough4", ("fd00::/8", "fd01::/16"), False),
        ("%passthrough4", ("10.0.0.0/8", "0/0"), True),
        ("%passthrough6", ("10.0.0.0/8", "0/0"), False),
        (None, ("10.0.0.0/8", "0/0"), True),
    ],
)
def test_a_pass_through_is_of_the_family_of_its_networks(text: str | None, networks: tuple, fits: bool) -> None:
    selector = read_selector(Words(*networks), name)
    if fits:
        check_family(text, selector, "--said")
        return
    with pytest.raises(InputError, match="--said: is of another family than the networks"):
        check_family(text, selector, "--said")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("%hold", "set %trap"),
        ("%trapsubnet", "set %trap"),
        ("%foo", "shorter than"),
        ("%refuse", "no action known here"),
        ("%passthrough9", "no action known here"),
        ("esp.99@192.0.2.1", "SPIs below 0x100 are reserved"),
        ("int.104@192.0.2.1", "internal protocol"),
        ("esp.100", "no @"),
    ],
)
def test_targets_that_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_target(text, "said")


def test_directions() -> None:
    assert [read_direction(None, action, "d") for action in ("pass", "drop", "reject", "trap", "ipsec")] == [
        "both", "out", "out", "out", "out",
    ]  # fmt: skip
    for action, direction in (("reject", "in"), ("reject", "both"), ("trap", "in"), ("ipsec", "both"), ("drop", "fwd")):
        with pytest.raises(InputError):
            read_direction(direction, action, "d")


@pytest.mark.parametrize("owner", ["", "x" * 65, "a\nb"])
def test_owners_that_are_none(owner: str) -> None:
    with pytest.raises(InputError, match="is no name of an owner"):
        check_owner(owner, "owner")
