# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What thousands of tunnels that are down make the manager do: operations are counted, not seconds."""

from __future__ import annotations

import asyncio
import errno
import io
import json
from collections import Counter
from dataclasses import replace

import pytest
from engine.definition.parsing import parse_definition
from engine.ike.settings import Settings
from engine.manager import control
from engine.manager.handlers import Methods
from engine.manager.log import Log
from engine.manager.peer_errors import QUIET_SECONDS
from engine.manager.plan import Step
from engine.manager.runtime import Runtime
from engine.manager.store import Put, Store
from engine.manager.watching import SLICE
from fake_kernel import FakeHost
from manager_lab import definition

COUNT = 300


class Silence:
    """Stands for sockets whose datagrams nobody answers."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.problem = 0

    def for_path(self, path):
        return self

    def send(self, datagram: bytes, path, dscp: int = 0) -> None:
        if self.problem:
            raise OSError(self.problem, "refused")
        self.sent[path.remote_address] += 1


class World:
    """A runtime with many tunnels to peers that are not there, and a clock."""

    def __init__(self, folder) -> None:
        self.now = 1000.0
        self.wire = Silence()
        host = FakeHost(str(folder), journal=False)
        store = Store(str(folder / "definitions.sqlite"))
        self.runtime = Runtime(store, host, self.wire, Log("error", False, io.StringIO()), Settings(), lambda: self.now)
        self.runtime.begin()
        self.looks = 0
        condition = self.runtime.tunnels.condition

        def counted(name):
            self.looks += 1
            return condition(name)

        self.runtime.tunnels.condition = counted
        self.told = 0
        to_tell = self.runtime.tunnels.connections.peers.to_tell

        def told(*asked):
            names = to_tell(*asked)
            self.told += len(names)
            return names

        self.runtime.tunnels.connections.peers.to_tell = told

    def want(self, peer=None) -> None:
        """Have :data:`COUNT` tunnels wanted, all to ``peer`` if one is given, and all that is due started."""
        found = [definition(f"t{number}", number) for number in range(COUNT)]
        for one in found:
            one["remote"]["address"] = peer or one["remote"]["address"]
            one["children"][0]["start"] = "auto"
        puts = [Put("", "active", parse_definition(one, "t")) for one in found]
        for name, row in self.runtime.store.commit(puts).items():
            self.runtime.tunnels.carry_out(Step(name, "created", "none", None, None), row)
        while (due := self.runtime.tunnels.retry.next_deadline()) is not None and due <= self.now + 1.0:
            self.now = max(self.now, due)
            self.runtime.tunnels.start_due()
        self.looks = 0

    def wake(self) -> int:
        """As the event loop does: wake the runtime while something is due; how often that was."""
        turns = 0
        while self.runtime.next_deadline() <= self.now:
            self.runtime.wake()
            turns += 1
        return turns

    def reasons(self) -> set[str]:
        return {self.runtime.tunnels.condition(f"t{number}").reason for number in range(COUNT)}


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.runtime.journal.close()
    found.runtime.host.close()
    found.runtime.store.close()


def test_errors_of_one_address_are_looked_at_once_a_tunnel_not_once_a_tunnel_and_datagram(world):
    world.want("192.0.2.9")
    assert world.wire.sent["192.0.2.9"] == COUNT
    for _datagram in range(COUNT):
        world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    assert (world.looks, world.told) == (COUNT, COUNT)
    assert world.reasons() == {"port_closed"}


def test_the_same_error_later_is_not_looked_at_again_by_those_who_know(world):
    world.want("192.0.2.9")
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    world.now += QUIET_SECONDS
    world.looks = 0
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    assert world.looks == 0


def test_another_error_of_the_address_is_told_at_once(world):
    world.want("192.0.2.9")
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    world.runtime.refused("192.0.2.9", 500, errno.EHOSTUNREACH)
    assert world.reasons() == {"no_answer"}


def test_who_starts_while_an_error_is_quiet_hears_of_it_with_a_later_datagram(world):
    world.want("192.0.2.9")
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    row = world.runtime.tunnels.rows["t7"]
    world.runtime.tunnels.carry_out(Step("t7", "started", "none", row, None), row)
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    assert world.runtime.tunnels.condition("t7").reason == "negotiating"
    world.now += QUIET_SECONDS
    world.runtime.refused("192.0.2.9", 500, errno.ECONNREFUSED)
    assert world.runtime.tunnels.condition("t7").reason == "port_closed"


def test_what_cannot_be_sent_to_one_address_costs_no_square_either(world):
    world.wire.problem = errno.ENETUNREACH
    world.want("192.0.2.9")
    world.now += 0.6
    world.wake()
    assert world.runtime.counts["unsent"] == 2 * COUNT
    assert world.looks <= 4 * COUNT
    assert world.told <= 4 * COUNT


def test_an_error_of_an_address_is_none_of_another(world):
    world.want()
    world.runtime.refused("203.0.0.9", 500, errno.ECONNREFUSED)
    assert world.looks == 1
    assert world.runtime.tunnels.condition("t7").reason == "port_closed"
    assert world.runtime.tunnels.condition("t8").reason == "negotiating"


def test_one_turn_repeats_the_requests_of_some_only(world):
    world.want()
    world.now += 0.6
    most = world.runtime.endpoint.settings.due_at_once
    before = world.wire.sent.total()
    world.runtime.wake()
    assert world.wire.sent.total() - before == most < COUNT
    assert world.runtime.next_deadline() <= world.now
    assert world.wake() == -(-COUNT // most) - 1
    assert world.wire.sent.total() - before == COUNT
    assert set(world.wire.sent.values()) == {2}


def test_thousands_that_fail_at_once_are_ended_over_turns_and_tried_again(world):
    world.want()
    for _unused in range(30):
        world.now += 5.0
        world.wake()
    counts = world.runtime.counts
    assert counts["ike_failed"] >= COUNT and counts["ike_connecting"] > COUNT
    assert world.reasons() == {"no_answer"}


def test_dear_key_exchanges_end_a_turn_early_and_none_is_lost(world):
    start = world.runtime.endpoint.start
    started = []

    def dear(name, *more):
        world.now += 0.05
        started.append(name)
        return start(name, *more)

    world.runtime.endpoint.start = dear
    world.want()
    assert sorted(started) == sorted(f"t{number}" for number in range(COUNT))
    for name in ("t3", "t4"):
        world.runtime.tunnels.retry.want(name, world.now)
    started.clear()
    world.runtime.tunnels.start_due()
    assert started == ["t3"]
    world.runtime.tunnels.start_due()
    assert started == ["t3", "t4"]


def turns_of(coroutine) -> tuple[object, int]:
    """What a coroutine answers, and how often others had their turn meanwhile."""

    async def both():
        turns, running = 0, True

        async def count():
            nonlocal turns
            while running:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        answer = await coroutine
        running = False
        await counting
        return answer, turns

    return asyncio.run(both())


def test_a_listing_lets_others_have_their_turn(world):
    world.want()
    methods = Methods(world.runtime, lambda keep: None).handlers()
    params = {"source": "manager", "phase": "both", "verbose": False}
    answer, turns = turns_of(methods["tunnels.list"](params, None))
    assert len(answer["tunnels"]) == COUNT
    assert turns >= 2 * (COUNT // SLICE)
    assert world.looks == COUNT


def test_a_verbose_listing_has_its_turns_for_the_ike_sas_too(world):
    world.want()
    methods = Methods(world.runtime, lambda keep: None).handlers()
    params = {"source": "manager", "phase": "both", "verbose": True}
    answer, turns = turns_of(methods["tunnels.list"](params, None))
    assert [len(one["ike_sas"]) for one in answer["tunnels"]] == [1] * COUNT
    assert turns >= 3 * (COUNT // SLICE)


def test_what_is_stopped_during_a_listing_gets_no_new_number(world):
    world.want()
    tunnels = world.runtime.tunnels
    methods = Methods(world.runtime, lambda keep: None).handlers()

    async def both():
        params = {"source": "manager", "phase": "both", "verbose": False}
        listing = asyncio.create_task(methods["tunnels.list"](params, None))
        await asyncio.sleep(0)
        before = tunnels.numbers.of("t0")
        row = tunnels.rows["t0"]
        tunnels.carry_out(Step("t0", "stopped", "none", row, None, halts=True), replace(row, wanted="inactive"))
        return before, await listing

    before, answer = asyncio.run(both())
    assert before and not tunnels.numbers.of("t0")
    assert len(answer["tunnels"]) == COUNT - 1


def test_a_wait_looks_at_each_tunnel_twice_however_many_there_are(world):
    world.want()
    methods = Methods(world.runtime, lambda keep: None).handlers()
    answer, turns = turns_of(methods["tunnels.wait"]({"until": "established", "timeout": 0}, None))
    assert not answer["reached"] and len(answer["tunnels"]) == COUNT
    assert turns >= COUNT // SLICE
    assert world.looks == 2 * COUNT


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {"tunnels": [{"name": "ü", "x": [1, {}]}, {"name": '"'}], "more": None}},
        {"jsonrpc": "2.0", "id": None, "result": {"tunnels": [], "counts": {}}},
        {"jsonrpc": "2.0", "id": "a", "error": {"code": -1, "message": "m", "data": {"problems": [{"field": "f"}]}}},
        {"result": [[[], [1]], {"a": {"b": {"c": True}}}]},
        {"result": True},
    ],
)
def test_a_line_in_pieces_is_the_line(message):
    line = asyncio.run(control._line_of_pieces(message))
    assert line == control._line(message)
    assert json.loads(line) == message


def test_a_long_line_lets_others_have_their_turn():
    message = {"jsonrpc": "2.0", "id": 1, "result": {"tunnels": [{"name": f"t{number}"} for number in range(2000)]}}
    line, turns = turns_of(control._line_of_pieces(message))
    assert json.loads(line) == message
    assert turns >= 4000 // control._PIECES_AT_ONCE
