# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's tunnels: mirror images at both ends, whatever the order of the inventory, and nothing that collides."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.overlap import Claim, overlaps
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.parsing import parse_definition
from ansible_collections.fleet.ipsec.plugins.plugin_utils.communities import interface_name
from ansible_collections.fleet.ipsec.plugins.plugin_utils.problems import PlanError
from ansible_collections.fleet.ipsec.plugins.plugin_utils.roster import make_roster
from ansible_collections.fleet.ipsec.plugins.plugin_utils.topology import (
    host_peers,
    host_tunnels,
    tunnels_apart,
    tunnels_at_hand,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from .inventories import SEED, fleets, host, hosts

HUB_SPOKE = {"name": "c", "topology": "hub_spoke", "hubs": ["g0"], "spokes": ["g1", "g2"], "spoke_to_spoke": "via_hub"}


def roster(communities: list[dict[str, Any]], variables: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The roster of an inventory with the group all."""
    return make_roster(
        communities, variables, {"all": sorted(variables)}, more.get("externals"), more.get("seed", SEED)
    )


def refused_or_roster(fleet: Any) -> dict[str, Any] | None:
    """The roster, None if the inventory makes no fleet."""
    try:
        return roster(*fleet)
    except PlanError:
        return None


def both_ends(made: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every pair of a fleet as seen from its two ends."""
    tunnels = {}
    for name in made["members"]:
        peers = host_peers(made, name)
        for peer, tunnel in zip(peers, host_tunnels(made, name, SEED), strict=True):
            assert tunnel["name"] == peer["tunnel"]
            tunnels[peer["community"], name, peer["host"]] = tunnel
    return [
        (tunnel, tunnels[community, right, left])
        for (community, left, right), tunnel in tunnels.items()
        if left < right
    ]


@given(fleets())
@settings(max_examples=150, deadline=None)
def test_the_two_ends_of_a_pair_mirror_each_other(fleet: Any) -> None:
    made = refused_or_roster(fleet)
    for left, right in both_ends(made) if made else []:
        assert left["local"]["id"] == right["remote"]["id"]
        assert left["remote"]["id"] == right["local"]["id"]
        assert left["auth"]["secret"] == right["auth"]["secret"]
        assert sorted([left["role"], right["role"]]) == ["initiator", "responder"]
        assert [c["name"] for c in left["children"]] == [c["name"] for c in right["children"]]
        for mine, theirs in zip(left["children"], right["children"], strict=True):
            assert mine["local"] == theirs["remote"]
            assert mine["remote"] == theirs["local"]


@given(fleets())
@settings(max_examples=150, deadline=None)
def test_the_manager_takes_what_was_planned(fleet: Any) -> None:
    made = refused_or_roster(fleet)
    for name in made["members"] if made else []:
        claims = []
        for tunnel in host_tunnels(made, name, SEED):
            definition = parse_definition(tunnel)
            for child, (local, remote) in zip(definition.document["children"], definition.selectors, strict=True):
                claims += [Claim(definition.name, child["name"], "", one, other) for one in local for other in remote]
        assert overlaps(claims) == []


@given(fleets(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_inventory_does_not_count(fleet: Any, chance: Any) -> None:
    communities, variables = fleet
    made = refused_or_roster(fleet)
    names = list(variables)
    chance.shuffle(names)
    again = refused_or_roster((communities, {name: variables[name] for name in names}))
    assert made == again


@given(fleets(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_host_of_no_common_community_changes_nothing(fleet: Any, data: Any) -> None:
    """A pure function of the inventory: what is not in a host's communities does not matter to it."""
    communities, variables = fleet
    made = refused_or_roster(fleet)
    if not made:
        return
    more = {**variables, "other1": host(100), "other2": host(101)}
    pair = {"name": "else", "topology": "pairs", "pairs": [{"left": "other1", "right": "other2"}]}
    bigger = roster([*communities, pair], more)
    name = data.draw(st.sampled_from(sorted(made["members"])))
    assert host_tunnels(made, name, SEED) == host_tunnels(bigger, name, SEED)


@given(fleets())
@settings(max_examples=60, deadline=None)
def test_each_pair_has_a_secret_of_its_own(fleet: Any) -> None:
    made = refused_or_roster(fleet)
    secrets = [left["auth"]["secret"] for left, _right in both_ends(made)] if made else []
    assert len(set(secrets)) == len(secrets)


def test_hub_and_spoke_reach_each_other_and_the_next_spoke() -> None:
    made = roster([HUB_SPOKE], hosts(3))
    [tunnel] = host_tunnels(made, "g1", SEED)
    assert tunnel["name"] == "c-g0"
    assert tunnel["role"] == "initiator"
    assert tunnel["local"] == {"address": "198.51.0.1", "id": "gw1.example"}
    assert tunnel["remote"] == {"address": "198.51.0.0", "id": "gw0.example"}
    assert tunnel["children"] == [
        {"name": "lan", "local": ["10.0.1.0/24"], "remote": ["10.0.0.0/24", "10.0.2.0/24"], "proposals": "modern"}
    ]
    assert [t["name"] for t in host_tunnels(made, "g0", SEED)] == ["c-g1", "c-g2"]


def test_without_via_hub_a_spoke_reaches_the_hub_only() -> None:
    made = roster([{**HUB_SPOKE, "spoke_to_spoke": "none"}], hosts(3))
    assert host_tunnels(made, "g1", SEED)[0]["children"][0]["remote"] == ["10.0.0.0/24"]


def test_direct_joins_the_spokes_as_well() -> None:
    made = roster([{**HUB_SPOKE, "spoke_to_spoke": "direct"}], hosts(3))
    assert [t["name"] for t in host_tunnels(made, "g1", SEED)] == ["c-g0", "c-g2"]


def test_the_second_hub_is_reached_by_its_own_tunnel() -> None:
    community = {**HUB_SPOKE, "hubs": ["g0", "g3"]}
    made = roster([community], hosts(4))
    remote = {t["name"]: t["children"][0]["remote"] for t in host_tunnels(made, "g1", SEED)}
    assert remote == {"c-g0": ["10.0.0.0/24", "10.0.2.0/24"], "c-g3": ["10.0.3.0/24"]}


def test_a_pair_of_spokes_goes_its_own_way() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g1", "right": "g2"}]}
    made = roster([HUB_SPOKE, pair], hosts(3))
    remote = {t["name"]: t["children"][0]["remote"] for t in host_tunnels(made, "g1", SEED)}
    assert remote == {"c-g0": ["10.0.0.0/24"], "p-g2": ["10.0.2.0/24"]}


def test_who_cannot_be_reached_initiates() -> None:
    variables = {"hub": host(1), "road": host(2, dynamic=True, address=None), "nat": host(3, nat=True)}
    community = {"name": "c", "topology": "hub_spoke", "hubs": ["road", "nat"], "spokes": ["hub"]}
    made = roster([community], variables)
    assert {t["role"] for t in host_tunnels(made, "hub", SEED)} == {"responder"}
    to_nat, to_road = host_tunnels(made, "hub", SEED)
    assert to_road["remote"] == {"id": "gw2.example"}
    assert to_nat["remote"] == {"address": "198.51.0.3", "id": "gw3.example"}
    [from_road] = host_tunnels(made, "road", SEED)
    assert from_road["local"] == {"id": "gw2.example"}
    assert from_road["role"] == "initiator"


def test_an_epoch_accepts_the_one_before() -> None:
    made = roster([HUB_SPOKE], hosts(3))
    first, second = (host_tunnels(made, "g1", SEED, epoch)[0]["auth"] for epoch in (1, 2))
    assert "also_accept" not in first
    assert second["also_accept"] == [first["secret"]]
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert second["secret"] != first["secret"]


def test_a_peer_of_others_has_no_epoch_and_without_their_secrets_none() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peers = {
        "px": {"address": "203.0.113.9", "networks": ["172.20.0.0/16"], "auth": {"secret": "agreed upon by phone"}}
    }
    made = roster([pair], hosts(1), externals=peers)
    assert host_tunnels(made, "g0")[0]["auth"] == {"method": "psk"}
    assert host_tunnels(made, "g0", SEED, 1, peers)[0]["auth"] == {"method": "psk", "secret": "agreed upon by phone"}


def test_tunnels_to_hosts_that_a_play_does_not_reach() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peers = {
        "px": {"address": "203.0.113.9", "networks": ["172.20.0.0/16"], "auth": {"secret": "agreed upon by phone"}}
    }
    made = roster([HUB_SPOKE, pair], hosts(3), externals=peers)
    assert tunnels_apart(made, "g0", ["g0", "g2"]) == ["c-g1"]
    assert tunnels_apart(made, "g0", ["g0", "g1", "g2"]) == []


def test_a_community_may_have_its_own_epoch() -> None:
    made = roster([{**HUB_SPOKE, "epoch": 2}], hosts(3))
    plain = roster([HUB_SPOKE], hosts(3))
    assert host_tunnels(made, "g1", SEED, 1) == host_tunnels(plain, "g1", SEED, 2)


@pytest.mark.parametrize("epoch", [0, -1, "x", None])
def test_a_bad_epoch_is_refused(epoch: Any) -> None:
    with pytest.raises(PlanError, match="fleet_ipsec_epoch"):
        host_tunnels(roster([HUB_SPOKE], hosts(3)), "g1", SEED, epoch)


def test_an_external_peer_has_its_own_secret_and_settings() -> None:
    externals = {
        "px": {
            "address": "203.0.113.9",
            "id": "px.example",
            "networks": ["172.20.0.0/16"],
            "profile": "compat",
            "ike": {"lifetime": "8h"},
            "auth": {"secret": "agreed upon"},
        }
    }
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    made = roster([pair], hosts(1), externals=externals, seed=None)
    [tunnel] = host_tunnels(made, "g0", None, 1, externals)
    assert tunnel["auth"] == {"method": "psk", "secret": "agreed upon"}
    assert tunnel["role"] == "both"
    assert tunnel["ike"] == {"proposals": "compat", "lifetime": "8h"}
    assert "agreed upon" not in str(made)


def test_transport_mode_protects_the_ends_themselves() -> None:
    community = {"name": "c", "topology": "mesh", "members": "all", "child": {"mode": "transport"}}
    [tunnel] = host_tunnels(roster([community], hosts(2)), "g0", SEED)
    assert tunnel["children"] == [{"name": "host", "proposals": "modern", "mode": "transport"}]
    parse_definition(tunnel)


def test_a_host_of_no_community_has_no_tunnels() -> None:
    assert host_tunnels(roster([HUB_SPOKE], hosts(4)), "g3", SEED) == []


def test_settings_of_a_host_go_before_those_of_its_community() -> None:
    variables = hosts(3)
    variables["g1"]["fleet_ipsec"]["ike"] = {"dpd_delay": "10s"}
    made = roster([{**HUB_SPOKE, "ike": {"dpd_delay": "60s", "lifetime": "1h"}}], variables)
    assert host_tunnels(made, "g1", SEED)[0]["ike"] == {"proposals": "modern", "dpd_delay": "10s", "lifetime": "1h"}
    assert host_tunnels(made, "g2", SEED)[0]["ike"]["dpd_delay"] == "60s"


def test_only_tunnels_to_hosts_that_the_play_has_reached_are_waited_for() -> None:
    made = roster([{"name": "c", "topology": "mesh", "members": "all"}], hosts(5))
    everyone = ["g0", "g1", "g2", "g3", "g4"]
    # Second batch of two; g1 of the first one failed.
    found = tunnels_at_hand(made, "g2", everyone, ["g0", "g2", "g3", "g4"], ["g2", "g3"])
    assert found == [{"name": "c-g0"}, {"name": "c-g3"}]


@pytest.mark.parametrize(
    "community",
    [
        {"name": "c", "topology": "mesh", "members": "all"},
        {"name": "c", "topology": "hub_spoke", "hubs": ["g0"], "spokes": [], "spoke_to_spoke": "via_hub"},
    ],
    ids=["mesh", "hub_spoke"],
)
def test_a_thousand_hosts_take_no_time(community: dict[str, Any]) -> None:
    """Linear in the hosts for the roster, linear in its own pairs for a host; squares would take minutes here."""
    variables = hosts(1000)
    if "spokes" in community:
        community = {**community, "spokes": [name for name in variables if name != "g0"]}
    start = time.process_time()
    made = roster([community], variables)
    tunnels = host_tunnels(made, "g0", SEED)
    assert len(tunnels) == 999
    assert time.process_time() - start < 5


def test_the_tunnels_of_a_community_with_interfaces_are_route_based() -> None:
    made = roster([HUB_SPOKE | {"interfaces": True}, {"name": "d", "topology": "pairs", "pairs": [
        {"left": "g3", "right": "g0"}]}], hosts(4))  # fmt: skip
    tunnels = host_tunnels(made, "g0", SEED)
    assert [tunnel.get("interface") for tunnel in tunnels] == [{"name": "c-g1"}, {"name": "c-g2"}, None]
    documents = [parse_definition(tunnel).document for tunnel in tunnels]
    assert [document["interface"] and document["interface"]["routes"] for document in documents] == [
        ["10.0.1.0/24"], ["10.0.2.0/24"], None,
    ]  # fmt: skip
    (spoke,) = host_tunnels(made, "g1", SEED)
    assert parse_definition(spoke).document["interface"]["routes"] == ["10.0.0.0/24", "10.0.2.0/24"]


@given(st.text("abcdefgh-._019", min_size=1, max_size=60), st.text("abcdefgh-._019", min_size=1, max_size=60))
def test_interface_names_fit_and_differ(one: str, other: str) -> None:
    assert len(interface_name(one)) <= 15
    assert (interface_name(one) == interface_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"interfaces": "ipsec0"}, "write true or false"),
        ({"interfaces": True, "child": {"mode": "transport"}}, "take interfaces out"),
    ],
)
def test_interfaces_that_cannot_be(more: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        roster([HUB_SPOKE | more], hosts(3))
