# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that fall silent: restarted, gone, or behind a NAT that made another mapping; how soon each is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.ike.actions import Unanswered
from engine.ike.endpoint import Endpoint
from engine.wire.header import Header
from engine.wire.v2.numbers import ExchangeType

from tests.seeded_entropy import SeededEntropy

from .nat_box import behind_nat
from .world import EAST, LATENCY, World, child, east_connection, mirror, straight, up


def restart(world: World, **more: object) -> None:
    """West loses all it knew, its kernel too, and begins nothing by itself."""
    west = world.west
    west.kernel.inbound.clear()
    west.kernel.outbound.clear()
    west.kernel.order.clear()
    west.kernel.policies.clear()
    west.engine = Endpoint(SeededEntropy(99), west._reserve, west.engine.settings)
    west.engine.define(mirror(east_connection(**more)))


def until_up(world: World, patience: float) -> float:
    """Seconds until both ends carry traffic again."""
    began = world.now
    while world.now < began + patience:
        world.run(0.1)
        out, back = world.east.kernel.sending(1), world.west.kernel.sending(1)
        if out and back and out.spi_out in world.west.kernel.inbound and back.spi_out in world.east.kernel.inbound:
            return world.now - began
    raise AssertionError("it never came back")


def test_a_passive_peer_that_was_restarted_is_found_again_in_fifteen_seconds() -> None:
    world = up(dpd_delay=5.0)
    world.run(20.0)
    restart(world, dpd_delay=5.0)
    assert until_up(world, 60.0) < 15.0
    world.run(5.0)
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1
    assert world.east.reasons("ike_down") == ["replaced"] and "child_down" not in world.east.kinds()
    assert not world.east.kernel.reserved and not world.east.kernel.faults


def test_packets_without_any_in_return_are_a_reason_to_ask_at_once() -> None:
    world = up(dpd_delay=300.0)
    world.run(20.0)
    restart(world)
    out = world.east.kernel.sending(1)
    world.run(5.0)
    world.east.do(world.east.engine.kernel_event(Unanswered(EAST, out.spi_in), world.now))
    assert until_up(world, 60.0) < 10.0


def test_the_question_is_put_once_and_not_to_a_peer_that_was_just_heard() -> None:
    world = up(dpd_delay=300.0)
    spi = world.east.kernel.sending(1).spi_in
    count = world.count
    world.east.do(world.east.engine.kernel_event(Unanswered(EAST, spi), world.now))
    assert world.count == count, "it was heard a second ago"
    world.run(20.0)
    for _unused in range(3):
        world.east.do(world.east.engine.kernel_event(Unanswered(EAST, spi), world.now))
    world.run(1.0)
    assert world.count == count + 2, "one question, one answer"
    world.east.do(world.east.engine.kernel_event(Unanswered(EAST, spi + 1), world.now))
    never = up(dpd_delay=0.0)
    never.run(20.0)
    count = never.count
    never.east.do(never.east.engine.kernel_event(Unanswered(EAST, never.east.kernel.sending(1).spi_in), never.now))
    assert never.count == count


def test_a_path_that_is_gone_for_a_while_finds_everything_as_it_was() -> None:
    world = up(dpd_delay=5.0)
    before = set(world.east.kernel.inbound)
    plain = world.fate
    world.fate = lambda _n, _d: []
    world.run(40.0)
    world.fate = plain
    assert until_up(world, 1.0) < 1.0 and set(world.east.kernel.inbound) == before
    world.run(120.0)
    world.check()
    assert "child_down" not in world.east.kinds() + world.west.kinds()
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1


@pytest.mark.parametrize("lost", [(True,), (False,), (True, False)], ids=["ours", "theirs", "all"])
def test_between_peers_that_live_another_ike_sa_takes_over_without_a_gap(lost: tuple[bool, ...]) -> None:
    """All datagrams of the old one get lost, of either end or of both, while both go on: nothing else does."""
    world = up(dpd_delay=5.0)
    old = world.east.sas()[0].spi_i

    def of_the_old_one(_number: int, datagram: bytes) -> list[float]:
        header = Header.parse(datagram)
        return [] if header.initiator_spi == old and header.from_initiator in lost else [LATENCY]

    world.fate = of_the_old_one
    for _unused in range(3000):
        world.run(0.01)
        world.check()
    world.run(120.0)
    world.check()
    for host in (world.east, world.west):
        assert "child_down" not in host.kinds() and set(host.reasons("ike_down")) == {"replaced"}
        assert len(list(host.engine.sas())) == 1
    assert world.east.kinds().count("ike_established") <= 3


def test_who_was_away_proves_nothing_by_a_late_answer_to_a_question_of_meanwhile() -> None:
    """East asks for a child and is gone for four seconds; then it answers what waits before it reads west's answer."""
    world = up()
    asked: list[bytes] = []
    questions: list[bytes] = []
    back = 6  # with this sending of its request

    def fate(_number: int, datagram: bytes) -> list[float]:
        header = Header.parse(datagram)
        if header.exchange == ExchangeType.CREATE_CHILD_SA and header.from_initiator:
            asked.append(datagram)
        elif header.exchange == ExchangeType.INFORMATIONAL and not header.from_initiator and not header.is_response:
            questions.append(datagram)
        if len(asked) == 1:
            return [LATENCY] if header.from_initiator else []
        if len(asked) < back:
            return []
        slow = header.exchange == ExchangeType.CREATE_CHILD_SA and header.is_response
        return [0.2 if slow else LATENCY]

    world.fate = fate
    world.east.engine.define(east_connection())
    world.east.do(world.east.engine.supersede("t", world.now, ["lan"]))
    while len(asked) < back:
        world.run(0.01)
        world.check()
    assert len(questions) > 1
    world.east.do(world.east.engine.receive(questions[-1], world.east.sas()[0].path, world.now))
    for _unused in range(300):
        world.run(0.01)
        world.check()
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


@pytest.mark.parametrize("seconds", [5.0, 20.0, 60.0, 300.0])
def test_patience_is_an_option(seconds: float) -> None:
    world = up(dpd_delay=10.0, retransmit_timeout=seconds)
    world.fate = lambda _n, _d: []
    world.run(8.5 + seconds)
    assert world.east.reasons("ike_down") == []
    world.run(1.5)
    assert world.east.reasons("ike_down") == ["peer_unreachable"]


def test_who_only_answers_begins_nothing() -> None:
    world = up(dpd_delay=5.0, starts=False)
    restart(world, dpd_delay=5.0)
    world.run(60.0)
    assert world.east.kinds().count("ike_connecting") == 1


def test_our_nat_made_another_mapping_and_the_peer_keeps_to_the_old_one() -> None:
    """As Libreswan does: its answers never arrive, so a new IKE SA begins from the new mapping."""
    world, nat = behind_nat(child(), dpd_delay=300.0)
    world.run(10.0)
    old = world.east.sas()[0].spi_i
    out = world.east.kernel.sending(1)
    nat.offset = 30000

    def to_the_old_port(_number: int, datagram: bytes) -> list[float]:
        header = Header.parse(datagram)
        return [] if header.initiator_spi == old and not header.from_initiator else [LATENCY]

    world.fate = to_the_old_port
    world.east.do(world.east.engine.kernel_event(Unanswered(EAST, out.spi_in), world.now))
    world.run(12.0)
    newest = world.west.kernel.sending(1)
    assert newest is not None and newest.encapsulation == (4500, 34500)
    assert newest.spi_out in world.east.kernel.inbound and newest.spi_out != out.spi_in


def test_behind_a_nat_the_peer_is_told_soon_where_we_are() -> None:
    world, nat = behind_nat(child(), dpd_delay=300.0)
    nat.offset = 30000
    world.run(40.0)
    assert world.west.sas()[0].path.remote_port == 34500
    assert world.west.kernel.sending(1).encapsulation == (4500, 34500)


@pytest.mark.parametrize("asks", ["east", "west"])
def test_a_peer_that_lives_ends_the_silent_ike_sa_when_the_other_end_does(asks: str) -> None:
    world = up(dpd_delay=30.0)
    host, peer = (world.east, world.west) if asks == "east" else (world.west, world.east)
    peer.engine.define(replace(peer.engine.connections.get("t"), dpd_delay=0.0))
    world.run(10.0)
    (old,) = host.engine.registry.by_spi.values()

    def fate(number: int, datagram: bytes) -> list[float]:
        silent = old in host.engine.registry.by_spi.values()
        return [] if silent and datagram[:8] == old.spi_i else straight(number, datagram)

    world.fate = fate
    two = 0.0
    while world.now < 1100.0:
        world.run(0.1)
        two += 0.1 * (len(host.sas()) > 1 or len(peer.sas()) > 1)
    assert old not in host.engine.registry.by_spi.values()
    assert two < 2.0 and peer.reasons("ike_down") == ["replaced"]
    world.check()
