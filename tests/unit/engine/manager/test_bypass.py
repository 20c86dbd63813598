# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes by a tunnel: the option, the packets, and the order of the policies."""

from __future__ import annotations

import io
import ipaddress

import pytest
from engine.child_sa import ChildSa
from engine.definition.bypass import LOCAL_LINKS, read_bypass
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.errors import InputError
from engine.kernel.child_values import HOLD
from engine.kernel.link_networks import LinkNetwork
from engine.kernel.policies import combine, covers, is_pass, passes, priority
from engine.manager.bypass_selectors import pieces, shut_in
from engine.manager.desired_policies import DesiredPolicies
from engine.manager.link_bypass import LinkBypass
from engine.manager.log import Log
from engine.manager.policy_claims import HOLDS, SENDS
from engine.selector import parse_selector
from fake_kernel import FakeHost
from manager_lab import definition

WAN, LAN, DMZ = 1, 2, 3


def link(name: str, index: int, text: str, loopback: bool = False) -> LinkNetwork:
    address = ipaddress.ip_interface(text)
    return LinkNetwork(name, index, address.network, str(address.ip), loopback)


LINKS = (
    link("lo", 9, "10.255.0.1/32", True), link("wan", WAN, "192.0.2.1/24"), link("lan", LAN, "10.9.0.1/24"),
    link("dmz", DMZ, "10.8.0.1/24"), link("lan", LAN, "fd09::1/64"), link("lan", LAN, "fe80::1/64"),
)  # fmt: skip


def sides(local: str, remote: str):
    return tuple(map(parse_selector, local.split())), tuple(map(parse_selector, remote.split()))


def passing(local: str, remote: str, words: list[str] | None = None) -> set[tuple[str, str]]:
    found = pieces(words or [LOCAL_LINKS], sides(local, remote), LINKS, {WAN})
    return {(str(one), str(other)) for one, other in found if "224" not in str(other) and "255/32" not in str(other)}


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        ("10.9.0.0/24", "0.0.0.0/0", {("10.9.0.0/24", "10.9.0.0/24"), ("10.9.0.0/24", "10.8.0.0/24")}),
        ("10.9.0.0/25", "10.9.0.0/16", {("10.9.0.0/25", "10.9.0.0/24")}),
        ("10.9.0.0/24[tcp]", "10.0.0.0/8", {("10.9.0.0/24[6]", "10.9.0.0/24"), ("10.9.0.0/24[6]", "10.8.0.0/24")}),
        # Who names the network itself, or a part of it, means it.
        ("10.9.0.0/24", "10.9.0.0/24", set()),
        ("10.9.0.1", "10.9.0.2", set()),
        ("10.9.0.0/24", "172.16.0.0/12", set()),
        ("10.7.0.0/24", "0.0.0.0/0", set()),
        # This host itself reaches its neighbours everywhere; those behind it do not pass to the outside.
        ("192.0.2.1", "0.0.0.0/0", {("192.0.2.1/32", f"{net}.0/24") for net in ("192.0.2", "10.9.0", "10.8.0")}),
        ("10.255.0.1", "0.0.0.0/0", {("10.255.0.1/32", "10.9.0.0/24"), ("10.255.0.1/32", "10.8.0.0/24")}),
        ("fd09::/64", "::/0", {("fd09::/64", "fd09::/64"), ("fd09::/64", "ff02::/16")}),
    ],
)
def test_what_stays_on_own_links_passes(local: str, remote: str, expected: set) -> None:
    assert passing(local, remote) == expected


def test_link_local_addresses_pass_to_each_other_alone() -> None:
    found = passing("::/0", "::/0")
    assert ("fe80::/64", "fe80::/64") in found
    assert not any(one.startswith("fe80") and other.startswith("fd09") for one, other in found)


def test_networks_pass_from_everywhere_and_none_nowhere() -> None:
    assert passing("10.7.0.0/24", "0.0.0.0/0", ["10.6.0.0/24"]) == {("10.7.0.0/24", "10.6.0.0/24")}
    assert passing("10.9.0.0/24", "0.0.0.0/0", ["none"]) == set()


def test_they_stand_before_all_of_their_definition_and_behind_every_narrower_one() -> None:
    defined = sides("10.9.0.0/24", "0.0.0.0/0")
    found = passes(pieces([LOCAL_LINKS], defined, LINKS, {WAN}), defined)
    assert all(map(is_pass, found)) and {policy.direction for policy in found} == {"in", "fwd", "out"}
    (whole,) = combine(defined[0][0], defined[1][0])
    for narrower in ("10.9.0.0/24 10.0.0.0/8", "10.9.0.0/24 10.9.0.0/24", "10.9.0.0/25 0.0.0.0/0"):
        (selector,) = combine(*map(parse_selector, narrower.split()))
        assert priority(selector) < min(policy.priority for policy in found)
    assert max(policy.priority for policy in found) < priority(whole) - 1


def test_what_is_defined_by_itself_does_not_pass() -> None:
    defined = sides("10.9.0.0/24", "0.0.0.0/0 10.9.0.0/24")
    found = passes(pieces([LOCAL_LINKS], defined, LINKS, {WAN}), defined)
    (named,) = combine(*map(parse_selector, ("10.9.0.0/24", "10.9.0.0/24")))
    assert found and not any(policy.selector == named for policy in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("local_links", ["local_links"]),
        ("none", ["none"]),
        (["10.9.0.0/24", "local_links", "10.9.0.0/24"], ["10.9.0.0/24", "local_links"]),
        ("10.9.0.7", ["10.9.0.7/32"]),
    ],
)
def test_the_option_in_its_canonical_form(value, expected) -> None:
    assert read_bypass(value, "bypass") == expected


@pytest.mark.parametrize("value", ["local", ["none", "local_links"], ["10.9.0.1/24"], [], [7]])
def test_options_that_say_nothing(value) -> None:
    with pytest.raises(InputError, match="local_links, none, or a list"):
        read_bypass(value, "bypass")


def test_a_definition_says_what_it_can_let_pass() -> None:
    assert parse_definition(definition()).document["bypass"] == ["local_links"]
    wide = definition() | {"children": [{"name": "w", "local": ["10.1.0.0/16"], "remote": ["0.0.0.0/0"]}]}
    assert parse_definition(wide | {"bypass": ["10.9.0.0/24"]}).document["bypass"] == ["10.9.0.0/24"]
    with pytest.raises(Problems, match="is not a part of what a child has as remote"):
        parse_definition(wide | {"bypass": ["0.0.0.0/0"]})
    with pytest.raises(Problems, match="no meaning with an interface"):
        parse_definition(wide | {"bypass": "none", "interface": {"name": "ipsec0"}})


@pytest.fixture
def host(tmp_path):
    made = FakeHost(str(tmp_path), journal=False)
    yield made
    made.close()


ENDS = ("192.0.2.1", "198.51.100.1")


def test_policies_follow_the_links_and_stay_when_the_peer_narrows(host) -> None:
    log = Log("debug", False, io.StringIO())
    bypass = LinkBypass(host, lambda tunnel: ["local_links"], log)
    desired = DesiredPolicies(host, log, bypass.passing)
    host.networks = LINKS[:3]
    assert bypass.look() and not bypass.look()
    whole = sides("10.9.0.0/24", "0.0.0.0/0")
    trap = ChildSa("t", "all", 0, 0x66000001, *ENDS, 50, "tunnel", 0, 0, *whole, None, None, owner="me")
    desired.claim(("trap", "t", "all"), (HOLDS, 1), trap)
    desired.settle()

    def passed() -> set[str]:
        return {
            f"{ipaddress.ip_address(p.selector.source)}>{ipaddress.ip_address(p.selector.destination)}"
            for p in host.gateway.held.values()
            if is_pass(p) and p.direction == "out"
        }

    before = passed()
    assert "10.9.0.0>10.9.0.0" in before
    # Even where a peer narrows to just what passes by, it goes on to pass.
    narrowed = ChildSa(
        "t", "all", 7, 0x66000001, *ENDS, 50, "tunnel", 7, 7, *sides("10.9.0.0/24", "10.9.0.0/24"),
        None, None, defined=whole, owner="me",
    )  # fmt: skip
    desired.claim(("child", 7), (SENDS, 7), narrowed, True)
    desired.settle()
    assert passed() == before and desired.audit(host.gateway.standing_policies()) == []
    host.networks = LINKS[:2]
    assert bypass.look()
    desired.renew()
    desired.settle()
    assert not any(each.startswith("10.9.0.0>10.9") for each in passed())
    desired.drop(("trap", "t", "all"))
    desired.drop(("child", 7))
    desired.settle()
    assert host.gateway.held == {}


def test_links_pass_by_what_holds_the_place_of_many_peers_and_all_else_is_dropped(host) -> None:
    log = Log("debug", False, io.StringIO())
    bypass = LinkBypass(host, lambda tunnel: ["local_links"], log)
    desired = DesiredPolicies(host, log, bypass.passing)
    host.networks = LINKS[:3]
    bypass.look()
    whole = sides("10.9.0.0/24", "10.0.0.0/8")
    nowhere = ("0.0.0.0", "0.0.0.0")
    held = ChildSa("t", "lan", 0, 0x66000001, *nowhere, 50, HOLD, 0, 0, *whole, None, None, owner="me")
    desired.claim(("shunt", "t", "lan"), (HOLDS, 1), held)
    part = {"defined": whole, "owner": "me"}
    ends = sides("10.9.0.0/24", "10.64.0.0/16")
    child = ChildSa("t#b", "lan", 7, 0x66000002, *ENDS, 50, "tunnel", 1, 2, *ends, None, None, **part)
    desired.claim(("child", 7), (SENDS, 7), child, True)
    assert desired.settle() == []
    ranked = sorted((p for p in host.gateway.held.values() if p.direction == "out"), key=lambda p: p.priority)
    found = [(p.action, bool(p.templates), p.selector.destination_prefix) for p in ranked]
    # Neighbours on the same link first, then what a peer has, and last of all what nobody has.
    assert found[-2:] == [("allow", True, 16), ("block", True, 8)]
    assert ("allow", False, 24) in found[:-2] and all(one[:2] == ("allow", False) for one in found[:-2])
    assert {p.action for p in host.gateway.held.values() if p.direction == "in" and p.reqid == 0x66000001} == {"block"}


@pytest.mark.parametrize(
    ("local", "remote", "beside", "expected"),
    [
        ("0.0.0.0/0", "0.0.0.0/0", (), ["lan", "dmz"]),
        ("10.0.0.0/8", "10.0.0.0/8", (), ["lan", "dmz"]),
        ("10.0.0.0/8", "10.8.0.0/14", (), ["lan", "dmz"]),
        ("::/0", "::/0", (), ["lan"]),
        # The usual ones: a site to everywhere, everywhere to a site, and one network at both ends.
        ("10.9.0.0/24", "0.0.0.0/0", (), []),
        ("10.9.0.0/16", "0.0.0.0/0", (), []),
        ("0.0.0.0/0", "10.5.0.0/16", (), []),
        ("10.9.0.0/24", "10.9.0.0/24", (), []),
        ("10.9.0.1", "10.9.0.2", (), []),
        # It is in the way of another tunnel, though not of itself.
        ("10.0.0.0/8", "0.0.0.0/0", (("10.9.0.0/24", "10.5.0.0/16"),), ["lan"]),
        ("10.0.0.0/8", "0.0.0.0/0", (("10.7.0.0/24", "10.5.0.0/16"),), []),
        ("10.9.0.0/16", "0.0.0.0/0", (("10.9.0.0/24", "10.5.0.0/16"),), []),
    ],
)
def test_a_tunnel_that_demands_protection_of_what_goes_into_tunnels(local, remote, beside, expected) -> None:
    defined = sides(local, remote)
    tunnels = [defined, *(sides(*each) for each in beside)]
    assert [link.link for link in shut_in(defined, LINKS[:1] + LINKS[2:], tunnels)] == expected


def test_the_plan_warns_of_links_that_are_shut_in(host) -> None:
    bypass = LinkBypass(host, lambda tunnel: ["local_links"], Log("debug", False, io.StringIO()))
    host.networks = LINKS
    bypass.look()

    def warned(**changes) -> list[str]:
        child = {"name": "w", "local": ["0.0.0.0/0"], "remote": ["0.0.0.0/0"]}
        return bypass.warnings([parse_definition(definition() | {"children": [child]} | changes)])

    (said,) = warned()
    assert said.startswith("tunnel hq-b1: ") and "lan (10.9.0.0/24), dmz (10.8.0.0/24)" in said
    assert "wan" not in said and "give it an interface, or narrower networks" in said
    assert warned(interface={"name": "ipsec0"}) == []
    (said,) = warned(bypass=["local_links", "10.9.0.0/16"])
    assert "dmz" in said and "lan" not in said
    assert len(warned(bypass="none")) == 2


def test_covers_looks_at_both_sides() -> None:
    (wide,) = combine(*map(parse_selector, ("10.9.0.0/24", "0.0.0.0/0")))
    (inner,) = combine(*map(parse_selector, ("10.9.0.0/24", "10.9.0.0/24")))
    assert covers(wide, inner) and not covers(inner, wide)
