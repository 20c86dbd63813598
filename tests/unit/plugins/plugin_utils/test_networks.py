# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set arithmetic on networks, judged by enumerating addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.fleet.ipsec.plugins.plugin_utils.networks import Network, Owned, Union, duplicates, nested
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def small_networks(draw: st.DrawFn) -> Network:
    """A network inside 10.0.0.0/24."""
    length = draw(st.integers(24, 32))
    place = draw(st.integers(0, 2 ** (length - 24) - 1))
    return ipaddress.ip_network((0x0A000000 + place * 2 ** (32 - length), length))


def addresses(networks: Iterable[Network]) -> set[int]:
    """Every address in there."""
    return {int(address) for network in networks for address in network}


@given(st.lists(small_networks(), max_size=12), st.lists(small_networks(), max_size=6))
def test_a_union_without_parts_is_the_difference_of_the_sets(networks: list[Network], parts: list[Network]) -> None:
    whole = Union(networks)
    left = whole.without(parts)
    within = [part for part in parts if any(part.subnet_of(network) for network in whole.networks)]
    assert addresses(left) == addresses(networks) - addresses(within)
    assert sum(network.num_addresses for network in left) == len(addresses(left))
    assert left == sorted(left)


@given(st.lists(st.tuples(small_networks(), st.sampled_from("abc")), max_size=15))
def test_only_networks_that_are_the_same_are_duplicates(rows: list[tuple[Network, str]]) -> None:
    owned = [Owned(network, owner, number) for number, (network, owner) in enumerate(rows)]
    found = {(one.network, other.owner) for one, other in duplicates(owned)}
    first = {each.network: each.owner for each in reversed(owned)}
    assert found == {(each.network, each.owner) for each in owned if each.owner != first[each.network]}


@given(st.lists(st.tuples(small_networks(), st.sampled_from("abc")), max_size=15))
def test_inner_networks_lie_within_a_larger_one_of_another(rows: list[tuple[Network, str]]) -> None:
    owned = [Owned(network, owner, number) for number, (network, owner) in enumerate(rows)]
    wanted = {
        (other.value, each.value)
        for each in owned
        for other in owned
        if other.owner != each.owner and other.network != each.network and each.network.subnet_of(other.network)
    }
    assert {(outer.value, inner.value) for outer, inner in nested(owned)} == wanted


def test_families_do_not_mix() -> None:
    rows = [Owned(ipaddress.ip_network("0.0.0.0/0"), "a", 0), Owned(ipaddress.ip_network("::/0"), "b", 1)]
    assert duplicates(rows) == [] and nested(rows) == []
