# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a tunnel is not up stands at the tunnel, at either end, whoever began."""

from __future__ import annotations

import pytest
from engine.manager.states import reached
from manager_lab import SECRET
from runtime_world import World

OTHERS = {"ike": {"proposals": ["aes128-sha256-modp2048"]}}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def how(runtime, name="t"):
    return runtime.tunnels.condition(name)


def test_who_only_answers_says_what_differs_from_what_its_peer_offers(world):
    world.define(world.right, role="responder", **OTHERS)
    assert how(world.right).reason == "waiting_for_peer"
    world.define(world.left)
    world.run(1)
    told = how(world.right)
    assert told.state == "down" and told.reason == "no_proposal_chosen"
    assert "encryption differs (offered: aes256gcm16" in told.story and "allowed: aes128" in told.story


def test_a_refusal_that_anybody_could_have_sent_shows_at_once_while_it_is_tried_on(world):
    world.define(world.right, role="responder", **OTHERS)
    world.define(world.left)
    world.run(0.2)
    told = how(world.left)
    assert told.state == "negotiating" and told.reason == "no_proposal_chosen" and "offered was aes" in told.story
    assert world.left.counts["ike_connecting"] == 1 and "ikeping --probe ikev2 10.0.0.2 tells" in told.remedy


def test_the_mode_that_differs_is_named_where_the_peer_begins(world):
    hosts = {"mode": "transport", "local": ["10.0.0.2"], "remote": ["10.0.0.1"]}
    world.define(world.right, role="responder", child=hosts)
    world.define(world.left, child={"local": ["10.0.0.1"], "remote": ["10.0.0.2"]})
    world.run(1)
    assert how(world.right).reason == "mode_refused" and how(world.right).remedy == "set the same mode at both ends"


def test_where_the_peer_may_mean_either_of_two_tunnels_both_say_so(world):
    world.define(world.right, role="responder", remote={"address": "10.0.0.1", "id": "a"}, **OTHERS)
    other = {"name": "u", "remote": {"address": "10.0.0.1", "id": "b"}, "child": {"local": ["10.3.0.0/16"]}}
    world.define(world.right, role="responder", **other, **OTHERS)
    world.define(world.left)
    world.run(1)
    for name in ("t", "u"):
        assert how(world.right, name).reason == "no_proposal_chosen"
        assert how(world.right, name).story.endswith("(the peer means one of t, u)")


def test_of_two_tunnels_between_the_same_addresses_the_one_that_is_meant_has_the_reason(world):
    world.define(world.right, role="responder", remote={"address": "10.0.0.1", "id": "a"}, auth={"secret": SECRET * 2})
    other = {"name": "u", "auth": {"secret": SECRET * 2}, "child": {"local": ["10.3.0.0/16"]}}
    world.define(world.right, role="responder", **other)
    world.define(world.left)
    world.run(1)
    assert how(world.right).reason == "waiting_for_peer"
    assert how(world.right, "u").reason == "peer_not_authenticated"
    lines = [line for line in world.log.getvalue().splitlines() if "peer_not_authenticated" in line]
    assert lines and all("ike failed tunnel=u" in line for line in lines)


def test_what_keeps_a_peer_out_does_not_keep_us_waiting_for_a_packet(world):
    """Anybody may send a first message in the peer's name that nobody can agree to."""
    world.define(world.right, "active", child={"start": "trap"}, **OTHERS)
    assert reached(how(world.right), "established", None)
    world.define(world.left)
    world.run(1)
    assert how(world.right).reason == "no_proposal_chosen" and reached(how(world.right), "established", None)


def test_what_a_peer_repeats_is_a_line_of_the_log_now_and_then(world):
    world.define(world.right, role="responder", **OTHERS)
    world.define(world.left)
    world.run(500)
    lines = [line for line in world.log.getvalue().splitlines() if " rejected " in line]
    told = [line for line in lines if " info " in line]
    assert len(lines) > 20 and len(told) == 1 and "tunnel=t" in told[0] and "allowed: aes128" in told[0]
    world.run(300)
    assert sum(" info rejected " in line for line in world.log.getvalue().splitlines()) == 2
