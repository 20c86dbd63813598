# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges (RFC 9370) in IKE_INTERMEDIATE (RFC 9242) and IKE_FOLLOWUP_KE: losses, restarts, harm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.registry import Kind as Transform
from engine.crypto.registry import by_name
from engine.ike.v2 import follow_up
from engine.ike.v2.features import intermediate
from engine.ike.v2.sa import IkeSa
from engine.selector import parse_selector
from engine.wire.header import Header
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.message import Message, encode_message
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import ExchangeType, NotifyType, PayloadType

from .forge import ENTROPY, TO_EAST, hand, ike_sa, init_request, notified, opened, sealed, sends, stories
from .mortal import Mortal
from .world import LATENCY, Host, World, child, east_connection, mirror, pair

IKE = "aes256gcm16-prfsha384-x25519-ke1_ecp384-ke2_ecp521"
ESP = "aes256gcm16-x25519-ke1_ecp384"
ECP384, X25519 = 20, 31
INTERMEDIATE, AUTH = int(ExchangeType.IKE_INTERMEDIATE), int(ExchangeType.IKE_AUTH)
CREATE, FOLLOW_UP = int(ExchangeType.CREATE_CHILD_SA), int(ExchangeType.IKE_FOLLOWUP_KE)
ADDITIONAL = int(NotifyType.ADDITIONAL_KEY_EXCHANGE)
Asks = Callable[[World, Host], None]
needs_ml_kem = pytest.mark.skipif(
    by_name(Transform.KE, "mlkem768").lacking != "", reason="this cryptography has no ML-KEM"
)


class Wire:
    """What went over it; loses what it is told to."""

    def __init__(self, lost: Callable[[bytes], bool] = lambda _datagram: False) -> None:
        self.seen: list[bytes] = []
        self.lost = lost

    def __call__(self, _number: int, datagram: bytes) -> list[float]:
        self.seen.append(datagram)
        return [] if self.lost(datagram) else [LATENCY]

    def exchanges(self) -> list[int]:
        return [Header.parse(datagram).exchange for datagram in self.seen]


def hybrid(fate: Any = None, ike: str = IKE, esp: str = ESP, **more: Any) -> World:
    """Both ends with additional key exchanges for everything."""
    children = (replace(child(), proposals=esp_proposals(esp)),)
    return pair(fate or Wire(), proposals=ike_proposals(ike), children=children, **more)


def up(fate: Any = None, **more: Any) -> World:
    world = hybrid(fate, **more)
    world.east.start()
    world.run(5.0)
    world.check()
    return world


def rekey_child(world: World, host: Host) -> None:
    host.do(host.engine.rekey("t", world.now, ["lan"]))


def rekey_ike(world: World, host: Host) -> None:
    host.do(host.engine.rekey("t", world.now))


EITHER = pytest.mark.parametrize("asks", [rekey_child, rekey_ike])


def asked(exchange: int) -> Callable[[bytes], bool]:
    """Whether a datagram is a request of that exchange."""

    def matches(datagram: bytes) -> bool:
        header = Header.parse(datagram)
        return header.exchange == exchange and not header.is_response

    return matches


# The handshake


@pytest.mark.parametrize(
    ("words", "rounds"),
    [
        ("aes256gcm16-prfsha384-x25519-ke1_ecp256", 1),
        ("aes256-sha256-modp2048-ke1_x25519-ke2_ecp384-ke3_ecp521", 3),
        pytest.param("aes256gcm16-prfsha384-x25519-ke1_mlkem768", 1, marks=needs_ml_kem),
        pytest.param("chacha20poly1305-prfsha512-ecp384-ke1_mlkem1024-ke2_x25519", 2, marks=needs_ml_kem),
    ],
)
def test_each_one_is_an_exchange_before_authentication(words: str, rounds: int) -> None:
    wire = Wire()
    world = up(wire, ike=words, fragment_size=0)
    assert wire.exchanges() == [34, 34, *[INTERMEDIATE] * 2 * rounds, AUTH, AUTH]
    (view,) = world.east.engine.sas()
    assert view.algorithms[-1] == "-".join(w for w in words.split("-") if w[:2] == "ke" or by_name(Transform.KE, w))


def test_keys_are_others_after_each_of_them() -> None:
    world = hybrid()
    keys = []
    receive = world.east.engine.receive

    def watched(*arguments: Any) -> Any:
        actions = receive(*arguments)
        keys.extend(sa.keys for sa in world.east.engine.registry.by_spi.values() if sa.keys not in keys)
        return actions

    world.east.engine.receive = watched
    world.east.start()
    world.run(1.0)
    world.check()
    assert len({key.d.reveal() for key in keys}) == len({key.pi.reveal() for key in keys}) == 3
    assert ike_sa(world.east).keys == ike_sa(world.west).keys == keys[-1]


def test_both_ends_sign_what_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that covers anything else of it does not authenticate."""
    covered = intermediate._covered

    def otherwise(sa: IkeSa, sender: Any, before: bytes, datagram: bytes, chain: bytes) -> bytes:
        return covered(sa, sender, before, datagram, chain + b"\0" if sa.initiator else chain)

    monkeypatch.setattr(intermediate, "_covered", otherwise)
    world = hybrid()
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert world.west.reasons("ike_failed") == ["peer_not_authenticated"]


def test_what_is_covered_is_the_message_without_what_protects_it() -> None:
    """RFC 9242 section 3.3.2: heads with the lengths that they would have, and the payloads in clear."""
    world = up()
    sa, ke = ike_sa(world.east), KE(ECP384, b"value")
    whole = sealed(sa, INTERMEDIATE, 1, [ke])
    chain = b"\0\0\0\x0d\0\x14\0\0value"
    head = sa.spi_i + sa.spi_r + bytes([46, 0x20, 43, 8]) + b"\0\0\0\1" + b"\0\0\0\x2d" + bytes([34, 0]) + b"\0\x11"
    digest = sa.choice.prf.primitive.digest
    wanted = digest(sa.keys.pi.reveal(), b"before" + head + chain)
    assert intermediate._covered(sa, intermediate.Role.INITIATOR, b"before", whole, chain) == wanted
    fragment = bytearray(whole)
    fragment[16] = PayloadType.SKF
    assert intermediate._covered(sa, intermediate.Role.INITIATOR, b"before", bytes(fragment), chain) == wanted
    assert intermediate._covered(sa, intermediate.Role.RESPONDER, b"before", whole, chain) != wanted


def test_who_has_none_takes_the_proposal_without() -> None:
    wire = Wire()
    world = World(wire)
    both = ike_proposals(f"{IKE},aes256gcm16-prfsha384-x25519")
    connection = east_connection(proposals=both)
    world.east.engine.define(connection)
    world.west.engine.define(mirror(replace(connection, proposals=both[1:])))
    world.east.start()
    world.run(1.0)
    world.check()
    assert INTERMEDIATE not in wire.exchanges()


def test_who_has_none_else_is_told_of_the_difference() -> None:
    world = World()
    connection = east_connection(proposals=ike_proposals(IKE))
    world.east.engine.define(connection)
    world.west.engine.define(mirror(replace(connection, proposals=ike_proposals("modern"))))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("setback") == ["no_proposal_chosen"]
    assert any("transform type 6 is not supported here" in r.data["story"] for r in world.west.reports)


# A wire that loses


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


@needs_ml_kem
def test_ml_kem_goes_in_fragments() -> None:
    wire = Wire()
    world = up(wire, ike="aes256gcm16-prfsha384-x25519-ke1_mlkem1024", esp="aes256gcm16-x25519-ke1_mlkem768")
    divided = [Header.parse(one) for one in wire.seen if Header.parse(one).next_payload == PayloadType.SKF]
    assert {header.exchange for header in divided} == {INTERMEDIATE}
    assert {header.is_response for header in divided} == {False, True}
    rekey_child(world, world.west)
    world.run(2.0)
    world.check()


# Rekeys


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
    assert ike_sa(world.east).keys == ike_sa(world.west).keys


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
def test_work_of_ours_waits_for_what_the_peer_has_begun(asks: Asks) -> None:
    wire = Wire(asked(FOLLOW_UP))
    world = up(wire)
    asks(world, world.east)
    world.run(0.1)
    assert ike_sa(world.west).making is not None
    count = len(wire.seen)
    rekey_child(world, world.west)
    world.run(0.05)
    assert [one for one in wire.seen[count:] if asked(CREATE)(one)] == []
    wire.lost = lambda _datagram: False
    world.run(30.0)
    world.check()
    assert not world.west.reasons("setback") and not world.east.reasons("setback")
    assert "child_rekeyed" in world.west.kinds()


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
        assert ike_sa(world.east).keys == ike_sa(world.west).keys


# Hostile ends


def half_open() -> tuple[World, IkeSa, IkeSa]:
    """A handshake whose IKE_INTERMEDIATE requests are lost."""
    world = hybrid(Wire(asked(INTERMEDIATE)))
    world.east.start()
    world.run(0.1)
    return world, ike_sa(world.east, "init_sent"), ike_sa(world.west, "intermediate")


@pytest.mark.parametrize(
    ("payloads", "story"),
    [
        ([], "lacks its KE payload"),
        ([KE(ECP384, b"\1" * 95)], "95 octets instead of 96"),
        ([KE(ECP384, b"\1" * 97)], "97 octets instead of 96"),
        ([KE(ECP384, bytes(96))], "not valid"),
        ([KE(X25519, ENTROPY.key_exchange(X25519).public)], "is of method 31, agreed is ecp384"),
        ([KE(ECP384, b"\1" * 96), KE(ECP384, b"\1" * 96)], "more than one KE"),
    ],
)
def test_a_value_that_is_of_no_use_is_refused(payloads: list[Any], story: str) -> None:
    world, east, west = half_open()
    actions = hand(world, world.west, sealed(east, INTERMEDIATE, 1, payloads))
    assert any(story in one for one in stories(actions)), stories(actions)
    (answer,) = sends(actions)
    assert [notify.type for notify in opened(east, answer).all(Notify)] == [NotifyType.INVALID_SYNTAX]
    assert west.state.value == "refused" and west.keys is None


@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [KE(ECP384, b"\1" * 95)],
        [KE(X25519, ENTROPY.key_exchange(X25519).public)],
        [Notify(NotifyType.NO_PROPOSAL_CHOSEN)],
    ],
)
def test_an_answer_that_is_of_no_use_ends_the_attempt(payloads: list[Any]) -> None:
    world, _east, west = half_open()
    hand(world, world.east, sealed(west, INTERMEDIATE, 1, payloads, response=True))
    assert world.east.kinds()[-1] == "ike_failed" and not list(world.east.engine.sas())


def test_nobody_authenticates_before_all_of_them_are_over() -> None:
    world, east, west = half_open()
    actions = hand(world, world.west, sealed(east, AUTH, 1, [IDi(east.connection.local_id)]))
    assert sends(actions) == [] and "before authentication" in stories(actions)[0]
    assert west.state.value == "intermediate" and west.expected_id == 1
    world.fate.lost = lambda _datagram: False
    world.run(10.0)
    world.check()


def test_nobody_asks_for_one_that_was_not_agreed_on() -> None:
    world = pair(Wire(asked(AUTH)))
    world.east.start()
    world.run(0.1)
    ours = ike_sa(world.east, "auth_sent")
    actions = hand(world, world.west, sealed(ours, INTERMEDIATE, 1, [KE(ECP384, b"\1" * 96)]))
    assert sends(actions) == [] and ike_sa(world.west, "init_answered").expected_id == 1


def test_they_are_chosen_of_nobody_who_cannot_do_them() -> None:
    """ADDKE in a proposal without INTERMEDIATE_EXCHANGE_SUPPORTED (RFC 9370 section 2.2.1)."""
    world = hybrid()
    world.east.start()
    (asked_for,) = world.fate.seen
    supported = NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED
    kept = [one for one in Message.parse(asked_for).payloads if getattr(one, "type", 0) != supported]
    actions = hand(world, world.west, init_request(kept))
    assert "without the exchange in which they are done" in stories(actions)[0]
    assert notified(sends(actions)[0]) == [NotifyType.NO_PROPOSAL_CHOSEN]


def test_they_are_chosen_by_nobody_who_cannot_do_them() -> None:
    world = hybrid(Wire(lambda datagram: Header.parse(datagram).is_response))
    world.east.start()
    world.run(0.1)
    answer = world.fate.seen[1]
    supported = NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED
    kept = [one for one in Message.parse(answer).payloads if getattr(one, "type", 0) != supported]
    header = Header.parse(answer)
    spis = header.initiator_spi, header.responder_spi
    hand(world, world.east, encode_message(*spis, header.exchange, header.flags, 0, kept))
    assert world.east.reasons("setback") == ["no_proposal_chosen"]
    world.fate.lost = lambda _datagram: False
    world.run(10.0)
    world.check()


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


def test_a_first_answer_that_does_not_say_how_to_go_on_makes_nothing() -> None:
    world = up(Wire(asked(CREATE)))
    rekey_child(world, world.east)
    east, west = ike_sa(world.east), ike_sa(world.west)
    (answer,) = sends(hand(world, world.west, east.request.datagrams[0]))
    kept = [payload for payload in opened(east, answer) if getattr(payload, "type", 0) != ADDITIONAL]
    hand(world, world.east, sealed(west, CREATE, east.request.message_id, kept, response=True))
    assert not world.east.kernel.reserved and world.east.kernel.sending(1) is not None
    assert world.east.reasons("rekey_refused") == ["protocol_error"]
