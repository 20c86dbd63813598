# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments (RFC 7383): both ends, a wire that loses them, and whoever sends fragments to do harm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from engine.ike.actions import Path, Send
from engine.ike.v2.features import fragmentation
from engine.ike.v2.sa import IkeSa
from engine.selector import parse_selector
from engine.wire.header import INITIATOR, RESPONSE, Header
from engine.wire.v2.message import encode_payloads, encode_sealed_fragment
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import ExchangeType, PayloadType

from tests.kept_records import KeptRecords

from .forge import ENTROPY, ike_sa
from .world import EAST, LATENCY, WEST, World, child, east_connection, mirror, pair

SIZE = 200  # octets of a packet: IKE_AUTH has some 300
TO_WEST = Path(WEST, 500, EAST, 500)
AUTH, INFORMATIONAL = int(ExchangeType.IKE_AUTH), int(ExchangeType.INFORMATIONAL)


class Wire:
    """What went over it; delivers as told."""

    def __init__(self, fate: Callable[[int, bytes], list[float]] = lambda _number, _octets: [LATENCY]) -> None:
        self.seen: list[bytes] = []
        self._fate = fate

    def __call__(self, number: int, datagram: bytes) -> list[float]:
        self.seen.append(datagram)
        return self._fate(number, datagram)

    def fragments(self) -> list[bytes]:
        return [one for one in self.seen if Header.parse(one).next_payload == PayloadType.SKF]


def wide(**more: Any) -> dict[str, Any]:
    """A child with many networks: its messages are large in CREATE_CHILD_SA, too."""
    networks = tuple(parse_selector(f"10.1.{number}.0/24") for number in range(20))
    return {"children": (replace(child(), local=networks),), "fragment_size": SIZE, **more}


def established(world: World) -> World:
    world.east.start()
    world.run(5.0)
    world.check()
    return world


# Between two ends


def test_what_does_not_fit_goes_in_fragments_that_do() -> None:
    wire = Wire()
    world = established(pair(wire, **wide()))
    init, others = wire.seen[:2], wire.seen[2:]
    assert all(Header.parse(one).exchange == ExchangeType.IKE_SA_INIT for one in init)
    assert others == wire.fragments() and len(others) > 4
    assert max(map(len, others)) == SIZE - 28 and min(map(len, others)) < SIZE - 28
    for host in (world.east, world.west):
        assert not ike_sa(host).partials


@pytest.mark.parametrize("sizes", [(SIZE, 0), (0, SIZE), (0, 0), (1280, 1280)])
def test_nothing_is_divided_unless_both_ends_agree_and_it_is_too_large(sizes: tuple[int, int]) -> None:
    wire = Wire()
    world = World(wire)
    connection = east_connection(**wide(fragment_size=sizes[0]))
    world.east.engine.define(connection)
    world.west.engine.define(mirror(replace(connection, fragment_size=sizes[1])))
    established(world)
    assert not wire.fragments()
    assert fragmentation.agreed(ike_sa(world.east)) is fragmentation.agreed(ike_sa(world.west)) is (0 not in sizes)


def test_the_two_ends_may_have_sizes_of_their_own() -> None:
    wire = Wire()
    world = World(wire)
    connection = east_connection(**wide())
    world.east.engine.define(connection)
    world.west.engine.define(mirror(replace(connection, fragment_size=260)))
    established(world)
    sizes = {Header.parse(one).is_response: set() for one in wire.fragments()}
    for one in wire.fragments():
        sizes[Header.parse(one).is_response].add(len(one))
    assert max(sizes[False]) == SIZE - 28 and max(sizes[True]) == 260 - 28


@pytest.mark.parametrize("encapsulation", ["auto", "force"])
def test_ipv6_and_nat_traversal_leave_less_room(encapsulation: str) -> None:
    wire = Wire()
    world = established(pair(wire, **wide(encapsulation=encapsulation)))
    sa = ike_sa(world.east)
    marker = 4 if encapsulation == "force" else 0
    assert max(map(len, wire.fragments())) == SIZE - 28 - marker
    sa.path = sa.path._replace(local_address="2001:db8::1", remote_address="2001:db8::2")
    count = len(wire.seen)
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    assert {len(one) for one in wire.seen[count:-1]} == {SIZE - 48 - marker}


def test_fresh_ike_sas_divide_too() -> None:
    wire = Wire()
    world = established(pair(wire, **wide()))
    world.east.do(world.east.engine.rekey("t", world.now))
    world.run(2.0)
    count = len(wire.fragments())
    world.west.do(world.west.engine.rekey("t", world.now, ["lan"]))
    world.run(2.0)
    world.check()
    assert len(wire.fragments()) > count + 4


@pytest.mark.parametrize("seed", range(30))
def test_a_wire_that_loses_doubles_and_reorders_them_only_delays(seed: int) -> None:
    chance = random.Random(seed)

    def fate(_number: int, _datagram: bytes) -> list[float]:
        return [LATENCY * chance.uniform(0.5, 8) for _copy in range(chance.choice([0, 1, 1, 1, 1, 1, 1, 2]))]

    world = pair(fate, **wide(retransmit_timeout=300.0, dpd_delay=0.0))
    world.east.start()
    for _unused in range(4):
        world.run(300.0)
        world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
        world.west.do(world.west.engine.rekey("t", world.now))
    world.run(300.0)
    world.check()
    for host in (world.east, world.west):
        assert not any(sa.partials for sa in host.engine.registry.by_spi.values())


def test_one_lost_fragment_has_all_of_them_sent_again() -> None:
    wire = Wire(lambda number, _octets: [] if number == 3 else [LATENCY])
    established(pair(wire, **wide()))
    asked = [one for one in wire.fragments() if not Header.parse(one).is_response]
    half = len(asked) // 2
    assert asked[:half] == asked[half:]


def fragments_of(sa: IkeSa, chain: tuple[int, bytes], message_id: int, count: int, exchange: int = INFORMATIONAL,
                 response: bool = False) -> list[bytes]:  # fmt: skip
    """A message as the end that owns ``sa`` would send it in so many fragments."""
    first, octets = chain
    flags = (INITIATOR if sa.initiator else 0) | (RESPONSE if response else 0)
    share = -(-len(octets) // count)
    return [
        encode_sealed_fragment(
            sa.spi_i, sa.spi_r, exchange, flags, message_id, first, number, count,
            octets[(number - 1) * share : number * share],
            sa.protection.seal.sealed_length, lambda head, plain: sa.protection.seal.seal(head, plain, ENTROPY),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def notifies(octets: int) -> tuple[int, bytes]:
    """A chain of that many octets that asks for nothing."""
    return encode_payloads([Notify(40_000, bytes(octets - 8))])


def ready() -> tuple[World, IkeSa]:
    """A world with fragments agreed on, and east's IKE SA to speak with."""
    world = established(pair(**wide()))
    return world, ike_sa(world.east)


def give(world: World, datagram: bytes) -> list[bytes]:
    actions = world.west.engine.receive(datagram, TO_WEST, world.now)
    return [action.datagram for action in actions if isinstance(action, Send)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 0, 0, 2)])
def test_any_order_will_do_and_a_copy_changes_nothing(order: tuple[int, ...]) -> None:
    world, sa = ready()
    fragments = fragments_of(sa, notifies(90), sa.next_id, 3)
    answers = [give(world, fragments[each]) for each in order]
    assert [len(answer) for answer in answers] == [0] * (len(order) - 1) + [1]


def test_the_answer_is_repeated_to_the_first_fragment_alone() -> None:
    world, sa = ready()
    fragments = fragments_of(sa, notifies(90), sa.next_id, 3)
    answers = [give(world, one) for one in fragments]
    assert [give(world, one) for one in fragments] == [answers[2], [], []]
    # The same message in other fragments, as where the peer tries smaller ones.
    again = fragments_of(sa, notifies(90), sa.next_id, 5)
    assert [give(world, one) for one in again] == [answers[2], [], [], [], []]
    forged = again[0][:-1] + bytes([again[0][-1] ^ 1])
    assert give(world, forged) == []


def test_an_answer_in_fragments_survives_a_restart() -> None:
    world, east = ready()
    count = len(world.west.kernel.inbound)
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    sent = list(east.request.datagrams)
    world.run(0.015)
    answer = ike_sa(world.west).answer
    assert len(answer) > 2 and len(world.west.kernel.inbound) == count + 1
    kept = KeptRecords()
    kept.take(world.west.engine)
    fresh = World().west
    fresh.engine.define(mirror(east_connection(**wide())))
    fresh.engine.resume(kept.records(), world.now)
    actions = fresh.engine.receive(sent[0], TO_WEST, world.now)
    assert tuple(action.datagram for action in actions if isinstance(action, Send)) == answer


def test_what_is_kept_of_a_message_in_one_datagram_reads_as_the_first_release_wrote_it() -> None:
    world = established(pair())
    world.east.do(world.east.engine.rekey("t", world.now))
    kept = KeptRecords()
    kept.take(world.east.engine)
    records = kept.records()
    (window,) = (record for key, record in records.items() if key.part == "window")
    (sent,) = ike_sa(world.east).request.datagrams
    assert window["request"]["datagram"] == sent.hex()
    window["answer"] = "aabb"
    fresh = World().east
    fresh.engine.define(east_connection())
    _actions, problems = fresh.engine.resume(records, world.now)
    sa = ike_sa(fresh)
    assert not problems and sa.answer == (b"\xaa\xbb",) and sa.request.datagrams == (sent,)


# Harm


def test_a_forged_fragment_leaves_nothing() -> None:
    world, sa = ready()
    one, two, three = fragments_of(sa, notifies(90), sa.next_id, 3)
    west = ike_sa(world.west)
    before = west.wake
    for forged in (one[:-1] + bytes([one[-1] ^ 1]), two[:33] + b"\x03" + two[34:], one[:35] + b"\x09" + one[36:]):
        assert give(world, forged) == [] and not west.partials and west.wake == before
    give(world, one)
    for forged in (two[:-1] + bytes([two[-1] ^ 1]), two[:35] + b"\x09" + two[36:]):
        give(world, forged)
    assert give(world, two) == [] and len(give(world, three)) == 1


def test_more_fragments_begin_the_message_anew_and_fewer_are_of_before() -> None:
    world, sa = ready()
    old = fragments_of(sa, notifies(90), sa.next_id, 2)
    new = fragments_of(sa, notifies(90), sa.next_id, 3)
    assert [give(world, one) for one in (old[0], new[0], old[1], new[1])] == [[]] * 4
    assert len(give(world, new[2])) == 1


def test_all_fragments_are_of_one_exchange() -> None:
    world, sa = ready()
    one = fragments_of(sa, notifies(90), sa.next_id, 2)
    other = fragments_of(sa, notifies(90), sa.next_id, 2, exchange=int(ExchangeType.CREATE_CHILD_SA))
    assert give(world, one[0]) == give(world, other[1]) == []
    assert len(give(world, one[1])) == 1


@pytest.mark.parametrize("ahead", [-2, 1])
def test_only_the_message_that_is_next_is_put_together(ahead: int) -> None:
    world, sa = ready()
    for one in fragments_of(sa, notifies(90), sa.next_id + ahead, 2):
        assert give(world, one) == []
    for one in fragments_of(sa, notifies(90), sa.next_id, 2, response=True):
        assert give(world, one) == []
    assert not ike_sa(world.west).partials


def test_too_many_fragments_or_octets_are_dropped() -> None:
    world, sa = ready()
    west = ike_sa(world.west)
    for one in fragments_of(sa, notifies(300), sa.next_id, fragmentation.MOST_FRAGMENTS + 1):
        assert give(world, one) == [] and not west.partials
    chain = 41, bytes(fragmentation.MOST_OCTETS + 1)
    *most, last = fragments_of(sa, chain, sa.next_id, 8)
    for one in most:
        give(world, one)
    assert west.partials[False].octets > fragmentation.MOST_OCTETS // 2
    assert give(world, last) == [] and not west.partials
    assert len([give(world, one) for one in fragments_of(sa, notifies(90), sa.next_id, 2)][1]) == 1


def test_a_stranger_gets_less_room() -> None:
    world = pair(**wide())
    world.east.start()
    world.run(2 * LATENCY + 0.001)
    world.wire.clear()
    sa, west = ike_sa(world.east, "auth_sent"), ike_sa(world.west, "init_answered")
    for one in fragments_of(sa, (41, bytes(fragmentation.MOST_OCTETS_OF_STRANGERS + 1)), 1, 4, exchange=AUTH):
        held = sum(partial.octets for partial in west.partials.values())
        assert give(world, one) == [] and held <= fragmentation.MOST_OCTETS_OF_STRANGERS
    assert not west.partials


def test_an_ike_sa_that_was_replaced_has_less_room_and_keeps_nothing_of_before() -> None:
    """A peer may leave any number of them behind."""
    world = established(pair(fragment_size=1280))
    sa, west = ike_sa(world.east), ike_sa(world.west)
    for one in fragments_of(sa, (41, bytes(fragmentation.MOST_OCTETS - 8)), sa.next_id, 3)[:2]:
        give(world, one)
    assert west.partials
    world.east.do(world.east.engine.rekey("t", world.now))
    world.run(LATENCY + 0.001)
    assert west.state.value == "rekeyed" and not west.partials, "the message of that number came in one piece"
    for one in fragments_of(sa, (41, bytes(fragmentation.MOST_OCTETS_OF_STRANGERS + 1)), west.expected_id, 2):
        assert give(world, one) == []
    assert not west.partials


def test_what_never_becomes_whole_is_dropped_after_a_while() -> None:
    world, sa = ready()
    west = ike_sa(world.west)
    give(world, fragments_of(sa, notifies(90), sa.next_id, 2)[0])
    assert west.partials
    world.run(fragmentation.LIFETIME + 1.0)
    assert not west.partials and west.alive


def test_fragments_without_an_agreement_are_dropped() -> None:
    world = established(pair(**wide(fragment_size=0)))
    sa = ike_sa(world.east)
    for one in fragments_of(sa, notifies(90), sa.next_id, 2):
        assert give(world, one) == []
    assert not ike_sa(world.west).partials


def test_a_copy_is_not_even_opened(calls: Any) -> None:
    world, sa = ready()
    one, _two = fragments_of(sa, notifies(90), sa.next_id, 2)
    first = calls(world.west.engine.receive, one, TO_WEST, world.now)
    assert calls(world.west.engine.receive, one, TO_WEST, world.now) < first - 30


@pytest.mark.parametrize("seed", range(200))
def test_no_octets_of_a_fragment_raise_anything_else(seed: int) -> None:
    chance = random.Random(seed)
    world, sa = ready()
    parts = [41, 0, 46, 53, 33, chance.randrange(256)]
    chain = chance.choice(parts), chance.randbytes(chance.randrange(1, 200))
    fragments = fragments_of(sa, chain, sa.next_id, min(chance.randrange(1, 5), len(chain[1])))
    chance.shuffle(fragments)
    for one in fragments:
        give(world, one)
    octets = bytearray(chance.choice(fragments))
    for _unused in range(chance.randrange(1, 4)):
        octets[chance.randrange(28, len(octets))] = chance.randrange(256)
    give(world, bytes(octets))
    world.run(fragmentation.LIFETIME + 1.0)
    assert not any(each.partials for each in world.west.engine.registry.by_spi.values())
