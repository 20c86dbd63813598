# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys (RFC 8784): both ends, either of them without, with another one, and strangers."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.auth import PresharedKey
from engine.crypto.ppk import Ppk, mix
from engine.crypto.private_keys import read_private_key
from engine.crypto.proposals import ike_proposals
from engine.crypto.public_keys import read_public_key
from engine.crypto.signature_auth import KnownKey, Signature, own_raw_key
from engine.identity import Identity
from engine.ike.actions import Send
from engine.ike.reasons import REASONS
from engine.ike.v2.features import ppk as feature
from engine.ike.v2.features import rows
from engine.ike.v2.features.feature import Features
from engine.secret import Secret
from engine.wire.v2.message import Message, encode_message
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType

from tests.signing_keys import private_pem, public_pem

from .forge import TO_WEST, ike_sa, init_request, notified, opening, sends
from .hybrid import Wire
from .world import CLASSIC, EAST, Host, World, east_connection, mirror, pair
from .world import up as plain_up

ONE = Ppk(b"fleet-1", Secret(b"thirty-two octets of one PPK ...."))
OTHER = Ppk(b"fleet-2", Secret(b"thirty-two octets of another PPK ."))
SAME_NAME = Ppk(b"fleet-1", OTHER.secret)
USE = int(NotifyType.USE_PPK)


def ends(east: dict[str, Any], west: dict[str, Any], fate: Any = None, **both: Any) -> World:
    """A world in which the ends differ."""
    world = World(fate or Wire())
    connection = east_connection(**both)
    world.east.engine.define(replace(connection, **east))
    world.west.engine.define(mirror(replace(connection, **west)))
    return world


def has(*ppks: Ppk, required: bool = True) -> dict[str, Any]:
    return {"ppks": ppks, "ppk_required": required}


def used(host: Host) -> str:
    return feature.USED.of(ike_sa(host)).ppk


def failure(host: Host) -> tuple[str, str]:
    """Reason and story of what failed last."""
    told = [r.data for r in host.reports if r.kind in ("ike_failed", "rejected", "setback")]
    return told[-1]["reason"], told[-1]["story"]


def test_three_keys_have_it_mixed_in_and_the_others_stay():
    world = plain_up()
    protection = ike_sa(world.east).protection
    keys, mixed = protection.keys, mix(protection.prf, protection.keys, ONE)
    for name in ("d", "pi", "pr"):
        octets = getattr(keys, name).reveal()
        # prf+ of the length of one block (RFC 7296 section 2.13).
        assert getattr(mixed, name).reveal() == hmac.digest(ONE.secret.reveal(), octets + b"\x01", hashlib.sha384)
    assert [getattr(mixed, name) for name in ("ai", "ar", "ei", "er")] == [keys.ai, keys.ar, keys.ei, keys.er]


@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
@pytest.mark.parametrize("ike", [CLASSIC, "aes256-sha256-modp2048-ke1_x25519"])
def test_both_ends_mix_it_in(required: bool, ike: str):
    world = ends(has(ONE, required=required), has(ONE, required=required), proposals=ike_proposals(ike))
    world.east.start()
    world.run(2.0)
    world.check()
    assert used(world.east) == used(world.west) == "fleet-1"
    east, west = ike_sa(world.east).protection.keys, ike_sa(world.west).protection.keys
    assert (east.d, east.pi, east.pr) == (west.d, west.pi, west.pr)


def test_the_responder_finds_the_one_that_the_initiator_names():
    world = ends(has(OTHER), has(ONE, OTHER))
    world.east.start()
    world.run(2.0)
    world.check()
    assert used(world.east) == used(world.west) == "fleet-2"


def test_rekeys_go_on_with_it():
    world = ends(has(ONE), has(ONE), lifetime=300.0)
    world.east.start()
    world.run(1000.0)
    world.check()
    assert world.east.kinds().count("ike_rekeyed") >= 2
    assert used(world.east) == used(world.west) == "fleet-1"
    assert "ike_failed" not in world.east.kinds() + world.west.kinds()


@pytest.mark.parametrize("loss", range(4))
def test_each_datagram_may_be_lost_once(loss: int):
    lost: list[bytes] = []

    def lose(datagram: bytes) -> bool:
        lost.append(datagram)
        return len(lost) == loss + 1

    world = ends(has(ONE), has(ONE), Wire(lose))
    world.east.start()
    world.run(5.0)
    world.check()
    assert used(world.east) == used(world.west) == "fleet-1"


@pytest.mark.parametrize(
    ("east", "west"),
    [
        (has(ONE, required=False), {}),
        ({}, has(ONE, required=False)),
        (has(ONE, required=False), has(OTHER, required=False)),
    ],
    ids=["initiator_alone", "responder_alone", "unknown_name"],
)
def test_without_it_where_neither_end_insists(east: dict[str, Any], west: dict[str, Any]):
    world = ends(east, west)
    world.east.start()
    world.run(2.0)
    world.check()
    assert used(world.east) == used(world.west) == ""


@pytest.mark.parametrize(
    ("east", "west", "at_east", "at_west"),
    [
        (has(ONE), {}, "ppk_missing", ""),
        ({}, has(ONE), "authentication_failed", "ppk_missing"),
        (has(ONE), has(OTHER, required=False), "authentication_failed", "ppk_missing"),
        (has(ONE, required=False), has(OTHER), "authentication_failed", "ppk_missing"),
        (has(ONE, required=False), has(SAME_NAME, required=False), "authentication_failed", "ppk_differs"),
        (has(ONE), has(SAME_NAME), "authentication_failed", "peer_not_authenticated"),
    ],
    ids=["responder_lacks", "initiator_lacks", "unknown_name", "unknown_and_demanded", "another", "another_alone"],
)
def test_what_does_not_go_together_is_told(east: dict[str, Any], west: dict[str, Any], at_east: str, at_west: str):
    world = ends(east, west)
    world.east.start()
    world.run(100.0)
    assert not world.east.sas() and not world.west.sas()
    assert failure(world.east)[0] == at_east
    assert "PPK" in failure(world.east)[1] or not east
    if at_west:
        assert failure(world.west)[0] == at_west and "PPK" in failure(world.west)[1]
        assert at_west in REASONS
    for host in (world.east, world.west):
        assert not any(b"octets of" in repr(report).encode() for report in host.reports)


def test_a_wrong_pre_shared_key_is_not_taken_for_a_wrong_ppk():
    wrong = PresharedKey(Secret(b"another secret of some length"))
    world = ends({**has(ONE, required=False), "auth": wrong}, has(ONE, required=False))
    world.east.start()
    world.run(2.0)
    assert failure(world.west)[0] == "peer_not_authenticated"


def signing(ours: int, theirs: int) -> Signature:
    """A raw key of ours and that of the peer, by number."""
    own = own_raw_key(read_private_key(private_pem("ed25519", ours), None, "key", "passphrase"))
    peer = KnownKey(read_public_key(public_pem("ed25519", theirs), "remote_key"))
    return Signature(own, peer, "a raw key", "key")


@pytest.mark.parametrize(
    ("here", "there", "which"),
    [
        (has(ONE), has(ONE), "fleet-1"),
        (has(ONE, required=False), has(ONE, required=False), "fleet-1"),
        (has(ONE, required=False), {}, ""),
        (has(ONE, required=False), has(OTHER, required=False), ""),
        (has(ONE, required=False), has(SAME_NAME, required=False), "differs"),
    ],
    ids=["required", "optional", "initiator_alone", "unknown_name", "another"],
)
def test_ends_that_sign_mix_it_in_likewise(here: dict[str, Any], there: dict[str, Any], which: str):
    world = ends({**here, "auth": signing(0, 1)}, {**there, "auth": signing(1, 0)})
    world.east.start()
    world.run(2.0)
    if which == "differs":
        assert failure(world.west)[0] == "ppk_differs"
    else:
        world.check()
        assert used(world.east) == used(world.west) == which


def test_strangers_hear_of_it_only_where_a_tunnel_has_one():
    asks = init_request([*opening(), Notify(USE)])
    for more, answered in (({}, False), (has(ONE, required=False), True)):
        world = pair(**more)
        (answer,) = sends(world.west.engine.receive(asks, TO_WEST, 1.0))
        assert (USE in notified(answer)) is answered
        assert len(answer) <= len(asks)


def test_a_tunnel_without_beside_one_with():
    """Which one a peer means is known when it has a name."""
    world = World()
    tunnel = east_connection(remote_address=None, ppks=(), local_id=Identity.parse("third.example"))
    world.west.engine.define(mirror(east_connection(**has(ONE), local_address=None)))
    world.west.engine.define(replace(mirror(tunnel), name="u", remote_address=EAST))
    world.east.engine.define(east_connection(**has(ONE)))
    world.east.start()
    world.run(2.0)
    world.check()
    assert used(world.west) == "fleet-1"


# Hostile ends


def said_by(change: Any) -> World:
    """East says something else of it than it should: ``change`` makes its notifies others."""
    part = feature.FEATURE.keying

    def besides(sa: Any, prove: Any) -> list[Notify]:
        return change(list(part.besides(sa, prove)))

    other = feature.FEATURE._replace(keying=part._replace(besides=besides))
    real = rows.ROWS
    rows.FEATURES = Features([other if row is feature.FEATURE else row for row in real])
    try:
        world = ends(has(ONE, required=False), has(ONE, required=False))
        world.east.start()
        world.run(2.0)
    finally:
        rows.FEATURES = Features(real)
    return world


NAMED, WITHOUT = int(NotifyType.PPK_IDENTITY), int(NotifyType.NO_PPK_AUTH)


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x01fleet-1", b"\xff" * 9, b"\x02" + b"x" * 15_000, b"\x02\0\n\x1b[31m"]
)
def test_a_name_of_any_size_finds_nothing(data: bytes):
    world = said_by(lambda said: [Notify(NAMED, data)])
    assert not world.west.sas()
    reason, story = failure(world.west)
    assert reason == "ppk_missing", story
    assert len(story) < 300 and story.isprintable()


def test_a_forged_proof_without_it_proves_nothing():
    world = said_by(lambda said: [Notify(NAMED, b"\x02fleet-9"), Notify(WITHOUT, bytes(48))])
    assert not world.west.sas() and failure(world.west)[0] == "peer_not_authenticated"
    world = said_by(lambda said: [Notify(NAMED, b"\x02fleet-9"), Notify(WITHOUT, b"")])
    assert not world.west.sas() and failure(world.west)[0] == "peer_not_authenticated"


def test_a_proof_without_it_is_not_taken_where_the_responder_has_the_key():
    world = said_by(lambda said: [Notify(NAMED, b"\x02fleet-1"), Notify(WITHOUT, bytes(48))])
    assert used(world.west) == "fleet-1"


def test_who_insists_is_not_talked_out_of_it_by_a_forged_answer():
    """What takes USE_PPK out of the answer only keeps that answer out: the next one counts."""
    world = ends(has(ONE), has(ONE))
    world.east.start()
    genuine, forged = world.west.engine.receive, []

    def without(datagram: bytes, path: Any, now: float) -> Any:
        actions = genuine(datagram, path, now)
        if forged:
            return actions
        answer = Message.parse(sends(actions)[0])
        kept = [payload for payload in answer.payloads if getattr(payload, "type", 0) != USE]
        head = answer.header
        forged.append(encode_message(head.initiator_spi, head.responder_spi, head.exchange, head.flags, 0, kept))
        return [replace(action, datagram=forged[0]) if isinstance(action, Send) else action for action in actions]

    world.west.engine.receive = without
    world.run(5.0)
    assert forged and "setback" in world.east.kinds() and failure(world.east)[0] == "ppk_missing"
    world.check()
    assert used(world.east) == "fleet-1"
