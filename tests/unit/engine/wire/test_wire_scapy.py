# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scapy as an independent judge: it dissects what we encode, we parse what it builds."""

from __future__ import annotations

import ipaddress

import pytest
from engine.identity import Identity
from engine.selector import Selector
from engine.wire.header import Header
from engine.wire.v2 import numbers
from engine.wire.v2.auth import AUTH
from engine.wire.v2.cert import CERT, CERTREQ
from engine.wire.v2.config import CP
from engine.wire.v2.delete import Delete
from engine.wire.v2.eap import EAP
from engine.wire.v2.ident import IDi, IDr
from engine.wire.v2.ke import KE
from engine.wire.v2.message import Message, encode_message
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import PayloadType
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.sealed import Sealed, SealedFragment
from engine.wire.v2.ts import TSi, TSr
from engine.wire.v2.vendor import VendorID
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import BY_CLASS

scapy_ikev2 = pytest.importorskip("scapy.contrib.ikev2")

SPI_I, SPI_R = b"initiate", b"respond!"

REGISTRIES = [
    (numbers.ExchangeType, scapy_ikev2.IKEv2ExchangeTypes),
    (numbers.NotifyType, scapy_ikev2.IKEv2NotifyMessageTypes),
    (numbers.AuthMethod, scapy_ikev2.IKEv2AuthenticationTypes),
]


@pytest.mark.parametrize(("ours", "theirs"), REGISTRIES, ids=lambda found: getattr(found, "__name__", ""))
def test_numbers_agree(ours, theirs) -> None:
    known = {int(member): member.name for member in ours}
    missing = {number: name for number, name in theirs.items() if number not in known and name != "Reserved"}
    assert not missing
    if ours is numbers.AuthMethod:  # described there in words
        return
    for number, name in theirs.items():
        plain = name.upper().replace("IV2_NOTIFY_", "").replace("NOTIFY_", "")
        if plain != "SENDER_REQUEST_ID":  # renamed by RFC 9838
            assert known[number] == plain


def test_payload_types_agree() -> None:
    theirs = {number for number in scapy_ikev2.IKEv2PayloadTypes if number not in (2, 3)}
    assert theirs == {int(member) for member in PayloadType}


def substructures(packet, kind) -> list:
    found = []
    while isinstance(packet, kind):
        found.append(packet)
        packet = packet.payload
    return found


# What scapy reads out of a payload, as our value.


def read_sa(packet) -> SA:
    return SA(
        tuple(
            Proposal(
                found.proposal,
                found.proto,
                bytes(found.SPI),
                tuple(
                    Transform(inner.transform_type, inner.transform_id, inner.key_length & 0xFFFF)
                    if inner.length > 8
                    else Transform(inner.transform_type, inner.transform_id)
                    for inner in substructures(found.trans, scapy_ikev2.IKEv2_Transform)
                ),
            )
            for found in substructures(packet.prop, scapy_ikev2.IKEv2_Proposal)
        )
    )


def read_identity(packet) -> Identity:
    if packet.IDtype in (1, 5):
        return Identity(packet.IDtype, ipaddress.ip_address(packet.ID).packed)
    return Identity(packet.IDtype, bytes(packet.ID))


def read_selectors(packet) -> tuple[Selector, ...]:
    assert packet.number_of_TSs == len(packet.traffic_selector)
    return tuple(
        Selector(
            ipaddress.ip_address(getattr(found, f"starting_address_v{family}")).packed,
            ipaddress.ip_address(getattr(found, f"ending_address_v{family}")).packed,
            found.IP_protocol_ID,
            found.start_port,
            found.end_port,
        )
        for found in packet.traffic_selector
        for family in (4 if found.TS_type == 7 else 6,)
    )


def read_value(value) -> bytes:
    return ipaddress.ip_address(value).packed if isinstance(value, str) else bytes(value)


READ = {
    SA: (scapy_ikev2.IKEv2_SA, read_sa),
    KE: (scapy_ikev2.IKEv2_KE, lambda p: KE(p.group, bytes(p.ke))),
    IDi: (scapy_ikev2.IKEv2_IDi, lambda p: IDi(read_identity(p), p.res2.to_bytes(3, "big"))),
    IDr: (scapy_ikev2.IKEv2_IDr, lambda p: IDr(read_identity(p), p.res2.to_bytes(3, "big"))),
    CERT: (scapy_ikev2.IKEv2_CERT, lambda p: CERT(p.cert_encoding, bytes(p.cert_data))),
    CERTREQ: (scapy_ikev2.IKEv2_CERTREQ, lambda p: CERTREQ(p.cert_encoding, bytes(p.cert_authority))),
    AUTH: (scapy_ikev2.IKEv2_AUTH, lambda p: AUTH(p.auth_type, bytes(p.load))),
    Nonce: (scapy_ikev2.IKEv2_Nonce, lambda p: Nonce(bytes(p.nonce))),
    Notify: (scapy_ikev2.IKEv2_Notify, lambda p: Notify(p.type, bytes(p.notify), p.proto, bytes(p.SPI))),
    Delete: (scapy_ikev2.IKEv2_Delete, lambda p: Delete(p.proto, tuple(bytes(spi) for spi in p.SPI))),
    VendorID: (scapy_ikev2.IKEv2_VendorID, lambda p: VendorID(bytes(p.vendorID))),
    TSi: (scapy_ikev2.IKEv2_TSi, lambda p: TSi(read_selectors(p))),
    TSr: (scapy_ikev2.IKEv2_TSr, lambda p: TSr(read_selectors(p))),
    CP: (scapy_ikev2.IKEv2_CP, lambda p: CP(p.CFGType, tuple((a.type, read_value(a.value)) for a in p.attributes))),
    EAP: (scapy_ikev2.IKEv2_EAP, lambda p: EAP(bytes(p.load))),
}


def scapy_understands(value) -> bool:
    if isinstance(value, CERT):
        return value.encoding not in (4, 7)  # looks into certificates and revocation lists
    return not (isinstance(value, Notify) and value.type in (16407, 16408))  # splits REDIRECT into its fields


def test_scapy_judges_every_payload() -> None:
    assert set(READ) == set(BY_CLASS)


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.__name__)
def test_scapy_reads_what_we_write(kind) -> None:
    layer, read = READ[kind]

    @settings(max_examples=25)
    @given(BY_CLASS[kind].filter(scapy_understands))
    def check(value) -> None:
        # A nonce behind it shows that scapy finds the end where we do.
        datagram = encode_message(SPI_I, SPI_R, 34, 8, 7, (value, Nonce(bytes(16))))
        packet = scapy_ikev2.IKEv2(datagram)
        assert (packet.init_SPI, packet.resp_SPI, packet.id, packet.length) == (SPI_I, SPI_R, 7, len(datagram))
        found = packet.payload
        assert isinstance(found, layer)
        assert found.length == len(value.encode()) + 4
        assert read(found) == value
        assert isinstance(found.payload, scapy_ikev2.IKEv2_Nonce)

    check()


# What scapy builds, and the value we have to read.

s = scapy_ikev2
SCAPY_SA = s.IKEv2_SA(
    prop=s.IKEv2_Proposal(
        proposal=1,
        proto=1,
        trans_nb=3,
        trans=s.IKEv2_Transform(transform_type=1, transform_id=20, length=12, key_length=256)
        / s.IKEv2_Transform(transform_type=2, transform_id=7)
        / s.IKEv2_Transform(transform_type=4, transform_id=31),
    )
    / s.IKEv2_Proposal(
        proposal=2,
        proto=3,
        SPI=b"\xc0\1\2\3",
        trans_nb=1,
        trans=s.IKEv2_Transform(transform_type=1, transform_id=28),
    )
)
BUILT = [
    (
        SCAPY_SA,
        SA(
            (
                Proposal(1, 1, b"", (Transform(1, 20, 256), Transform(2, 7), Transform(4, 31))),
                Proposal(2, 3, b"\xc0\1\2\3", (Transform(1, 28),)),
            )
        ),
    ),
    (s.IKEv2_KE(group=31, ke=b"k" * 32), KE(31, b"k" * 32)),
    (s.IKEv2_IDi(IDtype=2, ID=b"gw.example"), IDi(Identity(2, b"gw.example"))),
    (s.IKEv2_IDr(IDtype=5, ID="2001:db8::1"), IDr(Identity(5, ipaddress.ip_address("2001:db8::1").packed))),
    (s.IKEv2_CERT(cert_encoding=15, cert_data=b"key"), CERT(15, b"key")),
    (s.IKEv2_CERTREQ(cert_encoding=4, cert_authority=b"h" * 40), CERTREQ(4, b"h" * 40)),
    (s.IKEv2_AUTH(auth_type=2, load=b"m" * 32), AUTH(2, b"m" * 32)),
    (s.IKEv2_Nonce(nonce=b"n" * 32), Nonce(b"n" * 32)),
    (s.IKEv2_Notify(type=16388, proto=0, notify=b"d" * 20), Notify(16388, b"d" * 20)),
    (s.IKEv2_Notify(type=16393, proto=3, SPI=b"\xc0\0\0\1"), Notify(16393, b"", 3, b"\xc0\0\0\1")),
    (s.IKEv2_Delete(proto=3, SPIsize=4, SPInum=2, SPI=[b"aaaa", b"bbbb"]), Delete(3, (b"aaaa", b"bbbb"))),
    (s.IKEv2_Delete(proto=1, SPIsize=0), Delete(1)),
    (s.IKEv2_VendorID(vendorID=b"vendor"), VendorID(b"vendor")),
    (
        s.IKEv2_TSi(
            traffic_selector=[
                s.IPv4TrafficSelector(
                    IP_protocol_ID=6,
                    start_port=80,
                    end_port=90,
                    starting_address_v4="10.0.0.0",
                    ending_address_v4="10.0.0.255",
                ),
                s.IPv6TrafficSelector(
                    IP_protocol_ID=0, length=40, starting_address_v6="2001:db8::", ending_address_v6="2001:db8::ff"
                ),
            ]
        ),
        TSi(
            (
                Selector(bytes((10, 0, 0, 0)), bytes((10, 0, 0, 255)), 6, 80, 90),
                Selector(
                    ipaddress.ip_address("2001:db8::").packed, ipaddress.ip_address("2001:db8::ff").packed, 0, 0, 65535
                ),
            )
        ),
    ),
    (
        s.IKEv2_TSr(traffic_selector=[s.IPv4TrafficSelector(IP_protocol_ID=0)]),
        TSr((Selector(bytes((192, 168, 0, 1)), bytes((192, 168, 0, 255))),)),
    ),
    (
        s.IKEv2_CP(CFGType=2, attributes=[s.ConfigurationAttribute(type=1, length=4, value="10.9.0.1")]),
        CP(2, ((1, bytes((10, 9, 0, 1))),)),
    ),
    (s.IKEv2_EAP(load=b"\3\7\0\4"), EAP(b"\3\7\0\4")),
]


@pytest.mark.parametrize(("packet", "value"), BUILT, ids=lambda found: type(found).__name__)
def test_we_read_what_scapy_writes(packet, value) -> None:
    datagram = bytes(s.IKEv2(init_SPI=SPI_I, resp_SPI=SPI_R, exch_type=36, flags="Response", id=9) / packet)
    message = Message.parse(datagram)
    assert message.header == Header(SPI_I, SPI_R, int(value.TYPE), 2, 0, 36, 0x20, 9, len(datagram))
    assert message.payloads == (value,)
    assert encode_message(SPI_I, SPI_R, 36, 0x20, 9, (value,)) == datagram


def test_we_read_a_whole_message_of_scapy() -> None:
    packet = s.IKEv2(init_SPI=SPI_I, exch_type=34, flags="Initiator")
    for found, _value in BUILT:
        packet = packet / found.copy()
    assert Message.parse(bytes(packet)).payloads == tuple(value for _packet, value in BUILT)


def test_encrypted_payloads_agree() -> None:
    base = s.IKEv2(init_SPI=SPI_I, resp_SPI=SPI_R, exch_type=35, flags="Initiator", id=1)
    datagram = bytes(base / s.IKEv2_Encrypted(next_payload=35, load=b"sealed octets"))
    message = Message.parse(datagram)
    assert message.payloads == (Sealed(35, b"sealed octets"),)
    assert message.sealed_head + b"sealed octets" == datagram
    fragment = s.IKEv2_Encrypted_Fragment(next_payload=35, frag_number=1, frag_total=3, load=b"sealed octets")
    message = Message.parse(bytes(base / fragment))
    assert message.payloads == (SealedFragment(35, b"sealed octets", 1, 3),)


@settings(max_examples=25)
@given(st.lists(st.one_of(*BY_CLASS.values()).filter(scapy_understands), min_size=1, max_size=6))
def test_scapy_walks_our_chains(values: list) -> None:
    packet = s.IKEv2(encode_message(SPI_I, SPI_R, 34, 8, 0, values))
    seen = []
    while packet.payload and not isinstance(packet.payload, s.conf.padding_layer):
        packet = packet.payload
        seen.append(type(packet))
    assert seen == [READ[type(value)][0] for value in values]
