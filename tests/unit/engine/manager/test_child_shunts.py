# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that let packets pass, or drop them: nothing of them is negotiated, and the tunnel counts them."""

from __future__ import annotations

import pytest
from engine.crypto.auth import Unknown
from engine.definition.build import connection_of
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.kernel.values import OUT
from manager_lab import definition
from runtime_world import World, change, lan

PASS = {"name": "printers", "local": ["10.1.0.0/16"], "remote": ["10.2.7.0/24"], "mode": "pass"}
DROP = {"name": "guests", "local": ["10.1.0.0/16"], "remote": ["10.2.8.0/24"], "mode": "drop"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def up(world: World) -> None:
    world.define(world.left)
    world.define(world.right)
    world.run(5)
    assert world.state(world.left) == "active"


def actions(world: World) -> dict[str, tuple[str, int]]:
    """By network behind the peer, what becomes of packets that leave, and how many SAs are demanded of them."""
    found = world.left.host.gateway.held.values()
    return {
        f"{policy.selector.destination[2]}": (policy.action, len(policy.templates) if policy.action == "allow" else 0)
        for policy in found
        if policy.direction == OUT
    }


def test_they_come_and_go_beside_what_is_up(world):
    up(world)
    before = [sa.spi_i for sa in world.left.endpoint.sas()]
    change(world.left, children=[*lan(world.left), PASS, DROP])
    world.run(5)
    assert actions(world) == {"0": ("allow", 1), "7": ("allow", 0), "8": ("block", 0)}
    how = world.left.tunnels.condition("t")
    assert how.state == "active" and how.phase2 == {"lan": "active", "printers": "active", "guests": "active"}
    change(world.left, children=lan(world.left))
    world.run(5)
    assert actions(world) == {"0": ("allow", 1)}
    assert [sa.spi_i for sa in world.left.endpoint.sas()] == before


def test_one_that_becomes_a_tunnel_is_negotiated_and_back(world):
    up(world)
    voice = {"name": "voice", "local": ["10.1.0.0/16"], "remote": ["10.2.7.0/24"]}
    theirs = {"name": "voice", "local": ["10.2.7.0/24"], "remote": ["10.1.0.0/16"]}
    change(world.right, children=[*lan(world.right), theirs])
    change(world.left, children=[*lan(world.left), voice | {"mode": "drop"}])
    world.run(5)
    assert actions(world)["7"] == ("block", 0)
    change(world.left, children=[*lan(world.left)[:1], voice])
    world.run(5)
    assert actions(world)["7"] == ("allow", 1) and world.left.tunnels.condition("t").phase2["voice"] == "active"
    change(world.left, children=[*lan(world.left)[:1], voice | {"mode": "pass"}])
    world.run(90)
    assert actions(world)["7"] == ("allow", 0)
    assert {child.name for sa in world.left.endpoint.sas() for child in sa.children} == {"lan"}


def test_a_tunnel_of_nothing_else_speaks_to_nobody(world):
    world.define(world.left, child=PASS)
    world.run(60)
    assert world.state(world.left) == "active" and not [*world.left.endpoint.sas()]
    assert actions(world) == {"7": ("allow", 0)}
    world.left.host.gateway.refuse.add("set_policies")
    change(world.left, children=[PASS, DROP])
    how = world.left.tunnels.condition("t")
    assert (how.state, how.reason) == ("degraded", "kernel_refused") and how.phase2["guests"] == "dormant"


def test_what_is_not_wanted_does_not_stand(world):
    world.define(world.left, wanted="present", child=PASS)
    assert actions(world) == {} and world.state(world.left) == "dormant"
    change(world.left, children=[PASS | {"start": "trap"}])
    assert actions(world) == {"7": ("allow", 0)}


@pytest.mark.parametrize("mode", ["pass", "drop"])
def test_nothing_of_them_reaches_the_protocol(mode):
    raw = definition("a", 1)
    raw["children"].append({**PASS, "mode": mode, "proposals": "no words"})
    parsed = parse_definition(raw)
    reqids = {child["name"]: number for number, child in enumerate(parsed.document["children"], 1)}
    assert [child.name for child in connection_of(parsed, Unknown(), reqids).children] == [raw["children"][0]["name"]]


def test_they_need_networks_and_no_interface():
    with pytest.raises(Problems, match="list the networks"):
        parse_definition(definition("a", 1) | {"children": [{"name": "x", "mode": "pass", "local": ["10.1.0.0/16"]}]})
    with pytest.raises(Problems, match=r"children\[0\].mode"):
        parse_definition(definition("a", 1) | {"children": [PASS], "interface": {"name": "ipsec7"}})
