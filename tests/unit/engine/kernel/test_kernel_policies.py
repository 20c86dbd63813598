# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors into policies: what is covered, and that the most specific one wins."""

from __future__ import annotations

import errno
import ipaddress
from itertools import product

import pytest
from engine.errors import KernelError
from engine.kernel.policies import (
    MAX_POLICIES,
    PRIORITY_FIRST,
    PRIORITY_LAST,
    covers,
    is_pass,
    kernel_selectors,
    network,
    network_text,
    owner_of_pass,
    packet_selectors,
    passes,
    policies,
    priority,
    ranked_selectors,
    reverse,
)
from engine.kernel.values import OUT, KernelSelector, Policy, Template
from engine.newer_python import bit_count
from engine.selector import OPAQUE_PORT, Selector, parse_selector
from hypothesis import given
from hypothesis import strategies as st

octets = st.integers(0, 255)
port = st.integers(0, 65535)
ANY = parse_selector("0.0.0.0/0")
RAGGED = Selector(bytes(15) + b"\1", b"\xff" * 15 + b"\xfe")  # 254 networks
ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple)


TEMPLATE = Template("192.0.2.1", "192.0.2.2", 0, 50, "tunnel", 7)


def mask_of(prefix: int) -> int:
    return (0xFFFF << (16 - prefix)) & 0xFFFF


@st.composite
def kernel_selector(draw, family: int = 4) -> KernelSelector:
    bits = 32 if family == 4 else 128
    sides = []
    for _side in range(2):
        prefix = draw(st.integers(0, bits))
        address = draw(st.integers(0, (1 << bits) - 1)) >> (bits - prefix) << (bits - prefix)
        sides += [address.to_bytes(bits // 8, "big"), prefix]
    protocol = draw(st.sampled_from([0, 6, 17]))
    port_fields = []
    for _side in range(2):
        mask = mask_of(draw(st.integers(0, 16))) if protocol else 0
        port_fields += [draw(st.integers(0, 65535)) & mask, mask]
    return KernelSelector(family, *sides, protocol, *port_fields)


@st.composite
def narrowed(draw) -> tuple[KernelSelector, KernelSelector]:
    """A selector and another one inside of it."""
    family = draw(st.sampled_from([4, 6]))
    outer = draw(kernel_selector(family=family))
    bits = 32 if family == 4 else 128
    fields = outer._asdict()
    for side in ("source", "destination"):
        prefix = draw(st.integers(fields[f"{side}_prefix"], bits))
        host = draw(st.integers(0, (1 << bits) - 1)) & ((1 << (bits - fields[f"{side}_prefix"])) - 1)
        address = (int.from_bytes(fields[side], "big") | host) >> (bits - prefix) << (bits - prefix)
        fields[side], fields[f"{side}_prefix"] = address.to_bytes(bits // 8, "big"), prefix
    fields["protocol"] = fields["protocol"] or draw(st.sampled_from([0, 6, 17]))
    for side in ("source", "destination"):
        held = fields[f"{side}_port_mask"]
        mask = mask_of(draw(st.integers(bit_count(held), 16))) if fields["protocol"] else 0
        port = (fields[f"{side}_port"] & held | draw(st.integers(0, 65535)) & ~held) & mask
        fields[f"{side}_port"], fields[f"{side}_port_mask"] = port, mask
    return outer, KernelSelector(**fields)


@given(narrowed())
def test_the_inner_of_two_selectors_wins(pair: tuple[KernelSelector, KernelSelector]) -> None:
    outer, inner = pair
    assert (priority(inner) < priority(outer)) == (inner != outer)


@given(st.sampled_from([4, 6]).flatmap(lambda family: kernel_selector(family=family)))
def test_priorities_stay_in_their_range_and_are_the_same_at_both_ends(selector: KernelSelector) -> None:
    assert PRIORITY_FIRST <= priority(selector) <= PRIORITY_LAST
    assert priority(reverse(selector)) == priority(selector)
    assert reverse(reverse(selector)) == selector


def test_ports_and_protocol_beat_prefixes_only_among_equals() -> None:
    wide = KernelSelector(4, bytes(4), 24, bytes(4), 24, 6, 443, 0xFFFF, 443, 0xFFFF)
    narrow = KernelSelector(4, bytes(4), 24, bytes(4), 25)
    assert priority(narrow) < priority(wide) < priority(wide._replace(protocol=0, source_port_mask=0))


def test_prefixes_come_before_ports_and_all_behind_the_shunts() -> None:
    longer = KernelSelector(6, bytes(16), 64, bytes(16), 65)
    with_ports = KernelSelector(6, bytes(16), 64, bytes(16), 64, 6, 1, 0xFFFF, 2, 0xFFFF)
    assert priority(longer) < priority(with_ports)
    narrowest = KernelSelector(6, bytes(16), 128, bytes(16), 128, 6, 1, 0xFFFF, 2, 0xFFFF)
    widest = KernelSelector(4, bytes(4), 0, bytes(4), 0)
    assert 0xFFFF < PRIORITY_FIRST <= priority(narrowest) < priority(widest) == PRIORITY_LAST


def sides(local: str, remote: str) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    return tuple(map(parse_selector, local.split())), tuple(map(parse_selector, remote.split()))


@pytest.mark.parametrize(
    ("negotiated", "defined", "direct"),
    [
        (("0.0.0.0/0", "10.3.0.0/17 10.3.128.0/17"), ("0.0.0.0/0", "0.0.0.0/0"), ("10.2.0.0/16", "10.3.0.0/16")),
        (("10.2.0.5", "10.3.0.7"), ("10.2.0.0/16", "10.0.0.0/8"), ("10.2.0.0/16", "10.3.0.0/16")),
        (("10.2.0.0/16[tcp/80]", "10.3.0.0/16"), ("10.2.0.0/16", "10.0.0.0/8"), ("10.2.0.0/16", "10.3.0.0/16")),
        (("10.2.0.1-10.2.0.2", "10.3.0.4"), ("10.2.0.0-10.2.0.9", "10.0.0.0/8"), ("10.2.0.2", "10.3.0.0/16")),
        (("2001:db8::/64", "2001:db8:1::1"), ("2001:db8::/64", "::/0"), ("2001:db8::/64", "2001:db8:1::/64")),
    ],
)
def test_however_far_a_peer_narrows_the_narrower_definition_wins(
    negotiated: tuple[str, str], defined: tuple[str, str], direct: tuple[str, str]
) -> None:
    narrowed = ranked_selectors(sides(*negotiated), sides(*defined))
    others = ranked_selectors(sides(*direct), sides(*direct))
    whole = ranked_selectors(sides(*defined), sides(*defined))
    assert list(narrowed) == kernel_selectors(*sides(*negotiated))
    assert max(others.values()) < min(narrowed.values())
    # What is left of its own definition stays behind it.
    held = {selector: rank for selector, rank in whole.items() if any(covers(selector, part) for part in narrowed)}
    assert max(narrowed.values()) < min(held.values())


def test_a_part_that_is_defined_by_itself_ranks_by_that() -> None:
    defined = sides("10.1.0.0/16", "10.0.0.0/8 10.3.0.0/16")
    ranks = ranked_selectors(sides("10.1.0.0/16", "10.3.0.0/16 10.4.0.0/16"), defined)
    assert [rank - priority(selector) for selector, rank in ranks.items()] == [0, 8 * 128 - 1]


def test_a_priority_of_its_own_comes_before_all_that_have_none() -> None:
    wide = sides("10.1.0.0/16", "0.0.0.0/0")
    assert set(ranked_selectors(wide, wide, 9).values()) == {9} and PRIORITY_FIRST > 9
    assert set(ranked_selectors(sides("10.1.0.0/16", "10.2.0.0/16"), wide, 9).values()) == {8}
    around = [(parse_selector("10.1.0.0/16"), parse_selector("10.1.0.0/16"))]
    let_by = passes(around, wide, own=9)
    assert {policy.priority for policy in let_by} == {7} and all(map(is_pass, let_by))
    assert owner_of_pass(
        let_by[-1], [Policy(selector, OUT, 9, templates=(TEMPLATE,)) for selector in ranked_selectors(wide, wide, 9)]
    )


def test_what_no_definition_contains_ranks_by_itself() -> None:
    (rank,) = ranked_selectors(sides("10.1.0.0/16", "10.2.0.0/16"), sides("10.9.0.0/16", "10.2.0.0/16")).values()
    assert rank == priority(kernel_selectors(*sides("10.1.0.0/16", "10.2.0.0/16"))[0])


@given(narrowed())
def test_covers_is_what_narrowing_makes(pair: tuple[KernelSelector, KernelSelector]) -> None:
    outer, inner = pair
    assert covers(outer, inner) and covers(inner, outer) == (inner == outer)


# Selectors


def matches(
    selectors: list[KernelSelector], source: str, destination: str, protocol: int, ports: tuple[int, int]
) -> int:
    """How many of them the kernel would find for a packet."""
    return sum(
        ipaddress.ip_address(source) in network(s.source, s.source_prefix)
        and ipaddress.ip_address(destination) in network(s.destination, s.destination_prefix)
        and s.protocol in (0, protocol)
        and ports[0] & s.source_port_mask == s.source_port & s.source_port_mask
        and ports[1] & s.destination_port_mask == s.destination_port & s.destination_port_mask
        for s in selectors
    )


@given(ports, st.integers(0, 65535))
def test_a_range_of_ports_becomes_masks_that_match_each_port_once(span: tuple[int, int], port: int) -> None:
    remote = Selector.from_network(ipaddress.ip_network("10.2.0.0/24"), 17, span)
    found = kernel_selectors((parse_selector("10.1.0.0/24"),), (remote,))
    for tried in (port, span[0], span[1], max(span[0] - 1, 0), min(span[1] + 1, 65535)):
        expected = span[0] <= tried <= span[1]
        assert matches(found, "10.1.0.9", "10.2.0.9", 17, (4000, tried)) == expected
    assert len(found) <= 30


def matches_one(s: KernelSelector, source: int, destination: int, protocol: int, sport: int, dport: int) -> bool:
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
    hits = [s for s in found if matches_one(s, base + host, 0x0A020001, protocol, sport, dport)]
    assert len(hits) == wanted
    back = [s for s in found if matches_one(reverse(s), 0x0A020001, base + host, protocol, dport, sport)]
    assert back == hits


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_range_of_addresses_becomes_networks_that_match_each_address_once(a: int, b: int, tried: int) -> None:
    base = int(ipaddress.ip_address("10.2.0.0"))
    first, last = (ipaddress.ip_address(base + n) for n in sorted((a, b)))
    found = kernel_selectors((parse_selector("10.1.0.0/24"),), (parse_selector(f"{first}-{last}"),))
    address = ipaddress.ip_address(base + tried)
    assert matches(found, "10.1.0.9", str(address), 6, (1, 1)) == (first <= address <= last)


def test_every_combination_of_one_family_is_covered_once() -> None:
    local = tuple(map(parse_selector, ("10.1.0.0/24", "10.3.0.0/24", "fd00:1::/64", "10.1.0.0/24")))
    remote = tuple(map(parse_selector, ("10.2.0.0/24", "fd00:2::/64")))
    found = kernel_selectors(local, remote)
    pairs = {
        (str(network(s.source, s.source_prefix)), str(network(s.destination, s.destination_prefix))) for s in found
    }
    assert pairs == {*product(("10.1.0.0/24", "10.3.0.0/24"), ("10.2.0.0/24",)), ("fd00:1::/64", "fd00:2::/64")}
    assert len(found) == 3


def test_families_and_protocols_combine_where_they_can() -> None:
    local = (parse_selector("10.1.0.0/24[tcp]"), parse_selector("fd00:1::/64"))
    remote = (parse_selector("10.2.0.0/24"), parse_selector("10.3.0.0/24[udp]"), parse_selector("fd00:2::/64"))
    assert [(s.family, s.protocol) for s in kernel_selectors(local, remote)] == [(4, 6), (6, 0)]


@pytest.mark.parametrize(
    ("local", "remote", "number", "problem"),
    [
        ((parse_selector("10.1.0.0/24"),), (parse_selector("fd00::/64"),), errno.EINVAL, "no family or protocol"),
        ((parse_selector("10.1.0.0/24[tcp]"),), (parse_selector("10.2.0.0/24[udp]"),), errno.EINVAL, "in common"),
        ((Selector(bytes(4), b"\xff" * 4, 17, *OPAQUE_PORT),), (ANY,), errno.EOPNOTSUPP, "OPAQUE"),
        (
            (parse_selector("10.1.0.0-10.1.255.254"),), (parse_selector("10.2.0.1-10.2.255.254"),),
            errno.E2BIG, f"more than {MAX_POLICIES}",
        ),
        ((RAGGED,) * 255, (RAGGED,) * 255, errno.E2BIG, f"more than {MAX_POLICIES}"),
        (
            (parse_selector("0.0.0.0/0[tcp/1-65534]"),), (parse_selector("0.0.0.0/0[tcp/1-65534]"),),
            errno.E2BIG, f"more than {MAX_POLICIES}",
        ),
    ],
    ids=["families", "protocols", "opaque", "addresses", "many", "ports"],
)  # fmt: skip
def test_what_is_no_policy_is_refused(
    local: tuple[Selector, ...], remote: tuple[Selector, ...], number: int, problem: str
) -> None:
    with pytest.raises(KernelError, match=problem) as caught:
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


def test_icmp_type_and_code_are_masks_of_both_ports() -> None:
    """Echo request with every code: type 8 in 16 bits is 0x0800 to 0x08ff."""
    local = Selector.from_network(ipaddress.ip_network("10.1.0.0/24"), 1, (0x0800, 0x08FF))
    (selector,) = kernel_selectors((local,), (parse_selector("10.2.0.0/24"),))
    assert selector[5:10] == (1, 8, 0xFFFF, 0, 0)
    assert reverse(selector)[5:10] == (1, 8, 0xFFFF, 0, 0)
    here, there = packet_selectors(selector._replace(destination_port=3))
    assert (here.first_port, here.last_port) == (there.first_port, there.last_port) == (0x0803, 0x0803)


# Policies


def test_a_tunnel_is_let_in_before_anything_is_sent() -> None:
    (selector,) = kernel_selectors((parse_selector("10.1.0.0/24[udp/53]"),), (parse_selector("10.2.0.0/24"),))
    template = Template("192.0.2.1", "192.0.2.2", 0x1234, 50, "tunnel", 7)
    made = policies(selector, 77777, template)
    assert [policy.direction for policy in made] == ["in", "fwd", "out"]
    assert made[2].selector == selector and made[2].templates == (template,)
    for inward in made[:2]:
        assert inward.selector == reverse(selector)
        assert inward.templates == (Template("192.0.2.2", "192.0.2.1", 0, 50, "tunnel", 7),)
    assert {policy.reqid for policy in made} == {7} and {policy.priority for policy in made} == {77777}


def test_nothing_is_forwarded_in_transport_mode() -> None:
    (selector,) = kernel_selectors((parse_selector("192.0.2.1"),), (parse_selector("192.0.2.2"),))
    made = policies(selector, 77777, Template("192.0.2.1", "192.0.2.2", 0, 50, "transport", 7))
    assert [policy.direction for policy in made] == ["in", "out"]


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_the_packet_that_waits_is_a_selector_of_one_packet(source_port: int, destination_port: int) -> None:
    packet = KernelSelector(4, bytes([10, 1, 0, 1]), 32, bytes([10, 2, 0, 1]), 32, 6,
                            source_port, 0xFFFF, destination_port, 0xFFFF)  # fmt: skip
    here, there = packet_selectors(packet)
    assert kernel_selectors((here,), (there,)) == [packet]


@given(st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)), st.data())
def test_a_network_as_text_is_the_network(address: bytes, data: st.DataObject) -> None:
    prefix = data.draw(st.integers(0, 8 * len(address)))
    assert ipaddress.ip_network(network_text(address, prefix)) == network(address, prefix)
