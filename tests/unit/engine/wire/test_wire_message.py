# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole messages: chains, encrypted payloads, look-ups."""

from __future__ import annotations

import pytest
from engine.errors import IkeError
from engine.wire.header import INITIATOR, RESPONSE
from engine.wire.reader import INVALID_SYNTAX, Reader
from engine.wire.v2.delete import Delete
from engine.wire.v2.ke import KE
from engine.wire.v2.message import (
    Message,
    Payloads,
    encode_message,
    encode_payloads,
    encode_sealed,
    encode_sealed_fragment,
    parse_payloads,
)
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import ExchangeType, NotifyType, PayloadType
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.sealed import Sealed, SealedFragment
from engine.wire.v2.unknown import Unknown
from engine.wire.v2.vendor import VendorID
from hypothesis import given
from hypothesis import strategies as st
from message_samples import CHARON, KE_1, ONCE, SPI_I, SPI_R, encode_sealed_by_hand
from wire_strategies import chains, spi8, u8


def test_a_real_answer_of_another_daemon() -> None:
    message = Message.parse(CHARON)
    header = message.header
    assert (header.exchange, header.message_id, header.is_response) == (ExchangeType.IKE_SA_INIT, 0, True)
    suite = (Transform(1, 12, 128), Transform(3, 12), Transform(2, 5), Transform(4, 14))
    sa, ke, nonce, *rest = message.payloads
    assert sa == SA((Proposal(1, 1, b"", suite),))
    assert (ke.group, len(ke.data), len(nonce.data)) == (14, 256, 32)
    assert rest == [Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED), Notify(NotifyType.MULTIPLE_AUTH_SUPPORTED)]
    again = encode_message(header.initiator_spi, header.responder_spi, 34, RESPONSE, 0, message.payloads)
    assert again == CHARON


@pytest.mark.parametrize(
    ("text", "notify"),
    [
        ("0102030405060708 0000000000000000 2920222000000000 00000024 0000000800000005", Notify(5)),
        ("010203040506070e 0000000000000000 2920222000000000 00000026 0000000a00000011000e", Notify(17, b"\0\x0e")),
        ("0102030405060708 0000000000000000 2920222000000000 00000024 000000080000000e", Notify(14)),
    ],
)
def test_real_refusals_of_another_daemon(text: str, notify: Notify) -> None:
    assert Message.parse(bytes.fromhex(text)).payloads == (notify,)


def test_vector_of_an_empty_request() -> None:
    datagram = encode_message(SPI_I, SPI_R, ExchangeType.INFORMATIONAL, INITIATOR, 3, ())
    assert datagram == SPI_I + SPI_R + bytes.fromhex("00 20 25 08 00000003 0000001c")
    assert Message.parse(datagram).payloads == ()


def test_vector_of_a_chain() -> None:
    chain = (Nonce(bytes(16)), Notify(16384), Unknown(200, True, b"x"))
    first, octets = encode_payloads(chain)
    assert first == PayloadType.NONCE
    expected = "29 00 0014" + "00" * 16 + "c8 00 0008 0000 4000" + "00 80 0005 78"
    assert octets == bytes.fromhex(expected)
    assert encode_payloads(()) == (0, b"")


@given(chains, spi8, u8, u8, st.integers(0, 2**32 - 1))
def test_message_round_trip(payloads: tuple, spi: bytes, exchange: int, flags: int, number: int) -> None:
    datagram = encode_message(SPI_I, spi, exchange, flags, number, payloads)
    message = Message.parse(memoryview(datagram))
    assert message.payloads == payloads
    assert (message.sealed_head, message.sealed) == (b"", None)
    header = message.header
    assert (header.initiator_spi, header.responder_spi, header.exchange) == (SPI_I, spi, exchange)
    assert (header.flags, header.message_id, header.length) == (flags, number, len(datagram))
    assert (header.major, header.minor) == (2, 0)


@given(chains)
def test_chain_round_trip(payloads: tuple) -> None:
    first, octets = encode_payloads(payloads)
    assert parse_payloads(first, octets) == payloads
    assert parse_payloads(first, Reader(b"\xff" + octets + b"\xff", 1, 1 + len(octets))) == payloads


class Toy:
    """A sealing that shows its inputs: 8 octets in front, the plaintext padded to 4 and inverted, 12 behind."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    @staticmethod
    def sealed_length(size: int) -> int:
        return 8 + (size + 4) // 4 * 4 + 12

    def seal(self, head: bytes, plain: bytes) -> bytes:
        self.heads.append(head)
        pad = 3 - len(plain) % 4
        padded = plain + bytes(pad) + bytes((pad,))
        return b"I" * 8 + bytes(255 - octet for octet in padded) + b"C" * 12

    @staticmethod
    def open(body: bytes) -> bytes:
        padded = bytes(255 - octet for octet in body[8:-12])
        return padded[: -1 - padded[-1]]


@given(chains)
def test_sealed_round_trip(payloads: tuple) -> None:
    toy = Toy()
    datagram = encode_sealed(SPI_I, SPI_R, 35, INITIATOR, 1, *encode_payloads(payloads), toy.sealed_length, toy.seal)
    message = Message.parse(datagram)
    assert message.header.next_payload == PayloadType.SK
    assert message.payloads == (message.sealed,)
    # What was authenticated on sending is what the receiver will authenticate, and ends where the body begins.
    assert toy.heads == [message.sealed_head] == [datagram[:32]]
    assert message.sealed_head + message.sealed.body == datagram
    assert parse_payloads(message.sealed.inner_next_payload, toy.open(message.sealed.body)) == payloads


def test_vector_of_a_sealed_message() -> None:
    datagram = encode_sealed(
        SPI_I, SPI_R, 37, RESPONSE, 2, *encode_payloads((Delete(1),)), lambda size: size + 1, lambda _h, p: p + b"!"
    )
    assert (
        datagram
        == SPI_I
        + SPI_R
        + bytes.fromhex("2e 20 25 20 00000002 00000029 | 2a 00 000d | 0000000801000000".replace("|", ""))
        + b"!"
    )


@given(chains, st.integers(1, 200))
def test_fragments_round_trip(payloads: tuple, size: int) -> None:
    toy = Toy()
    first, chain = encode_payloads(payloads)
    chunks = [chain[start : start + size] for start in range(0, len(chain), size)] or [b""]
    got, inner = b"", []
    for number, chunk in enumerate(chunks, 1):
        datagram = encode_sealed_fragment(
            SPI_I, SPI_R, 35, INITIATOR, 1, first, number, len(chunks), chunk, toy.sealed_length, toy.seal
        )
        message = Message.parse(datagram)
        fragment = message.sealed
        assert isinstance(fragment, SealedFragment)
        assert (fragment.number, fragment.total) == (number, len(chunks))
        # RFC 7383 section 2.5: the fragment's numbers are authenticated too.
        assert toy.heads[-1] == message.sealed_head == datagram[:36]
        inner.append(fragment.inner_next_payload)
        got += toy.open(fragment.body)
    assert inner == [first] + [0] * (len(chunks) - 1)
    assert parse_payloads(first, got) == payloads


def test_a_seal_that_breaks_its_word_is_never_sent() -> None:
    with pytest.raises(ValueError, match="not the 9 announced"):
        encode_sealed(SPI_I, SPI_R, 37, 0, 2, 0, b"", lambda _size: 9, lambda _head, _plain: b"8 octets")


@pytest.mark.parametrize("size", [65532, 100000])
def test_a_payload_that_its_length_cannot_tell_is_never_sent(size: int) -> None:
    with pytest.raises(ValueError, match="length field"):
        encode_payloads((VendorID(bytes(size)),))
    with pytest.raises(ValueError, match="length field"):
        encode_sealed(SPI_I, SPI_R, 37, 0, 2, 0, b"", lambda _size: size, lambda _head, _plain: bytes(size))


def test_the_longest_payload() -> None:
    payload = VendorID(bytes(65531))
    assert Message.parse(encode_message(SPI_I, SPI_R, 34, 0, 0, (payload,))).payloads == (payload,)


def test_plain_payloads_may_stand_before_sk() -> None:
    payloads = (Notify(16384), Sealed(39, b"body"))
    message = Message.parse(encode_sealed_by_hand(payloads))
    assert message.payloads == payloads
    assert message.sealed == payloads[1]
    assert message.sealed_head == encode_sealed_by_hand(payloads)[: 28 + 8 + 4]


def test_payloads_are_found_by_class_and_notify_type() -> None:
    values = (KE_1, Notify(16388, b"1"), Notify(16389, b"2"), Notify(16388, b"3"), Notify(14), VendorID(b"x"))
    payloads = Payloads(values)
    assert payloads.one(KE) is payloads.need(KE) is KE_1
    assert payloads.one(Nonce) is None
    assert payloads.all(Nonce) == ()
    assert payloads.all(Notify) == values[1:5]
    assert payloads.notify(16388) == Notify(16388, b"1")
    assert payloads.notify(16390) is None
    assert payloads.notifies(16388) == (values[1], values[3])
    assert payloads.notifies(16390) == ()
    assert payloads.error() == Notify(14)
    assert Payloads(values[:4]).error() is None
    assert KE in payloads and Nonce not in payloads
    assert tuple(payloads) == payloads.values == values and len(payloads) == 6


def test_a_missing_payload_is_named() -> None:
    with pytest.raises(IkeError, match="Nonce payload is missing") as caught:
        Payloads((KE_1,)).need(Nonce)
    assert caught.value.notify == INVALID_SYNTAX


@pytest.mark.parametrize("payload", ONCE, ids=lambda found: type(found).__name__)
def test_what_may_occur_once_may_not_occur_twice(payload) -> None:
    with pytest.raises(IkeError, match="more than one") as caught:
        Payloads((payload, Notify(16384), payload))
    assert caught.value.notify == INVALID_SYNTAX


@pytest.mark.parametrize("payload", [Notify(14), Delete(3), VendorID(b""), Unknown(200, False, b"")])
def test_what_may_occur_often_may(payload) -> None:
    assert Payloads((payload, payload)).all(type(payload)) == (payload, payload)
