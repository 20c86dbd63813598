# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many strangers, and many definitions, make one message cost: work and what is kept are counted, never timed."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import pytest
from engine.crypto.auth import PresharedKey
from engine.crypto.groups import modp_prime
from engine.crypto.negotiation import offer_ike
from engine.crypto.proposals import ike_proposals
from engine.identity import Identity
from engine.ike import half_open
from engine.ike.actions import Path
from engine.ike.context import LONGEST_STORY
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.ike.v2 import auth, dispatch
from engine.ike.v2.sa import Handshake, OpeningSa
from engine.secret import Secret
from engine.wire.v2.auth import AUTH as Proof
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.vendor import VendorID

from tests.seeded_entropy import SeededEntropy

from .forge import AUTH, ENTROPY, OFFER, TO_WEST, hand, init_request, notified, opening, other_end, sealed, sends
from .strangers import any_peer, is_clean, spoofed
from .world import CLASSIC, World, east_connection, mirror, pair

N = NotifyType
GROUPS = ("x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096")
MANY = 1000
PEER = Identity.parse("peer.example")


def orders_of_groups(count: int) -> list[Any]:
    """So many proposals, no two alike."""
    orders = itertools.islice(itertools.permutations(GROUPS), count)
    return [ike_proposals(f"aes256gcm16-prfsha384-{'-'.join(order)}", "p") for order in orders]


def responder(proposals: list[Any], **more: Any) -> Endpoint:
    """An endpoint with a definition for each of these, all for peers from everywhere."""
    engine = Endpoint(SeededEntropy(7), lambda *_more: 1)
    for number, each in enumerate(proposals):
        fields = {"remote_id": Identity.parse(f"peer{number}.example"), "proposals": each} | more
        connection = replace(mirror(east_connection()), name=f"t{number}", remote_address=None, local_address=None)
        engine.define(replace(connection, **fields))
    return engine


def fits_nothing(proposals: int = 50) -> bytes:
    transforms = tuple(Transform(1 + number % 4, 1000 + number) for number in range(8))
    offer = SA(tuple(Proposal(number, 1, b"", transforms) for number in range(1, proposals + 1)))
    return init_request([offer, *opening()[1:]])


# Work grows with the message, not with what is defined


@pytest.mark.parametrize("alike", [True, False])
def test_a_first_message_that_fits_nothing_costs_the_same_beside_a_thousand_definitions(
    calls: Any, alike: bool
) -> None:
    def cost(count: int) -> int:
        proposals = [ike_proposals(CLASSIC)] * count if alike else orders_of_groups(count)
        engine, octets = responder(proposals), fits_nothing()
        engine.receive(octets, spoofed(1), 1000.0)  # the first one fills caches
        return calls(engine.receive, octets, spoofed(2), 1000.0)

    few, many = cost(1), cost(MANY)
    assert many <= few + 20 and many < 10_000


def test_the_one_definition_of_a_thousand_that_fits_is_found_at_once(calls: Any) -> None:
    last = ike_proposals("aes128-sha256-modp2048", "p")
    engine = responder([*orders_of_groups(MANY), last])
    value = ENTROPY.key_exchange(14).public
    octets = init_request([SA(offer_ike(last)), KE(14, value), *opening()[2:]])
    assert calls(engine.receive, octets, spoofed(1), 1000.0) < 1500
    (sa,) = engine.registry.by_spi.values()
    assert sa.connection.name == f"t{MANY}"


def test_the_story_of_an_offer_is_short_whatever_is_on_offer(calls: Any) -> None:
    """Names of what differs are made for what is shown, and pairs of proposals are not all compared for it."""
    mine = tuple(each for several in orders_of_groups(200) for each in several)
    engine = responder([mine])
    many = tuple(Proposal(n, 1, b"", tuple(Transform(1, 1000 + i) for i in range(8))) for n in range(1, 65))
    actions = engine.receive(init_request([SA(many), *opening()[1:]]), spoofed(1), 1000.0)
    (story,) = [action.data["story"] for action in actions if hasattr(action, "data")]
    assert len(story) < 1000


def wrong_auth(engine: Endpoint, path: Path, now: float, peer: Identity = PEER) -> tuple[bytes, OpeningSa] | None:
    """IKE_AUTH of somebody without the secret, and the IKE SA it is for; None where it does not get that far."""
    spi, payloads = ENTROPY.octets(8), opening(nonce=ENTROPY.octets(32))
    answer = sends(engine.receive(init_request(payloads, spi), path, now))
    if answer and notified(answer[0])[:1] == [N.COOKIE]:
        again = init_request([Notify(N.COOKIE, answer[0][-36:]), *payloads], spi)
        answer = sends(engine.receive(again, path, now))
    if not answer:
        return None
    sa = engine.registry.by_spi[answer[0][8:16]]
    return sealed(other_end(sa), AUTH, 1, [IDi(peer), Proof(2, bytes(48))]), sa


def test_no_more_than_so_many_secrets_are_tried_for_one_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = responder([ike_proposals(CLASSIC)] * MANY, remote_id=PEER)
    octets, _sa = wrong_auth(engine, TO_WEST, 1000.0)
    tried: list[int] = []
    verify = PresharedKey.verify
    monkeypatch.setattr(PresharedKey, "verify", lambda *more: (tried.append(1), verify(*more))[1])
    actions = engine.receive(octets, TO_WEST, 1000.0)
    assert len(tried) == auth.CANDIDATES
    story = next(action.data["story"] for action in actions if hasattr(action, "data"))
    assert f"more than {auth.CANDIDATES} tunnels" in story


def test_a_peer_is_found_among_a_thousand_by_its_identity_and_ours(calls: Any) -> None:
    engine = responder([ike_proposals(CLASSIC)] * MANY)
    for number in range(MANY):
        there = {"name": f"u{number}", "local_id": Identity.parse(f"here{number}.example"), "remote_address": None}
        engine.define(replace(mirror(east_connection()), remote_id=PEER, **there))
    find = engine.connections.for_identities
    ours, theirs = Identity.parse("here700.example"), Identity.parse("PEER.example")
    assert [c.name for c in find(TO_WEST, theirs, ours)] == ["u700"]
    assert [c.name for c in find(TO_WEST, Identity.parse("peer3.example"), None)] == ["t3"]
    assert calls(lambda: list(find(TO_WEST, theirs, ours))) < 100


# Key exchange values are looked at before a key pair is made, and refusals count


class Counting(SeededEntropy):
    """Counts the key pairs that are made."""

    pairs = 0

    def key_exchange(self, group: int) -> Any:
        self.pairs += 1
        return super().key_exchange(group)


@pytest.mark.parametrize(
    ("name", "group", "value"),
    [
        ("modp2048", 14, (modp_prime(2048) - 1).to_bytes(256, "big")),
        ("modp4096", 16, (modp_prime(4096) - 1).to_bytes(512, "big")),
        ("modp4096", 16, bytes(511) + b"\1"),
        ("modp8192", 18, (modp_prime(8192) - 1).to_bytes(1024, "big")),
        ("modp8192", 18, b"\xff" * 1024),
        ("ecp384", 20, b"\1" * 96),
        ("x25519", 31, b"\1" * 31),
    ],
)
def test_a_value_outside_of_its_group_costs_no_key_pair_and_soon_a_cookie(name: str, group: int, value: bytes) -> None:
    proposals = ike_proposals(f"aes256gcm16-sha384-{name}", "p")
    world = any_peer(proposals=proposals)
    entropy = world.west.engine.entropy = Counting(3)
    kinds = []
    for number in range(Settings().cookie_threshold + 20):
        octets = init_request([SA(offer_ike(proposals)), KE(group, value), *opening()[2:], VendorID(bytes(40))])
        kinds += notified(sends(hand(world, world.west, octets, spoofed(number)))[0])
    limit = Settings().cookie_threshold // (10 if len(value) >= 512 else 1)
    assert kinds == [N.INVALID_SYNTAX] * limit + [N.COOKIE] * (len(kinds) - limit)
    assert not entropy.pairs
    is_clean(world)


def test_a_nonce_that_is_too_short_costs_no_key_pair_and_soon_a_cookie() -> None:
    world = any_peer()
    entropy = world.west.engine.entropy = Counting(3)
    payloads = [*opening()[:2], Nonce(bytes(16)), *opening()[3:], VendorID(bytes(40))]
    kinds = [notified(sends(hand(world, world.west, init_request(payloads)))[0]) for _unused in range(30)]
    limit = Settings().cookie_threshold_per_peer
    assert kinds == [[N.INVALID_SYNTAX]] * limit + [[N.COOKIE]] * (30 - limit)
    assert not entropy.pairs
    is_clean(world)


def test_offers_that_fit_nothing_end_with_cookies_and_a_returned_one_gets_the_reason() -> None:
    world = any_peer()
    strange = SA((Proposal(1, 1, b"", (Transform(1, 20, 128), Transform(2, 6), Transform(4, 31))),))
    spi, payloads = ENTROPY.octets(8), [strange, *opening(nonce=ENTROPY.octets(32))[1:]]
    answers = [sends(hand(world, world.west, init_request(payloads, spi)))[0] for _unused in range(30)]
    assert [notified(answer) for answer in answers[-10:]] == [[N.COOKIE]] * 10
    again = init_request([Notify(N.COOKIE, answers[-1][-36:]), *payloads], spi)
    assert notified(sends(hand(world, world.west, again))[0]) == [N.NO_PROPOSAL_CHOSEN]
    # Others are not asked for one, and this address is forgotten.
    assert sends(hand(world, world.west, init_request(), spoofed(1)))[0][16] == 33
    world.run(2 * Settings().half_open_lifetime)
    assert notified(sends(hand(world, world.west, init_request(payloads, spi)))[0]) == [N.NO_PROPOSAL_CHOSEN]


def test_refusals_are_counted_for_so_many_addresses_and_for_so_long() -> None:
    refusals = half_open.Refusals(30.0)
    for number in range(half_open.ADDRESSES + 1000):
        refusals.enter(str(number), 1000.0)
    assert refusals.total(1000.0) == half_open.ADDRESSES + 1000
    assert refusals.of("1") == 1 and refusals.of(str(half_open.ADDRESSES + 1)) == 0
    assert len(refusals._now) <= half_open.ADDRESSES + 1
    assert refusals.total(1025.0) == half_open.ADDRESSES + 1000 and refusals.of("1") == 1
    refusals.enter("1", 1025.0)
    assert refusals.of("1") == 2
    assert refusals.total(1051.0) == 1 and refusals.of("1") == 1
    assert refusals.total(5000.0) == 0 and refusals.of("1") == 0


# What is kept of strangers is counted, and small


def test_failed_authentications_count_while_they_are_kept_and_only_their_answer_is() -> None:
    world = any_peer()
    engine = world.west.engine
    settings, kept = Settings(), []
    for number in range(3 * settings.half_open_per_peer):
        path = TO_WEST._replace(remote_port=1024 + number)
        made = wrong_auth(engine, path, world.now)
        if made is not None:
            octets, sa = made
            (answer,) = sends(engine.receive(octets, path, world.now))
            kept.append((octets, path, answer, sa))
    assert len(kept) == settings.half_open_per_peer == engine.half_open.total == len(engine.registry.by_spi)
    # Who looks at a tunnel, as for each report of it, does not meet them.
    assert not engine.registry.by_tunnel and not engine.registry.strangers()
    for octets, path, answer, sa in kept[:3]:
        assert sa.state.value == "refused" and len(sa.answer[0]) < 200
        assert sa.protection is None
        assert all(getattr(sa.handshake, each.name) == getattr(Handshake(), each.name) for each in fields(Handshake))
        assert sends(engine.receive(octets, path, world.now)) == [answer]
    assert wrong_auth(engine, spoofed(1), world.now) is not None  # other addresses get in, with a cookie
    world.run(2 * settings.half_open_lifetime)
    is_clean(world)
    assert not engine.half_open._by_peer


def test_a_first_message_of_many_octets_is_refused_unread(calls: Any) -> None:
    world = pair()
    octets = init_request([*opening(), VendorID(bytes(dispatch.LARGEST))])
    assert calls(world.west.engine.receive, octets, TO_WEST, world.now) < 100
    (answer,) = sends(hand(world, world.west, octets))
    assert notified(answer) == [N.INVALID_SYNTAX]
    is_clean(world)
    assert sends(hand(world, world.west, init_request([*opening(), VendorID(bytes(7000))])))[0][16] == 33


def test_the_rest_of_a_flood_does_not_keep_the_real_peer_out() -> None:
    world = any_peer()
    for number in range(500):
        octets = init_request([OFFER, KE(31, bytes(32)), *opening()[2:], VendorID(bytes(40))])
        hand(world, world.west, octets, spoofed(number))
    world.east.start()
    world.run(1.0)
    assert len(world.west.sas()) == 1


def test_secrets_of_a_rotation_are_all_tried() -> None:
    world = World()
    connection = east_connection()
    world.east.engine.define(connection)
    accept = PresharedKey(Secret(b"the next one"), (Secret(b"another one"), connection.auth.secret))
    world.west.engine.define(replace(mirror(connection), remote_address=None, auth=accept))
    world.east.start()
    world.run(1.0)
    assert len(world.west.sas()) == 1


# Words of a peer


@pytest.mark.parametrize(
    "identity",
    [
        Identity(2, b"\xff" * 2048),
        Identity(11, b"\xff" * 2048),
        Identity(9, b"\x30\x82\x07\xfc" + b"\x31\x00" * 1022),
        Identity(9, b"\x30\x82\x07\xfc" + b"\xff" * 2044),
        Identity(200, b"\xff" * 2048),
    ],
)
def test_a_long_identity_makes_neither_much_work_nor_long_stories(calls: Any, identity: Identity) -> None:
    engine = responder([ike_proposals(CLASSIC)] * MANY, remote_id=None)
    octets, sa = wrong_auth(engine, TO_WEST, 1000.0, identity)
    actions: list[Any] = []
    assert calls(lambda: actions.extend(engine.receive(octets, TO_WEST, 1000.0))) < 60_000
    assert sa.state.value == "refused"
    told = [action.data["story"] for action in actions if hasattr(action, "data")]
    assert len(told) == 1 and max(map(len, told)) <= LONGEST_STORY


def test_an_identity_longer_than_any_is_refused_unread(calls: Any) -> None:
    costs = []
    for length in (2049, 50_000):
        world = any_peer()
        octets, sa = wrong_auth(world.west.engine, TO_WEST, world.now, Identity(2, b"a" * length))
        costs.append(calls(world.west.engine.receive, octets, TO_WEST, world.now))
        assert sa.state.value == "refused"
    # Some 300; a few more or less are the interpreter's.
    assert max(costs) < 600 and abs(costs[0] - costs[1]) < 30
