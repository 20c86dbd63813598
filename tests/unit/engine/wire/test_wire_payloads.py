# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every payload: round trips, hex vectors made by hand from the RFC's figures, refusals."""

from __future__ import annotations

import dataclasses

import pytest
from engine.errors import IkeError
from engine.identity import Identity
from engine.selector import Selector
from engine.wire.budget import Budget
from engine.wire.reader import INVALID_SYNTAX, Reader
from engine.wire.v2 import message
from engine.wire.v2.auth import AUTH
from engine.wire.v2.cert import CERT, CERTREQ
from engine.wire.v2.config import CP
from engine.wire.v2.delete import Delete
from engine.wire.v2.eap import EAP
from engine.wire.v2.ident import IDi, IDr
from engine.wire.v2.ke import KE
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.sealed import Sealed, SealedFragment
from engine.wire.v2.ts import TSi, TSr
from engine.wire.v2.vendor import VendorID
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import BY_CLASS, u16

N16 = "000102030405060708090a0b0c0d0e0f"
V4 = Selector(bytes((10, 1, 0, 0)), bytes((10, 1, 255, 255)))
V6 = Selector(bytes.fromhex("20010db8" + "00" * 12), bytes.fromhex("20010db8" + "ff" * 12), 6, 443, 443)
V4_HEX = "07 00 0010 0000 ffff 0a010000 0a01ffff"
V6_HEX = "08 06 0028 01bb 01bb 20010db8" + "00" * 12 + "20010db8" + "ff" * 12

VECTORS = [
    (
        SA((Proposal(1, 1, b"", (Transform(1, 20, 256), Transform(2, 7), Transform(4, 31))),)),
        "00 00 0024 01 01 00 03 | 03 00 000c 01 00 0014 800e 0100 | 03 00 0008 02 00 0007 | 00 00 0008 04 00 001f",
    ),
    (
        SA(
            (
                Proposal(1, 3, b"\xc0\x01\x02\x03", (Transform(1, 20, 128), Transform(5, 0))),
                Proposal(2, 3, b"\xc0\x01\x02\x03", (Transform(1, 28), Transform(5, 1))),
            )
        ),
        "02 00 0020 01 03 04 02 c0010203 | 03 00 000c 01 00 0014 800e 0080 | 00 00 0008 05 00 0000"
        "00 00 001c 02 03 04 02 c0010203 | 03 00 0008 01 00 001c | 00 00 0008 05 00 0001",
    ),
    (KE(31, b"\xaa" * 32), "001f 0000" + "aa" * 32),
    (Nonce(bytes(range(16))), N16),
    (IDi(Identity(2, b"gw.example")), "02 000000 67772e6578616d706c65"),
    (IDi(Identity(11, b"k"), b"\1\2\3"), "0b 010203 6b"),
    (IDr(Identity(1, bytes((192, 0, 2, 1)))), "01 000000 c0000201"),
    (IDr(Identity(9, bytes.fromhex("300d310b3009060355040613024465"))), "09 000000 300d310b3009060355040613024465"),
    (AUTH(2, b"\x55" * 32), "02 000000" + "55" * 32),
    (CERT(4, b"\x30\x00"), "04 3000"),
    (CERTREQ(4, b"\x11" * 20), "04" + "11" * 20),
    (Notify(16388, b"\x77" * 20), "00 00 4004" + "77" * 20),
    (Notify(16393, b"", 3, b"\xc0\x01\x02\x03"), "03 04 4009 c0010203"),
    (Notify(17, b"\x00\x13"), "00 00 0011 0013"),
    (Delete(1), "01 00 0000"),
    (Delete(3, (b"\xc0\0\0\1", b"\xc0\0\0\2")), "03 04 0002 c0000001 c0000002"),
    (VendorID(b"fleet"), "666c656574"),
    (TSi((V4, V6)), f"02 000000 {V4_HEX} {V6_HEX}"),
    (TSr((Selector(V4.first, V4.first, 17, 65535, 0),)), "01 000000 07 11 0010 ffff 0000 0a010000 0a010000"),
    (CP(1, ((1, b""), (3, bytes((192, 0, 2, 53))))), "01 000000 0001 0000 0003 0004 c0000235"),
    (EAP(b"\x01\x07\x00\x05\x01"), "01 07 0005 01"),
]


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("|", " "))


@pytest.mark.parametrize(("value", "text"), VECTORS, ids=lambda found: type(found).__name__)
def test_vector(value, text: str) -> None:
    assert value.encode() == octets(text)
    reader = Reader(octets(text))
    assert type(value).parse(reader) == value
    reader.finish()


def test_every_payload_has_a_vector_and_a_strategy() -> None:
    known = set(message._PLAIN.values())
    assert {type(value) for value, _text in VECTORS} == known == set(BY_CLASS)


@pytest.mark.parametrize("kind", BY_CLASS, ids=lambda kind: kind.__name__)
def test_round_trip(kind) -> None:
    @given(BY_CLASS[kind])
    def check(value) -> None:
        reader = Reader(value.encode())
        assert kind.parse(reader) == value
        reader.finish()

    check()


@pytest.mark.parametrize("kind", BY_CLASS, ids=lambda kind: kind.__name__)
def test_every_truncation_is_refused_or_another_whole_value(kind) -> None:
    @given(BY_CLASS[kind], st.data())
    def check(value, data) -> None:
        whole = value.encode()
        cut = whole[: data.draw(st.integers(0, max(0, len(whole) - 1)))]
        reader = Reader(cut)
        try:
            parsed = kind.parse(reader)
            reader.finish()
        except IkeError as error:
            assert error.notify == INVALID_SYNTAX
        else:
            assert parsed.encode() == cut

    check()


@pytest.mark.parametrize("value", [value for value, _text in VECTORS], ids=lambda found: type(found).__name__)
def test_values_are_frozen_and_hashable(value) -> None:
    assert hash(value) == hash(dataclasses.replace(value))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


T_AES = "0000000c 01000014 800e0100"  # the last transform of a proposal

REFUSED = {
    # 3. Proposals
    "no proposals": (SA, ""),
    "no transforms": (SA, "00000008 01010000"),
    "transform announced, none there": (SA, "00000008 01010001"),
    "more transforms announced than there": (SA, f"00000014 01010002 {T_AES}"),
    "fewer transforms announced than there": (SA, "0000001c 01010001 03000008 02000005 0000000c 01000014 800e0100"),
    "last transform says more follow": (SA, "00000010 01010001 03000008 02000005"),
    "transform of length 4": (SA, "0000000c 01010001 00000004"),
    "transform of length 0": (SA, "00000010 01010001 00000000 02000005"),
    "transform beyond the proposal": (SA, "00000010 01010001 0000000c 02000005 800e0100"),
    "half an attribute": (SA, "00000012 01010001 0000000a 02000005 800e"),
    "attribute beyond the transform": (SA, "00000014 01010001 0000000c 02000005 000f0001"),
    "trailing octets in a proposal": (SA, f"00000015 01010001 {T_AES} 00"),
    "trailing octets behind the last proposal": (SA, f"00000014 01010001 {T_AES} 00"),
    "last proposal says more follow": (SA, f"02000014 01010001 {T_AES}"),
    "a proposal of another kind follows": (SA, f"01000014 01010001 {T_AES}"),
    "proposal of length 4": (SA, "00000004"),
    "proposal of length 3": (SA, f"00000003 01010001 {T_AES}"),
    "proposal beyond the payload": (SA, f"00000015 01010001 {T_AES}"),
    "protocol 0": (SA, f"00000014 01000001 {T_AES}"),
    "ESP without SPI": (SA, f"00000014 01030001 {T_AES}"),
    "ESP with an SPI of 8 octets": (SA, f"0000001c 01030801 {N16[:16]} {T_AES}"),
    "IKE with an SPI of 4 octets": (SA, f"00000018 01010401 00000001 {T_AES}"),
    "SPI beyond the proposal": (SA, f"00000014 0104ff01 {T_AES}"),
    "two proposals of the same number": (SA, f"02000014 01010001 {T_AES} 00000014 01010001 {T_AES}"),
    "proposals numbered from 2": (SA, f"02000014 02010001 {T_AES} 00000014 03010001 {T_AES}"),
    "proposals numbered with a gap": (SA, f"02000014 01010001 {T_AES} 00000014 03010001 {T_AES}"),
    # 5. Nonce
    "nonce empty": (Nonce, ""),
    "nonce of 15 octets": (Nonce, "11" * 15),
    "nonce of 257 octets": (Nonce, "11" * 257),
    # 6. Identities
    "ID without a type": (IDi, ""),
    "ID of 3 octets": (IDi, "010000"),
    "FQDN empty": (IDi, "02000000"),
    "FQDN with a NUL": (IDi, "02000000 6100 62"),
    "mail address with a NUL": (IDr, "03000000 00"),
    "IPv4 of 5 octets": (IDr, "01000000 c000020101"),
    "IPv4 empty": (IDr, "01000000"),
    "IPv4 with a name inside": (IDi, "01000000 67772e6578616d706c65"),
    "IPv6 of 4 octets": (IDi, "05000000 c0000201"),
    "DN empty": (IDi, "09000000"),
    "DN of one octet": (IDi, "09000000 30"),
    "DN truncated": (IDi, "09000000 300d310b30090603550406130244"),
    "DN with octets behind": (IDi, "09000000 300000"),
    "DN of indefinite length": (IDi, "09000000 30800000"),
    "DN whose length is truncated": (IDi, "09000000 3082ff"),
    "DN whose length has 127 octets": (IDi, "09000000 30ff" + "00" * 127),
    "DN of 4 gigabytes": (IDi, "09000000 3084ffffffff"),
    # Key exchange, authentication, certificates
    "KE of 3 octets": (KE, "001f00"),
    "KE without a value": (KE, "001f0000"),
    "AUTH of 3 octets": (AUTH, "020000"),
    "AUTH without data": (AUTH, "02000000"),
    "CERT without encoding": (CERT, ""),
    "CERT without data": (CERT, "04"),
    "CERTREQ without encoding": (CERTREQ, ""),
    # Notify, delete
    "notify of 3 octets": (Notify, "000040"),
    "notify SPI beyond the payload": (Notify, "03044009 c00102"),
    "notify with an ESP SPI of 8 octets": (Notify, f"03080001 {N16}"),
    "notify with an SPI for protocol 0": (Notify, "00040001 c0010203"),
    "notify with an IKE SPI of 4 octets": (Notify, "01040001 c0010203"),
    "notify with an SPI of 255 octets": (Notify, "03ff0001" + "00" * 255),
    "REKEY_SA of no protocol": (Notify, "00004009"),
    "REKEY_SA of the IKE SA": (Notify, f"01084009 {N16[:16]}"),
    "REKEY_SA without SPI": (Notify, "03004009"),
    "cookie empty": (Notify, "00004006"),
    "cookie of 65 octets": (Notify, "00004006" + "00" * 65),
    "COOKIE2 of 7 octets": (Notify, "00004011" + "00" * 7),
    "INVALID_KE_PAYLOAD without a group": (Notify, "00000011"),
    "INVALID_KE_PAYLOAD with too much": (Notify, "00000011 001300"),
    "NAT detection of 19 octets": (Notify, "00004004" + "00" * 19),
    "delete of 3 octets": (Delete, "030400"),
    "delete of protocol 0": (Delete, "00000000"),
    "delete of protocol 0 with an SPI": (Delete, "00040001 c0000001"),
    "delete of the IKE SA with an SPI": (Delete, f"01080001 {N16[:16]}"),
    "delete of the IKE SA with a count": (Delete, "01000001"),
    "delete of 65535 IKE SAs": (Delete, "0100ffff"),
    "delete with SPIs of 0 octets": (Delete, "0300ffff"),
    "delete of ESP with SPIs of 8 octets": (Delete, f"03080001 {N16[:16]}"),
    "delete with fewer SPIs than announced": (Delete, "03040002 c0000001"),
    "delete with more SPIs than announced": (Delete, "03040001 c0000001 c0000002"),
    "delete of 65535 SPIs, one there": (Delete, "0304ffff c0000001"),
    # 23. Selectors
    "TS of 3 octets": (TSi, "010000"),
    "no selectors": (TSi, "00000000"),
    "selector announced, none there": (TSr, "01000000"),
    "more selectors than announced": (TSr, f"01000000 {V4_HEX} {V4_HEX}"),
    "selector of length 0": (TSi, "01000000 07000000 0000ffff 0a010000 0a01ffff"),
    "selector of length 7": (TSi, "01000000 07000007 000000"),
    "IPv4 selector of length 40": (TSi, "01000000 07" + V6_HEX[2:]),
    "IPv6 selector of length 16": (TSi, "01000000 08" + V4_HEX[2:]),
    "IPv4 selector of length 17": (TSi, "01000000 07000011 0000ffff 0a010000 0a01ffff 00"),
    "selector beyond the payload": (TSi, "01000000 07000011 0000ffff 0a010000 0a01ffff"),
    "unknown selector beyond the payload": (TSi, "01000000 09000011 0000"),
    "addresses backwards": (TSi, "01000000 07000010 0000ffff 0a01ffff 0a010000"),
    "ports backwards": (TSi, "01000000 07000010 01bb0000 0a010000 0a01ffff"),
    "255 selectors announced": (TSi, f"ff000000 {V4_HEX}"),
    # Configuration, EAP
    "CP of 3 octets": (CP, "010000"),
    "half a configuration attribute": (CP, "01000000 000100"),
    "configuration attribute beyond the payload": (CP, "01000000 00010005 c0000235"),
    "EAP empty": (EAP, ""),
    "EAP of 3 octets": (EAP, "030100"),
    "EAP shorter than it says": (EAP, "01070006 01"),
    "EAP longer than it says": (EAP, "01070004 01"),
}


@pytest.mark.parametrize(("kind", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(kind, text: str) -> None:
    reader = Reader(octets(text))
    with pytest.raises(IkeError) as caught:
        kind.parse(reader)
        reader.finish()
    assert caught.value.notify == INVALID_SYNTAX
    assert caught.value.story.isprintable()


# What each known attribute, and what is not known, makes of a transform (RFC 7296 section 3.3.5 and 3.3.6).
@pytest.mark.parametrize(
    ("attributes", "key_length", "unknown"),
    [
        ("", None, False),
        ("800e0080", 128, False),
        ("800e0000", 0, False),
        ("800e0080 800e0100", 128, True),
        ("800f0080", None, True),
        ("000e0002 0080", None, True),
        ("800e0100 00110003 aabbcc", 256, True),
        ("00110000 800e0100", 256, True),
    ],
)
def test_transform_attributes(attributes: str, key_length: int | None, unknown: bool) -> None:
    body = octets("01 00 0014" + attributes)
    expected = Transform(1, 20, key_length, unknown)
    assert Transform.parse(Reader(body)) == expected
    inside = b"\0\0" + (len(body) + 4).to_bytes(2, "big") + body
    assert Proposal.parse(Reader(octets("01010001") + inside)).transforms == (expected,)
    if unknown:
        with pytest.raises(ValueError, match="not understood"):
            expected.encode(0)
    else:
        assert expected.encode(0) == inside


def test_reserved_octets_are_ignored() -> None:
    assert KE.parse(Reader(octets("001f ffff 01"))) == KE(31, b"\1")
    assert AUTH.parse(Reader(octets("02 ffffff 01"))) == AUTH(2, b"\1")
    assert TSi.parse(Reader(octets(f"01 ffffff {V4_HEX}"))) == TSi((V4,))
    assert CP.parse(Reader(octets("01 ffffff 8001 0000"))) == CP(1, ((1, b""),))
    assert Transform.parse(Reader(octets("01 ff 0014"))) == Transform(1, 20)


def test_unknown_selector_types_are_skipped() -> None:
    assert TSr.parse(Reader(octets(f"03 000000 09 00 0008 00000000 {V4_HEX} 0a 00 0004"))) == TSr((V4,))
    assert TSr.parse(Reader(octets("01 000000 09 00 0008 00000000"))) == TSr(())


def test_an_error_notify_is_one_below_the_status_types() -> None:
    assert Notify(14).is_error and Notify(16383).is_error
    assert not Notify(16384).is_error


@given(u16, u16, st.integers(0, 3), st.binary(min_size=1, max_size=40))
def test_sealed_fragment_numbers(number: int, total: int, inner: int, body: bytes) -> None:
    octets_in = number.to_bytes(2, "big") + total.to_bytes(2, "big") + body
    possible = 1 <= number <= total and not (inner and number > 1)
    if possible:
        parsed = SealedFragment.parse(inner, Reader(octets_in))
        assert parsed == SealedFragment(inner, body, number, total)
        assert parsed.encode() == octets_in
    else:
        with pytest.raises(IkeError):
            SealedFragment.parse(inner, Reader(octets_in))


@pytest.mark.parametrize("text", ["", "0001", "00010001", "00000001 aa", "00020001 aa", "00000000 aa", "00010000 aa"])
def test_impossible_fragments_are_refused(text: str) -> None:
    with pytest.raises(IkeError):
        SealedFragment.parse(33, Reader(octets(text)))


def test_sealed() -> None:
    assert Sealed.parse(35, Reader(b"body")) == Sealed(35, b"body")
    assert Sealed(35, b"body").encode() == b"body"
    with pytest.raises(IkeError):
        Sealed.parse(35, Reader(b""))


# Which budget each kind of part draws on, and that it is asked before the work is done.
@pytest.mark.parametrize(
    ("kind", "text", "spent"),
    [
        (SA, VECTORS[1][1], {"proposals": 2, "transforms": 4}),
        (SA, "00000018 01010001 00000010 01000014 800e0100 800f0001", {"attributes": 2}),
        (Notify, "00004000", {"notifies": 1}),
        (TSi, f"02000000 {V4_HEX} {V4_HEX}", {"selectors": 2}),
        (Delete, "03040002 c0000001 c0000002", {"SPIs": 2}),
        (CP, "01000000 00010000 00020000", {"attributes": 2}),
        (CERT, "04 3000", {"certificate octets": 2}),
        (CERTREQ, "04" + "11" * 20, {"certificate octets": 20}),
    ],
)
def test_budget_of(kind, text: str, spent: dict[str, int]) -> None:
    plenty = dict.fromkeys(("proposals", "transforms", "attributes"), 99) | spent
    kind.parse(Reader(octets(text), budget=Budget(plenty)))
    for name in spent:
        with pytest.raises(IkeError, match=f"too many {name}"):
            kind.parse(Reader(octets(text), budget=Budget(plenty | {name: spent[name] - 1})))
