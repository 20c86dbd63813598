# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probes put on the wire; scapy is the independent judge of the longer ones."""

from __future__ import annotations

import os

import pytest
from engine.ping.probes import PLANS, PROBES, new_cookies


def build(name: str, exchange: int = 244) -> bytes:
    return PROBES[name].build(new_cookies(os.urandom), exchange, os.urandom)


@pytest.mark.parametrize("exchange", [1, 100, 244, 254])
def test_echo_is_a_well_formed_header(exchange):
    datagram = build("echo", exchange)
    assert len(datagram) == 28
    assert datagram[16:20] == bytes((0, 0x10, exchange, 0))
    assert datagram[24:] == bytes((0, 0, 0, 28))


def test_classic_echo_is_what_little_endian_programs_sent():
    datagram = build("echo_classic")
    assert datagram[16:20] == bytes.fromhex("00f41000") and datagram[24:] == bytes(4)


@pytest.mark.parametrize("name", PROBES)
def test_cookies_are_random_and_not_zero(name):
    heads = {build(name)[:8] for _unused in range(50)}
    assert len(heads) == 50
    assert all(head[0] for head in heads)


def test_both_halves_of_an_echo_differ_between_runs():
    first, second = build("echo"), build("echo")
    assert first[:8] != second[:8] and first[8:16] != second[8:16] and first[20:24] != second[20:24]
    assert any(first[8:16])


def test_cookies_that_look_like_a_marker_are_drawn_again():
    draws = iter([bytes(20), b"\x01" + bytes(19), b"\x01" * 20])
    assert new_cookies(lambda size: next(draws)).initiator == b"\x01" * 8


def test_version_probe_is_an_initiators_message_of_version_3():
    datagram = build("version")
    assert datagram[8:24] == bytes.fromhex("00000000000000002b30220800000000")
    assert int.from_bytes(datagram[24:28], "big") == len(datagram) == 39
    assert datagram[28:] == bytes.fromhex("0000000b") + b"ikeping"


def test_version_probe_is_no_shorter_than_its_answer():
    header_and_notify = 28 + 8
    assert len(build("version")) >= header_and_notify


def test_ikev2_probe_is_a_complete_request():
    ikev2 = pytest.importorskip("scapy.contrib.ikev2")
    message = ikev2.IKEv2(build("ikev2"))
    assert (message.exch_type, message.flags, message.id, message.version) == (34, 8, 0, 0x20)
    proposals = message[ikev2.IKEv2_SA].prop
    assert proposals.trans_nb == 15 and proposals.payload.trans_nb == 21
    assert message[ikev2.IKEv2_KE].group == 31 and len(message[ikev2.IKEv2_KE].ke) == 32
    assert len(message[ikev2.IKEv2_Nonce].nonce) == 32
    assert bytes(message.__class__(bytes(message))) == bytes(message)


def test_ikev2_probe_survives_our_own_parser():
    from engine.crypto.registry import by_transform
    from engine.wire.v2.message import Message

    sa, ke, nonce = Message.parse(build("ikev2")).payloads
    assert all(by_transform(t.type, t.id, t.key_length) for proposal in sa.proposals for t in proposal.transforms)
    assert ke.group in {t.id for t in sa.proposals[0].transforms if t.type == 4}
    assert len(nonce.data) == 32


@pytest.mark.parametrize(("name", "exchange", "transforms"), [("ikev1_main", 2, 20), ("ikev1_aggressive", 4, 3)])
def test_ikev1_probes(name, exchange, transforms):
    isakmp = pytest.importorskip("scapy.layers.isakmp")
    datagram = build(name)
    message = isakmp.ISAKMP(datagram)
    assert (message.exch_type, message.version, message.length) == (exchange, 0x10, len(datagram))
    proposal = message[isakmp.ISAKMP_payload_SA].prop
    assert proposal.trans_nb == transforms
    rows, layer = [], proposal.trans
    while isinstance(layer, isakmp.ISAKMP_payload_Transform):
        rows.append(dict(layer.transforms))
        layer = layer.payload
    assert len(rows) == transforms
    assert rows[0] == {
        "Encryption": "AES-CBC",
        "KeyLength": 256,
        "Hash": "SHA2-256",
        "GroupDesc": "2048MODPgr",
        "Authentication": "PSK",
        "LifeType": "Seconds",
        "LifeDuration": 28800,
    }
    if name == "ikev1_aggressive":
        assert {row["GroupDesc"] for row in rows} == {"2048MODPgr"}, "RFC 2409 section 5: one group only"
        assert len(message[isakmp.ISAKMP_payload_KE].ke) == 256
        assert len(message[isakmp.ISAKMP_payload_Nonce].nonce) == 20
    else:
        assert {row["GroupDesc"] for row in rows} == {"2048MODPgr", "1536MODPgr", "1024MODPgr"}


def test_plans_name_existing_probes_and_auto_asks_the_cheapest_first():
    assert all(name in PROBES for names in PLANS.values() for name in names)
    assert PLANS["auto"] == ("echo", "version", "ikev2", "ikev1_main")
