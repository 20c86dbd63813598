# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures in AUTH: the rows against RFC 7427's octets and the library's own, each kind of key, what is refused."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from engine.crypto.evidence import MOST_KEYS, Evidence, Presented, Proof
from engine.crypto.public_keys import public_key_of
from engine.crypto.signatures import HASHES, METHODS, SCHEMES, Unacceptable, choose, parse_signature, sign, verify
from engine.errors import IkeError
from engine.identity import Identity
from hypothesis import given
from hypothesis import strategies as st

from tests.signing_keys import KINDS, key

OCTETS = b"what an end signs"
PEER = Identity.parse("peer.example")
NAMES = {scheme.name: scheme for scheme in SCHEMES}
# RFC 7427 appendix A, RFC 8420 appendix A.
IDENTIFIERS = {
    "RSA with SHA2-256": "300d06092a864886f70d01010b0500",
    "RSA with SHA2-384": "300d06092a864886f70d01010c0500",
    "RSA with SHA2-512": "300d06092a864886f70d01010d0500",
    "ECDSA with SHA2-256": "300a06082a8648ce3d040302",
    "ECDSA with SHA2-384": "300a06082a8648ce3d040303",
    "ECDSA with SHA2-512": "300a06082a8648ce3d040304",
    "RSA-PSS with SHA2-256": "304106092a864886f70d01010a3034a00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
    "Ed25519": "300506032b6570",
    "Ed448": "300506032b6571",
}
SHA1_WITH_RSA = bytes.fromhex("300d06092a864886f70d0101050500")
PSS_DEFAULT = bytes.fromhex("300d06092a864886f70d01010a3000")


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_the_identifiers_are_those_of_the_rfc(name: str) -> None:
    assert NAMES[name].identifiers[0].hex() == IDENTIFIERS[name]


def test_no_identifier_means_two_things_and_none_is_sha1() -> None:
    written = [identifier for scheme in SCHEMES for identifier in scheme.identifiers]
    assert len(written) == len(set(written))
    assert not any("sha1" in scheme.name.lower().replace("-", "") for scheme in SCHEMES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hashes_of_peer", [HASHES, (2,), (4, 5), ()])
def test_each_key_signs_and_is_verified(kind: str, hashes_of_peer: tuple[int, ...]) -> None:
    private = key(kind)
    public = public_key_of(private.public_key())
    scheme = choose(public, hashes_of_peer)
    if scheme is None:
        # EdDSA hashes by itself; without RFC 7427 there is ECDSA alone.
        assert (kind.startswith("ed") and 5 not in hashes_of_peer) or not hashes_of_peer
        return
    assert (scheme.method == 14) == bool(hashes_of_peer)
    assert not scheme.hash or scheme.hash in hashes_of_peer
    data = sign(scheme, private, OCTETS)
    found, signature = parse_signature(scheme.method, data)
    assert found == scheme
    assert verify(scheme, public, signature, OCTETS)
    assert not verify(scheme, public, signature, OCTETS + b"!")
    assert not verify(scheme, public, signature[:-1], OCTETS)
    assert not verify(scheme, public_key_of(key(kind, 1).public_key()), signature, OCTETS)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rsa2048", "RSA-PSS with SHA2-256"), ("rsa3072", "RSA-PSS with SHA2-256"), ("ecdsa256", "ECDSA with SHA2-256"),
        ("ecdsa384", "ECDSA with SHA2-384"), ("ecdsa521", "ECDSA with SHA2-512"), ("ed25519", "Ed25519"),
        ("ed448", "Ed448"),
    ],
)  # fmt: skip
def test_the_hash_suits_the_key(kind: str, name: str) -> None:
    assert choose(public_key_of(key(kind).public_key()), HASHES).name == name


def test_what_others_sign_with_pkcs1_is_verified() -> None:
    private = key("rsa2048")
    signature = private.sign(OCTETS, padding.PKCS1v15(), hashes.SHA512())
    for identifier in NAMES["RSA with SHA2-512"].identifiers:
        scheme, found = parse_signature(14, bytes((len(identifier),)) + identifier + signature)
        assert verify(scheme, public_key_of(private.public_key()), found, OCTETS)


def test_the_old_ecdsa_is_r_and_s_one_after_the_other() -> None:
    private = key("ecdsa521")
    data = sign(NAMES["ECDSA-521"], private, OCTETS)
    assert len(data) == 132
    scheme, signature = parse_signature(11, data)
    assert verify(scheme, public_key_of(private.public_key()), signature, OCTETS)
    # In DER it is that of RFC 7427.
    assert not verify(
        scheme, public_key_of(private.public_key()), private.sign(OCTETS, ec.ECDSA(hashes.SHA512())), OCTETS
    )
    # The curve goes with the method.
    assert not verify(NAMES["ECDSA-256"], public_key_of(private.public_key()), data, OCTETS)


def test_a_signature_of_another_kind_of_key_is_none() -> None:
    private = key("rsa2048")
    for scheme in SCHEMES:
        if scheme.kind != "rsa":
            assert not verify(scheme, public_key_of(private.public_key()), bytes(256), OCTETS)


@pytest.mark.parametrize("kind", ["rsa1024", "rsa2048e3", "ecdsa224"])
def test_nobody_is_believed_by_a_weak_key(kind: str) -> None:
    private = key(kind)
    public = public_key_of(private.public_key())
    assert public.weakness
    for scheme in SCHEMES:
        if scheme.kind == public.kind and scheme.identifiers and "512" not in scheme.name:
            signature = parse_signature(14, sign(scheme, private, OCTETS))[1]
            assert not verify(scheme, public, signature, OCTETS)


@pytest.mark.parametrize(
    ("method", "data", "story"),
    [
        (14, b"\x0f" + SHA1_WITH_RSA + bytes(256), "RSA with SHA-1"),
        (14, bytes((len(PSS_DEFAULT),)) + PSS_DEFAULT + bytes(256), "RSA-PSS with parameters"),
        (14, b"\x0b300906072a8648ce3d0401" + bytes(64), "not known here"),
        (14, b"\x0b" + bytes.fromhex("300906072a8648ce3d0401") + bytes(64), "ECDSA with SHA-1"),
        (14, b"\x0f" + SHA1_WITH_RSA, "cut short"), (14, b"\xff" + bytes(255), "cut short"), (14, b"\0", "cut short"),
        (14, b"\0" + bytes(64), "not known here"), (1, bytes(256), "old method of RSA, with SHA-1"),
        (3, bytes(40), "old method of DSA"), (12, b"x", "method 12"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(method: int, data: bytes, story: str) -> None:
    with pytest.raises(Unacceptable, match=story):
        parse_signature(method, data)
    claim = Evidence(Presented(PEER), OCTETS, Proof(method, data))
    with pytest.raises(IkeError, match=story) as refused:
        claim.signed_by(public_key_of(key("rsa2048").public_key()))
    assert refused.value.reason == "signature_refused" and claim.presented.verified == 0


@given(st.sampled_from(sorted({*METHODS, 1, 3, 13})), st.binary(max_size=300))
def test_no_octets_do_more_than_fail(method: int, data: bytes) -> None:
    for kind in ("rsa2048", "ecdsa256", "ed25519", "ed448"):
        with contextlib.suppress(IkeError):
            assert not Evidence(Presented(PEER), OCTETS, Proof(method, data)).signed_by(
                public_key_of(key(kind).public_key())
            )


@given(st.sampled_from([scheme for scheme in SCHEMES if scheme.identifiers]), st.binary(max_size=600))
def test_no_signature_of_an_algorithm_that_is_known_does_either(scheme, signature: bytes) -> None:
    private = key({"rsa": "rsa2048", "ecdsa": "ecdsa384", "ed25519": "ed25519", "ed448": "ed448"}[scheme.kind])
    assert not verify(scheme, public_key_of(private.public_key()), signature, OCTETS)


def test_what_one_claim_costs_is_bounded() -> None:
    private = key("ed25519")
    scheme = NAMES["Ed25519"]
    claim = Evidence(Presented(PEER), OCTETS, Proof(14, sign(scheme, private, OCTETS)))
    others = [public_key_of(key("ed25519", number).public_key()) for number in range(1, MOST_KEYS + 3)]
    for _again in range(3):
        assert not any(claim.signed_by(other) for other in others[:MOST_KEYS])
    assert claim.presented.verified == MOST_KEYS, "each key once"
    with pytest.raises(IkeError, match=f"more than {MOST_KEYS} tunnels"):
        claim.signed_by(others[MOST_KEYS])
    assert claim.presented.verified == MOST_KEYS
