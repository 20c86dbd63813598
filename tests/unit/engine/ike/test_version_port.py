# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An endpoint speaks versions of IKE through their port alone: one that is made up here does all that it needs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from engine.errors import InputError
from engine.ike.action_codec import freeze_actions, thaw_actions
from engine.ike.actions import Expire, Report
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.ike.versions import all_versions
from engine.ike.views import Stage
from engine.wire.header import Header

from tests.seeded_entropy import SeededEntropy

from .forge import TO_EAST, stories
from .toy_version import NUMBER, PAUSE, TRIES, Toy, toy_connection
from .world import World, child, east_connection, mirror


def world_of(*versions: object) -> World:
    """Both ends speak these versions, and define a tunnel for the toy."""
    world = World()
    for seed, host in enumerate((world.east, world.west), 1):
        host.engine = Endpoint(SeededEntropy(seed), host._reserve, Settings(), versions)
    connection = toy_connection(east_connection())
    world.east.engine.define(connection)
    world.west.engine.define(mirror(connection))
    return world


def up() -> World:
    world = world_of(Toy())
    world.east.start("old")
    world.run(1.0)
    world.check()
    return world


def test_two_messages_make_a_tunnel() -> None:
    world = up()
    world.run(PAUSE)  # when the answer would have been waited for no longer
    for host in (world.east, world.west):
        (view,) = host.engine.of_tunnel("old")
        assert view.stage is Stage.ESTABLISHED and [each.name for each in view.children] == ["lan"]
        assert host.engine.counts() == (1, 1, 1) and not host.engine.negotiates("old")
        assert host.engine.next_deadline() is None
    assert world.count == 2


def test_what_is_lost_is_sent_again_when_it_is_due_and_given_up_at_last() -> None:
    world = world_of(Toy())
    world.fate = lambda number, _datagram: [0.01] if number == 1 else []
    world.east.start("old")
    assert world.east.engine.negotiates("old")
    world.run(PAUSE + 0.1)
    assert world.east.kinds() == ["ike_connecting", "retransmit"] and world.west.kinds()[0] == "ike_established"
    world.run(TRIES * PAUSE)
    assert world.east.reasons("ike_failed") == ["no_answer"] and world.east.engine.idle


def test_an_operator_and_the_kernel_end_what_there_is() -> None:
    world = up()
    (sa,) = world.west.engine.child_sas("old")
    world.west.do(world.west.engine.kernel_event(Expire(sa.local_address, 50, sa.spi_in, True), world.now))
    assert world.west.kinds()[-1] == "child_down" and world.west.engine.child_sas() == []
    world.east.stop("old", children=["lan"])
    world.east.stop("old")
    assert world.east.kinds()[-1] == "ike_down" and world.east.engine.idle
    assert not world.east.kernel.inbound and not world.east.kernel.policies and not world.east.kernel.faults


def test_another_process_goes_on() -> None:
    world = up()
    host = world.east
    records = {key: json.loads(json.dumps(record)) for key, record in host.engine.changes().items()}
    assert [record["version"] for record in records.values()] == [NUMBER]
    children = {sa.number: sa for sa in host.engine.child_sas()}
    fresh = Endpoint(SeededEntropy(9), host._reserve, Settings(), [Toy()])
    fresh.define(toy_connection(east_connection()))
    assert fresh.resume(records, world.now) == ([], {})
    assert fresh.of_tunnel("old") == host.engine.of_tunnel("old")
    assert fresh.changes().keys() == records.keys() and not fresh.changed
    undone = host.engine.stop("old", world.now)
    todo = json.loads(json.dumps(freeze_actions(undone)))
    assert thaw_actions(todo, children.get) == [each for each in undone if not isinstance(each, Report)]


def test_a_record_of_a_version_that_is_not_spoken_is_refused_alone() -> None:
    world = up()
    records = world.east.engine.changes()
    fresh = Endpoint(SeededEntropy(9), world.east._reserve)
    fresh.define(toy_connection(east_connection()))
    assert fresh.resume(records, world.now) == ([], {"old": "IKE version 1 is not spoken here"})
    assert fresh.changed and set(fresh.changes().items()) == {(key, None) for key in records}, "nobody keeps it"


def test_both_versions_live_in_one_endpoint() -> None:
    world = world_of(*all_versions(), Toy())
    other = replace(child("other", 2), local=child().local)
    new = east_connection(children=(other,))
    # The toy's definition answers whoever comes from there; this one is found by what it offers and by identities.
    world.east.engine.define(new)
    world.west.engine.define(mirror(new))
    for host in (world.east, world.west):
        host.engine.undefine("old")
    world.east.start("t")
    world.run(1.0)
    world.check(2)
    for host, connection in ((world.east, east_connection()), (world.west, mirror(east_connection()))):
        host.engine.undefine("t")
        host.engine.define(toy_connection(connection))
    world.east.start("old")
    world.run(1.0)
    world.check(1)
    for host in (world.east, world.west):
        assert {view.tunnel: view.state for view in host.engine.sas()} == {"t": "established", "old": "toy"}
        host.stop("old")
        assert [view.tunnel for view in host.engine.sas()] == ["t"]


def test_a_message_goes_to_the_version_of_its_header() -> None:
    world = world_of(Toy())
    hello = Header(bytes(range(8)), bytes(8), 0, 2, 0, 34, 8, 0, 28).encode()
    assert stories(world.east.engine.receive(hello, TO_EAST, world.now)) == ["version 2 is too new"]
    old = Header(bytes(range(8)), bytes(8), 0, 0, 0, 34, 8, 0, 28).encode()
    assert world.east.engine.receive(old, TO_EAST, world.now) == []


def test_a_definition_of_a_version_that_is_not_spoken_cannot_be_started() -> None:
    world = World()
    world.east.engine.define(toy_connection(east_connection()))
    with pytest.raises(InputError, match="no such version of IKE is spoken here"):
        world.east.start("old")


def test_changes_of_a_definition_reach_the_version() -> None:
    world = up()
    assert world.east.engine.awaited("old") == []
    world.east.do(world.east.engine.rekey("old", world.now))
    world.east.do(world.east.engine.rekey("old", world.now, ["lan"]))
    world.east.do(world.east.engine.retire("old", world.now))
    assert world.east.engine.counts().up == 1, "its child is in use"
    world.east.engine.define(toy_connection(east_connection(lifetime=60.0)))
    world.east.do(world.east.engine.supersede("old", world.now, ["lan"]))
    world.west.do(world.west.engine.supersede("old", world.now))
    assert world.east.engine.idle and world.west.engine.idle
    world.east.engine.rename("old", "new")
