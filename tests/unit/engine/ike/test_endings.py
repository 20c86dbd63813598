# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs that end, or are one too many, while something is under way; and peers that put everything off."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.crypto.exchange import KeyExchange
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.actions import Path
from engine.ike.context import Context
from engine.ike.settings import Settings
from engine.ike.v2 import initiation, new_child, rekey_child, rekey_ike, table
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType

from tests.seeded_entropy import SeededEntropy

from .rekeys import spis, two_children
from .world import EAST, WEST, World, child, east_connection, mirror, pair, straight, up

PATIENT = {"settings": Settings(retransmit=(1000.0,)), "retransmit_timeout": 1000.0}  # a lifetime ends before that


@pytest.mark.parametrize("doing", ["rekey_child", "new_child"])
def test_an_spi_reserved_for_a_request_is_released_when_the_ike_sa_expires(doing: str) -> None:
    world = two_children(lifetime=100.0, dpd_delay=0.0, **PATIENT)
    for sa in world.east.engine.registry.by_spi.values():
        sa.rekey_at = float("inf")
    world.run(50.0)
    world.fate = lambda _n, _d: []
    if doing == "rekey_child":
        world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    else:
        world.east.start(children=["voice"])
    assert len(world.east.kernel.reserved) == 1
    world.run(60.0)
    assert world.east.reasons("ike_down") == ["expired"] and not world.east.kernel.reserved
    assert not world.east.kernel.faults and not world.east.kernel.inbound


def test_the_children_are_carried_on_where_the_peer_has_made_the_successor() -> None:
    world = up(lifetime=100.0, dpd_delay=0.0, **PATIENT)
    for host in (world.east, world.west):
        for sa in host.engine.registry.by_spi.values():
            sa.rekey_at = float("inf")
    before = spis(world)
    world.run(90.0)
    # East's own rekey is lost, while west's is answered: the collision stays open until east's IKE SA expires.
    world.fate = lambda _n, _d: []
    world.east.do(world.east.engine.rekey("t", world.now))
    world.fate = straight
    world.west.do(world.west.engine.rekey("t", world.now))
    world.run(0.015)
    assert len(list(world.east.engine.sas())) == 2
    world.fate = lambda _n, _d: []
    world.run(20.0)
    assert spis(world) == before and "child_down" not in world.east.kinds()
    assert len(world.east.sas()) == 1 and world.east.kernel.sending(1) is not None


@pytest.mark.parametrize(("kind", "handler"), [
    ("rekey_child", rekey_child.respond), ("rekey_ike", rekey_ike.respond), ("new_child", new_child.respond),
])  # fmt: skip
def test_a_peer_that_puts_everything_off_is_asked_less_and_less(
    kind: str, handler: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def busy(context: object, sa: object, got: object) -> list[Notify]:
        asked.append(context.now)  # type: ignore[attr-defined]
        return [Notify(NotifyType.TEMPORARY_FAILURE)]

    world = two_children(dpd_delay=0.0)
    rows = {key: row._replace(handler=busy) for key, row in table._REQUESTS.items() if row.handler is handler}
    monkeypatch.setattr(table, "_REQUESTS", table._REQUESTS | rows)
    if kind == "new_child":
        world.east.start(children=["voice"])
    else:
        world.east.do(world.east.engine.rekey("t", world.now, ["lan"] if kind == "rekey_child" else None))
    world.run(1000.0)
    pauses = [after - before for before, after in zip(asked, asked[1:])]
    assert 8 <= len(asked) <= 25 and len(set(pauses)) == len(pauses), "bounded, and at random"
    assert pauses[0] < 8 and pauses[-1] > 50
    for pause, bound in zip(pauses, (5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0)):
        assert bound * 0.49 < pause < bound * 1.51
    world.check()


def test_the_last_moments_of_a_child_see_a_few_more_attempts_but_no_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def busy(context: object, sa: object, got: object) -> list[Notify]:
        asked.append(context.now)  # type: ignore[attr-defined]
        return [Notify(NotifyType.TEMPORARY_FAILURE)]

    world = up(children=(child(lifetime=600.0),), dpd_delay=0.0)
    respond = rekey_child.respond
    rows = {key: row._replace(handler=busy) for key, row in table._REQUESTS.items() if row.handler is respond}
    monkeypatch.setattr(table, "_REQUESTS", table._REQUESTS | rows)
    world.run(599.0)
    world.check()
    assert 10 < len(asked) < 80  # by both ends


@pytest.mark.parametrize("starter", ["east", "west"])
def test_two_ike_sas_that_stand_beside_each_other_become_one(starter: str) -> None:
    """A peer that authenticates anew without closing what was there, whoever began that."""
    world = up(dpd_delay=0.0)
    world.run(200.0)
    host = getattr(world, starter)
    (old,) = host.engine.registry.by_spi.values()
    context = Context(host.engine, world.now)
    initiation.new_initiator(context, old.connection, old.path)
    host.do(host.engine._finish(context))
    world.run(1.0)
    assert len(world.east.sas()) == len(world.west.sas()) == 2
    for _unused in range(400):
        world.run(0.1)
        assert world.east.kernel.sending(1) is not None and world.west.kernel.sending(1) is not None
    world.check()
    tidy(world)
    for end in (world.east, world.west):
        assert end.sas()[0].number != old.number and set(end.reasons("ike_down")) <= {"replaced", "peer_deleted"}


@pytest.mark.parametrize("seed", range(30))
def test_crossed_beginnings_with_loss_leave_one_and_no_gap(seed: int) -> None:
    chance = random.Random(seed)
    world = pair(children=(child(),), dpd_delay=0.0)

    def fate(_number: int, _datagram: bytes) -> list[float]:
        copies = chance.choices([0, 1, 2], [0.25, 0.65, 0.1])[0]
        return [chance.uniform(0.001, 0.6) for _unused in range(copies)]

    world.fate = fate
    world.east.start()
    world.run(chance.uniform(0.0, 2.0))
    world.west.start()
    sending = False
    for _unused in range(200):
        world.run(0.25)
        both = world.east.kernel.sending(1) is not None and world.west.kernel.sending(1) is not None
        assert both or not sending, "what was up went down in between"
        sending = both
    assert sending
    world.fate = straight
    world.run(100.0)
    world.check()
    tidy(world)


def tidy(world: World) -> None:
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1
    assert not world.east.kernel.faults and not world.west.kernel.faults
    assert not world.east.kernel.reserved and not world.west.kernel.reserved


def test_the_group_of_the_ike_sa_is_guessed_first() -> None:
    """The peer chose ecp384 for the IKE SA: no rekey begins with anything else."""
    theirs = ike_proposals("aes256gcm16-prfsha384-ecp384", "p"), esp_proposals("aes256gcm16-ecp384", "p")
    world = pair(dpd_delay=0.0)
    lan = replace(child(), proposals=theirs[1])
    world.west.engine.define(mirror(east_connection(children=(lan,), proposals=theirs[0], dpd_delay=0.0)))
    world.east.start()
    world.run(1.0)
    world.check()
    drawn = []

    class Watched(SeededEntropy):
        def key_exchange(self, group: int) -> KeyExchange:
            drawn.append(group)
            return super().key_exchange(group)

    world.east.engine.entropy = Watched(7)
    count = world.count
    for _unused in range(3):
        world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
        world.run(1.0)
        world.east.do(world.east.engine.rekey("t", world.now))
        world.run(1.0)
    assert drawn == [20] * 6, "one key exchange for each"
    assert world.count - count == 3 * 8, "each rekey is a round trip, and each Delete"
    tidy(world)


def test_the_group_of_the_child_before_is_guessed_first() -> None:
    """The peer takes other groups for children than for the IKE SA: a rekey of the latter changes no guess."""
    theirs = ike_proposals("aes256gcm16-prfsha384-ecp384", "p"), esp_proposals("aes256gcm16-x25519", "p")
    ours = ike_proposals("aes256gcm16-prfsha384-ecp384", "p"), esp_proposals("aes256gcm16-ecp384-x25519", "p")
    lan = replace(child(), proposals=theirs[1])
    world = pair(dpd_delay=0.0)
    wide = replace(child(), proposals=ours[1])
    world.east.engine.define(east_connection(children=(wide,), proposals=ours[0], dpd_delay=0.0))
    world.west.engine.define(mirror(east_connection(children=(lan,), proposals=theirs[0], dpd_delay=0.0)))
    world.east.start()
    world.run(1.0)
    world.check()
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    drawn = []

    class Watched(SeededEntropy):
        def key_exchange(self, group: int) -> KeyExchange:
            drawn.append(group)
            return super().key_exchange(group)

    world.east.engine.entropy = Watched(7)
    for _unused in range(2):
        world.east.do(world.east.engine.rekey("t", world.now))
        world.run(1.0)
        world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
        world.run(1.0)
    assert drawn == [20, 31] * 2, "each as the last of its kind"
    tidy(world)


@pytest.mark.parametrize("later", [0.0, 200.0], ids=["at once", "later"])
@pytest.mark.parametrize("first", [True, False], ids=["in the first", "in the second"])
def test_of_two_ike_sas_that_one_end_began_the_one_without_children_goes(first: bool, later: float) -> None:
    world = pair(children=(child(start="manual"),), dpd_delay=0.0)
    for number in range(2):
        context = Context(world.east.engine, world.now)
        connection = world.east.engine.connections.get("t")
        new = initiation.new_initiator(context, connection, Path(EAST, 500, WEST, 500, False))
        if (number == 0) is first:
            new.handshake.wanted = new.connection.children
        world.east.do(world.east.engine._finish(context))
        world.run(0.5 if number else 0.5 + later)
    assert len(world.east.sas()) == len(world.west.sas()) == 2
    world.run(120.0)
    world.check()
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    assert "child_down" not in world.east.kinds() + world.west.kinds()
