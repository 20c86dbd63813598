# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators give as certificates and lists, also by mistake, and what is told when a tunnel is defined."""

from __future__ import annotations

import base64

import pytest
from authorities import DAY, NOW, Authority, Wish, ecdsa, rsa_key
from cryptography.hazmat.primitives import serialization
from engine.crypto.certificate_advice import Given, check_given, check_lasting, check_times
from engine.crypto.certificate_files import MOST, read_certificates, read_lists
from engine.crypto.certificate_life import ending_of, ending_of_list, first_to_end
from engine.crypto.revocation import RELAXED, STRICT
from engine.crypto.revocation_lists import RevocationList
from engine.errors import InputError
from engine.identity import Identity
from hypothesis import given
from hypothesis import strategies as st

ROOT = Authority()
KEY = ecdsa()
LEAF = ROOT.issue(key=KEY)
IDENTITY = ("local.id", Identity.parse("gw.example.net"))


def pem(octets, label="CERTIFICATE"):
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(octets) + f"-----END {label}-----\n".encode()


def secret(form, protection=None):
    return KEY.private_bytes(serialization.Encoding.PEM, form, protection or serialization.NoEncryption())


def test_certificates_in_every_form():
    both = (LEAF, ROOT.certificate)
    assert read_certificates(LEAF.der, "f") == (LEAF,)
    assert read_certificates(pem(LEAF.der), "f") == (LEAF,)
    assert read_certificates(b"Subject: CN=gw\n" + pem(LEAF.der) + b"# the root\r\n" + pem(ROOT.octets), "f") == both
    assert read_certificates((pem(LEAF.der) + pem(ROOT.octets)).replace(b"\n", b"\r\n"), "f") == both


def test_lists_in_every_form():
    octets = ROOT.revoke(LEAF)
    assert [one.der for one in read_lists(octets, "f")] == [octets]
    assert [one.der for one in read_lists(pem(octets, "X509 CRL") * 2, "f")] == [octets] * 2


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "is not a certificate"),
        (b"/etc/ssl/gw.pem", "is not a certificate"),
        (b"\xff\xfe" * 9, "is not a certificate"),
        (pem(LEAF.der)[:-30], "is cut short"),
        (pem(LEAF.der).replace(b"\n", b"\n!", 2), "is cut short"),
        (b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", "no base64"),
        (pem(LEAF.der[:-9]), "cannot be read"),
        (LEAF.der[:-9], "cannot be read"),
        (pem(b"x") * (MOST + 1), "more than"),
        (secret(serialization.PrivateFormat.PKCS8), "is a private key"),
        (secret(serialization.PrivateFormat.TraditionalOpenSSL), "is a private key"),
        (secret(serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")), "is a private key"),
        (pem(LEAF.der) + secret(serialization.PrivateFormat.PKCS8), "is a private key"),
        (pem(ROOT.revoke(), "X509 CRL"), "is a revocation list"),
        (pem(b"x", "CERTIFICATE REQUEST"), "is a request"),
        (pem(b"x", "PUBLIC KEY"), "is a public key"),
        (pem(b"x", "PKCS7"), "is PKCS#7"),
        (pem(b"x", "DH PARAMETERS"), "is dh parameters"),
    ],
)
def test_what_is_no_certificate_is_named_and_never_shown(octets, why):
    with pytest.raises(InputError) as caught:
        read_certificates(octets, "auth.certificate")
    assert caught.value.field == "auth.certificate" and caught.value.value is None and caught.value.remedy
    assert why in caught.value.problem
    body = octets.splitlines()[1:2]
    assert not body or body[0].decode("latin-1") not in str(caught.value) or len(body[0]) < 4


def test_what_is_no_list():
    with pytest.raises(InputError, match="where a revocation list belongs"):
        read_lists(pem(LEAF.der), "auth.crl[0]")
    with pytest.raises(InputError, match="cannot be read"):
        read_lists(LEAF.der, "auth.crl[0]")


@given(st.binary(max_size=200), st.sampled_from(["CERTIFICATE", "X509 CRL", "EC PRIVATE KEY"]))
def test_any_file(octets, label):
    for content in (octets, pem(octets, label)):
        for read in (read_certificates, read_lists):
            try:
                read(content, "f")
            except InputError as problem:
                assert problem.field == "f"


def advice(now=NOW, **fields):
    """Field and problem that a definition is refused for; empty where it is not."""
    try:
        check_given(Given(**fields), now)
    except InputError as problem:
        assert problem.remedy
        return f"{problem.field}: {problem.problem}"
    return ""


def own(certificate, key=KEY, **fields):
    return {
        "own": [("auth.certificate", certificate)],
        "key": ("auth.key", key.public_key()),
        "identity": IDENTITY,
        **fields,
    }


def test_what_is_good_is_let_be():
    lists = [("auth.crl[0]", RevocationList.parse(ROOT.revoke()))]
    assert advice(**own(LEAF, authorities=[("auth.ca[0]", ROOT.certificate)], lists=lists)) == ""
    key = rsa_key()
    assert advice(**own(ROOT.issue(key=key), key)) == "" and advice() == ""


def test_our_own_certificate():
    assert advice(**own(LEAF, ecdsa())) == "auth.key: is not the key of the certificate of O=Fleet, CN=gw"
    assert advice(**own(LEAF, rsa_key())).startswith("auth.key: is not the key")
    assert "expired at" in advice(**own(LEAF), now=NOW + 366 * DAY)
    assert "is valid from" in advice(**own(LEAF), now=5)
    assert advice(**own(ROOT.issue(key=KEY, names=("DNS:x",)))).startswith(
        "local.id: the certificate of O=Fleet, CN=gw does not"
    )
    weak = rsa_key(1024)
    assert "RSA with 1024 bits" in advice(**own(ROOT.issue(key=weak), weak))
    assert "not for signatures" in advice(**own(ROOT.issue(key=KEY, usage=("key_agreement",))))


def test_authorities():
    assert advice(authorities=[("auth.ca[0]", LEAF)]) == (
        "auth.ca[0]: the certificate of O=Fleet, CN=gw is not an authority's (basicConstraints CA:TRUE)"
    )
    over = ("auth.ca[0]", Authority(key=ROOT.key, wish=Wish(authority=True, names=(), end=NOW - 1)).certificate)
    assert advice(authorities=[over]).startswith("auth.ca[0]: the certificate of O=Fleet, CN=Root expired")
    assert advice(authorities=[over, ("auth.ca[1]", ROOT.certificate)]) == ""  # it was renewed


def test_lists():
    overdue = ("auth.crl[0]", RevocationList.parse(ROOT.revoke(start=NOW - 9, end=NOW - 1)))
    assert advice(lists=[overdue]).startswith("auth.crl[0]: the revocation list of O=Fleet, CN=Root is overdue")
    assert advice(lists=[overdue], revocation=RELAXED) == ""
    assert advice(lists=[overdue, ("auth.crl[1]", RevocationList.parse(ROOT.revoke()))]) == ""
    assert advice(revocation=STRICT).startswith("auth.revocation: no revocation list is given")
    forged = ("auth.crl[0]", RevocationList.parse(Authority().revoke()))
    assert "is not signed by the key" in advice(lists=[forged], authorities=[("auth.ca[0]", ROOT.certificate)])


def test_what_was_defined_before_and_is_read_again_at_another_time():
    """A manager that starts with its clock behind, or after an authority ended, goes on with what it has."""
    lists = [("auth.crl[0]", RevocationList.parse(ROOT.revoke()))]
    good = Given(**own(LEAF, authorities=[("auth.ca[0]", ROOT.certificate)], lists=lists))
    check_lasting(good)
    for when in (5, NOW + 5000 * DAY):
        with pytest.raises(InputError):
            check_times(good, when)
    with pytest.raises(InputError, match="is not the key"):
        check_lasting(Given(**own(LEAF, ecdsa())))


def test_what_ends_is_told_thirty_and_seven_days_before():
    ending = ending_of(LEAF)
    end = LEAF.not_after
    assert [ending.stage(end - days * DAY) for days in (31, 30, 8, 7, 0)] == [0, 1, 1, 2, 2] and ending.stage(
        end + 1
    ) == 3
    assert ending.next_stage(end - 31 * DAY) == end - 30 * DAY and ending.next_stage(end - 30 * DAY) == end - 7 * DAY
    assert ending.next_stage(end) == end + 1 and ending.next_stage(end + 1) is None
    assert ending.story(end - 7 * DAY) == "the certificate of O=Fleet, CN=gw ends in 7 days, at 2028-01-15 08:00 UTC"
    assert "ends today" in ending.story(end - 5) and "ended at" in ending.story(end + 1)


def test_a_list_that_ends():
    week = ending_of_list(RevocationList.parse(ROOT.revoke(start=NOW, end=NOW + 7 * DAY)))
    assert week.next_stage(NOW) == NOW + 6 * DAY
    hours = ending_of_list(RevocationList.parse(ROOT.revoke(start=NOW, end=NOW + 10 * 3600)))
    assert hours.next_stage(NOW) == NOW + 8 * 3600 and hours.stage(NOW + 8 * 3600) == 1


def test_a_path_ends_with_the_first_of_its_certificates():
    short = ROOT.below(end=NOW + DAY)
    path = (short.issue(), short.certificate, ROOT.certificate)
    assert first_to_end(path) == short.certificate and first_to_end(path[::2]) == path[0]
