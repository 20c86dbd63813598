# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key schedules. RFC 7296's SKEYSEED and prf+ are HKDF-Extract and HKDF-Expand, so the library's HKDF is the judge."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from engine.crypto.auth import NOTHING_ASKED, PresharedKey, Unknown, signed_octets
from engine.crypto.evidence import Evidence, Presented, Proof
from engine.crypto.keys import ChildKeys, child_keys, derive_ike, rederive_ike
from engine.crypto.negotiation import choose_esp, choose_ike, offer_esp, offer_ike
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.registry import Kind, by_name
from engine.errors import IkeError
from engine.identity import Identity
from engine.secret import Secret

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
NI, NR = bytes(range(32)), bytes(range(40, 88))
SPI_I, SPI_R = b"initiate", b"responds"
SHARED = Secret(bytes(range(200, 232)))
PEER = Identity.parse("peer.example")


def ike_choice(words):
    proposals = ike_proposals(words)
    return choose_ike(proposals, offer_ike(proposals))


def esp_choice(words):
    proposals = esp_proposals(words)
    return choose_esp(proposals, offer_esp(proposals, b"\0\0\1\0", with_ke=True))


def joined(keys):
    return b"".join(getattr(keys, name).reveal() for name in keys.__dataclass_fields__)


# words, hash of the PRF, octets of d, ai, ar, ei, er, pi, pr
IKE_SUITES = [
    ("aes256gcm16-sha384-x25519", "sha384", (48, 0, 0, 36, 36, 48, 48)),
    ("aes128gcm16-sha256-ecp256", "sha256", (32, 0, 0, 20, 20, 32, 32)),
    ("chacha20poly1305-sha512-x25519", "sha512", (64, 0, 0, 36, 36, 64, 64)),
    ("aes256-sha256-modp2048", "sha256", (32, 32, 32, 32, 32, 32, 32)),
    ("aes128-sha512-prfsha256-x25519", "sha256", (32, 64, 64, 16, 16, 32, 32)),
]


@pytest.mark.parametrize(("words", "hashed", "sizes"), IKE_SUITES)
def test_ike_keys(words, hashed, sizes):
    keys = derive_ike(ike_choice(words), SHARED, NI, NR, SPI_I, SPI_R)
    assert tuple(len(getattr(keys, name)) for name in ("d", "ai", "ar", "ei", "er", "pi", "pr")) == sizes
    hkdf = HKDF(algorithm=HASHES[hashed], length=sum(sizes), salt=NI + NR, info=NI + NR + SPI_I + SPI_R)
    assert joined(keys) == hkdf.derive(SHARED.reveal())


@pytest.mark.parametrize(("words", "hashed", "sizes"), IKE_SUITES)
@pytest.mark.parametrize("old", ["sha256", "sha512"])
def test_ike_keys_after_a_rekey(words, hashed, sizes, old):
    """SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) with the old PRF, the rest with the new one."""
    old_d = Secret(b"old SK_d" * 4)
    keys = rederive_ike(by_name(Kind.PRF, old), old_d, ike_choice(words), SHARED, NI, NR, SPI_I, SPI_R)
    seed = hmac.new(old_d.reveal(), SHARED.reveal() + NI + NR, getattr(hashlib, old)).digest()
    expand = HKDFExpand(algorithm=HASHES[hashed], length=sum(sizes), info=NI + NR + SPI_I + SPI_R)
    assert joined(keys) == expand.derive(seed)


def test_keys_after_additional_key_exchanges():
    """RFC 9370 section 2.2.4: what each of them yields stands behind the nonces, in order."""
    more = [Secret(b"first"), Secret(b"second")]
    choice, row, d = ike_choice("aes256gcm16-sha384-x25519"), by_name(Kind.PRF, "sha384"), Secret(b"SK_d" * 12)
    keys = rederive_ike(row, d, choice, SHARED, NI, NR, SPI_I, SPI_R, more)
    seed = hmac.new(d.reveal(), SHARED.reveal() + NI + NR + b"firstsecond", hashlib.sha384).digest()
    length = len(joined(keys))
    expand = HKDFExpand(algorithm=hashes.SHA384(), length=length, info=NI + NR + SPI_I + SPI_R)
    assert joined(keys) == expand.derive(seed)
    child = child_keys(row, d, esp_choice("aes256gcm16"), NI, NR, SHARED, more)
    info = SHARED.reveal() + NI + NR + b"firstsecond"
    assert joined(child) == HKDFExpand(algorithm=hashes.SHA384(), length=72, info=info).derive(d.reveal())


@pytest.mark.parametrize(
    ("words", "encr", "integ"),
    [
        ("aes256gcm16", 36, 0),
        ("aes128gcm16", 20, 0),
        ("chacha20poly1305", 36, 0),
        ("aes256-sha256", 32, 32),
        ("aes128-sha512", 16, 64),
        ("null-sha384", 0, 48),
    ],
)
@pytest.mark.parametrize("shared", [None, SHARED])
def test_child_keys(words, encr, integ, shared):
    d = Secret(b"SK_d" * 12)
    keys = child_keys(by_name(Kind.PRF, "sha384"), d, esp_choice(words), NI, NR, shared)
    seed = (shared.reveal() if shared else b"") + NI + NR
    stream = HKDFExpand(algorithm=hashes.SHA384(), length=2 * (encr + integ), info=seed).derive(d.reveal())
    assert joined(keys) == stream
    assert [len(key) for key in (keys.encr_i, keys.integ_i, keys.encr_r, keys.integ_r)] == [encr, integ] * 2


def test_order_of_child_keys():
    """All keys of the initiator's direction come first (section 2.17)."""
    keys = child_keys(by_name(Kind.PRF, "sha256"), Secret(b"d"), esp_choice("aes256-sha256"), NI, NR)
    assert isinstance(keys, ChildKeys)
    stream = HKDFExpand(algorithm=hashes.SHA256(), length=128, info=NI + NR).derive(b"d")
    assert keys.integ_i.reveal() == stream[32:64]
    assert keys.encr_r.reveal() == stream[64:96]


@pytest.mark.parametrize(("hashed", "enough"), [("sha256", 16), ("sha384", 24), ("sha512", 32)])
def test_nonces_are_at_least_half_a_key(hashed, enough):
    choice, row = ike_choice(f"aes256gcm16-{hashed}-x25519"), by_name(Kind.PRF, hashed)
    child = esp_choice("aes256gcm16")
    for nonce_i, nonce_r in ((bytes(enough - 1), NR), (NR, bytes(enough - 1))):
        for derive in (
            lambda i, r: derive_ike(choice, SHARED, i, r, SPI_I, SPI_R),
            lambda i, r: rederive_ike(row, SHARED, choice, SHARED, i, r, SPI_I, SPI_R),
            lambda i, r: child_keys(row, SHARED, child, i, r),
        ):
            with pytest.raises(IkeError, match="nonce") as caught:
                derive(nonce_i, nonce_r)
            assert caught.value.notify == 7
    assert derive_ike(choice, SHARED, bytes(enough), bytes(enough), SPI_I, SPI_R)


def test_keys_need_a_choice_for_an_ike_sa():
    with pytest.raises(ValueError, match="IKE SA"):
        derive_ike(esp_choice("aes256gcm16"), SHARED, NI, NR, SPI_I, SPI_R)


def test_keys_do_not_show():
    keys = derive_ike(ike_choice("aes256gcm16-sha384-x25519"), SHARED, NI, NR, SPI_I, SPI_R)
    for name in keys.__dataclass_fields__:
        octets = getattr(keys, name).reveal()
        assert not octets or octets.hex() not in repr(keys)


# AUTH with a shared secret

PSK, SK_P = Secret(b"correct horse battery staple"), Secret(b"SK_p" * 8)
MESSAGE, ID_BODY = b"first message of this end" * 10, b"\x02\0\0\0gw.example.net"
SHA256 = by_name(Kind.PRF, "sha256")


def auth_by_hand(secret):
    def step(key, data):
        return hmac.new(key, data, hashlib.sha256).digest()

    return step(step(secret, b"Key Pad for IKEv2"), MESSAGE + NR + step(SK_P.reveal(), ID_BODY))


def verify(received, secrets=(PSK,), message=MESSAGE, nonce=NR, sk_p=SK_P, id_body=ID_BODY):
    octets = signed_octets(SHA256, message, nonce, sk_p, id_body)
    evidence = Evidence(Presented(PEER), octets, Proof(2, received))
    found = PresharedKey(secrets[0], tuple(secrets[1:])).verify(SHA256, evidence)
    return found and found.answering


def test_the_proof_of_a_pre_shared_key_by_hand():
    octets = signed_octets(SHA256, MESSAGE, NR, SK_P, ID_BODY)
    assert PresharedKey(PSK, (Secret(b"older"),)).prove(SHA256, octets, NOTHING_ASKED) == (
        (2, auth_by_hand(PSK.reveal())),
        (),
    )
    assert octets.startswith(MESSAGE + NR)


def test_a_proof_is_verified():
    assert verify(auth_by_hand(PSK.reveal())) == PresharedKey(PSK)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_any_of_several_keys_is_accepted_and_answered_with(position):
    """The peer may have only that one, so that it is also what it hears from us."""
    secrets = [Secret(b"one"), Secret(b"two")]
    secrets.insert(position, PSK)
    answering = verify(auth_by_hand(PSK.reveal()), secrets)
    assert answering.prove(SHA256, b"ours", NOTHING_ASKED) == PresharedKey(PSK).prove(SHA256, b"ours", NOTHING_ASKED)


@pytest.mark.parametrize(
    "other",
    [
        {"secrets": (Secret(b"wrong"), Secret(b"worse"))},
        {"secrets": (Secret(b""),)},
        {"message": MESSAGE + b"x"},
        {"message": MESSAGE[:-1]},
        {"nonce": NI},
        {"sk_p": Secret(b"SK_p of the other direction")},
        {"id_body": b"\x02\0\0\0gw2.example.net"},
        {"id_body": b"\x03\0\0\0gw.example.net"},
    ],
)
def test_a_wrong_proof_is_refused(other):
    assert verify(auth_by_hand(PSK.reveal()), **other) is None


@pytest.mark.parametrize("received", [b"", b"\0" * 32, b"x" * 31, b"x" * 1000])
def test_garbage_is_no_proof(received):
    assert verify(received) is None


def test_a_pre_shared_key_takes_its_own_method_alone_and_asks_for_nothing():
    key = PresharedKey(PSK)
    assert [method for method in range(20) if key.takes(method)] == [2]
    assert key.requests == ()
    assert PSK.reveal().decode() not in repr(key)


def test_what_is_defined_no_more_authenticates_nobody():
    assert not any(Unknown().takes(method) for method in range(256))
    assert Unknown().verify(SHA256, Evidence(Presented(PEER), b"", Proof(2, b""))) is None
    with pytest.raises(ValueError, match="defined no more"):
        Unknown().prove(SHA256, b"", NOTHING_ASKED)
