# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Revocation lists: what strict and relaxed do to a path when a list revokes, is overdue, lacks or is of no use."""

from __future__ import annotations

import contextlib
import time

import pytest
from authorities import DAY, NOW, Authority, Wish, moment, name, rsa_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from engine.crypto import openssl
from engine.crypto.revocation import RELAXED, STRICT
from engine.crypto.revocation_lists import FOR_EVER, LARGEST, RevocationList
from engine.crypto.trust import TrustStore
from engine.errors import CertificateError
from engine.identity import Identity
from hypothesis import given
from hypothesis import strategies as st

GATEWAY = Identity.parse("gw.example.net")
ROOT = Authority()
MIDDLE = ROOT.below()
LEAF, OTHER = MIDDLE.issue(), MIDDLE.issue(subject="O=Fleet,CN=other")
CHAIN = (LEAF, MIDDLE.certificate)


def store(*lists, revocation=None, authority=ROOT):
    return TrustStore.of([authority.certificate], [RevocationList.parse(octets) for octets in lists], revocation)


def outcome(*lists, revocation=None, now=NOW, chain=CHAIN, authority=ROOT):
    """The reason of a refusal; empty where there is none."""
    try:
        store(*lists, revocation=revocation, authority=authority).verify(chain, GATEWAY, now)
    except CertificateError as error:
        assert error.remedy
        return f"{error.reason}: {error.story}"
    return ""


def test_nobody_is_looked_up_where_no_list_is_given():
    assert outcome() == "" and outcome(revocation=RELAXED) == ""


def test_a_list_is_strict_unless_it_is_said_otherwise():
    assert outcome(ROOT.revoke(), MIDDLE.revoke(OTHER)) == ""
    assert outcome(MIDDLE.revoke()).startswith("crl_missing: no revocation list of O=Fleet, CN=Root is given")
    assert outcome(ROOT.revoke()).startswith("crl_missing: no revocation list of O=Fleet, CN=Intermediate is given")
    assert outcome(MIDDLE.revoke(), revocation=RELAXED) == ""
    assert outcome(revocation=STRICT).startswith("crl_missing")


@pytest.mark.parametrize("revocation", [STRICT, RELAXED])
def test_what_is_revoked_is_refused(revocation):
    told = outcome(ROOT.revoke(), MIDDLE.revoke(OTHER, LEAF), revocation=revocation)
    assert told.startswith(
        "certificate_revoked: O=Fleet, CN=Intermediate has revoked the certificate of O=Fleet, CN=gw"
    )
    assert f"{LEAF.serial:x}" in told
    told = outcome(ROOT.revoke(MIDDLE.certificate), MIDDLE.revoke(), revocation=revocation)
    assert told.startswith("certificate_revoked: O=Fleet, CN=Root has revoked the certificate of O=Fleet, CN=Interm")


@pytest.mark.parametrize(
    ("revocation", "reason"),
    [(STRICT, "crl_overdue: the revocation list of O=Fleet, CN=Intermediate is"), (RELAXED, "")],
)
def test_a_list_that_is_overdue(revocation, reason):
    overdue = MIDDLE.revoke(OTHER, start=NOW - 9 * DAY, end=NOW - 1)
    told = outcome(ROOT.revoke(), overdue, revocation=revocation)
    assert told.startswith(reason) and bool(told) == bool(reason)
    overdue = MIDDLE.revoke(LEAF, start=NOW - 9 * DAY, end=NOW - 1)
    assert outcome(ROOT.revoke(), overdue, revocation=revocation).startswith("certificate_revoked")


def test_a_list_from_the_future_tells_of_the_clock():
    told = outcome(ROOT.revoke(), MIDDLE.revoke(start=NOW + 60, end=NOW + DAY))
    assert told.startswith("crl_not_yet_valid:") and "the clock of this host says 2027-01-15 08:00 UTC" in told
    assert outcome(ROOT.revoke(), MIDDLE.revoke(start=NOW + 60, end=NOW + DAY), revocation=RELAXED) == ""


def test_of_several_lists_the_newest_counts():
    old, new = (
        MIDDLE.revoke(LEAF, start=NOW - 3 * DAY, end=NOW + DAY),
        MIDDLE.revoke(start=NOW - DAY, end=NOW + 2 * DAY),
    )
    for lists in ([old, new], [new, old]):
        assert outcome(ROOT.revoke(), *lists) == "" and store(*lists).revoked((*CHAIN, ROOT.certificate)) is None
    overdue = MIDDLE.revoke(start=NOW - 9 * DAY, end=NOW - 5 * DAY)
    assert outcome(ROOT.revoke(), overdue, new) == ""


def test_one_store_sees_lists_begin_and_end():
    kept = store(ROOT.revoke(end=NOW + 90 * DAY), MIDDLE.revoke(start=NOW, end=NOW + DAY))
    for when, good in ((NOW, True), (NOW + DAY, True), (NOW + DAY + 1, False), (NOW + 5, True), (NOW - 1, False)):
        try:
            kept.verify(CHAIN, GATEWAY, when)
        except CertificateError as error:
            assert not good and error.reason == ("crl_overdue" if when > NOW else "crl_not_yet_valid")
        else:
            assert good


def test_a_list_of_another_key_by_the_same_name():
    impostor = Authority("O=Fleet,CN=Intermediate")
    told = outcome(ROOT.revoke(), impostor.revoke(LEAF))
    assert told.startswith(("crl_unusable", "crl_missing"))
    assert outcome(ROOT.revoke(), impostor.revoke(LEAF), revocation=RELAXED) == ""


def test_a_list_for_some_certificates_or_some_reasons_only():
    def partial(**options):
        fields = {"full_name": None, "relative_name": None, "only_contains_user_certs": False}
        fields.update(only_contains_ca_certs=False, only_some_reasons=None, indirect_crl=False)
        fields.update(only_contains_attribute_certs=False, **options)
        return MIDDLE.revoke(extensions=((x509.IssuingDistributionPoint(**fields), True),))

    assert outcome(ROOT.revoke(), partial(only_contains_user_certs=True)) == ""
    for options in (
        {"only_contains_ca_certs": True},
        {"only_some_reasons": frozenset({x509.ReasonFlags.key_compromise})},
    ):
        assert outcome(ROOT.revoke(), partial(**options)).startswith(("crl_unusable", "crl_missing"))


def test_an_authority_that_may_sign_no_lists():
    root = Authority(wish=Wish(names=(), authority=True, usage=("key_cert_sign",)))
    leaf = root.issue()
    assert outcome(root.revoke(), chain=[leaf], authority=root).startswith("crl_unusable")


def test_an_intermediate_authority_that_is_trusted_needs_no_list_of_its_issuer():
    assert outcome(MIDDLE.revoke(), authority=MIDDLE) == ""


def test_peers_that_are_up_and_revoked_since():
    path = TrustStore.of([ROOT.certificate]).verify(CHAIN, GATEWAY, NOW)
    assert store().revoked(path) is None
    assert store(MIDDLE.revoke(OTHER)).revoked(path) is None
    assert store(MIDDLE.revoke(LEAF)).revoked(path).reason == "certificate_revoked"
    assert "CN=Root has revoked" in store(ROOT.revoke(MIDDLE.certificate)).revoked(path).story
    late = store(MIDDLE.revoke(end=NOW - 5, start=NOW - 9))
    assert late.revoked(path) is None  # overdue: it ends nobody


def test_what_is_looked_up_grows_with_the_path_and_not_with_the_lists(monkeypatch):
    searches = []
    search = openssl.Store.path
    monkeypatch.setattr(openssl.Store, "path", lambda *arguments: searches.append(1) or search(*arguments))
    store(ROOT.revoke(), MIDDLE.revoke(), *[Authority(f"CN=x{n}").revoke() for n in range(20)]).verify(
        CHAIN, GATEWAY, NOW
    )
    assert len(searches) == 3


def large(count):
    builder = x509.CertificateRevocationListBuilder().issuer_name(name(MIDDLE.subject))
    builder = builder.last_update(moment(NOW - DAY)).next_update(moment(NOW + DAY))
    for serial in range(1, count):
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment(NOW - DAY))
        builder = builder.add_revoked_certificate(revoked.build())
    entry = x509.RevokedCertificateBuilder().serial_number(LEAF.serial).revocation_date(moment(NOW - DAY)).build()
    signed = builder.add_revoked_certificate(entry).sign(MIDDLE.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def test_a_list_of_thousands():
    octets = large(3000)
    kept = store(ROOT.revoke(), octets)
    begun = time.process_time()
    for _unused in range(20):
        with pytest.raises(CertificateError, match="has revoked"):
            kept.verify(CHAIN, GATEWAY, NOW)
    assert (time.process_time() - begun) / 20 < 0.05


def test_what_is_read_of_a_list():
    one = RevocationList.parse(ROOT.revoke(LEAF, start=NOW - 5, end=NOW + 5))
    assert one.issuer.matches(ROOT.certificate.subject) and str(one) == "O=Fleet, CN=Root"
    assert (one.this_update, one.next_update) == (NOW - 5, NOW + 5) and one.next_update < FOR_EVER
    assert [one.is_current(NOW + s) for s in (-6, -5, 5, 6)] == [False, True, True, False]
    assert LEAF.der.hex() not in repr(one) and len(repr(one)) < 500


@pytest.mark.parametrize("octets", [b"", b"0\0", LEAF.der, ROOT.revoke() + b"\0", bytes(LARGEST + 1)])
def test_octets_that_are_no_list(octets):
    with pytest.raises(CertificateError) as caught:
        RevocationList.parse(octets)
    assert caught.value.reason == "certificate_unreadable" and "list" in caught.value.story


def test_a_list_that_is_signed_too_weakly():
    root = Authority(key=rsa_key())
    root.wish = Wish(hash=hashes.SHA1)
    try:
        octets = root.revoke()
    except Exception:  # noqa: BLE001 - each version has an error of its own for it
        pytest.skip("this library does not sign with SHA-1")
    with pytest.raises(CertificateError) as caught:
        RevocationList.parse(octets)
    assert caught.value.reason == "certificate_weak" and "SHA-1" in caught.value.story


SAMPLE = ROOT.revoke(LEAF)


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_lists(changes):
    damaged = bytearray(SAMPLE)
    for place, octet in changes:
        damaged[place] = octet
    with contextlib.suppress(CertificateError):
        RevocationList.parse(bytes(damaged))
