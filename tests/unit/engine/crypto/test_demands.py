# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Demands on a peer's path: the words, and what meets them."""

from __future__ import annotations

import pytest
from authorities import NOW, Authority, ecdsa, rsa_key
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from engine.crypto.demands import Demand
from engine.crypto.trust import TrustStore
from engine.errors import CertificateError, InputError
from engine.identity import Identity

GATEWAY = Identity.parse("gw.example.net")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rsa-3072-sha256", "rsa-3072-sha256"), ("RSA", "rsa-2048-sha256"), ("rsa-sha512", "rsa-2048-sha512"),
        ("ecdsa-384-sha384", "ecdsa-384-sha384"), ("ecdsa", "ecdsa-256-sha256"),
        ("ed25519", "ed25519"), ("ed448", "ed448"),
    ],
)  # fmt: skip
def test_words(text, shown):
    assert str(Demand.parse(text, "f")) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "dsa", "rsa-1024", "rsa-99999", "rsa-3072-4096", "rsa-sha1", "rsa-3072-sha256-sha384", "ecdsa-255",
        "ed25519-256", "rsa-3072-", "rsa-٣٠٧٢",
    ],
)  # fmt: skip
def test_words_that_are_none(text):
    with pytest.raises(InputError, match=r"auth.demands.*write it such as rsa-3072-sha256"):
        Demand.parse(text, "auth.demands[0]")


def outcome(demands, leaf_key, root_key, hash_class=hashes.SHA256):
    root = Authority(key=root_key)
    store = TrustStore.of([root.certificate], demands=[Demand.parse(text, "f") for text in demands])
    try:
        store.verify([root.issue(key=leaf_key, hash=hash_class)], GATEWAY, NOW)
    except CertificateError as error:
        assert error.remedy
        return f"{error.reason}: {error.story}"
    return ""


def test_what_meets_them():
    assert outcome([], rsa_key(2048), rsa_key(2048)) == ""
    assert outcome(["rsa-3072-sha256"], rsa_key(3072), rsa_key(3072)) == ""
    told = outcome(["rsa-3072-sha256"], rsa_key(2048), rsa_key(3072))
    assert told == (
        "certificate_too_weak_here: the key in the certificate of O=Fleet, CN=gw is RSA with 2048 bits, "
        "and demanded is rsa-3072-sha256"
    )
    assert "CN=Root is RSA with 2048 bits" in outcome(["rsa-3072"], rsa_key(3072), rsa_key(2048))
    assert "signed by RSA with SHA-256" in outcome(["rsa-sha384"], rsa_key(), rsa_key())
    assert outcome(["rsa-sha384"], rsa_key(), rsa_key(), hashes.SHA512) == ""


def test_of_several_each_key_meets_one():
    mixed = ["rsa-3072-sha256", "ecdsa-384-sha384"]
    assert outcome(mixed, ecdsa(ec.SECP384R1), rsa_key(3072)) == ""
    assert "ECDSA P-256" in outcome(mixed, ecdsa(), rsa_key(3072))
    assert "signed by ECDSA with SHA-256" in outcome(mixed, rsa_key(3072), ecdsa(ec.SECP384R1))
    assert outcome(mixed, rsa_key(3072), ecdsa(ec.SECP384R1), hashes.SHA384) == ""
    plain = ed25519.Ed25519PrivateKey.generate()
    assert outcome(["ed25519"], plain, plain) == "" and "RSA" in outcome(["ed25519"], rsa_key(), plain)


def test_a_path_to_or_through_one_authority():
    root, other = Authority(), Authority("O=Other,CN=Root")
    middle, second = root.below(), root.below("O=Fleet,CN=Second")
    leaf = middle.issue()

    def verify(through, *authorities):
        store = TrustStore.of([one.certificate for one in authorities], through=through.certificate)
        return store.verify([leaf, middle.certificate], GATEWAY, NOW)

    assert verify(root, root, other) and verify(middle, root, other)
    assert verify(root, root, middle)[-1] == root.certificate  # what is given besides ends no path then
    for through in (other, second):
        with pytest.raises(CertificateError) as caught:
            verify(through, root, other)
        assert caught.value.reason in ("certificate_other_authority", "certificate_unknown_authority")
    with pytest.raises(CertificateError, match="does not lead through O=Fleet, CN=Second"):
        verify(second, root)
