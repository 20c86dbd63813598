# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names as identities: text, DER, what matches, and octets of strangers."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from engine import dn
from engine.errors import InputError
from engine.identity import ID_DER_ASN1_DN, Identity
from hypothesis import given
from hypothesis import strategies as st


def name_of(*pairs) -> bytes:
    """DER by another hand."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs]).public_bytes()


GATEWAY = name_of((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Fleet"), (NameOID.COMMON_NAME, "gw, one"))


@pytest.mark.parametrize(
    "text", [r"C=DE, O=Fleet, CN=gw\, one", r"/C=DE/O=Fleet/CN=gw, one", r"c=DE,o=Fleet,2.5.4.3=gw\2c one"]
)
def test_a_name_matches_the_one_that_cryptography_writes(text):
    identity = Identity.parse(f"dn:{text}")
    assert identity.type == ID_DER_ASN1_DN
    assert identity.matches(Identity(ID_DER_ASN1_DN, GATEWAY))
    assert identity.key == Identity(ID_DER_ASN1_DN, GATEWAY).key


def test_order_values_and_case():
    ours = Identity.parse("dn:C=DE, O=Fleet, CN=gw")
    assert ours.matches(Identity.parse("dn:C=de, O=FLEET, CN=GW"))
    assert not ours.matches(Identity.parse("dn:O=Fleet, C=DE, CN=gw"))
    assert not ours.matches(Identity.parse("dn:C=DE, O=Fleet, CN=gw2"))
    assert not ours.matches(Identity.parse("fqdn:gw"))


def test_it_is_shown_as_text_and_read_back():
    identity = Identity(ID_DER_ASN1_DN, GATEWAY)
    assert str(identity) == r"dn:C=DE, O=Fleet, CN=gw\, one"
    assert Identity.parse(str(identity)).matches(identity)
    assert Identity.parse(f"dn:{GATEWAY.hex()}") == identity


def test_attributes_joined_and_email():
    text = "dn:DC=net, CN=a+UID=b, emailAddress=ops@fleet.example"
    assert Identity.parse(str(Identity.parse(text))) == Identity.parse(text)


@pytest.mark.parametrize("text", ["dn:C=DE,,O=x", "dn:nonsense", "dn:XX=y", "dn:CN=", "dn:3000ff", "dn:9.9.9=x"])
def test_refused_names(text):
    with pytest.raises(InputError) as caught:
        Identity.parse(text, "local.id")
    assert caught.value.field == "local.id"


@pytest.mark.parametrize("value", ["\x1b[31mred", "ünïcode", "a\\b", " edge ", 'x+y=z/w;<>#"', "\U0001f680"])
def test_values_of_every_kind_go_round_and_show_nothing_a_terminal_interprets(value):
    der = name_of((NameOID.COMMON_NAME, value))
    text = dn.text_of(der)
    assert text is not None and text.isascii() and text.isprintable()
    assert dn.decode(dn.encode(text)) == (((NameOID.COMMON_NAME.dotted_string, value),),)


@given(st.binary(max_size=300))
def test_octets_of_strangers_make_no_trouble(octets):
    identity = Identity(ID_DER_ASN1_DN, octets)
    assert str(identity).isprintable()
    assert identity.matches(identity)


@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, len(GATEWAY) - 1))
def test_a_damaged_name_makes_no_trouble(cut, octet, position):
    damaged = bytearray(GATEWAY)
    damaged[position] = octet
    dn.text_of(bytes(damaged)[:cut])


def test_octets_that_are_no_name_are_not_the_name_that_is_compared_by_them() -> None:
    name = dn.encode("O=Fleet, CN=gw")
    assert dn.key(dn.key(name)) != dn.key(name) and dn.decode(dn.key(name)) is None
    assert dn.key(b"junk") == dn.key(b"junk") != dn.key(b"Junk")
