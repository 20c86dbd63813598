# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When losses are looked for and put back, how a fight is slowed, and what is told of it."""

from __future__ import annotations

import io

from engine.kernel.changes import POLICIES, ROUTES, Foreign
from engine.manager.log import Log
from engine.manager.losses import Loss
from engine.manager.repairs import AUDIT, FIGHT, PAUSE, QUIET, Outcome, Repairs, Told


class Table:
    """A table of the kernel that a test empties."""

    def __init__(self) -> None:
        self.lost: list[Loss] = []
        self.refuses = False
        self.looks = 0

    def lacking(self, tunnels):
        return [loss for loss in self.lost if tunnels is None or loss.tunnel in tunnels]

    def mend(self, tunnels):
        self.looks += 1
        found = self.lacking(tunnels)
        if self.refuses:
            return Outcome([], found)
        self.lost = [loss for loss in self.lost if loss not in found]
        return Outcome(found)


class World:
    """Repairs with a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stream = io.StringIO()
        self.changed: list[str] = []
        self.tables = {ROUTES: Table(), POLICIES: Table()}
        log = Log("info", False, self.stream)
        self.repairs = Repairs(self.tables, log, lambda: self.now, self.changed.append)

    @property
    def policies(self) -> Table:
        return self.tables[POLICIES]

    def flush(self, kind: str = POLICIES, lasting: bool = False) -> None:
        self.tables[kind].lost.append(Loss("t", f"the {kind} of lan"))
        self.repairs.heard([Foreign(kind, "flushed", "pluto (process 4711)", lasting=lasting)])

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.repairs.next_deadline()) <= end:
            self.now = max(due, self.now)
            self.repairs.wake(self.now)
        self.now = end


def test_a_flush_is_answered_at_once_and_said() -> None:
    world = World()
    world.flush()
    assert not world.policies.lost
    record = world.repairs.record("t")
    assert (record.count, record.last, record.culprit) == (1, "the policies of lan", "pluto (process 4711)")
    assert record.at > 0 and world.changed == ["t"] and world.repairs.counts == {POLICIES: 1}
    assert "pluto (process 4711)" in world.stream.getvalue() and "tunnel=t" in world.stream.getvalue()
    assert not world.repairs.disturbance("t"), "one loss is no fight"


def test_one_of_many_events_waits_for_the_others_but_not_for_long() -> None:
    world = World()
    for _unused in range(50):
        world.flush(lasting=True)
        world.run(0.005)
    assert 1 <= world.policies.looks <= 2, "one look for all that came in a moment"
    world.run(PAUSE)
    assert not world.policies.lost


def test_whoever_asks_waits_for_no_events() -> None:
    world = World()
    world.flush(lasting=True)
    assert world.policies.lost
    world.repairs.hurry()
    assert not world.policies.lost


def test_a_fight_is_slowed_to_one_repair_a_second_and_never_given_up() -> None:
    world = World()
    for _unused in range(600):
        world.flush()
        world.run(0.05)
    assert 29 <= world.policies.looks <= 31
    assert "again and again" in world.repairs.disturbance("t").story and "pluto" in world.repairs.disturbance("t").story
    lines = world.stream.getvalue().splitlines()
    assert len(lines) <= FIGHT + 1 and "once a second" in lines[FIGHT - 1], lines
    world.run(PAUSE)
    assert not world.policies.lost
    world.run(QUIET)
    assert not world.repairs.disturbance("t")


def test_while_something_is_missing_it_is_said() -> None:
    world = World()
    world.flush()
    world.run(0.3)
    world.flush()
    assert world.policies.lost and "just now" in world.repairs.disturbance("t").story
    assert not world.repairs.disturbance("another")
    world.run(PAUSE)
    assert not world.policies.lost and not world.repairs.disturbance("t")


def test_a_look_that_takes_long_delays_the_next_repair_by_no_more_than_a_second() -> None:
    world = World()
    mend = world.policies.mend

    def slow(tunnels):
        world.now += 0.4
        return mend(tunnels)

    world.policies.mend = slow
    world.repairs.heard([Foreign(POLICIES, "flushed", "")])
    world.policies.lost.append(Loss("t", "a policy"))
    world.repairs.heard([Foreign(POLICIES, "flushed", "")])
    world.run(PAUSE + 0.01)
    assert not world.policies.lost


def test_a_disturbance_names_the_children_that_it_is_of() -> None:
    world = World()
    world.policies.refuses = True
    world.policies.lost += [
        Loss("t", "a policy of lan", "lan"),
        Loss("t", "a policy of dmz", "dmz"),
        Loss("other", "it"),
    ]
    world.repairs.heard([Foreign(POLICIES, "flushed", "")])
    assert world.repairs.disturbance("t").children == {"lan", "dmz"}
    assert world.repairs.disturbance("other").children == {""}, "all of them"


def test_tables_do_not_wait_for_each_other() -> None:
    world = World()
    world.flush(POLICIES)
    world.flush(ROUTES)
    assert not world.tables[ROUTES].lost and not world.policies.lost


def test_what_cannot_be_put_back_is_said_and_tried_every_second() -> None:
    world = World()
    world.policies.refuses = True
    world.flush()
    world.run(5.5)
    assert world.policies.looks == 6
    assert "cannot be put back" in world.repairs.disturbance("t").story
    assert len(world.stream.getvalue().splitlines()) == 1
    world.policies.refuses = False
    world.run(PAUSE)
    assert not world.policies.lost and not world.repairs.disturbance("t")


def test_everything_is_compared_now_and_then_whatever_was_heard() -> None:
    world = World()
    world.policies.lost.append(Loss("t", "a policy"))
    world.run(AUDIT + 1)
    assert not world.policies.lost and world.repairs.record("t").count == 1
    assert world.policies.looks == 1


def test_a_task_is_told_once_and_a_look_tells_without_that() -> None:
    world = World()
    world.flush()
    world.policies.lost.append(Loss("t", "a policy"))
    world.policies.lost.append(Loss("other", "a policy"))
    for _unused in range(2):
        assert world.repairs.look({"t"}) == {"t": Told(["the policies of lan"], ["a policy"], True)}
    assert world.repairs.mend({"t"}) == {"t": Told(["the policies of lan", "a policy"], [], False)}
    assert world.policies.lost == [Loss("other", "a policy")]
    assert world.repairs.look({"t"}) == world.repairs.mend({"t"}) == {}
    assert world.repairs.record("t").count == 2 and world.repairs.counts == {POLICIES: 2}
    world.repairs.forget("t")
    assert world.repairs.record("t").count == 0


def test_what_was_put_back_is_told_once_with_how_often_and_apart_from_what_is_missing() -> None:
    world = World()
    for _unused in range(3):
        world.flush()
        world.run(PAUSE)
    world.policies.lost.append(Loss("t", "the policies of lan"))
    back = ["the policies of lan (3 times)"]
    assert world.repairs.look({"t"}) == {"t": Told(back, ["the policies of lan"], True)}
    world.policies.refuses = True
    world.run(AUDIT)
    assert world.repairs.look({"t"}) == {"t": Told(back, ["the policies of lan"], False)}, "a run could not"
    assert world.repairs.mend({"t"}) == {"t": Told(back, ["the policies of lan"], False)}
    assert world.repairs.mend({"t"}) == {"t": Told([], ["the policies of lan"], False)}, "still so"


def test_work_beside_the_loop_is_asked_for_again() -> None:
    world = World()
    outcomes = [Outcome([], working=True), Outcome([Loss("", "a table")])]
    world.policies.mend = lambda tunnels: outcomes.pop(0) if outcomes else Outcome([])
    world.repairs.heard([Foreign(POLICIES, "flushed", "")])
    world.run(0.1)
    assert world.repairs.record("").count == 1 and not outcomes


def test_what_is_heard_during_work_beside_the_loop_is_looked_at_after_it() -> None:
    world = World()
    outcomes = [Outcome([], working=True), Outcome([Loss("", "a table")]), Outcome([Loss("", "a table")])]
    world.policies.mend = lambda tunnels: outcomes.pop(0) if outcomes else Outcome([])
    for _unused in range(2):  # the second one may have come after that look saw the table
        world.repairs.heard([Foreign(POLICIES, "flushed", "")])
    world.run(0.1)
    assert world.repairs.record("").count == 1 and len(outcomes) == 1
    world.run(PAUSE)
    assert world.repairs.record("").count == 2
    world.run(QUIET)
    assert world.repairs.record("").count == 2
