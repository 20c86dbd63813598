# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust in a peer's certificate: paths, times, strengths, usages, identities, and a reason for each refusal."""

from __future__ import annotations

import pytest
from authorities import DAY, IPSEC_IKE, NOW, Authority, Wish, ecdsa, rsa_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from engine.crypto import openssl
from engine.crypto.certificates import Certificate
from engine.crypto.trust import MOST, TrustStore
from engine.errors import CertificateError
from engine.identity import Identity
from hypothesis import given, settings
from hypothesis import strategies as st

GATEWAY = Identity.parse("gw.example.net")
PKI_TOOL = ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.8.2.2")  # --flag serverAuth --flag ikeIntermediate
ROOT = Authority()
MIDDLE = ROOT.below()
LEAF = MIDDLE.issue()


def verify(chain, *authorities, identity=GATEWAY, now=NOW):
    return TrustStore.of(authority.certificate for authority in authorities).verify(chain, identity, now)


def refusal(*arguments, **options):
    with pytest.raises(CertificateError) as caught:
        verify(*arguments, **options)
    assert caught.value.remedy and caught.value.story in str(caught.value)
    return caught.value


def refused(*arguments, **options):
    """Reason and story."""
    error = refusal(*arguments, **options)
    return f"{error.reason}: {error.story}"


def test_the_path_from_a_peer_to_an_authority():
    other, lower = Authority("O=Other,CN=Root"), MIDDLE.below("O=Fleet,CN=Lower")
    leaf = lower.issue()
    others = [ROOT.certificate, other.certificate, lower.certificate, MIDDLE.certificate]
    path = verify([leaf, *others], other, ROOT)
    assert path == (leaf, lower.certificate, MIDDLE.certificate, ROOT.certificate)


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(2048), rsa_key(3072), ecdsa(), ecdsa(ec.SECP384R1), ecdsa(ec.SECP521R1),
        ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)  # fmt: skip
def test_keys_that_count(key):
    root = Authority(key=key)
    leaf = root.issue(key=key)
    assert verify([leaf], root) == (leaf, root.certificate)


def test_an_intermediate_authority_is_trusted_where_it_is_given_and_only_there():
    assert verify([LEAF], MIDDLE) == (LEAF, MIDDLE.certificate)
    assert refused([LEAF], ROOT) == (
        "certificate_unknown_authority: the certificate of O=Fleet, CN=gw was issued by O=Fleet, CN=Intermediate, "
        "which is no authority given here"
    )
    assert verify([LEAF, MIDDLE.certificate], MIDDLE, ROOT)[-1] == MIDDLE.certificate


def test_an_authority_that_nobody_gave():
    assert refused([LEAF, MIDDLE.certificate], Authority("O=Other,CN=Root")).startswith("certificate_unknown_authority")
    own = Authority("O=Evil,CN=Root")
    told = refused([own.issue(), own.certificate], ROOT)
    assert told.startswith("certificate_unknown_authority") and "signed by itself" in told
    alone = Authority("O=Evil,CN=Root", wish=Wish(authority=True, names=("DNS:gw.example.net",)))
    assert "O=Evil, CN=Root is signed by itself" in refused([alone.certificate], ROOT)


def test_an_authority_that_only_has_the_name():
    """Who names its own authority like ours gains nothing."""
    impostor = Authority()
    told = refused([impostor.issue()], ROOT)
    assert told.startswith(("certificate_unknown_authority", "certificate_untrusted"))
    twin = Authority(key=impostor.key, octets=ROOT.octets)  # no key identifier would tell them apart
    assert refused([twin.issue()], ROOT).startswith(("certificate_unknown_authority", "certificate_untrusted"))


def test_a_signature_that_does_not_hold():
    damaged = LEAF.der[:-1] + bytes((LEAF.der[-1] ^ 1,))
    told = refused([Certificate.parse(damaged), MIDDLE.certificate], ROOT)
    assert told.startswith("certificate_untrusted: the certificate of O=Fleet, CN=gw names O=Fleet, CN=Intermediate")


def test_times_each_with_a_reason_of_its_own():
    chain = [LEAF, MIDDLE.certificate]
    assert verify(chain, ROOT, now=LEAF.not_after) and verify(chain, ROOT, now=LEAF.not_before)
    assert refused(chain, ROOT, now=LEAF.not_after + 1).startswith(
        "certificate_expired: the certificate of O=Fleet, CN=gw"
    )
    told = refused(chain, ROOT, now=3600)
    assert told.startswith("certificate_not_yet_valid:") and "the clock of this host says 1970-01-01 01:00 UTC" in told
    lasting = MIDDLE.issue(end=NOW + 5000 * DAY)
    between = refused([lasting, MIDDLE.certificate], ROOT, now=NOW + 1001 * DAY)
    assert between.startswith("certificate_expired: the certificate of O=Fleet, CN=Intermediate")
    direct = ROOT.issue(end=NOW + 5000 * DAY)
    assert "CN=Root expired" in refused([direct], ROOT, now=NOW + 3651 * DAY)
    assert "CN=Root is valid from" in refused([ROOT.issue(start=0)], ROOT, now=NOW - 40 * DAY)


def test_a_renewed_authority_takes_over_from_the_one_that_expired():
    """Both have the same name and key; whichever is valid counts, at every moment of one store's life."""
    old, new = ROOT, Authority(key=ROOT.key, wish=Wish(names=(), authority=True, end=NOW + 9000 * DAY))
    leaf = ROOT.issue(end=NOW + 8000 * DAY)
    store = TrustStore.of([old.certificate, new.certificate])
    assert store.verify([leaf], GATEWAY, NOW)
    assert store.verify([leaf], GATEWAY, NOW + 4000 * DAY)[-1] == new.certificate
    assert store.verify([leaf], GATEWAY, NOW)


def test_stores_are_made_when_something_begins_or_ends_and_not_for_each_peer(monkeypatch):
    made = []
    monkeypatch.setattr(
        openssl.Store, "of_paths", classmethod(lambda cls, all: made.append(1) or cls(all, (), 0x280080))
    )
    store = TrustStore.of([ROOT.certificate])
    for second in range(50):
        store.verify([LEAF, MIDDLE.certificate], GATEWAY, NOW + second)
    assert len(made) <= 2


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (rsa_key(1024), "RSA with 1024 bits"),
        (rsa_key(2048, 3), "exponent"),
        (ecdsa(ec.SECP224R1), "secp224r1"),
        (ecdsa(ec.SECP256K1), "secp256k1"),
    ],
)
def test_keys_that_are_too_weak(key, why):
    leaf = ROOT.issue(key=key)
    told = refused([leaf], ROOT)
    assert told.startswith("certificate_weak: the key in the certificate of O=Fleet, CN=gw") and why in told
    between = ROOT.below(key=key)
    weak = refused([between.issue(), between.certificate], ROOT)
    assert weak.startswith("certificate_weak: the key in the certificate of O=Fleet, CN=Intermediate") and why in weak
    own = Authority("O=Weak,CN=Root", key=key)
    assert refused([own.issue()], own).startswith("certificate_weak: the key in the certificate of O=Weak, CN=Root")


def test_keys_of_another_kind():
    key = dsa.generate_private_key(2048)
    assert refused([ROOT.issue(key=key)], ROOT).startswith(
        "certificate_weak: the key in the certificate of O=Fleet, CN=gw is of another"
    )
    between = ROOT.below(key=key)
    assert "signed by an algorithm that is not known here" in refused([between.issue(), between.certificate], ROOT)


def signed_weakly(signer, hash_class, **wish):
    """A certificate with a hash that newer libraries sign with no more; None where this one is such."""
    try:
        return signer.issue(hash=hash_class, **wish)
    except Exception:  # noqa: BLE001 - each version has an error of its own for it
        return None


@pytest.mark.parametrize("hash_class", [hashes.SHA1, hashes.MD5, hashes.SHA224])
def test_signatures_that_are_too_weak(hash_class):
    root = Authority(key=rsa_key())
    leaf = signed_weakly(root, hash_class)
    if leaf is None:
        pytest.skip("this library does not sign with it")
    assert refused([leaf], root).startswith("certificate_weak: the certificate of O=Fleet, CN=gw is signed by")


def test_an_authority_given_here_may_be_signed_by_itself_with_sha_1():
    """Nobody relies on that signature; on one in between, everybody does."""
    root = Authority(key=rsa_key())
    weak = signed_weakly(root, hashes.SHA1, key=root.key, subject="O=Fleet,CN=Root", names=(), authority=True)
    if weak is None:
        pytest.skip("this library does not sign with it")
    assert verify([root.issue()], Authority(key=root.key, octets=weak.der))
    between = Authority("O=Fleet,CN=Intermediate")
    between.octets = signed_weakly(
        root, hashes.SHA1, key=between.key, subject="O=Fleet,CN=Intermediate", names=(), authority=True
    ).der
    assert "CN=Intermediate is signed by RSA with SHA-1" in refused([between.issue(), between.certificate], root)


@pytest.mark.parametrize("usage", [None, ("digital_signature",), ("content_commitment",)])
@pytest.mark.parametrize("purposes", [None, (IPSEC_IKE,), ("1.3.6.1.5.5.7.3.1", "2.5.29.37.0"), PKI_TOOL])
def test_usages_of_a_peer(usage, purposes):
    assert verify([ROOT.issue(usage=usage, purposes=purposes)], ROOT)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"usage": ("key_encipherment", "key_agreement")}, "is not for signatures"),
        ({"purposes": ("1.3.6.1.5.5.7.3.4",)}, "is for e-mail alone"),
        ({"purposes": ("1.3.6.1.5.5.7.3.6", "1.2.3.4")}, "is for ipsecTunnel, which is obsolete, 1.2.3.4 alone"),
    ],
)
def test_certificates_for_something_else(wish, why):
    told = refused([ROOT.issue(**wish)], ROOT)
    assert told.startswith("certificate_wrong_use: the certificate of O=Fleet, CN=gw") and why in told


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"authority": None}, "not an authority's"),
        ({"authority": False}, "not an authority's"),
        ({"usage": ("digital_signature",)}, "may not sign others"),
        ({"purposes": ("1.3.6.1.5.5.7.3.4",)}, "is for e-mail alone"),
    ],
)
def test_certificates_that_sign_others_and_may_not(wish, why):
    between = ROOT.below(**wish)
    told = refused([between.issue(), between.certificate], ROOT)
    assert told.startswith("certificate_wrong_use: the certificate of O=Fleet, CN=Intermediate") and why in told
    given = Authority(wish=Wish(**{"names": (), "authority": True, **wish}))
    assert refused([given.issue()], given).startswith(("certificate_wrong_use", "certificate_untrusted"))


def test_the_length_of_a_path():
    root = Authority(wish=Wish(names=(), authority=True, path_length=0))
    between = root.below()
    told = refused([between.issue(), between.certificate], root)
    assert told.startswith("certificate_untrusted") and "path length" in told
    longest, chain = ROOT, []
    for number in range(MOST):
        longest = longest.below(f"O=Fleet,CN=CA{number}")
        chain.insert(0, longest.certificate)
    assert "11 certificates" in refused([longest.issue(), *chain], ROOT)
    fitting = refused([longest.issue(), *chain[: MOST - 1]], ROOT)
    assert fitting.startswith("certificate_unknown_authority")


def test_name_constraints():
    """CVE-2026-35331 and its like: a name outside of them must not pass, however it is written."""
    only = x509.NameConstraints([x509.DNSName("branch.example.net")], None)
    but = x509.NameConstraints(None, [x509.DNSName("example.net")])
    for constraint in (only, but):
        between = ROOT.below(extensions=((constraint, True),))
        for inside in ("gw.example.net", "GW.EXAMPLE.NET"):
            leaf = between.issue(names=(f"DNS:{inside}",))
            told = refused([leaf, between.certificate], ROOT)
            assert told.startswith("certificate_untrusted") and "subtree violation" in told
    between = ROOT.below(extensions=((only, True),))
    good = between.issue(names=("DNS:gw.branch.example.net",))
    assert verify([good, between.certificate], ROOT, identity=Identity.parse("gw.branch.example.net"))


def test_a_critical_extension_that_nobody_knows():
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0")
    assert refused([ROOT.issue(extensions=((odd, True),))], ROOT).startswith("certificate_untrusted")
    assert verify([ROOT.issue(extensions=((odd, False),))], ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "gw.example.net", "GW.Example.NET", "fqdn:gw.example.net", "ops@example.net", "10.0.0.1", "2001:db8::1",
        "dn:O=Fleet, CN=gw", "dn:o=fleet, cn=GW",
    ],
)  # fmt: skip
def test_identities_that_a_certificate_proves(text):
    leaf = ROOT.issue(names=("DNS:gw.example.net", "email:ops@example.net", "IP:10.0.0.1", "IP:2001:db8::1"))
    assert verify([leaf], ROOT, identity=Identity.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "gw.example.org", "example.net", "a.gw.example.net", "gw", "fqdn:ops@example.net", "email:gw.example.net",
        "10.0.0.2", "2001:db8::2", "fqdn:10.0.0.1", "dn:CN=gw", "dn:CN=gw, O=Fleet", "dn:O=Fleet, CN=gw, CN=x",
        "keyid:gw.example.net", "a.wild.example.net", "fqdn:*.wild.example.net", "https://example.net/gw",
    ],
)  # fmt: skip
def test_identities_that_it_does_not_prove(text):
    names = (
        "DNS:gw.example.net",
        "email:ops@example.net",
        "IP:10.0.0.1",
        "DNS:*.wild.example.net",
        "URI:https://example.net/gw",
    )
    told = refused([ROOT.issue(names=names)], ROOT, identity=Identity.parse(text))
    assert told.startswith("certificate_other_identity:") and "it is for dn:O=Fleet, CN=gw, gw.example.net" in told


def test_an_asterisk_counts_as_such_in_names_alone():
    """A name or an address may well have an octet that is one: here it is a length."""
    subject = "CN=" + 35 * "x"
    leaf = ROOT.issue(subject=subject, names=("IP:42.42.42.42",))
    assert b"*" in leaf.subject.data
    for identity in (Identity.parse(f"dn:{subject}"), Identity.parse("42.42.42.42")):
        assert verify([leaf], ROOT, identity=identity)


def test_the_common_name_is_no_host_name():
    """RFC 4945 section 3.1: a name is bound by a subjectAltName or not at all."""
    leaf = ROOT.issue(subject="CN=gw.example.net", names=())
    assert refused([leaf], ROOT).startswith("certificate_other_identity")
    assert verify([leaf], ROOT, identity=Identity.parse("dn:CN=gw.example.net"))


def test_an_empty_subject_proves_no_empty_name():
    leaf = ROOT.issue(subject="")
    assert refused([leaf], ROOT, identity=Identity(9, b"0\0")).startswith("certificate_other_identity")


def test_a_peer_without_a_certificate():
    assert refused([], ROOT).startswith("certificate_missing")


def test_what_a_peer_can_cost_is_bounded_by_what_it_sends(monkeypatch):
    """One search for a path a verification, however many certificates have the issuer's name."""
    searches = []
    search = openssl.Store.path
    monkeypatch.setattr(openssl.Store, "path", lambda *arguments: searches.append(1) or search(*arguments))
    alike = [ROOT.below("O=Fleet,CN=Intermediate").certificate for _unused in range(MOST - 2)]
    assert verify([LEAF, *alike, MIDDLE.certificate], ROOT)
    assert len(searches) == 1


WHOLE = ROOT.below(extensions=((x509.NameConstraints([x509.DNSName("example.net")], None), True),))
ONE = WHOLE.issue(usage=("digital_signature",), purposes=(IPSEC_IKE,))
CHANGES = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=3)


@settings(max_examples=300, deadline=None)
@given(CHANGES, CHANGES)
def test_of_damaged_certificates_none_is_taken_and_all_are_refused_politely(of_end, of_authority):
    chain = []
    try:
        for octets, changes in ((ONE.der, of_end), (WHOLE.octets, of_authority)):
            damaged = bytearray(octets)
            for place, octet in changes:
                damaged[place % len(damaged)] = octet
            chain.append(Certificate.parse(bytes(damaged)))
        verify(chain, ROOT)
    except CertificateError as error:
        assert error.story.isprintable() and len(error.story) < 1000
    else:
        assert chain == [ONE, WHOLE.certificate]
