# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer with several addresses: tried in order of preference, and let in from each of them."""

from __future__ import annotations

import pytest
from engine.kernel.events import AcquireEvent
from engine.manager.runtime import Runtime
from engine.selector import parse_selector
from runtime_world import World, change

FIRST, SECOND = "10.0.0.2", "10.0.0.3"
BOTH = {"remote": {"addresses": [FIRST, SECOND], "id": "right.example.net"}}


def dead(world: World, *addresses: str) -> None:
    for address in addresses:
        world.wire.at.pop(address, None)


def acquire(runtime: Runtime) -> None:
    """A packet wants the child."""
    (reqid,) = {reqid for reqid, _unused in runtime.host.gateway.policies.values()}
    packet = [parse_selector(text) for text in ("10.1.0.5", "10.2.0.7")]
    runtime.host.gateway.push(AcquireEvent(reqid, "10.0.0.1", FIRST, 50, *packet))
    runtime.kernel()


def test_the_most_preferred_address_is_used_where_it_answers(two_ways):
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(1)
    assert two_ways.state(two_ways.left) == "active" and two_ways.in_use(two_ways.left) == FIRST


def test_the_next_one_is_tried_without_a_pause_where_one_does_not_answer(two_ways):
    dead(two_ways, FIRST)
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(7)
    assert two_ways.state(two_ways.left) == "negotiating", "seven sendings are not over yet"
    two_ways.run(1)
    assert two_ways.state(two_ways.left) == "active" and two_ways.in_use(two_ways.left) == SECOND


def test_where_none_answers_each_is_told_and_the_first_comes_first_again(two_ways):
    dead(two_ways, FIRST, SECOND)
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(15.1)
    how = two_ways.left.tunnels.condition("t")
    assert (how.state, how.reason) == ("down", "no_answer")
    assert [f"{address}/500 did not answer IKE_SA_INIT" in how.story for address in (FIRST, SECOND)] == [True, True]
    sent = [path.remote_address for _octets, path in two_ways.wire.flying]
    assert sent == [], "and there is a pause now"
    two_ways.run(1.5)
    two_ways.wire.at[FIRST] = two_ways.right
    two_ways.run(2)
    assert two_ways.in_use(two_ways.left) == FIRST


def test_what_says_more_than_silence_is_the_reason(two_ways):
    dead(two_ways, FIRST)
    two_ways.define(two_ways.left, **BOTH, auth={"secret": "quite another secret, at length"})
    two_ways.run(8)
    how = two_ways.left.tunnels.condition("t")
    assert how.reason == "authentication_failed" and FIRST in how.story and SECOND in how.story


def test_after_the_ike_sa_has_gone_the_most_preferred_comes_first_again(two_ways):
    dead(two_ways, FIRST)
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(9)
    assert two_ways.in_use(two_ways.left) == SECOND
    two_ways.wire.at[FIRST] = two_ways.right
    dead(two_ways, SECOND)
    two_ways.run(200)
    assert two_ways.state(two_ways.left) == "active" and two_ways.in_use(two_ways.left) == FIRST


def test_an_address_without_a_route_is_passed_over(two_ways):
    routes = {FIRST: None, SECOND: "10.0.0.1"}
    two_ways.left.host.source_address = routes.get
    two_ways.define(two_ways.left, **BOTH, local={"id": "10.0.0.1"})
    two_ways.run(1)
    assert two_ways.in_use(two_ways.left) == SECOND


def test_addresses_without_a_route_are_all_told(two_ways):
    two_ways.left.host.source_address = {}.get
    two_ways.define(two_ways.left, **BOTH, local={"id": "10.0.0.1"})
    two_ways.run(1)
    how = two_ways.left.tunnels.condition("t")
    assert how.reason == "no_answer"
    assert how.story == f"this host has no route to {FIRST}; this host has no route to {SECOND}"


def test_a_packet_starts_a_trap_at_the_next_address_when_the_first_was_in_vain(two_ways):
    dead(two_ways, FIRST)
    two_ways.define(two_ways.left, "present", **BOTH, child={"start": "trap"})
    acquire(two_ways.left)
    two_ways.run(9)
    assert two_ways.state(two_ways.left) == "dormant", "only a packet starts it"
    acquire(two_ways.left)
    two_ways.run(1)
    assert two_ways.in_use(two_ways.left) == SECOND


@pytest.mark.parametrize("address", [FIRST, SECOND])
def test_the_peer_may_come_from_each_of_them(two_ways, address):
    two_ways.define(two_ways.left, "present", **BOTH, role="responder")
    change(two_ways.right, role="initiator", local={"address": address, "id": "right.example.net"})
    two_ways.right.tunnels.retry.want("t", two_ways.now)
    two_ways.run(2)
    assert two_ways.state(two_ways.left) == "active" and two_ways.in_use(two_ways.left) == address


def test_nobody_comes_from_elsewhere(two_ways):
    two_ways.wire.at["10.0.0.4"] = two_ways.right
    two_ways.define(two_ways.left, "present", **BOTH, role="responder")
    change(two_ways.right, role="initiator", local={"address": "10.0.0.4", "id": "right.example.net"})
    two_ways.right.tunnels.retry.want("t", two_ways.now)
    two_ways.run(2)
    assert two_ways.state(two_ways.left) == "dormant"


def test_another_address_in_the_list_touches_nothing_that_runs(two_ways):
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(1)
    more = {"addresses": [FIRST, SECOND, "10.0.0.4"], "id": "right.example.net"}
    assert change(two_ways.left, remote=more) == "hot"
    two_ways.run(5)
    assert two_ways.state(two_ways.left) == "active" and two_ways.left.counts["ike_established"] == 1


def test_another_first_one_is_gone_over_to_without_a_gap(two_ways):
    two_ways.define(two_ways.left, **BOTH)
    two_ways.run(1)
    assert change(two_ways.left, remote={"addresses": [SECOND, FIRST], "id": "right.example.net"}) == "re-establish"
    two_ways.run(5)
    assert two_ways.state(two_ways.left) == "active" and two_ways.in_use(two_ways.left) == SECOND
