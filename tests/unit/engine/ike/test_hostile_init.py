# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers may send before anything is authenticated: answered briefly or not at all, and nothing is kept."""

from __future__ import annotations

from typing import Any

import pytest
from engine.crypto.groups import modp_prime
from engine.crypto.negotiation import offer_ike
from engine.crypto.proposals import ike_proposals
from engine.ike.actions import Report, Send
from engine.ike.settings import Settings
from engine.wire.header import INITIATOR, RESPONSE, Header
from engine.wire.v2.ke import KE
from engine.wire.v2.message import encode_message
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.vendor import VendorID

from .forge import (
    AUTH,
    ENTROPY,
    INFORMATIONAL,
    INIT,
    OFFER,
    TO_WEST,
    X25519,
    Raw,
    hand,
    ike_sa,
    init_request,
    notified,
    opening,
    sends,
    stories,
    with_header,
)
from .strangers import any_peer, is_clean, spoofed
from .world import World, east_connection, pair, up

N = NotifyType
AES, PRF, KEX = Transform(1, 20, 256), Transform(2, 6), Transform(4, 31)


def faultless(world: World) -> None:
    """The engine still sets up a tunnel."""
    world.east.start()
    world.run(1.0)
    world.check()


# 1. Header


@pytest.mark.parametrize("size", [0, 1, 4, 27])
def test_less_than_a_header(size: int) -> None:
    world = pair()
    assert not sends(hand(world, world.west, b"\xff" * size))
    is_clean(world)


@pytest.mark.parametrize("length", [0, 27, 28, 2**16, 2**32 - 1])
def test_a_length_that_is_not_that_of_the_datagram(length: int) -> None:
    world = pair()
    assert not sends(hand(world, world.west, init_request(length=length)))
    is_clean(world)


@pytest.mark.parametrize("major", [0, 1])
def test_older_versions_get_nothing(major: int) -> None:
    world = pair()
    assert not sends(hand(world, world.west, init_request(major=major)))
    is_clean(world)


def test_a_newer_version_is_told_ours_in_no_more_octets_than_it_sent() -> None:
    world = pair()
    octets = init_request(major=3)
    (answer,) = sends(hand(world, world.west, octets))
    assert notified(answer) == [N.INVALID_MAJOR_VERSION] and len(answer) <= len(octets)
    bare = encode_message(ENTROPY.octets(8), bytes(8), INIT, INITIATOR, 0, [])
    assert not sends(hand(world, world.west, with_header(bare, major=3)))
    assert not sends(hand(world, world.west, with_header(octets, flags=INITIATOR | RESPONSE)))
    is_clean(world)


@pytest.mark.parametrize(
    "changes",
    [
        {"initiator_spi": bytes(8)},
        {"responder_spi": b"\1" * 8},
        {"message_id": 1},
        {"flags": 0},
        {"flags": RESPONSE},
        {"flags": INITIATOR | RESPONSE},
        {"exchange": AUTH},
        {"exchange": INFORMATIONAL},
        {"exchange": 34 + 200},
    ],
)
def test_no_opening_gets_no_answer(changes: dict[str, Any]) -> None:
    world = pair()
    assert not hand(world, world.west, init_request(**changes))
    is_clean(world)


def test_reserved_flags_and_minor_versions_are_ignored() -> None:
    world = pair()
    (answer,) = sends(hand(world, world.west, init_request(flags=INITIATOR | 0xC7, minor=9)))
    assert answer[18] == INIT and answer[17] == 0x20 and answer[19] == RESPONSE


# 2. Payload chain


def broken_chain(chain: bytes, first: int = 33) -> bytes:
    return Header(ENTROPY.octets(8), bytes(8), first, 2, 0, INIT, INITIATOR, 0, 28 + len(chain)).encode() + chain


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 0xFFFF])
def test_a_payload_with_a_wrong_length(length: int) -> None:
    world = pair()
    octets = broken_chain(b"\0\0" + length.to_bytes(2, "big"))
    answers = sends(hand(world, world.west, octets))
    assert all(notified(answer) == [N.INVALID_SYNTAX] for answer in answers)
    assert sum(map(len, answers)) <= len(octets)
    is_clean(world)


def test_ten_thousand_payloads(calls) -> None:
    world = pair()
    octets = broken_chain(b"\x2b\0\0\x04" * 9999 + b"\0\0\0\4", 43)
    answers: list[bytes] = []
    assert calls(lambda: answers.extend(sends(hand(world, world.west, octets)))) < 5_000
    assert [notified(answer) for answer in answers] == [[N.INVALID_SYNTAX]]
    is_clean(world)


def test_an_unknown_critical_payload_is_named() -> None:
    world = pair()
    (answer,) = sends(hand(world, world.west, init_request([*opening(), Raw(200, b"x", critical=True)])))
    assert notified(answer) == [N.UNSUPPORTED_CRITICAL_PAYLOAD] and answer[-1] == 200
    is_clean(world)


@pytest.mark.parametrize("number", [1, 4, 10, 13, 32, 50, 127, 200, 255])
def test_an_unknown_payload_is_skipped(number: int) -> None:
    world = pair()
    (answer,) = sends(hand(world, world.west, init_request([Raw(number, bytes(40)), *opening()])))
    assert answer[16] == 33
    ike_sa(world.west, "init_answered")


@pytest.mark.parametrize("missing", [SA, KE, Nonce])
def test_a_missing_payload(missing: type) -> None:
    world = pair()
    (answer,) = sends(hand(world, world.west, init_request([p for p in opening() if not isinstance(p, missing)])))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)


@pytest.mark.parametrize("twice", [SA, KE, Nonce])
def test_a_payload_that_is_there_twice(twice: type) -> None:
    world = pair()
    payloads = opening()
    (answer,) = sends(hand(world, world.west, init_request(payloads + [p for p in payloads if isinstance(p, twice)])))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)


def test_octets_behind_the_last_payload() -> None:
    world = pair()
    octets = init_request()
    octets = broken_chain(octets[28:] + b"\0\0\0")
    (answer,) = sends(hand(world, world.west, octets))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)


@pytest.mark.parametrize(
    "extra",
    [
        Notify(N.MOBIKE_SUPPORTED),
        Notify(N.EAP_ONLY_AUTHENTICATION),
        Notify(N.IKEV2_MESSAGE_ID_SYNC_SUPPORTED),
        Notify(N.SIGNATURE_HASH_ALGORITHMS, b"\0\2\0\3"),
        Notify(N.REDIRECT_SUPPORTED),
        Notify(N.IKEV2_FRAGMENTATION_SUPPORTED),
        Notify(N.ESP_TFC_PADDING_NOT_SUPPORTED),
        Notify(N.NON_FIRST_FRAGMENTS_ALSO),
        Notify(N.CHILDLESS_IKEV2_SUPPORTED),
        Notify(60000, b"whatever"),
        Notify(8191, b"an error that nobody knows"),
        VendorID(b"strongSwan, more or less"),
        Raw(38, b"\4" + bytes(20)),
    ],
)
def test_what_other_daemons_add_is_ignored(extra: Any) -> None:
    world = pair()
    (answer,) = sends(hand(world, world.west, init_request([*opening(), extra])))
    assert answer[16] == 33


# 3. Proposals


@pytest.mark.parametrize(
    "proposals",
    [
        (),
        (Proposal(1, 1, b"", ()),),
        (Proposal(1, 1, b"", (AES, PRF)),),
        (Proposal(1, 1, b"", (Transform(1, 20), PRF, KEX)),),
        (Proposal(1, 1, b"", (Transform(1, 20, 257), PRF, KEX)),),
        (Proposal(1, 1, b"", (AES, PRF, Transform(3, 12), KEX)),),
        (Proposal(1, 1, b"", (Transform(1, 21, 256), PRF, KEX)),),
        (Proposal(1, 1, b"", (AES, Transform(2, 4), KEX)),),
        (Proposal(1, 1, b"", (AES, PRF, Transform(4, 0))),),
        (Proposal(1, 1, b"", (AES, PRF, Transform(4, 1024))),),
        (Proposal(1, 1, b"", (AES, PRF, KEX, Transform(77, 1))),),
        (Proposal(1, 3, b"", (AES, PRF, KEX)),),
        (Proposal(1, 0, b"", (AES, PRF, KEX)),),
    ],
)
def test_proposals_that_cannot_be_chosen(proposals: tuple[Proposal, ...]) -> None:
    world = pair()
    octets = init_request([SA(proposals), *opening()[1:]])
    (answer,) = sends(hand(world, world.west, octets))
    assert notified(answer)[0] in (N.NO_PROPOSAL_CHOSEN, N.INVALID_SYNTAX)
    is_clean(world)


@pytest.mark.parametrize("size", [1, 4, 8, 255])
def test_an_spi_in_a_proposal_of_the_first_exchange(size: int) -> None:
    world = pair()
    octets = init_request([SA((Proposal(1, 1, bytes(size), (AES, PRF, KEX)),)), *opening()[1:]])
    assert notified(sends(hand(world, world.west, octets))[0]) in ([N.INVALID_SYNTAX], [N.NO_PROPOSAL_CHOSEN])
    is_clean(world)


def test_a_bomb_of_transforms(calls) -> None:
    world = pair()
    many = tuple(Proposal(n, 1, b"", tuple(Transform(1, 1000 + i) for i in range(255))) for n in range(1, 30))
    octets = init_request([SA(many), *opening()[1:]])
    assert calls(hand, world, world.west, octets) < 10_000
    is_clean(world)


# 4. and 5. Key exchange and nonce


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(33), bytes(32), b"\1" + bytes(31), b"\xff" * 4000])
def test_values_that_are_no_x25519_keys(value: bytes) -> None:
    world = pair()
    octets = init_request([OFFER, KE(31, value), *opening()[2:]])
    (answer,) = sends(hand(world, world.west, octets))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)


@pytest.mark.parametrize(("name", "group", "size"), [("ecp256", 19, 64), ("ecp384", 20, 96), ("ecp521", 21, 132)])
@pytest.mark.parametrize("fill", [b"\0", b"\1", b"\xff"])
def test_values_that_are_no_points_of_the_group(name: str, group: int, size: int, fill: bytes) -> None:
    proposals = ike_proposals(f"aes256gcm16-sha384-{name}", "p")
    world = pair(proposals=proposals)
    for value in (fill * size, bytes(size - 1) + fill, fill * (size - 1), fill * (size + 1)):
        octets = init_request([SA(offer_ike(proposals)), KE(group, value), *opening()[2:], VendorID(bytes(40))])
        answers = sends(hand(world, world.west, octets))
        assert [notified(answer) for answer in answers] == [[N.INVALID_SYNTAX]], value
        assert not world.west.engine.half_open.total


def test_values_outside_the_range_of_a_modp_group() -> None:
    proposals = ike_proposals("aes256gcm16-sha384-modp2048", "p")
    world = pair(proposals=proposals)
    prime = modp_prime(2048)
    values = [number.to_bytes(256, "big") for number in (0, 1, prime - 1, prime, 2**2048 - 1)]
    for value in [*values, bytes(255) + b"\2\2", b"", bytes(64)]:
        octets = init_request([SA(offer_ike(proposals)), KE(14, value), *opening()[2:], VendorID(bytes(40))])
        assert [notified(answer) for answer in sends(hand(world, world.west, octets))] == [[N.INVALID_SYNTAX]]
    is_clean(world)


@pytest.mark.parametrize("size", [0, 1, 15, 257, 4000])
def test_nonces_of_the_wrong_size(size: int) -> None:
    world = pair()
    payloads = [*opening()[:2], Raw(40, bytes(size)), *opening()[3:]]
    (answer,) = sends(hand(world, world.west, init_request(payloads)))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)


@pytest.mark.parametrize(("size", "fits"), [(16, False), (23, False), (24, True)])
def test_a_nonce_shorter_than_half_the_key_of_the_prf(size: int, fits: bool) -> None:
    world = pair()  # HMAC-SHA2-384: keys of 48 octets
    payloads = [*opening()[:2], Nonce(bytes(size)), *opening()[3:], VendorID(bytes(40))]
    (answer,) = sends(hand(world, world.west, init_request(payloads)))
    assert (answer[16] == 33) == fits
    assert fits or notified(answer) == [N.INVALID_SYNTAX]


# 9. Every refusal can be reported


def test_every_refusal_reports_printable_plain_values() -> None:
    world = pair()
    for octets in (
        init_request([]),
        init_request([SA(()), *opening()[1:]]),
        init_request([*opening(), Raw(255, b"\n\x1b[2J", critical=True)]),
        init_request([OFFER, KE(31, b"\x1b"), *opening()[2:]]),
        b"\x1b[2J",
    ):
        for report in [a for a in hand(world, world.west, octets) if isinstance(a, Report)]:
            assert all(isinstance(v, (str, int, float)) and str(v).isprintable() for v in report.data.values())


# 10. Floods


def test_half_open_ike_sas_of_many_addresses_end_with_cookies_and_pass() -> None:
    world = any_peer()
    limit = Settings().cookie_threshold
    kinds = []
    for number in range(3 * limit):
        octets = init_request()
        actions = hand(world, world.west, octets, spoofed(number))
        assert sum(map(len, sends(actions))) <= len(octets)
        kinds.append(notified(sends(actions)[0])[0] if sends(actions)[0][16] == 41 else 0)
    assert kinds == [0] * limit + [N.COOKIE] * 2 * limit
    assert world.west.engine.half_open.total == limit == len(world.west.engine.registry.openings)
    world.east.start()  # the real peer gets in all the same
    world.run(1.0)
    assert len(world.west.sas()) == 1
    world.run(60.0)
    assert world.west.engine.half_open.total == 0 and not world.west.engine.registry.openings
    assert world.west.reasons("ike_failed") == ["no_answer"] * limit
    assert sends(hand(world, world.west, init_request(), spoofed(1)))[0][16] == 33  # no cookie any more


def test_forging_a_peers_address_does_not_lock_it_out() -> None:
    world = pair()
    for _unused in range(1000):
        hand(world, world.west, init_request())
    assert world.west.engine.half_open.total == Settings().cookie_threshold_per_peer
    faultless(world)


def test_a_validated_address_has_its_limit_too() -> None:
    settings = Settings(cookie_threshold=0, half_open_per_peer=5)
    world = pair(settings=settings)
    for _unused in range(20):
        spi, nonce = ENTROPY.octets(8), ENTROPY.octets(32)
        payloads = opening(nonce=nonce)
        (demand,) = sends(hand(world, world.west, init_request(payloads, spi)))
        hand(world, world.west, init_request([Notify(N.COOKIE, demand[-36:]), *payloads], spi))
    assert world.west.engine.half_open.total == 5


@pytest.mark.parametrize("how", ["forged", "stale", "other address", "other nonce", "other spi", "short", "empty"])
def test_cookies_that_are_not_ours_are_answered_with_one_that_is(how: str) -> None:
    world = any_peer(Settings(cookie_threshold=0))
    spi, nonce = ENTROPY.octets(8), ENTROPY.octets(32)
    payloads = opening(nonce=nonce)
    (demand,) = sends(hand(world, world.west, init_request(payloads, spi)))
    cookie, path = demand[-36:], TO_WEST
    if how == "forged":
        cookie = cookie[:4] + bytes(32)
    elif how == "stale":
        world.now += 121.0
    elif how == "other address":
        path = spoofed(1)
    elif how == "other nonce":
        payloads = opening(nonce=ENTROPY.octets(32))
    elif how == "other spi":
        spi = ENTROPY.octets(8)
    else:
        cookie = cookie[:35] if how == "short" else b"\0"
    (answer,) = sends(hand(world, world.west, init_request([Notify(N.COOKIE, cookie), *payloads], spi), path))
    assert notified(answer) == [N.COOKIE]
    is_clean(world)


def test_a_forged_old_cookie_does_not_make_genuine_ones_void() -> None:
    world = any_peer(Settings(cookie_threshold=0))
    spi, payloads = ENTROPY.octets(8), opening(nonce=ENTROPY.octets(32))
    (demand,) = sends(hand(world, world.west, init_request(payloads, spi)))
    old = (int.from_bytes(demand[-36:-32], "big") - 1).to_bytes(4, "big") + bytes(32)
    hand(world, world.west, init_request([Notify(N.COOKIE, old), *opening()]))
    answer = sends(hand(world, world.west, init_request([Notify(N.COOKIE, demand[-36:]), *payloads], spi)))[0]
    assert answer[16] == 33


def test_a_costly_key_exchange_needs_a_cookie_under_little_load() -> None:
    proposals = ike_proposals("aes256gcm16-sha384-x25519-modp4096", "p")
    world = any_peer(proposals=proposals)
    offer = SA(offer_ike(proposals))
    for number in range(10):
        hand(world, world.west, init_request([offer, *opening()[1:], VendorID(bytes(40))]), spoofed(number))
    assert world.west.engine.half_open.total == 10
    large = init_request([offer, KE(16, b"\1" * 512), *opening()[2:]])
    assert notified(sends(hand(world, world.west, large, spoofed(99)))[0]) == [N.COOKIE]
    assert world.west.engine.half_open.total == 10


def test_a_hundred_thousand_messages_of_unknown_ike_sas_are_dropped_without_a_word(calls) -> None:
    world = up()
    octets = bytearray(encode_message(bytes(8), b"\1" * 8, INFORMATIONAL, INITIATOR, 1, []))
    receive = world.west.engine.receive
    assert calls(receive, bytes(octets), TO_WEST, world.now) < 50
    for number in range(100_000):
        octets[:8] = number.to_bytes(8, "big")
        assert not receive(bytes(octets), TO_WEST, world.now)
    world.check()


def test_an_unvalidated_initiator_never_gets_more_octets_than_it_sent() -> None:
    one = SA((Proposal(1, 1, b"", (AES, PRF, KEX)),))
    world = pair(proposals=ike_proposals("aes256gcm16-sha384-x25519", "p"))
    for payloads in (
        [],
        [one, KE(31, X25519), Nonce(bytes(16))],
        [one, KE(31, X25519), Nonce(bytes(32))],
        [one, *opening()[1:]],
        [one, KE(14, b"\1" * 256), Nonce(bytes(16))],
        [one, KE(31, b""), Nonce(bytes(16))],
        [SA(()), KE(31, b""), Nonce(bytes(16))],
        [Raw(200, b"", critical=True)],
        opening(),
    ):
        octets = init_request(payloads)
        answers = sends(hand(world, world.west, octets))
        assert sum(map(len, answers)) <= len(octets), payloads


def test_a_small_first_message_gets_its_answer_after_a_cookie() -> None:
    one = SA((Proposal(1, 1, b"", (AES, PRF, KEX)),))
    world = pair(proposals=ike_proposals("aes256gcm16-sha384-x25519", "p"))
    spi, payloads = ENTROPY.octets(8), [one, KE(31, X25519), Nonce(bytes(24))]
    (demand,) = sends(hand(world, world.west, init_request(payloads, spi)))
    assert notified(demand) == [N.COOKIE] and not world.west.engine.half_open.total
    again = init_request([Notify(N.COOKIE, demand[-36:]), *payloads], spi)
    (answer,) = sends(hand(world, world.west, again))
    assert answer[16] == 33
    assert N.NAT_DETECTION_SOURCE_IP not in notified(answer)  # the initiator does no NAT traversal


def test_a_retransmission_storm_gets_the_same_answer_and_makes_nothing_new() -> None:
    world = pair()
    octets = init_request()
    answers = {sends(hand(world, world.west, octets))[0] for _unused in range(1000)}
    assert len(answers) == 1 and world.west.engine.half_open.total == 1


# 18. and leaks: nothing of a failed attempt stays


def test_ten_thousand_failed_handshakes_leave_nothing() -> None:
    world = any_peer()
    engine = world.west.engine
    for number in range(10_000):
        octets = init_request([*opening()[:1], KE(31, bytes(32)), *opening()[2:]] if number % 2 else None)
        engine.receive(octets, spoofed(number), world.now)
        if number % 50 == 0:
            world.now += 31.0
            engine.tick(world.now)
    world.now += 31.0
    engine.tick(world.now)
    is_clean(world)
    assert not engine.half_open._by_peer and not engine._timers._waiting and not engine._timers._heap
    assert engine.next_deadline() is None


def test_an_spi_of_ours_is_not_used_again_after_a_refusal() -> None:
    world = pair()
    spis = set()
    for _unused in range(50):
        world.now += 31.0
        world.west.engine.tick(world.now)
        spis.add(sends(hand(world, world.west, init_request()))[0][8:16])
    assert len(spis) == 50


# 20. Downgrade


def unprotected_answer(request: bytes, payloads: list[Any], spi_r: bytes = bytes(8)) -> bytes:
    return encode_message(request[:8], spi_r, INIT, RESPONSE, 0, payloads)


@pytest.mark.parametrize(
    "payloads",
    [
        [Notify(N.NO_PROPOSAL_CHOSEN)],
        [Notify(N.INVALID_SYNTAX)],
        [Notify(N.AUTHENTICATION_FAILED)],
        [Notify(N.INVALID_KE_PAYLOAD, b"\0\2")],
        [Notify(N.INVALID_KE_PAYLOAD, b"\0\x1f")],
        [Notify(N.INVALID_KE_PAYLOAD)],
        [Notify(N.INVALID_MAJOR_VERSION)],
        [Notify(N.COOKIE)],
        [Notify(N.COOKIE, bytes(65))],
        [Notify(N.REDIRECT, b"\1\4\xc0\0\2\7")],
        [],
        [OFFER],
        [Raw(200, b"", critical=True)],
        [SA(()), KE(31, bytes(32)), Nonce(bytes(16))],
    ],
)
def test_forged_answers_to_the_first_message_do_not_end_the_attempt(payloads: list[Any]) -> None:
    world = pair()
    world.east.start()
    request = world.wire[0][2]
    for _unused in range(50):
        hand(world, world.east, unprotected_answer(request, payloads))
    assert len(world.east.reports) < 5  # a flood is reported once
    world.run(1.0)
    world.check()


def test_a_forged_group_costs_a_retry_only() -> None:
    world = pair(proposals=ike_proposals("aes256gcm16-sha384-x25519-ecp384", "p"))
    world.east.start()
    request = world.wire[0][2]
    hand(world, world.east, unprotected_answer(request, [Notify(N.INVALID_KE_PAYLOAD, b"\0\x14")]))
    world.run(3.0)
    world.check()


def test_an_answer_that_was_not_offered_is_not_taken() -> None:
    world = pair()
    world.east.start()
    request = world.wire[0][2]
    weak = SA((Proposal(1, 1, b"", (Transform(1, 12, 128), Transform(2, 2), Transform(3, 2), Transform(4, 2))),))
    payloads = [weak, KE(2, b"\1" * 128), Nonce(bytes(32))]
    hand(world, world.east, unprotected_answer(request, payloads, b"\1" * 8))
    assert world.east.reasons("setback") == ["no_proposal_chosen"]
    world.run(1.0)
    world.check()


def test_a_forged_answer_of_which_no_keys_are_made_leaves_room_for_the_peers() -> None:
    world = pair(proposals=ike_proposals("aes256gcm16-prfsha384-x25519"))
    world.east.start()
    sa, request = ike_sa(world.east, "init_sent"), world.wire[0][2]
    payloads = [SA(offer_ike(sa.connection.proposals)), KE(31, X25519), Nonce(bytes(16))]
    hand(world, world.east, unprotected_answer(request, payloads, b"\1" * 8))
    assert world.east.reasons("setback") == ["protocol_error"] and sa.spi_r == bytes(8)
    world.run(1.0)
    world.check()


def test_a_definition_that_changes_while_the_first_message_is_out_does_not_confuse_the_answer() -> None:
    world = pair(proposals=ike_proposals("aes256gcm16-sha384-x25519", "p"))
    world.east.start()
    world.run(0.005)
    world.east.engine.define(east_connection(proposals=ike_proposals("chacha20poly1305-sha512-ecp384", "p")))
    world.run(1.0)
    world.check()
    assert "aes256gcm16" in world.east.sas()[0].algorithms


def test_stripped_nat_detection_breaks_authentication() -> None:
    world = pair()

    def strip(octets: bytes) -> bytes:
        payloads = [p for p in opening() if not isinstance(p, Notify)]
        return init_request(payloads, octets[:8]) if octets[18] == INIT and octets[19] == INITIATOR else octets

    plain = world.send
    world.send = lambda action: plain(Send(strip(action.datagram), action.path))
    world.east.start()
    world.run(90.0)
    assert not world.east.sas() and not world.west.sas()


def test_stories_do_not_repeat_what_the_peer_sent_verbatim() -> None:
    world = pair()
    hand(world, world.west, init_request([OFFER, KE(31, b"\x1b[31m"), *opening()[2:]]))
    assert all("\x1b" not in story for story in stories(world.west.reports))
