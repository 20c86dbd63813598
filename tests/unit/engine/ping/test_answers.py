# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of real daemons, and what is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.ping.answers import Answer, describe, read_answer
from engine.ping.probes import PROBES, Cookies, new_cookies
from hypothesis import given
from hypothesis import strategies as st

SAMPLES = Path(__file__).parent / "data" / "probe_replies_charon.tsv"
ROWS = {
    row[0]: (bytes.fromhex(row[3]), b"" if row[4] == "-" else bytes.fromhex(row[4]))
    for row in (line.split("\t") for line in SAMPLES.read_text().splitlines() if not line.startswith("#"))
}
# What charon 5.9.8 said to each probe that it answered.
MEANINGS = {
    "v3.0 x34 header only": "INVALID_MAJOR_VERSION",
    "v3.0 x34 header only, length 0": "INVALID_MAJOR_VERSION",
    "v3.0 x34 header only, msgid 7": "INVALID_MAJOR_VERSION",
    "v3.0 x34 header only, response flag set": "INVALID_MAJOR_VERSION",
    "v3.0 x34 header only on 4500 with marker": "INVALID_MAJOR_VERSION",
    "v2.0 x34 header only": "INVALID_SYNTAX",
    "v2.0 x34 SA+KE+Nonce acceptable": "proposal chosen",
    "v2.0 x34 SA+KE+Nonce on 4500 with non-ESP marker": "proposal chosen",
    "v2.0 x34 wrong KE group for the proposal": "INVALID_KE_PAYLOAD",
    "v2.0 x34 unacceptable proposal (DES)": "NO_PROPOSAL_CHOSEN",
    "v1.0 Main Mode SA acceptable": "proposal chosen",
    "v1.0 Main Mode SA unacceptable (CAST)": "NO-PROPOSAL-CHOSEN",
    "v1.0 Main Mode header only": "INVALID-PAYLOAD-TYPE",
}


def cookies_of(request: bytes) -> Cookies:
    return Cookies(request[:8], request[8:16], request[20:24])


def answer_to(what: str) -> Answer | None:
    request, reply = ROWS[what]
    return read_answer(reply, cookies_of(request), 244)


def test_every_sample_with_a_reply_is_covered():
    assert set(MEANINGS) == {what for what, (_request, reply) in ROWS.items() if reply}


@pytest.mark.parametrize(("what", "meaning"), MEANINGS.items())
def test_replies_of_charon(what, meaning):
    answer = answer_to(what)
    assert answer is not None and answer.by == meaning


def test_details_of_what_charon_chose():
    ikev2 = answer_to("v2.0 x34 SA+KE+Nonce acceptable").details
    assert ikev2 == {
        "proposal": "aes128-sha256-prfsha256-modp2048",
        "notifies": ["CHILDLESS_IKEV2_SUPPORTED", "MULTIPLE_AUTH_SUPPORTED"],
    }
    ikev1 = answer_to("v1.0 Main Mode SA acceptable").details
    assert ikev1 == {
        "proposal": "aes256-sha1-modp2048-psk",
        "vendor_ids": [
            {"hex": "09002689dfd6b712", "name": "XAUTH"},
            {"hex": "afcad71368a1f1c96b8696fc77570100", "name": "DPD (RFC 3706)"},
        ],
    }
    assert answer_to("v2.0 x34 wrong KE group for the proposal").details["group_wanted"] == 14


@pytest.mark.parametrize("what", MEANINGS)
def test_no_answer_to_somebody_else(what):
    request, reply = ROWS[what]
    other = bytes(octet ^ 1 for octet in request[:8])
    assert read_answer(reply, cookies_of(request)._replace(initiator=other), 244) is None


@pytest.mark.parametrize("what", MEANINGS)
def test_truncated_answers_do_not_count(what):
    request, reply = ROWS[what]
    for size in range(len(reply)):
        assert read_answer(reply[:size], cookies_of(request), 244) is None


@pytest.mark.parametrize("what", ROWS)
def test_our_own_requests_come_back_are_no_answers(what):
    request = ROWS[what][0]
    if len(request) >= 28:
        assert read_answer(request, cookies_of(request), 244) is None


@pytest.mark.parametrize("name", PROBES)
def test_our_own_probes_come_back_are_no_answers(name):
    def entropy(size: int) -> bytes:
        return bytes(range(1, 251))[:size] + bytes(max(0, size - 250))

    cookies = new_cookies(entropy)
    assert read_answer(PROBES[name].build(cookies, 244, entropy), cookies, 244) is None


def test_cookie_demand_is_named():
    request = ROWS["v2.0 x34 SA+KE+Nonce acceptable"][0]
    notify = bytes.fromhex("00000010" + "00004006") + b"12345678"
    head = request[:8] + bytes(8) + bytes.fromhex("29202220" + "00000000") + (28 + len(notify)).to_bytes(4, "big")
    assert read_answer(head + notify, cookies_of(request), 244) == Answer("COOKIE", {"notifies": ["COOKIE"]})


def test_unregistered_notify_keeps_its_number():
    request = ROWS["v2.0 x34 SA+KE+Nonce acceptable"][0]
    head = request[:8] + bytes(8) + bytes.fromhex("29202220" + "00000000" + "00000024")
    assert read_answer(head + bytes.fromhex("0000000800002000"), cookies_of(request), 244).by == "NOTIFY_8192"


ECHO = bytes.fromhex("0102030405060708111213141516171800 10f400 212223240000001c".replace(" ", ""))


def echo_reply(exchange: int, word: str = "0010{:02x}00", length: int = 28) -> bytes:
    return ECHO[8:16] + ECHO[:8] + bytes.fromhex(word.format(exchange)) + bytes(4) + length.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("reply", "alive"),
    [
        (echo_reply(245), True),
        (echo_reply(245, length=0), True),
        (echo_reply(31), True),  # Openswan's listener answers every request with the draft's number
        (echo_reply(245, "00{:02x}1000", 0), True),
        (echo_reply(245, "0000{:02x}00"), True),
        (echo_reply(244), False),
        (echo_reply(246), False),
        (echo_reply(5), False),
        (ECHO[:16] + echo_reply(245)[16:], False),  # cookies not swapped
    ],
)
def test_echo_replies(reply, alive):
    answer = read_answer(reply, cookies_of(ECHO), 244)
    assert (answer == Answer("echo reply", {})) if alive else answer is None


def test_custom_exchange_wants_its_own_reply():
    assert read_answer(echo_reply(101), cookies_of(ECHO), 100) is not None
    assert read_answer(echo_reply(245), cookies_of(ECHO), 100) is None


@given(st.binary(max_size=120))
def test_any_octets_are_read_without_an_error(tail):
    for head in ("29202220", "01100200", "0b100500", "21202220", "0010f500"):
        size = (28 + len(tail)).to_bytes(4, "big")
        read_answer(ECHO[:16] + bytes.fromhex(head) + bytes(4) + size + tail, cookies_of(ECHO), 244)
    read_answer(tail, cookies_of(ECHO), 244)


def test_describe_shows_each_field():
    assert describe(ECHO) == {
        "initiator_cookie": "0102030405060708",
        "responder_cookie": "1112131415161718",
        "next_payload": 0,
        "version": "1.0",
        "exchange": 244,
        "flags": 0,
        "message_id": "21222324",
        "length": 28,
        "octets": 28,
    }
    swapped = describe(echo_reply(245, "00{:02x}1000", 0))
    assert (swapped["version"], swapped["exchange"], swapped["length"]) == ("1.0", 245, 0)
    reply = describe(ROWS["v3.0 x34 header only"][1])
    assert (reply["version"], reply["exchange"], reply["flags"], reply["next_payload"]) == ("2.0", 34, 0x20, 41)
