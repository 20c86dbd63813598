# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shunts as policies, as rules of nftables, and as eroutes of the listing."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from engine.classic import shunt, shunt_rules
from engine.classic.eroutes import eroutes
from engine.classic.shunt import Shunt, answers, number_of, of_shape, policies, rank, selector_of
from engine.kernel import nftables
from engine.kernel.policies import PRIORITY_FIRST
from engine.kernel.registry import REQID_FIRST, REQID_LAST, SHUNT_FIRST, Child, Registry
from hypothesis import given
from hypothesis import strategies as st

networks = st.one_of(
    st.builds(lambda a, p: ip_network((int(a), p), strict=False), st.ip_addresses(v=4), st.integers(0, 32)),
)
sixes = st.builds(lambda a, p: ip_network((a.packed, p), strict=False), st.ip_addresses(v=6), st.integers(0, 128))
ports = st.integers(0, 65535)
shunts_ = st.one_of(
    *(
        st.builds(
            Shunt,
            st.builds(selector_of, ends, ends, st.sampled_from([0, 6, 17]), ports, ports),
            st.sampled_from(["out", "in", "both"]),
            st.sampled_from(["pass", "drop", "reject", "trap"]),
            st.just("me"),
            first=st.booleans(),
            counted=st.booleans(),
        )
        for ends in (networks, sixes)
    )
)


def made(source: str, destination: str, action: str = "drop", **more: object) -> Shunt:
    selector = selector_of(ip_network(source), ip_network(destination), more.pop("protocol", 0), 0, more.pop("port", 0))
    return Shunt(selector, str(more.pop("direction", "out")), action, "me", **more)


@given(shunts_)
def test_a_shunt_is_read_from_the_registry_as_it_was_written(each: Shunt) -> None:
    assert of_shape("me", each.shape()) == each


@given(shunts_)
def test_the_first_ones_stand_before_every_tunnel(each: Shunt) -> None:
    assert 0x1000 <= rank(each._replace(first=True)) < PRIORITY_FIRST <= rank(each._replace(first=False))


def test_the_more_specific_one_stands_first() -> None:
    order = [
        made("10.1.0.5/32", "10.2.0.5/32", protocol=6, port=25),
        made("10.1.0.5/32", "10.2.0.5/32", protocol=6),
        made("10.1.0.5/32", "10.2.0.5/32"),
        made("10.1.0.0/24", "10.2.0.5/32"),
        made("10.1.0.0/24", "10.2.0.0/24"),
        made("0.0.0.0/0", "0.0.0.0/0"),
    ]
    assert sorted(order, key=rank) == order


@given(shunts_)
def test_every_policy_of_a_shunt_says_whose_it_is(each: Shunt) -> None:
    number = SHUNT_FIRST + 32
    found = policies(each, number)
    assert {number_of(policy) for policy in found} == {number}
    directions = {"out": ["out"], "in": ["in", "fwd"], "both": ["in", "fwd", "out"]}[each.direction]
    assert [policy.direction for policy in found] == directions
    # The kernel takes an index for the direction that its lowest bits say only.
    assert [policy.index % 8 for policy in found] == [{"in": 0, "out": 1, "fwd": 2}[each] for each in directions]
    assert {policy.action for policy in found} == {"block" if each.action in ("drop", "reject") else "allow"}


def test_numbers_never_meet_those_of_children_nor_leave_our_range(tmp_path) -> None:
    assert shunt.NUMBERS[0] == SHUNT_FIRST and shunt.NUMBERS[-1] + 15 <= REQID_LAST and len(shunt.NUMBERS) > 500_000
    registry = Registry(str(tmp_path))
    registry.record(SHUNT_FIRST - 1, Child("o", "t", "last"))
    assert registry.allocate("o", "t", "next") == REQID_FIRST


def test_what_comes_back_has_its_ends_exchanged() -> None:
    inbound, forward, out = policies(
        made("10.1.0.0/24", "10.2.0.0/24", "pass", direction="both", protocol=6, port=25), 0
    )
    assert inbound.selector == forward.selector
    assert (inbound.selector.source_prefix, inbound.selector.source_port) == (24, 25)
    assert (inbound.selector.source, out.selector.source) == (bytes([10, 2, 0, 0]), bytes([10, 1, 0, 0]))


@pytest.mark.parametrize(
    ("source", "destination", "more", "let"),
    [
        ("10.1.0.0/24", "10.2.0.0/24", {}, None),
        ("10.1.0.0/24", "0.0.0.0/0", {}, ("10.1.0.0/24", "10.1.0.0/24")),
        ("0.0.0.0/0", "10.1.0.0/24", {}, ("0.0.0.0/0", "10.1.0.0/24")),
        ("0.0.0.0/0", "0.0.0.0/0", {"protocol": 1}, ("0.0.0.0/0", "0.0.0.0/0")),
        ("10.1.0.0/24", "0.0.0.0/0", {"protocol": 6}, None),
    ],
)
def test_icmp_that_a_reject_would_reject_is_let_out(source, destination, more, let) -> None:
    found = answers([made(source, destination, "reject", **more)], iter([SHUNT_FIRST]))
    if let is None:
        assert found == []
        return
    (policy,) = found
    s = policy.selector
    assert (s.source_prefix, s.destination_prefix) == tuple(int(each.partition("/")[2]) for each in let)
    assert (s.protocol, s.source_port, s.destination_port, policy.action) == (1, 3, 13, "allow")
    assert policy.priority < rank(made(source, destination, "reject", **more))


# Rules


def texts(*each: Shunt) -> list[str]:
    rules = shunt_rules.rules_of({SHUNT_FIRST + 16 * n: one for n, one in enumerate(each)}, {SHUNT_FIRST: 7})
    return [f"{rule.chain}: {rule.text}" for rule in rules]


def test_rules_come_in_the_order_of_the_policies_with_what_passes_before() -> None:
    assert texts(
        made("10.1.0.0/24", "0.0.0.0/0", "reject", counted=True),
        made("10.1.0.5/32", "10.2.0.0/24", "pass", direction="both", protocol=6, port=25),
        made("2001:db8::/32", "::/0", "drop", counted=True),
    ) == [
        "forwarded: meta nfproto ipv4 ip saddr 10.1.0.5/32 ip daddr 10.2.0.0/24 meta l4proto 6 th dport 25 return",
        "passed: meta nfproto ipv4 ip saddr 10.1.0.5/32 ip daddr 10.2.0.0/24 meta l4proto 6 th dport 25 return",
        "sent: meta nfproto ipv4 ip saddr 10.1.0.5/32 ip daddr 10.2.0.0/24 meta l4proto 6 th dport 25 return",
        "forwarded: meta nfproto ipv6 ip6 saddr 2001:db8::/32 counter name s66800020 return",
        "forwarded: meta nfproto ipv4 ip saddr 10.1.0.0/24 counter name s66800000 reject with icmpx admin-prohibited",
    ]


def test_no_rule_where_none_is_needed() -> None:
    assert texts(made("10.1.0.0/24", "0.0.0.0/0"), made("10.1.0.0/24", "10.0.0.0/8", "pass")) == []
    assert texts(made("10.1.0.0/24", "0.0.0.0/0", direction="in", counted=True)) == []


def test_what_is_not_first_counts_only_what_leaves_in_clear() -> None:
    assert texts(made("10.1.0.0/24", "0.0.0.0/0", "pass", first=False, counted=True)) == [
        "passed: meta nfproto ipv4 ip saddr 10.1.0.0/24 rt ipsec missing counter name s66800000 return",
        "sent: meta nfproto ipv4 ip saddr 10.1.0.0/24 rt ipsec missing counter name s66800000 return",
    ]


def test_what_goes_into_an_sa_counts_by_its_request_id() -> None:
    way = made("10.1.0.0/24", "0.0.0.0/0", "ipsec", first=False, counted=True)
    assert texts(way, made("10.2.0.0/24", "0.0.0.0/0", "ipsec", first=False)) == [
        "protected: meta nfproto ipv4 ip saddr 10.1.0.0/24 ipsec out reqid 7 counter name s66800000_7 return"
    ]
    assert shunt_rules.rules_of({SHUNT_FIRST: way}, {}) == [], "its SA is gone"


def test_a_table_without_ways_is_known_with_their_empty_chain_and_without_it() -> None:
    rules = shunt_rules.rules_of({SHUNT_FIRST: made("10.1.0.0/24", "0.0.0.0/0", "reject")}, {})
    tags = {"forwarded": [rule.tag for rule in rules], "passed": [], "sent": []}
    assert shunt_rules.matches(shunt_rules.State(tags, {}), rules)
    assert shunt_rules.matches(shunt_rules.State({**tags, "protected": []}, {}), rules)
    assert not shunt_rules.matches(shunt_rules.State({**tags, "protected": ["another"]}, {}), rules)


@pytest.mark.parametrize("counter", [(SHUNT_FIRST, 0), (SHUNT_FIRST + 16, 7), (SHUNT_FIRST, 0x66400000)])
def test_the_name_of_a_counter_says_what_it_counts(counter) -> None:
    assert shunt_rules._counter(shunt_rules._name(counter)) == counter


@pytest.mark.parametrize("name", ["mine", "s", "s1_", "s1_x"])
def test_other_counters_are_nobodys(name: str) -> None:
    assert shunt_rules._counter(name) in (None, (1, 0))


def test_what_can_be_counted() -> None:
    assert shunt_rules.countable(made("10.1.0.0/24", "0.0.0.0/0", "pass", first=False))
    assert shunt_rules.countable(made("10.1.0.0/24", "0.0.0.0/0", "trap"))
    assert not shunt_rules.countable(made("10.1.0.0/24", "0.0.0.0/0", "drop", first=False))
    assert not shunt_rules.countable(made("10.1.0.0/24", "0.0.0.0/0", direction="in"))
    assert not shunt_rules.countable(made("10.1.0.0/24", "0.0.0.0/0", "ipsec", first=False))


def test_a_table_is_known_again_by_its_rules_and_their_order() -> None:
    one, other = made("10.1.0.0/24", "0.0.0.0/0", "reject"), made("10.3.0.0/16", "0.0.0.0/0", counted=True)
    rules = shunt_rules.rules_of({SHUNT_FIRST: one, SHUNT_FIRST + 16: other}, {})
    listed: list[dict] = [{"metainfo": {}}, {"table": {"name": nftables.SHUNTS}}]
    listed += [{"chain": {"name": chain}} for chain in ("forwarded", "passed", "sent")]
    listed.append({"counter": {"name": f"s{SHUNT_FIRST + 16:x}", "packets": 7}})
    listed += [{"rule": {"chain": chain, "expr": []}} for chain in ("forwarded", "sent", "sent")]
    tagged = [{"rule": {"chain": rule.chain, "comment": rule.tag}} for rule in rules]

    def state(entries: list) -> shunt_rules.State:
        return shunt_rules._state(listed + entries)

    assert shunt_rules.matches(state(tagged), rules) and state(tagged).packets == {(SHUNT_FIRST + 16, 0): 7}
    assert not shunt_rules.matches(state(tagged[::-1]), rules)
    assert not shunt_rules.matches(state(tagged[:1]), rules)
    assert not shunt_rules.matches(state([{"rule": {"chain": "passed", "expr": []}}, *tagged]), rules), "not ours"
    asleep = {"table": {"name": nftables.SHUNTS, "flags": ["dormant"]}}
    assert not shunt_rules.matches(state([asleep, *tagged]), rules)
    assert not shunt_rules.matches(None, rules) and shunt_rules.matches(None, [])
    assert not shunt_rules.matches(state(tagged), [])


# The listing


def test_shunts_as_eroutes() -> None:
    known = {
        SHUNT_FIRST: made("10.1.0.0/24", "0.0.0.0/0", "reject"),
        SHUNT_FIRST + 16: made("10.1.0.0/24", "10.2.0.0/24", "pass", direction="both"),
        SHUNT_FIRST + 32: made("10.1.0.0/24", "10.3.0.0/24", "trap"),
    }
    held = [policy for number, each in known.items() for policy in policies(each, number)]
    held += answers(known.values(), iter([SHUNT_FIRST + 48]))
    found = eroutes(held, [], {}, [], known, {(SHUNT_FIRST, 0): 5})
    assert [(e.said, e.action, e.owner, e.packets, e.reqid) for e in found] == [
        ("%pass", "pass", "me", 0, 0),
        ("%trap", "trap", "me", 0, SHUNT_FIRST + 33),
        ("%reject", "reject", "me", 5, 0),
    ]
    # Without the registry nobody knows whose they are, nor that one rejects.
    assert [(e.said, e.owner) for e in eroutes(held, [], {}, [])] == [("%pass", None), ("%trap", None), ("%drop", None)]
