# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Echo requests are answered in the requester's layout; nothing else is."""

from __future__ import annotations

import pytest
from engine.ping.responder import answer
from hypothesis import given
from hypothesis import strategies as st

COOKIES = bytes.fromhex("01020304050607081112131415161718")
SWAPPED_COOKIES = bytes.fromhex("11121314151617180102030405060708")


def echo(word: str, length: int = 28, cookies: bytes = COOKIES) -> bytes:
    return cookies + bytes.fromhex(word) + bytes.fromhex("21222324") + length.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("request_word", "length", "reply_word"),
    [
        ("0010f400", 28, "0010f500"),
        ("0010f400", 0, "0010f500"),
        ("00101e00", 28, "00101f00"),
        ("00f41000", 0, "00f51000"),  # little-endian FreeS/WAN and Openswan
        ("001e1000", 0, "001f1000"),
        ("0000f400", 28, "0000f500"),  # Libreswan 3.7 to 3.17
        ("00001e00", 0, "00001f00"),
    ],
)
def test_reply_swaps_cookies_and_repeats_layout(request_word, length, reply_word):
    assert answer(echo(request_word, length)) == echo(reply_word, length, SWAPPED_COOKIES)


def test_custom_exchange_is_answered_only_when_told():
    request = echo("00106400")
    assert answer(request) is None
    assert answer(request, frozenset((100,))) == echo("00106500", 28, SWAPPED_COOKIES)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xff",
        echo("0010f400")[:27],
        echo("0010f500"),  # replies
        echo("00101f00"),
        echo("00f51000", 0),
        echo("00100500"),  # informational
        echo("00202208"),  # IKE_SA_INIT
        echo("0020f400"),  # IKEv2 with the echo's number
        echo("0010f401"),  # encrypted
        echo("0110f400"),  # with a payload
        echo("0010f400", 29),  # length lies
        echo("0010f400", 0xFFFFFFFF),
        bytes(4) + echo("0010f400"),  # the marker is for the caller to strip
        bytes(8) + echo("0010f400")[8:],
    ],
)
def test_everything_else_is_silence(datagram):
    assert answer(datagram) is None


@pytest.mark.parametrize("length", [28, 40])
def test_longer_request_is_answered_with_a_header_only(length):
    assert answer(echo("0010f400", length) + bytes(12)) == echo("0010f500", 28, SWAPPED_COOKIES)


@given(st.binary(max_size=64))
def test_never_answers_its_own_answer_nor_amplifies(datagram):
    reply = answer(datagram)
    if reply is not None:
        assert len(reply) <= len(datagram)
        assert answer(reply) is None


@given(
    st.sampled_from(["0010f400", "00f41000", "0000f400", "00101e00", "001e1000", "00001e00"]),
    st.binary(min_size=8, max_size=8),
)
def test_every_reply_is_silence_to_another_responder(word, cookie):
    reply = answer(echo(word, cookies=b"\x01" + cookie[1:] + cookie))
    assert reply is not None and answer(reply) is None
