# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as values: what is read of them, and that strangers' octets cause one error and no other."""

from __future__ import annotations

import hashlib
import time

import pytest
from authorities import DAY, IPSEC_IKE, NOW, Authority, ecdsa, rsa_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ObjectIdentifier
from engine import der
from engine.crypto.certificates import LARGEST, Certificate
from engine.crypto.moments import text_of
from engine.crypto.signature_names import LEAST_STRENGTH, signature_name
from engine.errors import CertificateError, IkeError
from engine.identity import Identity
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Authority()
NAMES = ("DNS:gw.example.net", "email:ops@example.net", "IP:10.0.0.1", "IP:2001:db8::1", "URI:https://example.net")
GATEWAY = ROOT.issue(names=NAMES, usage=("digital_signature",), purposes=(IPSEC_IKE,), serial=0xABC)


def test_what_is_read_is_what_another_hand_wrote():
    other = x509.load_der_x509_certificate(GATEWAY.der)
    assert GATEWAY.subject.matches(Identity.parse("dn:O=Fleet, CN=gw"))
    assert GATEWAY.issuer == ROOT.certificate.subject
    assert GATEWAY.serial == 0xABC == other.serial_number
    assert (GATEWAY.not_before, GATEWAY.not_after) == (NOW - 30 * DAY, NOW + 365 * DAY)
    assert [str(name) for name in GATEWAY.names] == ["gw.example.net", "ops@example.net", "10.0.0.1", "2001:db8::1"]
    assert GATEWAY.usage == (False, (0,), (IPSEC_IKE,))
    assert GATEWAY.key.public_numbers() == other.public_key().public_numbers()
    assert GATEWAY.fingerprint == other.fingerprint(hashes.SHA256()).hex()
    spki = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert GATEWAY.key_octets == spki and GATEWAY.key_digest == hashlib.sha1(spki, usedforsecurity=False).digest()
    assert GATEWAY.signature.text == "ECDSA with SHA-256"
    assert ROOT.certificate.usage == (True, (5, 6), None) and ROOT.certificate.self_issued


@pytest.mark.parametrize(
    ("key", "hash_class", "text"),
    [
        (rsa_key(), hashes.SHA384, "RSA with SHA-384"),
        (ecdsa(), hashes.SHA512, "ECDSA with SHA-512"),
        (ed25519.Ed25519PrivateKey.generate(), None, "Ed25519"),
    ],
)
def test_how_it_is_signed(key, hash_class, text):
    assert Authority(key=key).issue(hash=hash_class).signature.text == text


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ("3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
         "RSASSA-PSS with SHA-256"),
        ("300da00b300906052b0e03021a0500", "RSASSA-PSS with SHA-1"),
        ("3000", "RSASSA-PSS with SHA-1"),
        ("", "RSASSA-PSS with SHA-1"),
        ("300fa00d300b06096086480165030402040500", None),  # SHA-224
    ],
)  # fmt: skip
def test_the_hash_of_rsassa_pss_is_in_its_parameters(parameters, text):
    """RFC 4055 section 3.1, where SHA-1 is what counts if nothing is said."""
    algorithm = der.element(der.SEQUENCE, bytes.fromhex("06092a864886f70d01010a" + parameters))
    found = signature_name(algorithm)
    assert (found.text if found else None) == text
    assert found is None or (found.strength >= LEAST_STRENGTH) == ("SHA-256" in text)


def test_moments_of_both_kinds():
    """From 2050 on they have years of four digits."""
    far = ROOT.issue(start=NOW, end=253402300799)  # the last second of the year 9999
    assert (far.not_before, far.not_after) == (NOW, 253402300799)
    assert ROOT.issue(start=-86400).not_before == -86400  # 1969
    assert text_of(253402300799) == "9999-12-31 23:59 UTC" and text_of(10**20).endswith("seconds after 1970")


def test_names_without_a_subject():
    nameless = ROOT.issue(subject="", names=("DNS:a",))
    assert str(nameless) == "a" and [str(name) for name in nameless.identities] == ["a"]


def test_two_are_equal_where_their_octets_are():
    assert Certificate.parse(GATEWAY.der) == GATEWAY and hash(Certificate.parse(GATEWAY.der)) == hash(GATEWAY)
    assert ROOT.issue() != ROOT.issue()


def rewritten(octets, old, new):
    """The same certificate with one part for another, its lengths mended; no signature holds any more."""
    signed, algorithm, signature = der.elements(der.only(octets, der.SEQUENCE))
    parts = [new if part.whole == old else part.whole for part in der.elements(signed.value)]
    body = der.element(der.SEQUENCE, b"".join(parts))
    return der.element(der.SEQUENCE, body + algorithm.whole + signature.whole)


def test_a_curve_counts_by_its_name_only():
    """CVE-2020-0601: a curve that is described may have any generator."""
    algorithm, point = der.elements(der.only(GATEWAY.key_octets, der.SEQUENCE))
    oid, _curve = der.elements(algorithm.value)
    described = der.element(der.SEQUENCE, oid.whole + der.element(der.SEQUENCE, b"\x02\x01\x01"))
    key = der.element(der.SEQUENCE, described + point.whole)
    with pytest.raises(CertificateError, match="describes a curve"):
        Certificate.parse(rewritten(GATEWAY.der, GATEWAY.key_octets, key))


def test_an_extension_that_is_there_twice():
    names = x509.SubjectAlternativeName([x509.DNSName("b")])
    with_other = ROOT.issue(extensions=((x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.99"), b"\x05\0"), False),))
    doubled = with_other.der.replace(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11"))
    assert names and doubled != with_other.der
    with pytest.raises(CertificateError, match="there twice"):
        Certificate.parse(doubled)


def test_what_a_stranger_can_cost_is_bounded():
    with pytest.raises(CertificateError, match=f"more than {LARGEST}"):
        Certificate.parse(bytes(LARGEST + 1))
    begun = time.process_time()
    for content in (der.element(der.SEQUENCE, b"\x30\0" * 8000), b"\x30\x80" * 8000, b"\x30\x84" * 8000):
        with pytest.raises(CertificateError):
            Certificate.parse(content[:LARGEST])
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("octets", [b"", b"0\0", b"0\x82", b"\x30\x80\0\0", GATEWAY.der + b"\0", GATEWAY.der[:-1]])
def test_octets_that_are_no_certificate(octets):
    with pytest.raises(CertificateError) as caught:
        Certificate.parse(octets)
    assert isinstance(caught.value, IkeError)
    assert caught.value.reason == "certificate_unreadable" and caught.value.remedy


def parse(octets):
    try:
        return Certificate.parse(octets)
    except CertificateError:
        return None


@given(st.binary(max_size=400))
def test_octets_of_strangers(octets):
    parse(octets)
    parse(der.element(der.SEQUENCE, octets))


SAMPLES = [GATEWAY.der, ROOT.octets, Authority(key=rsa_key()).issue(key=rsa_key()).der]


@settings(max_examples=400)
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_certificates(sample, changes):
    damaged = bytearray(sample)
    for place, octet in changes:
        damaged[place % len(damaged)] = octet
    found = parse(bytes(damaged))
    if found:
        assert str(found).isprintable() and all(str(name).isprintable() for name in found.identities)


@pytest.mark.parametrize("sample", SAMPLES, ids=["ecdsa", "authority", "rsa"])
def test_every_single_octet_damaged(sample):
    for place in range(len(sample)):
        for octet in (0, 0xFF, sample[place] ^ 0x80, sample[place] + 1 & 0xFF):
            parse(sample[:place] + bytes((octet,)) + sample[place + 1 :])
