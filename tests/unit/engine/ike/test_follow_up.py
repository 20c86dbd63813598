# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges of rekeys and of further children, in IKE_FOLLOWUP_KE (RFC 9370): losses, restarts, harm."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.v2 import follow_up
from engine.ike.v2.snapshot import freeze_window
from engine.selector import parse_selector
from engine.wire.v2.ke import KE
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.vendor import VendorID

from .forge import ENTROPY, TO_EAST, Raw, hand, ike_sa, opened, sealed, sends
from .hybrid import (
    ADDITIONAL,
    CREATE,
    ECP384,
    EITHER,
    ESP,
    FOLLOW_UP,
    IKE,
    X25519,
    Asks,
    Wire,
    asked,
    hybrid,
    rekey_child,
    rekey_ike,
    up,
)
from .mortal import Mortal
from .world import LATENCY, World, child, east_connection, mirror


@pytest.mark.parametrize("fragment_size", [0, 256])
@pytest.mark.parametrize("seed", range(12))
def test_a_wire_that_loses_doubles_and_reorders_only_delays(seed: int, fragment_size: int) -> None:
    chance = random.Random(seed)

    def fate(_number: int, _datagram: bytes) -> list[float]:
        return [LATENCY * chance.uniform(0.5, 8) for _copy in range(chance.choice([0, 1, 1, 1, 1, 1, 2]))]

    world = hybrid(fate, fragment_size=fragment_size, retransmit_timeout=300.0, dpd_delay=0.0)
    world.east.start()
    for number in range(4):
        world.run(300.0)
        world.check()
        asks = [(rekey_child, rekey_ike), (rekey_ike, rekey_child), (rekey_child,) * 2, (rekey_ike,) * 2][number]
        asks[0](world, world.east)
        asks[1](world, world.west)
    world.run(600.0)
    world.check()
    for host in (world.east, world.west):
        assert len(host.sas()) == 1 and not host.kernel.reserved
        assert all(sa.making is None for sa in host.engine.registry.by_spi.values())


@EITHER
@pytest.mark.parametrize("by", ["east", "west"])
def test_a_rekey_has_as_many_exchanges(asks: Asks, by: str) -> None:
    wire = Wire()
    world = up(wire)
    first, count = {host.address: set(host.kernel.inbound) for host in (world.east, world.west)}, len(wire.seen)
    asks(world, getattr(world, by))
    world.run(2.0)
    world.check()
    rounds = 1 if asks is rekey_child else 2
    assert wire.exchanges()[count:][: 2 + 2 * rounds] == [CREATE, CREATE, *[FOLLOW_UP] * 2 * rounds]
    for host in (world.east, world.west):
        assert bool(first[host.address] & set(host.kernel.inbound)) == (asks is rekey_ike)
        assert not host.kernel.reserved
    assert ike_sa(world.east).protection.keys == ike_sa(world.west).protection.keys


def test_a_further_child_has_them_too() -> None:
    networks = (parse_selector("10.3.0.0/16"),)
    more = replace(child("more", 2, start="manual"), local=networks, proposals=esp_proposals(ESP))
    wire = Wire()
    connection = east_connection(proposals=ike_proposals(IKE), children=(child(), more))
    world = World(wire)
    world.east.engine.define(connection)
    world.west.engine.define(mirror(connection))
    world.east.start(children=["lan"])
    world.run(1.0)
    count = len(wire.seen)
    world.west.start(children=["more"])
    world.run(1.0)
    world.check()
    world.check(2)
    assert wire.exchanges()[count:] == [CREATE, CREATE, FOLLOW_UP, FOLLOW_UP]


@EITHER
def test_of_two_at_once_each_puts_the_other_off(asks: Asks) -> None:
    world = up()
    asks(world, world.east)
    asks(world, world.west)
    world.run(1.0)
    for host in (world.east, world.west):
        assert "peer_busy" in host.reasons("setback")
    world.check()
    world.run(120.0)
    world.check()
    rekeyed = "child_rekeyed" if asks is rekey_child else "ike_rekeyed"
    assert rekeyed in world.east.kinds() and rekeyed in world.west.kinds()
    assert len(world.east.sas()) == len(world.west.sas()) == 1


@EITHER
@pytest.mark.parametrize("ours", [rekey_child, rekey_ike])
def test_work_of_ours_waits_for_what_the_peer_has_begun(asks: Asks, ours: Asks) -> None:
    wire = Wire(asked(FOLLOW_UP))
    world = up(wire)
    asks(world, world.east)
    world.run(0.1)
    assert ike_sa(world.west).making is not None
    count = len(wire.seen)
    ours(world, world.west)
    world.run(0.05)
    assert [one for one in wire.seen[count:] if asked(CREATE)(one)] == []
    wire.lost = lambda _datagram: False
    world.run(30.0)
    world.check()
    assert not world.east.reasons("setback"), "what it began comes to its end"
    assert ("child_rekeyed" if ours is rekey_child else "ike_rekeyed") in world.west.kinds()


@EITHER
def test_what_the_peer_does_not_come_back_for_is_not_made(asks: Asks) -> None:
    wire = Wire(asked(FOLLOW_UP))
    world = up(wire, retransmit_timeout=600.0, dpd_delay=0.0, starts=False)
    asks(world, world.east)
    world.run(follow_up.LIFETIME - 5.0)
    assert len(world.west.kernel.reserved) == (1 if asks is rekey_child else 0)
    world.run(10.0)
    assert ike_sa(world.west).making is None and not world.west.kernel.reserved
    wire.lost = lambda _datagram: False
    world.run(300.0)
    world.check()
    assert world.east.reasons("setback") == ["peer_busy"], "STATE_NOT_FOUND: it is begun again"
    assert ("child_rekeyed" if asks is rekey_child else "ike_rekeyed") in world.west.kinds()
    for host in (world.east, world.west):
        assert not host.kernel.reserved and len(host.sas()) == 1


def test_what_ends_meanwhile_is_given_up() -> None:
    world = up(Wire(asked(FOLLOW_UP)))
    rekey_child(world, world.east)
    world.run(0.1)
    world.west.stop()
    world.run(1.0)
    assert not world.west.kernel.reserved


@pytest.mark.parametrize("end", ["east", "west"])
@EITHER
def test_whoever_is_killed_at_any_moment_comes_to_fresh_keys(asks: Asks, end: str) -> None:
    for moment in range(12):
        world = up()
        mortal = Mortal(getattr(world, end), {})
        mortal.do([])
        mortal.kill_at = moment
        spis, first = set(world.west.kernel.inbound), ike_sa(world.east).spi_i
        asks(world, world.east)
        world.run(300.0)
        world.check()
        fresh = not spis & set(world.west.kernel.inbound) if asks is rekey_child else ike_sa(world.west).spi_i != first
        assert fresh, moment
        assert len(world.east.sas()) == len(world.west.sas()) == 1
        assert ike_sa(world.east).protection.keys == ike_sa(world.west).protection.keys


@pytest.mark.parametrize("payloads", [[], [Notify(ADDITIONAL, b"")], [Notify(ADDITIONAL, b"another one")]])
def test_what_nobody_has_begun_is_not_found(payloads: list[Any]) -> None:
    world = up()
    east = ike_sa(world.east)
    ke = KE(ECP384, ENTROPY.key_exchange(ECP384).public)
    (answer,) = sends(hand(world, world.west, sealed(east, FOLLOW_UP, east.next_id, [ke, *payloads])))
    assert [notify.type for notify in opened(east, answer).all(Notify)] == [NotifyType.STATE_NOT_FOUND]
    assert ike_sa(world.west).alive


@pytest.mark.parametrize(
    ("ke", "ends"),
    [
        ([KE(ECP384, b"\1" * 95)], True),
        ([KE(X25519, ENTROPY.key_exchange(X25519).public)], True),
        ([], True),
    ],
)
def test_a_useless_value_in_a_rekey_makes_nothing(ke: list[Any], ends: bool) -> None:
    wire = Wire(asked(FOLLOW_UP))
    world = up(wire)
    rekey_child(world, world.east)
    world.run(0.1)
    east, west = ike_sa(world.east), ike_sa(world.west)
    link = Notify(ADDITIONAL, west.making.link)
    message_id = east.request.message_id
    (answer, *_others) = sends(hand(world, world.west, sealed(east, FOLLOW_UP, message_id, [*ke, link])))
    assert [notify.type for notify in opened(east, answer).all(Notify)] == [NotifyType.INVALID_SYNTAX]
    assert west.alive is not ends and not world.west.kernel.reserved and not world.west.kernel.faults


@EITHER
@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [KE(X25519, ENTROPY.key_exchange(X25519).public), Notify(ADDITIONAL, b"go on")],
        [Notify(NotifyType.STATE_NOT_FOUND)],
        [Notify(NotifyType.TEMPORARY_FAILURE)],
    ],
)
def test_a_useless_answer_in_a_rekey_leaves_what_there_is(payloads: list[Any], asks: Asks) -> None:
    world = up(Wire(asked(FOLLOW_UP)), dpd_delay=0.0)
    asks(world, world.east)
    world.run(0.1)
    east, west = ike_sa(world.east), ike_sa(world.west)
    answer = sealed(west, FOLLOW_UP, east.request.message_id, payloads, response=True)
    hand(world, world.east, answer, TO_EAST)
    assert not world.east.kernel.reserved and not world.east.kernel.faults
    assert world.east.kernel.sending(1) is not None
    assert all(one.state.value == "installed" for sa in (east,) for one in sa.children.values())


@EITHER
def test_what_is_to_be_sent_back_has_to_fit_into_a_message(asks: Asks) -> None:
    world = up(Wire(asked(FOLLOW_UP)), esp=f"{ESP}-ke2_ecp521", fragment_size=0, dpd_delay=0.0)
    asks(world, world.east)
    world.run(0.1)
    east, west = ike_sa(world.east), ike_sa(world.west)
    value, _secret = ENTROPY.answer(ECP384, east.request.task.exchange.public)
    large = [KE(ECP384, value), Notify(ADDITIONAL, bytes(65_360))]
    hand(world, world.east, sealed(west, FOLLOW_UP, east.request.message_id, large, response=True), TO_EAST)
    assert east.alive and east.request is None
    assert not world.east.kernel.reserved and world.east.kernel.sending(1) is not None
    assert world.east.reasons("rekey_refused") == ["protocol_error"]


@EITHER
def test_what_a_first_answer_has_besides_is_not_kept(asks: Asks) -> None:
    wire = Wire(asked(CREATE))
    world = up(wire, dpd_delay=0.0)
    asks(world, world.east)
    east, west = ike_sa(world.east), ike_sa(world.west)
    (answer,) = sends(hand(world, world.west, east.request.datagrams[0]))
    message_id, besides = east.request.message_id, [VendorID(bytes(20_000)), Raw(200, bytes(20_000))]
    large = [*opened(east, answer), *besides, Notify(40_000, bytes(20_000))]
    wire.lost = lambda _datagram: False
    actions = world.east.engine.receive(sealed(west, CREATE, message_id, large, response=True), TO_EAST, world.now)
    assert len(json.dumps(freeze_window(east))) < 5_000
    world.east.do(actions)
    world.run(1.0)
    world.check()
    assert ("child_rekeyed" if asks is rekey_child else "ike_rekeyed") in world.east.kinds()


def test_a_first_answer_that_does_not_say_how_to_go_on_makes_nothing() -> None:
    world = up(Wire(asked(CREATE)))
    rekey_child(world, world.east)
    east, west = ike_sa(world.east), ike_sa(world.west)
    (answer,) = sends(hand(world, world.west, east.request.datagrams[0]))
    kept = [payload for payload in opened(east, answer) if getattr(payload, "type", 0) != ADDITIONAL]
    hand(world, world.east, sealed(west, CREATE, east.request.message_id, kept, response=True))
    assert not world.east.kernel.reserved and world.east.kernel.sending(1) is not None
    assert world.east.reasons("rekey_refused") == ["protocol_error"]
