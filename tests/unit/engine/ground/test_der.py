# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DER: what is written is read, one form for each value, and octets of strangers cause ValueError at most."""

from __future__ import annotations

import contextlib

import pytest
from engine import der
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("size", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000])
def test_lengths(size):
    octets = der.element(der.OCTET_STRING, bytes(size))
    assert der.only(octets, der.OCTET_STRING) == bytes(size)
    assert [one.whole for one in der.elements(octets * 2)] == [octets] * 2
    with pytest.raises(ValueError, match="cut short"):
        der.only(octets[:-1], der.OCTET_STRING)


@pytest.mark.parametrize(
    "octets",
    [
        "04",
        "0481",
        "048101aa",
        "0482000161",
        "04820080" + 128 * "61",
        "048300ffff",
        "0480616100",
        "04840000000161",
        "0403aabb",
    ],
)
def test_forms_that_der_does_not_have(octets):
    with pytest.raises(ValueError):
        der.elements(bytes.fromhex(octets))


def test_tags():
    octets = der.element(der.INTEGER, b"\5") + der.element(der.OID, b"\x2a")
    assert [one.tag for one in der.elements(octets, der.INTEGER, der.OID)] == [der.INTEGER, der.OID]
    for wrong in (lambda: der.elements(octets, der.OID), lambda: der.only(octets, der.INTEGER)):
        with pytest.raises(ValueError, match="another kind"):
            wrong()


@pytest.mark.parametrize(
    "text", ["1.2.840.113549.1.1.11", "2.5.29.17", "0.9.2342.19200300.100.1.25", "2.999.3", "1.3.101.112"]
)
def test_object_identifiers(text):
    assert der.oid_text(der.oid_octets(text)) == text


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\x2a\x86", bytes(65)])
def test_octets_that_are_no_object_identifier(octets):
    with pytest.raises(ValueError):
        der.oid_text(octets)


def test_integers_and_bits():
    assert [der.integer(octets) for octets in (b"\0", b"\x7f", b"\0\x80", b"\xff")] == [0, 127, 128, -1]
    assert der.bits(b"\5\xa0") == (0, 2) and der.bits(b"\7\0\x80") == (8,) and der.bits(b"\0") == ()
    for octets in (b"", b"\x08\0"):
        with pytest.raises(ValueError):
            der.bits(octets)
    with pytest.raises(ValueError):
        der.integer(b"")


@given(st.binary(max_size=100))
def test_octets_of_strangers(octets):
    for read in (der.elements, der.oid_text, der.integer, der.bits, lambda all: der.only(all, der.SEQUENCE)):
        with contextlib.suppress(ValueError):
            read(octets)
