# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of identities: whole parts match and nothing else does."""

from __future__ import annotations

import pytest
from engine.errors import InputError
from engine.identity import ID_DER_ASN1_DN, ID_FQDN, ID_KEY_ID, ID_RFC822_ADDR, Identity
from engine.identity_pattern import IdentityPattern, is_pattern
from hypothesis import given
from hypothesis import strategies as st


def matches(pattern, identity):
    return IdentityPattern.parse(pattern).matches(Identity.parse(identity))


@pytest.mark.parametrize(
    ("pattern", "identity"),
    [
        ("*.branch.example.net", "a.branch.example.net"),
        ("*.Branch.example.net", "GW1.branch.EXAMPLE.net"),
        ("fqdn:*.branch.example.net", "fqdn:a.branch.example.net"),
        ("gw.*.example.net", "gw.berlin.example.net"),
        ("*.*.example.net", "gw.berlin.example.net"),
        ("*@example.net", "ops@example.net"),
        ("email:ops@*.example.net", "ops@berlin.example.net"),
        ("dn:O=Example, CN=*", "dn:O=Example, CN=gw1"),
        ("O=Example, CN=*", "dn:o=EXAMPLE,cn=gw one"),
        ("dn:/O=Example/OU=*/CN=*", "dn:O=Example, OU=x, CN=y"),
        ("dn:O=Example, CN=*+UID=7", "dn:O=Example, UID=7+CN=gw1"),
    ],
)
def test_what_matches(pattern, identity):
    assert matches(pattern, identity)
    assert IdentityPattern.parse("any").matches(Identity.parse(identity))


@pytest.mark.parametrize(
    ("pattern", "identity"),
    [
        ("*.branch.example.net", "branch.example.net"),
        ("*.branch.example.net", "a.b.branch.example.net"),
        ("*.branch.example.net", "a.branch.example.net.evil.org"),
        ("*.branch.example.net", "abranch.example.net"),
        ("*.branch.example.net", "email:a@branch.example.net"),
        ("*.branch.example.net", "keyid:a.branch.example.net"),
        ("*.branch.example.net", "fqdn:*.branch.example.net"),
        ("*.branch.example.net", "fqdn:.branch.example.net"),
        ("*.branch.example.net", "fqdn:a@b.branch.example.net"),
        ("*@example.net", "a@b.example.net"),
        ("*@example.net", "email:@example.net"),
        ("dn:O=Example, CN=*", "dn:CN=gw1, O=Example"),
        ("dn:O=Example, CN=*", "dn:O=Example"),
        ("dn:O=Example, CN=*", "dn:O=Example, CN=a, CN=b"),
        ("dn:O=Example, CN=*", "dn:O=Example, OU=gw1"),
        ("dn:O=Example, CN=*", "dn:O=Example+CN=gw1"),
        ("dn:O=Example, CN=*", r"dn:O=Example\, CN\=x, CN=*"),
        ("dn:O=Example, CN=*", "fqdn:gw1"),
    ],
)
def test_what_does_not(pattern, identity):
    assert not matches(pattern, identity)


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "*.*", "gw.example.net", "gw*.example.net", "*gw.example.net", "a.**.net", "*@*", "o*s@example.net",
        "dn:CN=*", "dn:O=Exa*mple, CN=*", "dn:O=Example, CN=gw", r"dn:O=\*, CN=*", r"dn:O=a\2ab, CN=*", "dn:O=, CN=*",
        "keyid:*", "10.0.0.*", "ipv4:*", "dn:nonsense*", "* .example.net",
    ],
)  # fmt: skip
def test_what_is_no_pattern(text):
    with pytest.raises(InputError) as caught:
        IdentityPattern.parse(text, "remote.id")
    assert caught.value.field == "remote.id" and caught.value.remedy
    assert not is_pattern(text)


@pytest.mark.parametrize(
    "text", ["any", "*.branch.example.net", "ops@*.net", "dn:O=Example, CN=*", r"dn:O=a\,b, CN=*", "fqdn:*.b.c"]
)
def test_it_is_shown_as_it_is_read(text):
    pattern = IdentityPattern.parse(text)
    assert IdentityPattern.parse(str(pattern)) == pattern and is_pattern(text)


def test_the_one_that_fixes_more_is_meant():
    texts = ["any", "*.*.example.net", "*.branch.example.net", "gw.branch.*.net"]
    assert [IdentityPattern.parse(text).fixed for text in texts] == [0, 2, 3, 3]


@given(st.sampled_from([ID_FQDN, ID_RFC822_ADDR, ID_DER_ASN1_DN, ID_KEY_ID, 1, 200]), st.binary(max_size=60))
def test_identities_of_strangers(number, octets):
    for text in ("*.branch.example.net", "*@example.net", "dn:O=Example, CN=*"):
        pattern = IdentityPattern.parse(text)
        if pattern.matches(Identity(number, octets)):
            assert octets.lower().endswith(b".branch.example.net" if number == ID_FQDN else b"")
