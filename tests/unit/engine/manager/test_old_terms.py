# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition that changed at one end alone: what was agreed before is up, and listings say why it may not stay so."""

from __future__ import annotations

import pytest
from runtime_world import World, change, lan

OTHER = "other.example.net"


def up(world: World, **more: object) -> None:
    world.define(world.right, "present")
    world.define(world.left, **more)
    world.run(1)
    assert world.state(world.left) == "active"


def told(world: World) -> tuple[str, str]:
    how = world.left.tunnels.condition("t")
    return how.state, how.reason


def test_what_the_peer_does_not_know_is_told(world):
    up(world)
    change(world.left, local={"address": "10.0.0.1", "id": OTHER})
    assert told(world) == ("active", ""), "what takes its place is under way"
    world.run(10)
    how = world.left.tunnels.condition("t")
    assert told(world) == ("active", "peer_unchanged") and how.ends_at is None, "it gets fresh keys"
    assert "at this end alone" in how.story and "AUTHENTICATION_FAILED" in how.story and "likewise" in how.remedy
    change(world.right, remote={"address": "10.0.0.1", "id": OTHER})
    world.run(120)
    assert told(world) == ("active", "") and world.left.tunnels.condition("t").ends_at is None


def test_a_child_that_the_peer_refuses_is_told_too(world):
    up(world)
    wider = ["10.1.0.0/16", "10.11.0.0/16"]
    change(world.left, children=lan(world.left, local=wider, proposals=["aes128gcm16-ecp256"]))
    world.run(10)
    assert told(world) == ("active", "peer_unchanged")
    change(world.right, children=lan(world.right, remote=wider, proposals=["aes128gcm16-ecp256"]))
    world.run(120)
    assert told(world) == ("active", "")


def test_who_only_answers_says_so_until_the_peer_asks(world):
    world.define(world.left, "active", role="responder")
    world.define(world.right)
    world.run(1)
    change(world.left, local={"address": "10.0.0.1", "id": OTHER})
    assert told(world) == ("active", "peer_unchanged")
    change(world.right, remote={"address": "10.0.0.1", "id": OTHER})
    world.run(120)
    assert told(world) == ("active", "")


def test_a_change_taken_back_leaves_no_reason(world):
    up(world)
    change(world.left, local={"address": "10.0.0.1", "id": OTHER})
    world.run(10)
    change(world.left, local={"address": "10.0.0.1", "id": "10.0.0.1"})
    world.run(120)
    assert told(world) == ("active", "")
    assert len(world.left.host.gateway.sas) == 2 == len(world.right.host.gateway.sas)


@pytest.mark.parametrize("proposals", [[], ["aes128gcm16-ecp256"]])
def test_who_only_answers_asks_for_children_in_an_ike_sa_that_its_peer_made_before_it_changed(world, proposals):
    """Whether that is of the new definition it cannot know; no other one comes if it is."""
    world.define(world.right, role="responder")
    world.define(world.left, role="initiator")
    world.run(1)
    change(world.left, encapsulation="force")
    world.run(1)
    change(world.right, encapsulation="force")
    world.run(1)
    for runtime in (world.left, world.right):
        children = lan(runtime, name="renamed", **({"proposals": proposals} if proposals else {}))
        change(runtime, children=children)
        world.run(1)
    world.run(60)
    assert [world.state(runtime) for runtime in (world.left, world.right)] == ["active", "active"]
    for runtime in (world.left, world.right):
        (sa,) = runtime.endpoint.of_tunnel("t")
        assert [child.name for child in sa.children] == ["renamed"]
