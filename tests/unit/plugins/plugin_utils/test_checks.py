# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pinged and what is compared to prove a fleet."""

from __future__ import annotations

from ansible_collections.fleet.ipsec.plugins.plugin_utils.checks import host_pings, left_out, protected_networks
from ansible_collections.fleet.ipsec.plugins.plugin_utils.eroutes import eroute_problems
from ansible_collections.fleet.ipsec.plugins.plugin_utils.topology import host_tunnels

from .inventories import SEED, host, hosts
from .sights import STAR, eroutes, made, state


def test_a_spoke_pings_the_hub_and_the_next_spoke() -> None:
    row = {"tunnel": "c-g0", "peer": "198.51.0.0", "sources": ["10.0.1.0/24"], "must_answer": True}
    assert host_pings(made(hosts(3)), "g1") == [
        {**row, "host": "g0", "destination": "10.0.0.1"},
        {**row, "host": "g2", "destination": "10.0.2.1"},
    ]


def test_a_hub_pings_every_spoke_once() -> None:
    assert [ping["host"] for ping in host_pings(made(hosts(3)), "g0")] == ["g1", "g2"]


def test_both_versions_and_whoever_is_named() -> None:
    variables = hosts(3)
    variables["g0"]["fleet_ipsec"] |= {"networks": ["10.0.0.0/24", "fd00::/64"], "check_address": "10.0.0.99"}
    variables["g1"]["fleet_ipsec"] |= {"networks": ["10.0.1.0/24", "fd01::/64"]}
    to_hub = [p["destination"] for p in host_pings(made(variables), "g1") if p["host"] == "g0"]
    assert to_hub == ["10.0.0.99", "fd00::1"]


def test_every_network_of_a_peer_is_pinged_and_the_first_has_to_answer() -> None:
    variables = hosts(2)
    variables["g1"]["fleet_ipsec"]["networks"] = ["10.0.1.0/24", "10.11.0.0/16", "10.11.4.0/24"]
    pings = host_pings(made(variables, {"name": "c", "topology": "mesh", "members": "all"}), "g0")
    assert [(ping["destination"], ping["must_answer"]) for ping in pings] == [
        ("10.0.1.1", True),
        ("10.11.0.1", False),
        ("10.11.4.1", False),
    ]
    variables["g1"]["fleet_ipsec"]["check_address"] = ["10.11.4.9", "10.0.1.77"]
    pings = host_pings(made(variables, {"name": "c", "topology": "mesh", "members": "all"}), "g0")
    assert [(ping["destination"], ping["must_answer"]) for ping in pings] == [
        ("10.11.4.9", True),
        ("10.0.1.77", True),
        ("10.11.0.1", False),
    ]


def test_networks_where_nobody_is_known_are_told() -> None:
    variables = {"g0": host(0), "g1": host(1, networks=["0.0.0.0/0"])}
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}, {"left": "g0", "right": "g1"}]}
    peer = {"address": "203.0.113.9", "networks": ["172.20.0.0/16", "172.21.0.0/16"], "auth": {"secret": "x"}}
    roster = made(variables, pair, {"px": {**peer, "check_address": "172.21.0.9"}})
    assert left_out(roster, "g0") == [
        {"tunnel": "p-g1", "host": "g1", "network": "0.0.0.0/0"},
        {"tunnel": "p-px", "host": "px", "network": "172.20.0.0/16"},
    ]
    assert [ping["destination"] for ping in host_pings(roster, "g0")] == ["172.21.0.9"]


def test_a_peer_that_moves_has_no_address_to_look_for() -> None:
    variables = {**hosts(2), "g2": host(2, dynamic=True)}
    assert [ping["peer"] for ping in host_pings(made(variables), "g0")] == ["198.51.0.1", None]


def test_a_stranger_is_pinged_only_where_somebody_answers() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peer = {"address": "203.0.113.9", "id": "px", "networks": ["172.20.0.0/16"], "auth": {"secret": "x"}}
    assert host_pings(made(hosts(1), pair, {"px": peer}), "g0") == []
    [ping] = host_pings(made(hosts(1), pair, {"px": {**peer, "check_address": "172.20.0.9"}}), "g0")
    assert ping["destination"] == "172.20.0.9"


def test_transport_mode_is_pinged_from_end_to_end() -> None:
    mesh = {"name": "c", "topology": "mesh", "members": "all", "child": {"mode": "transport"}}
    [ping] = host_pings(made(hosts(2), mesh), "g0")
    assert (ping["destination"], ping["sources"]) == ("198.51.0.1", ["198.51.0.0/32"])
    tunnels = host_tunnels(made(hosts(2), mesh), "g0", SEED)
    assert protected_networks(tunnels, "local") == ["198.51.0.0/32"]
    assert protected_networks(tunnels, "remote") == ["198.51.0.1/32"]


def test_networks_of_both_sides() -> None:
    tunnels = host_tunnels(made(hosts(3)), "g0", SEED)
    assert protected_networks(tunnels, "local") == ["10.0.0.0/24", "10.0.2.0/24", "10.0.0.0/23"]
    assert protected_networks(tunnels, "remote") == ["10.0.1.0/24", "10.0.2.0/24"]


def test_eroutes_as_defined() -> None:
    tunnels = host_tunnels(made(hosts(3)), "g1", SEED)
    ways = [("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")]
    others = eroutes(None, ("0.0.0.0/0", "10.77.0.0/16"))
    assert eroute_problems(eroutes("c-g0", *ways) + others, tunnels) == []


def test_every_difference_is_told() -> None:
    tunnels = host_tunnels(made(hosts(3)), "g1", SEED)
    way, other = ("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")
    (problem,) = eroute_problems([], tunnels, [])
    assert problem == "tunnel c-g0: it is not defined on this gateway; remedy: run fleet.ipsec.site for this host"
    (problem,) = eroute_problems(eroutes("c-g0", way), tunnels, [state("active")])
    assert problem.startswith("tunnel c-g0: the eroute from 10.0.1.0/24 to 10.0.2.0/24 is missing; remedy: run")
    assert "this gateway has another definition than the inventory" in problem
    down = eroutes("c-g0", way) + eroutes("c-g0", other, action="trap", said="%trap")
    (problem,) = eroute_problems(down, tunnels, [state("active")])
    assert "to 10.0.2.0/24 has no SA: the child is down, its packets are dropped" in problem
    there = eroutes("old", way) + eroutes("c-g0", way, other)
    (problem,) = eroute_problems(there, tunnels, [state("active")])
    assert problem.startswith("tunnel old: has eroutes, but the inventory does not have it")


def test_tunnels_of_other_owners_are_left_alone() -> None:
    tunnels = host_tunnels(made(hosts(3)), "g1", SEED)
    way, other = ("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")
    ours = eroutes("c-g0", way, other, owner="fleet")
    assert not eroute_problems(eroutes("by-hand", way, owner="ansible") + ours, tunnels, [state("active")], "fleet")
    assert eroute_problems(eroutes("old", way, owner="fleet") + ours, tunnels, [state("active")], "fleet")


def test_the_true_reason_is_told_why_an_eroute_is_missing() -> None:
    tunnels = host_tunnels(made(hosts(3)), "g1", SEED)
    ways = [("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")]
    (problem,) = eroute_problems([], tunnels)
    assert "the tunnel manager does not answer" in problem
    (problem,) = eroute_problems([], tunnels, [state("down")])
    assert "it is down [no_answer]: nothing came back; remedy: look at the peer" in problem
    (problem,) = eroute_problems([], tunnels, [state("active")])
    assert "another program has removed its policies" in problem
    last = {"what": "3 policies of the child lan", "culprit": "pluto (process 4711)", "time": 1}
    (problem,) = eroute_problems([], tunnels, [state("active", repairs={"count": 1, "last": last})])
    assert "3 policies of the child lan, by pluto (process 4711)" in problem
    fight = state("degraded", reason="kernel_disturbed", story="somebody else removes its policies again and again")
    (problem,) = eroute_problems(eroutes("c-g0", *ways), tunnels, [fight])
    assert "again and again" in problem
    assert eroute_problems(eroutes("c-g0", *ways), tunnels, [state("active")]) == []


def test_a_child_that_waits_for_traffic_is_not_down() -> None:
    tunnels = host_tunnels(made(hosts(3), {**STAR, "child": {"start": "trap"}}), "g1", SEED)
    ways = [("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")]
    assert eroute_problems(eroutes("c-g0", *ways, action="trap", said="%trap"), tunnels) == []
