# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors into policies: exactly the same packets, and the most specific first."""

from __future__ import annotations

import errno

import pytest
from engine.errors import KernelError
from engine.kernel.policies import (
    MAX_POLICIES,
    PRIORITY_FIRST,
    PRIORITY_LAST,
    kernel_selectors,
    packet_selectors,
    policies,
    priority,
    reverse,
)
from engine.kernel.values import KernelSelector, Template
from engine.selector import Selector, parse_selector
from hypothesis import given
from hypothesis import strategies as st

octets = st.integers(0, 255)
port = st.integers(0, 65535)
ANY = parse_selector("0.0.0.0/0")
RAGGED = Selector(bytes(15) + b"\1", b"\xff" * 15 + b"\xfe")  # 254 networks


def matches(s: KernelSelector, source: int, destination: int, protocol: int, sport: int, dport: int) -> bool:
    """The kernel's own comparison, in the plainest words (IPv4)."""

    def within(address: int, network: bytes, prefix: int) -> bool:
        return prefix == 0 or address >> (32 - prefix) == int.from_bytes(network, "big") >> (32 - prefix)

    return (
        within(source, s.source, s.source_prefix)
        and within(destination, s.destination, s.destination_prefix)
        and s.protocol in (0, protocol)
        and not (sport ^ s.source_port) & s.source_port_mask
        and not (dport ^ s.destination_port) & s.destination_port_mask
    )


def ordered(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(strategy, strategy).map(lambda pair: (min(pair), max(pair)))


def near(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted({value for value in (low - 1, low, (low + high) // 2, high, high + 1) if value >= 0}))


@given(st.data(), ordered(octets), ordered(port), ordered(port), st.sampled_from([0, 6, 17]))
def test_ranges_match_the_same_packets(
    data: st.DataObject, hosts: tuple[int, int], here: tuple[int, int], there: tuple[int, int], protocol: int
) -> None:
    base = 0x0A010000
    local = Selector((base + hosts[0]).to_bytes(4, "big"), (base + hosts[1]).to_bytes(4, "big"), protocol, *here)
    remote = Selector(bytes([10, 2, 0, 0]), bytes([10, 2, 255, 255]), protocol, *there)
    try:
        found = kernel_selectors((local,), (remote,))
    except KernelError as exc:
        assert exc.errno == errno.E2BIG
        return
    host = data.draw(near(*hosts))
    sport, dport = data.draw(near(*here)), data.draw(near(*there))
    sport, dport = min(sport, 65535), min(dport, 65535)
    wanted = hosts[0] <= host <= hosts[1] and here[0] <= sport <= here[1] and there[0] <= dport <= there[1]
    hits = [s for s in found if matches(s, base + host, 0x0A020001, protocol, sport, dport)]
    assert len(hits) == wanted
    back = [s for s in found if matches(reverse(s), 0x0A020001, base + host, protocol, dport, sport)]
    assert back == hits


@given(st.integers(0, 32), st.integers(0, 32), st.integers(0, 8), st.integers(0, 8), st.booleans(), st.booleans())
def test_what_lies_inside_comes_first(
    source: int, destination: int, deeper: int, further: int, protocol: bool, ports: bool
) -> None:
    wide = KernelSelector(4, bytes(4), source, bytes(4), destination)
    narrow = KernelSelector(
        4, bytes(4), min(32, source + deeper), bytes(4), min(32, destination + further),
        6 if protocol or ports else 0, 80, 0xFFFF if ports else 0,
    )  # fmt: skip
    assert (priority(narrow) < priority(wide)) == (narrow != wide and priority(narrow) != priority(wide))
    same = narrow.source_prefix == source and narrow.destination_prefix == destination and not (protocol or ports)
    assert (priority(narrow) == priority(wide)) == same
    assert priority(reverse(narrow)) == priority(narrow)


def test_prefixes_come_before_ports_and_all_behind_the_shunts() -> None:
    longer = KernelSelector(6, bytes(16), 64, bytes(16), 65)
    with_ports = KernelSelector(6, bytes(16), 64, bytes(16), 64, 6, 1, 0xFFFF, 2, 0xFFFF)
    assert priority(longer) < priority(with_ports)
    narrowest = KernelSelector(6, bytes(16), 128, bytes(16), 128, 6, 1, 0xFFFF, 2, 0xFFFF)
    widest = KernelSelector(4, bytes(4), 0, bytes(4), 0)
    assert 0xFFFF < PRIORITY_FIRST <= priority(narrowest) < priority(widest) == PRIORITY_LAST


def test_families_and_protocols_combine_where_they_can() -> None:
    local = (parse_selector("10.1.0.0/24[tcp]"), parse_selector("fd00:1::/64"))
    remote = (parse_selector("10.2.0.0/24"), parse_selector("10.3.0.0/24[udp]"), parse_selector("fd00:2::/64"))
    assert [(s.family, s.protocol) for s in kernel_selectors(local, remote)] == [(4, 6), (6, 0)]


@pytest.mark.parametrize(
    ("local", "remote", "number"),
    [
        ((parse_selector("10.1.0.0/24"),), (parse_selector("fd00::/64"),), errno.EINVAL),
        ((parse_selector("10.1.0.0/24[tcp]"),), (parse_selector("10.2.0.0/24[udp]"),), errno.EINVAL),
        ((Selector(bytes(4), b"\xff" * 4, 17, 65535, 0),), (ANY,), errno.EOPNOTSUPP),
        ((RAGGED,) * 255, (RAGGED,) * 255, errno.E2BIG),
        ((parse_selector("0.0.0.0/0[tcp/1-65534]"),), (parse_selector("0.0.0.0/0[tcp/1-65534]"),), errno.E2BIG),
    ],
    ids=["families", "protocols", "opaque", "many", "ports"],
)  # fmt: skip
def test_what_cannot_be_a_policy_is_refused(
    local: tuple[Selector, ...], remote: tuple[Selector, ...], number: int
) -> None:
    with pytest.raises(KernelError) as caught:
        kernel_selectors(local, remote)
    assert caught.value.errno == number


def test_the_limit_itself_is_allowed() -> None:
    hosts = tuple(parse_selector(f"10.1.0.{number}") for number in range(MAX_POLICIES))
    assert len(kernel_selectors(hosts, (ANY,))) == MAX_POLICIES


def test_icmp_keeps_type_and_code_in_both_directions() -> None:
    (echo,) = kernel_selectors((parse_selector("10.1.0.0/24[icmp/2048]"),), (parse_selector("10.2.0.0/24"),))
    assert echo[6:10] == (8, 0xFFFF, 0, 0xFFFF) == reverse(echo)[6:10]
    local, remote = packet_selectors(echo)
    assert (local.first_port, remote.last_port) == (8 << 8, 8 << 8)


def test_inbound_takes_every_generation_and_outbound_one() -> None:
    template = Template("192.0.2.1", "192.0.2.2", 0xC0DE, 50, "tunnel", 5)
    (selector,) = kernel_selectors((parse_selector("10.1.0.0/24"),), (parse_selector("10.2.0.0/24"),))
    found = policies(selector, template)
    assert [(p.direction, p.templates[0].spi, p.templates[0].source) for p in found] == [
        ("in", 0, "192.0.2.2"), ("fwd", 0, "192.0.2.2"), ("out", 0xC0DE, "192.0.2.1"),
    ]  # fmt: skip
    transport = policies(selector, template._replace(mode="transport"))
    assert [p.direction for p in transport] == ["in", "out"]
