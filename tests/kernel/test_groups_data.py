# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets through groups of real SAs between two gateways; needs a kernel that has ESP, AH and IPComp."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
from engine.classic.groups import perform, plan_group, plan_ungroup
from engine.errors import InputError
from engine.kernel.client import XfrmClient, add_sa, create_policy, delete_sa
from engine.kernel.policies import kernel_selectors, policies, priority
from engine.kernel.values import ESP, IPCOMP, Sa, Template
from engine.said import Said
from engine.selector import parse_selector
from esp_site import Site
from group_site import INNER, OUTER, PAYLOADS, PROTOCOLS, REQID, exchange, real_sa

pytestmark = pytest.mark.usefixtures("whole_ipsec")


class Member(NamedTuple):
    """A name in a group; ``sa`` is None for a tun."""

    said: Said
    sa: Sa | None


def members(names: str, source: str, destination: str, way: int, any_family: bool = False) -> list[Member]:
    """``tun esp ah`` and the like from ``source`` to ``destination``; ``way`` makes the SPIs its own."""
    made = []
    words = names.split()
    for number, name in enumerate(words):
        spi = 0x1000 * way + 0x100 + number
        after_tunnel = number > 0 and words[number - 1] == "tun"
        mode = "tunnel" if after_tunnel else "transport"
        sa = None if name == "tun" else real_sa(name, spi, source, destination, mode, any_family or after_tunnel)
        made.append(Member(Said(PROTOCOLS[name], spi, destination), sa))
    return made


def lay_out(sites: tuple[Site, Site], names: str, outer: int, inner: int) -> list[list[Member]]:
    """SAs both ways on both gateways, and policies that lead to the first SA of each way, optional IPComp included."""
    ways = []
    for way, (a, b) in enumerate((OUTER[outer], OUTER[outer][::-1]), 1):
        ways.append(members(names, a, b, way, any_family=outer != inner))
    ends = INNER[inner] if names.startswith("tun") else OUTER[outer]
    for number, site in enumerate(sites):
        first = next(member.sa for member in ways[number] if member.sa)
        local, remote = ends[number], ends[1 - number]
        template = Template(first.source, first.destination, 0, first.protocol, first.mode, REQID)
        selectors = kernel_selectors((parse_selector(f"{local}[udp]"),), (parse_selector(f"{remote}[udp]"),))
        with site.space.entered():
            client = XfrmClient()
            for sa in (member.sa for way in ways for member in way if member.sa):
                client.do(add_sa(sa))
            for policy in policies(selectors[0], priority(selectors[0]), template):
                client.do(create_policy(policy))
            client.close()
    return ways


def group(site: Site, directory: str, way: list[Member]) -> bool:
    with site.space.entered():
        return perform(directory, partial(plan_group, tuple(member.said for member in way))).changed


def ungroup(site: Site, directory: str, way: list[Member]) -> bool:
    with site.space.entered():
        return perform(directory, partial(plan_ungroup, (way[-1].said,))).changed


def visible(way: list[Member]) -> list[tuple[int, int]]:
    """The headers that a packet of this group shows, outermost first: to the first ESP."""
    outside_in = [(member.sa.protocol, member.sa.spi) for member in reversed(way) if member.sa]
    protocols = [protocol for protocol, _spi in outside_in]
    return outside_in[: protocols.index(ESP) + 1] if ESP in protocols else outside_in


def without_comp(chain: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(protocol, spi) for protocol, spi in chain if protocol != IPCOMP]


def compresses(names: str) -> bool:
    """Whether what reaches IPComp can shrink: not once it is encrypted."""
    words = names.split()
    return "comp" in words and "esp" not in words[: words.index("comp")]


REAL = ("comp", "esp", "ah")
# The kernel can verify AH only where it is the outermost.
ORDERS = [
    " ".join(order)
    for size in (1, 2, 3)
    for order in itertools.permutations(REAL, size)
    if "ah" not in order[:-1]
]  # fmt: skip
# Every set of the four in every order that can be: tun comes first, and an SA alone is no group.
GROUPS = [f"tun {order}" for order in ORDERS] + [order for order in ORDERS if " " in order]
# In the order of the daemons, each set once.
TUNNELS = [f"tun {' '.join(names)}" for size in (1, 2, 3) for names in itertools.combinations(REAL, size)]


def test_the_list_of_groups_is_whole() -> None:
    """All fifteen sets but tun, and but the three single SAs."""
    sets = {frozenset(names) for size in (1, 2, 3, 4) for names in itertools.combinations(PROTOCOLS, size)}
    assert len(sets) == 15 and len(set(GROUPS)) == len(GROUPS) == 15
    assert {frozenset(names.split()) for names in GROUPS} == {names for names in sets if len(names) > 1}


@pytest.mark.parametrize("outer", [4, pytest.param(6, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("names", GROUPS)
def test_packets_go_through_every_sa_of_the_group(sites, tmp_path, names: str, outer: int) -> None:
    check(sites, tmp_path, names, outer, outer)


@pytest.mark.parametrize(("outer", "inner"), [(4, 6), pytest.param(6, 4, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("names", TUNNELS)
def test_a_tunnel_carries_the_other_family_through_the_group(sites, tmp_path, names: str, outer: int, inner) -> None:
    check(sites, tmp_path, names, outer, inner)


@pytest.mark.parametrize("outer", [4, pytest.param(6, marks=pytest.mark.nightly)])
def test_packets_go_through_as_many_sas_as_the_kernel_can_apply(sites, tmp_path, outer: int) -> None:
    check(sites, tmp_path, "tun comp esp ah esp ah", outer, outer)


@pytest.mark.parametrize("outer", [4, pytest.param(6, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("names", ["ah tun esp", "esp ah tun esp"])
def test_transport_mode_inside_of_a_tunnel(sites, tmp_path, names: str, outer: int) -> None:
    """AH is the outermost of its own IP header, which the tunnel then carries."""
    check(sites, tmp_path, names, outer, outer)


def check(sites: tuple[Site, Site], tmp_path, names: str, outer: int, inner: int) -> None:
    ways = lay_out(sites, names, outer, inner)
    addresses = INNER[inner] if names.startswith("tun") else OUTER[outer]
    directories = [str(tmp_path / "group-a"), str(tmp_path / "group-b")]
    for (site, directory), way in itertools.product(zip(sites, directories, strict=True), ways):
        assert group(site, directory, way)
        assert not group(site, directory, way)
    for number, (way, (payloads, wire)) in enumerate(
        zip(ways, exchange(sites, addresses, "esp" in names), strict=True)
    ):
        assert payloads == PAYLOADS
        for payload, chain in zip(PAYLOADS, wire, strict=True):
            assert without_comp(chain) == without_comp(visible(way))
            if compresses(names) and len(payload) > 1000:
                assert chain == visible(way)
        for member, was_used in zip([member for member in way if member.sa], used(sites[0], way), strict=True):
            # The second way comes in here, and what was not compressed does not pass IPComp.
            assert was_used or (number == 1 and member.sa.protocol == IPCOMP and not compresses(names))


def used(site: Site, way: list[Member]) -> list[bool]:
    with site.space.entered():
        client = XfrmClient()
        states = [client.get_sa(m.sa.destination, m.sa.spi, m.sa.protocol) for m in way if m.sa]
        client.close()
    return [state is not None and state.packets > 0 for state in states]


@pytest.mark.parametrize("outer", [4, pytest.param(6, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("names", ["tun esp ah", "esp ah"])
def test_grouping_changes_the_next_packet_and_ungrouping_the_one_after(sites, tmp_path, names: str, outer: int) -> None:
    """Live SAs: packets go by ESP alone, by ESP and AH, and by ESP alone again; none is lost."""
    ways = lay_out(sites, names, outer, outer)
    addresses = INNER[outer] if names.startswith("tun") else OUTER[outer]
    directories = [str(tmp_path / "group-a"), str(tmp_path / "group-b")]
    alone = [[visible(way)[-1]] * len(PAYLOADS) for way in ways]
    both = [[visible(way)] * len(PAYLOADS) for way in ways]
    for step, expected in ((None, alone), (group, both), (ungroup, alone)):
        for (site, directory), way in itertools.product(zip(sites, directories, strict=True), ways):
            assert step is None or step(site, directory, way)
        found = exchange(sites, addresses)
        assert [payloads for payloads, _wire in found] == [PAYLOADS, PAYLOADS]
        assert [[each[-1] if len(each) == 1 else each for each in wire] for _payloads, wire in found] == expected


def test_a_group_at_one_end_only_lets_nothing_in(sites, tmp_path) -> None:
    """Who demands AH does not take packets without it."""
    ways = lay_out(sites, "tun esp ah", 4, 4)
    group(sites[1], str(tmp_path / "group-b"), ways[0])
    (payloads, wire), _back = exchange(sites, INNER[4])
    assert payloads == [] and wire == [[visible(ways[0])[-1]]] * len(PAYLOADS)


def test_nested_tunnels_between_the_same_gateways(sites, tmp_path) -> None:
    """IPv4 in ESP over IPv4, in ESP over IPv6: the outer tunnel leads to another address of the peer."""
    directories = [str(tmp_path / "group-a"), str(tmp_path / "group-b")]
    inner_ways = lay_out(sites, "tun esp", 4, 4)
    ways = []
    for number, way in enumerate(inner_ways):
        ends = OUTER[6] if number == 0 else OUTER[6][::-1]
        outer = [Member(m.said._replace(spi=m.said.spi + 0x20), None) for m in members("tun esp", *ends, number + 1)]
        sa = real_sa("esp", outer[1].said.spi, *ends, "tunnel", any_family=True)
        ways.append([*way, outer[0], Member(outer[1].said, sa)])
    for site, directory in zip(sites, directories, strict=True):
        with site.space.entered():
            client = XfrmClient()
            for way in ways:
                client.do(add_sa(way[-1].sa))
            client.close()
        for way in ways:
            assert group(site, directory, way)
    for way, (payloads, wire) in zip(ways, exchange(sites, INNER[4]), strict=True):
        assert payloads == PAYLOADS
        assert wire == [[(ESP, way[-1].sa.spi)]] * len(PAYLOADS)


@pytest.mark.parametrize("number", [1, 2])
def test_an_sa_for_one_family_is_refused_for_packets_of_the_other(sites, tmp_path, number: int) -> None:
    """IPv6 packets, tunnelled over IPv4: the kernel would drop every one at the SA that is for IPv4 only."""
    (way, _back) = lay_out(sites, "tun esp ah", 4, 6)
    narrow = replace(way[number].sa, af_unspec=False)
    site = sites[0]
    with site.space.entered():
        client = XfrmClient()
        client.do(delete_sa(narrow.destination, narrow.spi, narrow.protocol))
        client.do(add_sa(narrow))
        client.close()
    with pytest.raises(InputError, match=rf"sas\[{number}\]: is for IPv4 packets only, .* IPv6 .*af-unspec"):
        group(site, str(tmp_path / "group-a"), way)
