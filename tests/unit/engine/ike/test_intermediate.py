# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges (RFC 9370) of the handshake, in IKE_INTERMEDIATE (RFC 9242)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from engine.crypto.proposals import ike_proposals
from engine.crypto.registry import Kind as Transform
from engine.crypto.registry import by_name
from engine.ike.v2.features import intermediate
from engine.ike.v2.sa import IkeSa
from engine.wire.header import Header
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.message import Message, encode_message, encode_payloads, encode_sealed_fragment
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType, PayloadType

from .forge import ENTROPY, hand, ike_sa, init_request, notified, opened, sealed, sends, stories
from .hybrid import (
    AUTH,
    ECP384,
    IKE,
    INTERMEDIATE,
    X25519,
    Wire,
    asked,
    hybrid,
    needs_ml_kem,
    rekey_child,
    up,
)
from .world import CLASSIC, World, east_connection, mirror, pair


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
        protections = [sa.protection for sa in world.east.engine.registry.by_spi.values() if sa.protection]
        keys.extend(protection.keys for protection in protections if protection.keys not in keys)
        return actions

    world.east.engine.receive = watched
    world.east.start()
    world.run(1.0)
    world.check()
    assert len({key.d.reveal() for key in keys}) == len({key.pi.reveal() for key in keys}) == 3
    assert ike_sa(world.east).protection.keys == ike_sa(world.west).protection.keys == keys[-1]


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
    opening = SimpleNamespace(protected=sa.protection)
    digest = sa.protection.prf.primitive.digest
    wanted = digest(sa.protection.keys.pi.reveal(), b"before" + head + chain)
    assert intermediate._covered(opening, intermediate.Role.INITIATOR, b"before", whole, chain) == wanted
    fragment = bytearray(whole)
    fragment[16] = PayloadType.SKF
    assert intermediate._covered(opening, intermediate.Role.INITIATOR, b"before", bytes(fragment), chain) == wanted
    assert intermediate._covered(opening, intermediate.Role.RESPONDER, b"before", whole, chain) != wanted


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
    world.west.engine.define(mirror(replace(connection, proposals=ike_proposals(CLASSIC))))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("setback") == ["no_proposal_chosen"]
    assert any("transform type 6 is not supported here" in r.data["story"] for r in world.west.reports)


def test_who_divides_an_answered_one_in_another_way_gets_the_answer_again() -> None:
    """By then the keys are others (RFC 7383 section 2.6.1)."""
    world, east, west = half_open()
    first, chain = encode_payloads([KE(ECP384, east.request.task.exchange.public)])
    (answer,) = sends(hand(world, world.west, east.request.datagrams[0]))
    assert west.protection.keys != east.protection.keys
    outline = east.spi_i, west.spi_r, INTERMEDIATE, 8, 1

    def fragment(number: int) -> bytes:
        share, seal = chain[(number - 1) * 60 : number * 60], east.protection.seal
        return encode_sealed_fragment(
            *outline, first, number, 2, share, seal.sealed_length, lambda head, plain: seal.seal(head, plain, ENTROPY)
        )

    assert sends(hand(world, world.west, fragment(1))) == [answer]
    assert sends(hand(world, world.west, fragment(2))) == []
    forged = fragment(1)[:-1] + b"\0"
    assert sends(hand(world, world.west, forged)) == []
    world.fate.lost = lambda _datagram: False
    world.run(10.0)
    world.check()


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
    assert west.state.value == "refused" and west.protection is None


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
