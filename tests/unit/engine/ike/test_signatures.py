# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends sign: what is announced and to whom, every kind of key, refusals and their reasons, what strangers cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from engine.crypto import evidence, signatures
from engine.crypto.auth import Authenticator, Unusable
from engine.crypto.private_keys import read_private_key
from engine.crypto.public_keys import read_public_key
from engine.crypto.signature_auth import KnownKey, Own, Signature, own_raw_key
from engine.identity import Identity
from engine.wire.v2.cert import CERT, CERTREQ
from engine.wire.v2.message import Message
from engine.wire.v2.numbers import AuthMethod, CertEncoding, NotifyType
from engine.wire.v2.payloads import Payloads

from tests.signing_keys import KINDS, private_pem, public_pem

from .forge import TO_WEST
from .world import World, child, east_connection, mirror, straight

HASHES = int(NotifyType.SIGNATURE_HASH_ALGORITHMS)


def raw(ours: str, theirs: str, which: tuple[int, int] = (0, 1)) -> Signature:
    """A key of ours and the peer's, by kind and number."""
    own = own_raw_key(read_private_key(private_pem(ours, which[0]), None, "key", "passphrase"))
    return Signature(own, KnownKey(read_public_key(public_pem(theirs, which[1]), "remote_key")), "a raw key", "key")


def world_of(east: Authenticator, west: Authenticator, fate: Callable[[int, bytes], list[float]] = straight) -> World:
    world = World(fate)
    connection = east_connection()
    world.east.engine.define(replace(connection, auth=east))
    world.west.engine.define(replace(mirror(connection), auth=west))
    return world


def brought_up(east: Authenticator, west: Authenticator) -> World:
    world = world_of(east, west)
    world.east.start()
    world.run(2.0)
    return world


def first_messages(world: World) -> list[Payloads]:
    """The payloads of IKE_SA_INIT, both ways."""
    seen: list[bytes] = []

    def watching(_number: int, datagram: bytes) -> list[float]:
        seen.append(datagram)
        return [0.01]

    world.fate = watching
    world.east.start()
    world.run(2.0)
    return [Payloads(Message.parse(datagram).payloads) for datagram in seen if datagram[18] == 34]


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_sign(kind: str) -> None:
    world = brought_up(raw(kind, kind), raw(kind, kind, (1, 0)))
    world.check()
    assert world.count == 4


def test_the_keys_of_the_two_ends_may_be_of_different_kinds() -> None:
    brought_up(raw("rsa2048", "ed25519"), raw("ed25519", "rsa2048", (1, 0))).check()


def test_who_takes_signatures_says_so_and_hears_it() -> None:
    asked, told = first_messages(world_of(raw("ed25519", "ed25519"), raw("ed25519", "ed25519", (1, 0))))
    for said in (asked, told):
        assert said.notify(HASHES).data == bytes((0, 2, 0, 3, 0, 4, 0, 5))


def test_who_has_pre_shared_keys_alone_says_nothing_of_it() -> None:
    plain = east_connection().auth
    for east, west in ((plain, plain), (raw("ed25519", "ed25519"), plain), (plain, raw("ed25519", "ed25519"))):
        asked, told = first_messages(world_of(east, west))
        assert (asked.notify(HASHES) is None) == (east is plain)
        assert told.notify(HASHES) is None and told.one(CERTREQ) is None


def test_another_definition_for_such_a_peer_is_reason_enough_to_answer() -> None:
    """It has no name yet: the first definition that fits is not the one that it means."""
    world = world_of(raw("ed25519", "ed25519"), east_connection().auth)
    other = replace(
        mirror(east_connection()), name="other", auth=raw("ed25519", "ed25519", (1, 0)),
        remote_id=Identity.parse("east.example"), children=(replace(child(), reqid=2),),
    )  # fmt: skip
    world.west.engine.define(replace(mirror(east_connection()), remote_id=Identity.parse("someone.example")))
    world.west.engine.define(other)
    _asked, told = first_messages(world)
    assert told.notify(HASHES) is not None
    assert [view.tunnel for view in world.west.sas()] == ["other"]
    world.west.engine.undefine("other")
    assert world.west.engine.connections.hashes(TO_WEST) == ()


@pytest.mark.parametrize(("kind", "method"), [("ecdsa256", 9), ("ecdsa384", 10), ("ecdsa521", 11)])
def test_without_rfc_7427_there_is_ecdsa(monkeypatch: pytest.MonkeyPatch, kind: str, method: int) -> None:
    monkeypatch.setattr(Signature, "hashes", ())
    used: list[int] = []
    parse = signatures.parse_signature
    monkeypatch.setattr(evidence.signatures, "parse_signature", lambda m, data: used.append(m) or parse(m, data))
    brought_up(raw(kind, kind), raw(kind, kind, (1, 0))).check()
    assert used == [method, method]


def test_without_rfc_7427_rsa_signs_nothing_at_either_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signature, "hashes", ())
    world = brought_up(raw("rsa2048", "rsa2048"), raw("rsa2048", "rsa2048", (1, 0)))
    assert world.east.reasons("ike_failed") == ["signature_not_taken"]
    # As responder it has heard out the initiator, and owes it an answer.
    world = brought_up(raw("ecdsa256", "rsa2048"), raw("rsa2048", "ecdsa256", (1, 0)))
    assert world.west.reasons("ike_failed") == ["signature_not_taken"]
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert not world.east.sas() and not world.west.sas()


def test_another_key_than_the_one_defined() -> None:
    world = brought_up(raw("ed25519", "ed25519"), raw("ed25519", "ed25519", (1, 5)))
    assert world.west.reasons("ike_failed") == ["peer_not_authenticated"]
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    world = brought_up(raw("ed25519", "ed25519", (0, 5)), raw("ed25519", "ed25519", (1, 0)))
    assert world.east.reasons("ike_failed") == ["peer_not_authenticated"]
    assert not world.west.sas(), "it was told"


@pytest.mark.parametrize("method", [AuthMethod.RSA_SIGNATURE, AuthMethod.DIGITAL_SIGNATURE])
def test_sha1_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, method: int) -> None:
    identifier = bytes.fromhex("300d06092a864886f70d0101050500")
    data = bytes(256) if method == 1 else bytes((len(identifier),)) + identifier + bytes(256)
    world = world_of(raw("rsa2048", "rsa2048"), raw("rsa2048", "rsa2048", (1, 0)))
    prove = Signature.prove

    def old(self, prf, octets, asked):
        return prove(self, prf, octets, asked)._replace(proof=evidence.Proof(method, data))

    monkeypatch.setattr(Signature, "prove", old)
    world.east.start()
    world.run(2.0)
    (failed,) = [report for report in world.west.reports if report.kind == "ike_failed"]
    assert failed.data["reason"] == "signature_refused" and "SHA-1" in failed.data["story"]


def test_a_secret_is_no_signature_and_the_reverse() -> None:
    plain = east_connection().auth
    world = brought_up(plain, raw("ed25519", "ed25519"))
    assert not world.east.sas() and not world.west.sas()
    assert "authenticates with method 2" in world.west.reports[-1].data["story"]
    world = brought_up(raw("ecdsa256", "ed25519"), plain)
    assert "authenticates with method 9" in world.west.reports[-1].data["story"]
    world = brought_up(raw("ed25519", "ed25519"), plain)
    assert world.east.reasons("ike_failed") == ["signature_not_taken"]


@pytest.mark.parametrize(("send", "asked", "sent"), [
    ("always", False, 2), ("asked", False, 0), ("asked", True, 2), ("never", True, 0), ("never", False, 0),
])  # fmt: skip
def test_certificates_go_to_who_asks(monkeypatch: pytest.MonkeyPatch, send: str, asked: bool, sent: int) -> None:
    shown = (CERT(CertEncoding.X509_SIGNATURE, b"mine"), CERT(CertEncoding.X509_SIGNATURE, b"who signed it"))
    east, west = raw("ed25519", "ed25519"), raw("ed25519", "ed25519", (1, 0))
    east = replace(east, own=Own(east.own.key, shown, send))
    west = replace(west, own=Own(west.own.key, shown, send))
    if asked:
        monkeypatch.setattr(KnownKey, "requests", (CERTREQ(CertEncoding.X509_SIGNATURE, bytes(20)),))
    seen: list[tuple[CERT, ...]] = []
    vouch = KnownKey.vouch
    monkeypatch.setattr(KnownKey, "vouch", lambda self, c: seen.append(c.presented.certificates) or vouch(self, c))
    brought_up(east, west).check()
    assert seen == [shown[:sent]] * 2


def test_the_authorities_of_all_that_may_be_meant_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    connections = world.west.engine.connections
    for number in range(40):
        auth = raw("ed25519", "ed25519")
        peer = replace(auth.peer)
        base = replace(mirror(east_connection()), name=f"t{number}", children=(replace(child(), reqid=number + 1),))
        named = (CERTREQ(CertEncoding.X509_SIGNATURE, bytes((number // 2,)) * 20 + bytes(20)),)
        monkeypatch.setattr(KnownKey, "requests", named)
        kept = replace(base, auth=_Requesting(auth.own, peer, "", "", named), remote_id=Identity.parse(f"p{number}"))
        world.west.engine.define(kept)
    (request,) = connections.requests(TO_WEST)
    assert len(request.authorities) == 16 * 20, "as many as fit a message"
    for number in range(40):
        world.west.engine.undefine(f"t{number}")
    assert connections.requests(TO_WEST) == ()


class _Requesting(Signature):
    """Asks for certificates of authorities of its own."""

    def __init__(self, own, peer, defined, credential, named):
        super().__init__(own, peer, defined, credential)
        object.__setattr__(self, "_named", named)

    __slots__ = ("_named",)

    @property
    def requests(self):
        return self._named


def test_a_key_that_cannot_be_used_is_told_as_the_reason_at_both_ends_of_an_exchange() -> None:
    broken = Unusable("auth.key: is gone")
    world = brought_up(raw("ed25519", "ed25519"), broken)
    (failed,) = [report for report in world.west.reports if report.kind == "ike_failed"]
    assert failed.data["reason"] == "credentials_unusable" and "auth.key: is gone" in failed.data["story"]
    world = brought_up(broken, raw("ed25519", "ed25519"))
    assert world.east.reasons("ike_failed") == ["credentials_unusable"]


def test_what_a_stranger_has_verified_is_bounded_however_many_are_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[bytes] = []
    check = signatures.verify
    monkeypatch.setattr(signatures, "verify", lambda s, key, *rest: counted.append(key.info) or check(s, key, *rest))
    world = World()
    world.east.engine.define(replace(east_connection(), auth=raw("ed25519", "ed25519")))
    for number in range(60):
        west = replace(mirror(east_connection()), name=f"t{number}", auth=raw("ed25519", "ed25519", (1, 10 + number)))
        world.west.engine.define(replace(west, children=(replace(child(), reqid=number + 1),)))
    world.east.start()
    world.run(2.0)
    assert len(counted) == len(set(counted)) == evidence.MOST_KEYS
    assert world.west.reasons("ike_failed") == ["peer_not_authenticated"]


def test_of_definitions_with_keys_of_their_own_the_right_one_is_found() -> None:
    world = World()
    world.east.engine.define(replace(east_connection(), auth=raw("ed25519", "ed25519")))
    for number in (7, 0, 8):
        west = replace(mirror(east_connection()), name=f"t{number}", auth=raw("ed25519", "ed25519", (1, number)))
        world.west.engine.define(replace(west, children=(replace(west.children[0], reqid=number + 1),)))
    world.east.start()
    world.run(2.0)
    assert [view.tunnel for view in world.west.sas()] == ["t0"]
