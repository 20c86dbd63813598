# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in IKE_AUTH: chains, authorities asked for, what fails and why, fragments, and what strangers cost."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from engine.crypto import evidence
from engine.crypto.certificate_files import read_certificates
from engine.crypto.signature_auth import Own, Signature
from engine.crypto.trust import TrustStore
from engine.definition.authenticators import Authenticators
from engine.definition.parsing import parse_definition
from engine.errors import CertificateError
from engine.identity import Identity
from engine.ike.v2.snapshot import freeze, thaw
from engine.wire.v2.cert import CERT, CERTREQ
from engine.wire.v2.message import Message
from engine.wire.v2.numbers import CertEncoding
from engine.wire.v2.payloads import Payloads

from tests.issued import DAY, authority, intermediate
from tests.signing_keys import private_pem

from .world import World, child, east_connection, mirror

KINDS = ("rsa2048", "ecdsa256", "ecdsa384", "ed25519")
EAST, WEST = "east.example", "west.example"


def authenticator(host: str, kind: str, which: int, **auth: Any) -> Signature:
    """As the manager makes it of a definition."""
    raw = {
        "name": "t",
        "local": {"id": host},
        "remote": {"id": EAST if host == WEST else WEST},
        "auth": {
            "method": "pubkey",
            "certificate": authority(kind).issue(host, kind, which).decode(),
            "key": f"/{kind}/{which}",
            "ca": [authority(kind).pem.decode()],
            **auth,
        },
        "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    }

    def read(path: str, _field: str) -> bytes:
        _root, kind_of, number = path.split("/")
        return private_pem(kind_of, int(number))

    return Authenticators(read, time.time()).make(parse_definition(raw))


def below(host: str, kind: str, which: int, **auth: Any) -> Signature:
    """With a certificate of the intermediate authority."""
    chain = intermediate(kind).issue(host, kind, which) + intermediate(kind).pem
    return authenticator(host, kind, which, certificate=chain.decode(), **auth)


def world_of(east: Signature, west: Signature, **more: Any) -> World:
    world = World()
    connection = east_connection(**more)
    world.east.engine.define(replace(connection, auth=east))
    world.west.engine.define(replace(mirror(connection), auth=west))
    for host in (world.east, world.west):
        host.engine.unix_at_zero = time.time() - world.now
    return world


def brought_up(east: Signature, west: Signature, **more: Any) -> World:
    world = world_of(east, west, **more)
    world.east.start()
    world.run(3.0)
    return world


def refusal(east: Signature, west: Signature) -> tuple[str, str]:
    """West's reason and story for refusing east."""
    world = brought_up(east, west)
    assert not world.east.sas() and not world.west.sas()
    (failed,) = [report for report in world.west.reports if report.kind == "ike_failed"]
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    return failed.data["reason"], failed.data["story"]


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_have_certificates_with_an_authority_in_between(kind: str) -> None:
    brought_up(below(EAST, kind, 0), below(WEST, kind, 1)).check()


def test_large_certificates_go_in_fragments() -> None:
    world = brought_up(below(EAST, "rsa2048", 0), below(WEST, "rsa2048", 1), fragment_size=600)
    world.check()
    assert world.count > 8


def test_the_authorities_are_named_by_both_ends() -> None:
    world = world_of(authenticator(EAST, "ed25519", 0), authenticator(WEST, "ed25519", 1))
    seen: list[bytes] = []
    world.fate = lambda _number, datagram: seen.append(datagram) or [0.01]
    world.east.start()
    world.run(2.0)
    answer = Payloads(Message.parse([datagram for datagram in seen if datagram[18] == 34][-1]).payloads)
    store = authenticator(EAST, "ed25519", 0).peer.store
    assert answer.one(CERTREQ) == CERTREQ(CertEncoding.X509_SIGNATURE, store.authorities[0].key_digest)


def test_a_root_is_never_sent() -> None:
    chain = intermediate("ed25519").issue(EAST, "ed25519", 0) + intermediate("ed25519").pem + authority("ed25519").pem
    own = authenticator(EAST, "ed25519", 0, certificate=chain.decode()).own
    assert len(own.certificates) == 2


def test_an_authority_that_is_not_given_here() -> None:
    east = authenticator(EAST, "ecdsa256", 0, certificate=authority("ecdsa256", 1).issue(EAST, "ecdsa256", 0).decode())
    reason, story = refusal(east, authenticator(WEST, "ecdsa256", 1))
    assert reason == "certificate_unknown_authority" and "Root 1" in story


def test_a_certificate_for_somebody_else() -> None:
    """The peer is who signs; that it may call itself so is for its certificate to say."""
    east = authenticator("other.example", "ed25519", 0)
    reason, story = refusal(east, authenticator(WEST, "ed25519", 1))
    assert reason == "certificate_other_identity" and "other.example" in story


def test_a_certificate_that_ended_or_has_not_begun() -> None:
    east, west = authenticator(EAST, "ed25519", 0), authenticator(WEST, "ed25519", 1)
    for start, end, reason in ((-9 * DAY, -DAY, "certificate_expired"), (DAY, 9 * DAY, "certificate_not_yet_valid")):
        pem = authority("ed25519").issue(EAST, "ed25519", 0, start, end)
        late = replace(east, own=Own(east.own.key, tuple(_payloads(pem)), "always"))
        assert refusal(late, west)[0] == reason


def _payloads(pem: bytes) -> list[CERT]:
    return [CERT(CertEncoding.X509_SIGNATURE, one.der) for one in read_certificates(pem, "f")]


def test_a_revoked_certificate() -> None:
    pem = authority("ed25519").issue(EAST, "ed25519", 0)
    east = authenticator(EAST, "ed25519", 0, certificate=pem.decode())
    assert refusal(east, authenticator(WEST, "ed25519", 1, crl=[authority("ed25519").revoke(pem).decode()]))[0] == (
        "certificate_revoked"
    )
    good = authenticator(WEST, "ed25519", 1, crl=[authority("ed25519").revoke().decode()])
    brought_up(east, good).check()


def test_somebody_elses_certificate_without_its_key() -> None:
    east = authenticator(EAST, "ed25519", 0)
    thief = authenticator("other.example", "ed25519", 5)
    stolen = replace(east, own=Own(thief.own.key, east.own.certificates, "always"))
    reason, _story = refusal(stolen, authenticator(WEST, "ed25519", 1))
    assert reason == "peer_not_authenticated"


@pytest.mark.parametrize(
    ("certificates", "reason", "story"),
    [
        ((), "certificate_missing", "sends no certificate"),
        ((CERT(CertEncoding.HASH_URL_X509, bytes(20) + b"http://a/"),), "certificate_missing", "nothing is fetched"),
        ((CERT(CertEncoding.X509_SIGNATURE, b"0\x03\x02\x01\x01"),), "certificate_unreadable", "cannot be read"),
        ((CERT(CertEncoding.CRL, b"x"),), "certificate_missing", "sends no certificate"),
    ],
)
def test_what_stands_for_a_certificate(certificates: tuple[CERT, ...], reason: str, story: str) -> None:
    east = authenticator(EAST, "ed25519", 0)
    told = refusal(replace(east, own=Own(east.own.key, certificates, "always")), authenticator(WEST, "ed25519", 1))
    assert told[0] == reason and story in told[1]


def test_a_certificate_that_is_known_need_not_be_sent_nor_vouched_for() -> None:
    pems = [authority("ed25519", 1).issue(host, "ed25519", which) for which, host in enumerate((EAST, WEST))]
    east, west = (
        authenticator(
            host, "ed25519", which, certificate=pems[which].decode(), send_cert="never", ca=[],
            remote_certificate=pems[1 - which].decode(),
        )
        for which, host in enumerate((EAST, WEST))
    )  # fmt: skip
    world = brought_up(east, west)
    world.check()
    assert east.requests == ()
    world.west.engine.unix_at_zero += 400 * 86400.0
    world.east.stop()
    world.run(1.0)
    world.east.start()
    world.run(2.0)
    assert world.west.reasons("ike_failed") == ["certificate_expired"]


def test_a_known_certificate_with_an_authority_is_vouched_for_besides() -> None:
    pem = intermediate("ed25519").issue(EAST, "ed25519", 0)
    west = authenticator(WEST, "ed25519", 1, remote_certificate=pem.decode())
    chain = (pem + intermediate("ed25519").pem).decode()
    east = authenticator(EAST, "ed25519", 0, certificate=chain)
    brought_up(east, west).check()
    # Another one of the same authority is not the one that is known.
    again = authenticator(EAST, "ed25519", 5)
    assert refusal(again, west)[0] == "peer_not_authenticated"


def test_what_a_stranger_has_verified_is_bounded_however_many_are_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every definition trusts an authority of its own, and the certificate is of none of them."""
    followed: list[TrustStore] = []
    verify = TrustStore.verify
    monkeypatch.setattr(TrustStore, "verify", lambda self, *rest: followed.append(self) or verify(self, *rest))
    world = world_of(authenticator(EAST, "ed25519", 0), authenticator(WEST, "ed25519", 1))
    world.west.engine.undefine("t")
    base = authenticator(WEST, "ed25519", 1)
    other = authenticator(WEST, "ed25519", 1, ca=[authority("ed25519", 1).pem.decode()])
    for number in range(40):
        peer = replace(other.peer, store=TrustStore.of(other.peer.store.authorities))
        west = replace(mirror(east_connection()), name=f"t{number}", auth=replace(base, peer=peer))
        world.west.engine.define(replace(west, children=(replace(child(), reqid=number + 1),)))
    world.east.start()
    world.run(2.0)
    assert len(followed) == evidence.MOST_PATHS
    assert world.west.reasons("ike_failed") == ["peer_not_authenticated"]
    # Where they trust the same, it is one path and one signature.
    followed.clear()
    for number in range(40):
        west = replace(mirror(east_connection()), name=f"t{number}", auth=other)
        world.west.engine.define(replace(west, children=(replace(child(), reqid=number + 1),)))
    world.east.start()
    world.run(2.0)
    assert followed == [other.peer.store]
    assert world.west.reasons("ike_failed")[-1] == "certificate_unknown_authority"


def test_more_certificates_than_a_path_may_have_are_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    east, west = authenticator(EAST, "ed25519", 0), authenticator(WEST, "ed25519", 1)
    parsed: list[bytes] = []
    parse = evidence.Certificate.parse
    monkeypatch.setattr(evidence.Certificate, "parse", lambda octets: parsed.append(octets) or parse(octets))
    many = replace(east, own=Own(east.own.key, east.own.certificates * 20, "always"))
    assert refusal(many, west)[0] == "certificate_untrusted"
    assert len(parsed) == evidence.MOST + 1


def test_what_cannot_be_read_is_read_once_however_many_are_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = evidence.Certificate.parse
    monkeypatch.setattr(evidence.Certificate, "parse", lambda octets: parsed.append(octets) or parse(octets))
    east, west = authenticator(EAST, "ed25519", 0), authenticator(WEST, "ed25519", 1)
    broken = CERT(CertEncoding.X509_SIGNATURE, b"0\x82\x3e\x80" + b"\x05\0" * 8000)
    world = world_of(replace(east, own=Own(east.own.key, (broken,), "always")), west)
    for number in range(40):
        other = replace(mirror(east_connection()), name=f"t{number}", auth=west)
        world.west.engine.define(replace(other, children=(replace(child(), reqid=number + 2),)))
    world.east.start()
    world.run(2.0)
    assert world.west.reasons("ike_failed") == ["certificate_unreadable"]
    assert parsed.count(broken.data) == 1


def test_that_one_certificate_is_good_says_nothing_of_another_with_the_same_key() -> None:
    """One definition takes what the peer shows, the next one knows an older certificate of the same key."""
    shown, older = (
        read_certificates(authority("ed25519").issue(EAST, "ed25519", 0, end=end), "f") for end in (DAY, -DAY / 2)
    )
    store = authenticator(WEST, "ed25519", 1).peer.store
    presented = evidence.Presented(Identity.parse(EAST), [CERT(4, shown[0].der)], time.time())
    for _again in range(2):
        assert presented.path(store, shown)[0] == shown[0]
        with pytest.raises(CertificateError, match="expired"):
            presented.path(store, older)
    assert presented.followed == 2


# How long what was proven lasts

LIFE = timedelta(hours=12)


def with_end(host: str, which: int, end: timedelta, **auth: Any) -> Signature:
    pem = authority("ed25519").issue(host, "ed25519", which, end=end)
    return authenticator(host, "ed25519", which, certificate=pem.decode(), **auth)


def test_no_ike_sa_outlives_the_certificate_of_its_peer() -> None:
    """It is rekeyed meanwhile; both ends try anew before the end, with what they have."""
    west = authenticator(WEST, "ed25519", 1)
    world = brought_up(with_end(EAST, 0, LIFE), west)
    world.check()
    world.run(LIFE.total_seconds() - 60)
    world.check()
    assert world.east.kinds().count("ike_rekeyed") >= 2
    world.run(120)
    assert not world.west.sas() and not world.west.kernel.inbound
    assert world.west.reasons("ike_down")[-1] == "certificate_expired"
    assert not world.east.kernel.inbound, "it was told"


def test_who_renews_in_time_loses_nothing() -> None:
    west = authenticator(WEST, "ed25519", 1)
    world = brought_up(with_end(EAST, 0, LIFE), west)
    world.run(3600)
    world.east.engine.define(replace(east_connection(), auth=with_end(EAST, 0, 2 * DAY)))
    for _unused in range(13 * 12):
        world.run(300)
        world.check()
    assert "certificate_expired" not in world.west.reasons("ike_down")
    assert world.east.kinds().count("ike_established") == 2


def test_a_new_list_ends_what_it_revokes_at_once_and_nothing_else() -> None:
    pem = authority("ed25519").issue(EAST, "ed25519", 0)
    world = brought_up(
        authenticator(EAST, "ed25519", 0, certificate=pem.decode()),
        authenticator(WEST, "ed25519", 1, crl=[authority("ed25519").revoke().decode()]),
    )
    world.check()
    for revoked, ends in ((authority("ed25519").issue("other.example", "ed25519", 7), False), (pem, True)):
        west = authenticator(WEST, "ed25519", 1, crl=[authority("ed25519").revoke(revoked).decode()])
        world.west.engine.define(replace(mirror(east_connection()), auth=west))
        world.west.do(world.west.engine.vet("t", world.now))
        world.run(0.5)
        assert bool(world.west.sas()) == bool(world.east.sas()) == (not ends)
    assert world.west.reasons("ike_down") == ["certificate_revoked"]
    assert not world.west.kernel.inbound and not world.east.kernel.inbound


def test_who_goes_on_in_another_process_knows_what_was_proven() -> None:
    world = brought_up(with_end(EAST, 0, LIFE), authenticator(WEST, "ed25519", 1))
    (sa,) = world.west.engine.registry.of_tunnel("t")
    records = {key: json.loads(json.dumps(record)) for key, record in freeze(sa).items()}
    thawed = thaw(records, world.west.engine.instances.kept, world.now)
    assert not thawed.problems
    assert (thawed.sas[0].proven_by, thawed.sas[0].proven_until) == (sa.proven_by, sa.proven_until)
    assert len(sa.proven_by) == 2
