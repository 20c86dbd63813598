# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile datagrams: nothing but IkeError escapes, and none costs more than a fixed amount of work."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
from engine.errors import MESSAGE, IkeError
from engine.wire.budget import LIMITS
from engine.wire.reader import INVALID_SYNTAX
from engine.wire.v2.message import Message, Payloads, encode_message, encode_payloads, parse_payloads
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.sa import Transform
from engine.wire.v2.sealed import Sealed, SealedFragment
from engine.wire.v2.unknown import Unknown
from hypothesis import example, given, settings
from hypothesis import strategies as st
from message_samples import CHARON, ONCE, SPI_I, SPI_R, encode_sealed_by_hand
from wire_strategies import chains

UNSUPPORTED_CRITICAL_PAYLOAD = NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD


def datagram(first: int, chain: bytes, version: int = 0x20, initiator: bytes = SPI_I) -> bytes:
    """A header whose length is right in front of whatever chain."""
    length = (28 + len(chain)).to_bytes(4, "big")
    return initiator + SPI_R + bytes((first, version, 34, 8)) + bytes(4) + length + chain


def generic(following: int, body: bytes, flags: int = 0) -> bytes:
    return bytes((following, flags)) + (len(body) + 4).to_bytes(2, "big") + body


def refusal(octets: bytes) -> IkeError:
    with pytest.raises(IkeError) as caught:
        Message.parse(octets)
    assert caught.value.scope == MESSAGE
    assert caught.value.story.isprintable()
    return caught.value


# 1. Header (lengths: see test_wire_reader)


@pytest.mark.parametrize(
    ("version", "notify"), [(0x00, 0), (0x10, 0), (0x1F, 0), (0x30, 5), (0x21 + 0x20, 5), (0xF0, 5)]
)
def test_other_major_versions(version: int, notify: int) -> None:
    assert refusal(datagram(0, b"", version)).notify == notify


def test_minor_versions_and_reserved_flags_are_ignored() -> None:
    octets = bytearray(datagram(0, b"", 0x2F))
    octets[19] = 0xFF
    assert Message.parse(octets).header.minor == 15


def test_a_zero_initiator_spi_gets_no_answer() -> None:
    assert refusal(datagram(0, b"", initiator=bytes(8))).notify == 0


# 2. Payload chain


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [33, 41, 46, 53, 200])
def test_lengths_shorter_than_the_head(kind: int, length: int) -> None:
    assert refusal(datagram(kind, bytes((kind, 0, 0, length)) + bytes(40))).notify == INVALID_SYNTAX


@pytest.mark.parametrize("kind", [40, 43, 46, 53, 200])
@pytest.mark.parametrize("excess", [1, 2, 65535 - 24])
def test_lengths_past_the_end(kind: int, excess: int) -> None:
    assert refusal(datagram(kind, b"\0\0" + (24 + excess).to_bytes(2, "big") + bytes(20))).notify == INVALID_SYNTAX


@pytest.mark.parametrize("trail", [1, 2, 3, 4, 8])
def test_octets_behind_the_last_payload(trail: int) -> None:
    assert refusal(datagram(40, generic(0, bytes(16)) + bytes(trail))).notify == INVALID_SYNTAX
    assert refusal(datagram(46, generic(33, bytes(16)) + bytes(trail))).notify == INVALID_SYNTAX
    assert refusal(datagram(53, generic(33, b"\0\1\0\1" + bytes(16)) + bytes(trail))).notify == INVALID_SYNTAX
    assert refusal(datagram(0, bytes(trail))).notify == INVALID_SYNTAX


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (33, "00000014 01010001 0000000c 01000014 800e0100"),
        (42, "03040001 c0000001"),
        (44, "01000000 07000010 0000ffff 0a010000 0a01ffff"),
        (45, "01000000 07000010 0000ffff 0a010000 0a01ffff"),
    ],
)
def test_octets_behind_the_content_of_a_payload(kind: int, body: str) -> None:
    content = bytes.fromhex(body)
    assert len(Message.parse(datagram(kind, generic(0, content))).payloads) == 1
    for trail in (1, 4, 8):
        assert refusal(datagram(kind, generic(0, content + bytes(trail)))).notify == INVALID_SYNTAX


def test_a_chain_that_ends_before_it_says() -> None:
    assert refusal(datagram(40, b"")).notify == INVALID_SYNTAX
    assert refusal(datagram(40, generic(41, bytes(16)))).notify == INVALID_SYNTAX
    assert refusal(datagram(40, generic(41, bytes(16)) + b"\0\0\0")).notify == INVALID_SYNTAX


KNOWN = {*range(33, 49), 53}


@pytest.mark.parametrize("kind", sorted(set(range(1, 256)) - KNOWN))
def test_unknown_payloads_are_skipped_unless_critical(kind: int) -> None:
    octets = datagram(kind, generic(40, b"?") + generic(0, bytes(16)))
    assert Message.parse(octets).payloads == (Unknown(kind, False, b"?"), Nonce(bytes(16)))
    error = refusal(datagram(kind, generic(40, b"?", 0x80) + generic(0, bytes(16))))
    assert (error.notify, error.data) == (UNSUPPORTED_CRITICAL_PAYLOAD, bytes((kind,)))
    with pytest.raises(IkeError) as caught:
        parse_payloads(kind, generic(0, b"", 0xFF))
    assert caught.value.notify == UNSUPPORTED_CRITICAL_PAYLOAD


def test_the_critical_bit_of_a_known_payload_is_ignored() -> None:
    assert Message.parse(datagram(40, generic(0, bytes(16), 0xFF))).payloads == (Nonce(bytes(16)),)


def test_an_ikev1_main_mode_under_a_version_2_header_holds_nothing_known() -> None:
    message = Message.parse(datagram(1, generic(13, bytes(48)) + generic(0, bytes(16))))
    assert [type(payload) for payload in message.payloads] == [Unknown, Unknown]
    with pytest.raises(IkeError, match="Nonce payload is missing"):
        Payloads(message.payloads).need(Nonce)


@pytest.mark.parametrize("kind", [46, 53])
def test_nothing_follows_or_nests_an_encrypted_payload(kind: int) -> None:
    # The next payload field of SK names what is inside, so a payload behind it is nothing but trailing octets.
    body = b"\0\1\0\1" + bytes(16)
    assert refusal(datagram(kind, generic(41, body) + generic(0, bytes((0, 0, 0x40, 0))))).notify == INVALID_SYNTAX
    assert refusal(datagram(kind, generic(kind, body) + generic(0, body))).notify == INVALID_SYNTAX
    for plain in (generic(0, body), generic(kind, body)):
        with pytest.raises(IkeError, match="where none can be"):
            parse_payloads(kind, plain)
    with pytest.raises(IkeError, match="where none can be"):
        parse_payloads(40, generic(kind, bytes(16)) + generic(0, body))


# 7. Fragments


def test_plain_payloads_beside_a_fragment() -> None:
    octets = encode_sealed_by_hand((Notify(16384), SealedFragment(39, b"body", 1, 2)))
    assert refusal(octets).notify == INVALID_SYNTAX
    assert Message.parse(encode_sealed_by_hand((SealedFragment(39, b"body", 1, 65535),))).sealed.total == 65535


@pytest.mark.parametrize("numbers", ["00000000", "00000001", "00010000", "00020001", "ffff0001"])
def test_impossible_fragment_numbers(numbers: str) -> None:
    assert refusal(datagram(53, generic(0, bytes.fromhex(numbers) + b"body"))).notify == INVALID_SYNTAX


# Fuzzing


def parse_or_refuse(octets: bytes) -> Message | None:
    """Parse, look up, and prove that what was understood is a value that travels back unchanged."""
    try:
        message = Message.parse(octets)
        Payloads(message.payloads)
    except IkeError as error:
        assert error.notify in (0, 1, 5, 7) and error.scope == MESSAGE
        return None
    plain = [payload for payload in message.payloads if not isinstance(payload, (Sealed, SealedFragment))]
    if "unknown_attributes=True" not in repr(plain):
        assert parse_payloads(*encode_payloads(plain)) == tuple(plain)
    return message


@settings(max_examples=400)
@given(st.binary(max_size=300), st.booleans(), st.integers(0, 255))
@example(b"", False, 0)
def test_random_octets(data: bytes, with_header: bool, first: int) -> None:
    parse_or_refuse(datagram(first, data) if with_header else data)


_links = st.tuples(
    st.integers(33, 54) | st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=40),
    st.just(0) | st.integers(-50, 50) | st.integers(-65535, 65535),
)


@settings(max_examples=400)
@given(st.integers(33, 54), st.lists(_links, max_size=10))
def test_random_chains_with_lying_lengths(first: int, links: list[tuple[int, int, bytes, int]]) -> None:
    chain = b"".join(
        bytes((following, flags)) + ((len(body) + 4 + lie) & 0xFFFF).to_bytes(2, "big") + body
        for following, flags, body, lie in links
    )
    parse_or_refuse(datagram(first, chain))


def mutate(octets: bytes, chance: random.Random) -> bytes:
    """A few octets changed, removed or doubled; the header's length mended so that parsing goes on."""
    found = bytearray(octets)
    for _unused in range(chance.randint(1, 4)):
        at = chance.randrange(16, len(found))
        change = chance.randrange(4)
        if change == 0:
            found[at] = chance.choice((0, 1, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif change == 1:
            found[at] ^= 1 << chance.randrange(8)
        elif change == 2 and len(found) > 40:
            del found[at : at + chance.randint(1, 9)]
        else:
            found[at:at] = found[at : at + chance.randint(1, 40)]
    found[24:28] = len(found).to_bytes(4, "big")
    return bytes(found)


@settings(max_examples=300)
@given(chains, st.randoms(use_true_random=False))
def test_mutated_messages(payloads: tuple, chance: random.Random) -> None:
    octets = encode_message(SPI_I, SPI_R, 34, 8, 0, payloads) + bytes(4)
    for _unused in range(5):
        parse_or_refuse(mutate(octets, chance))


def test_every_octet_of_a_real_message_changed() -> None:
    for at in range(len(CHARON)):
        for value in (0, 1, 4, 0x7F, 0x80, 0xFF, CHARON[at] ^ 1):
            parse_or_refuse(CHARON[:at] + bytes((value,)) + CHARON[at + 1 :])


def test_every_truncation_of_a_real_message_is_refused() -> None:
    for size in range(28, len(CHARON)):
        cut = bytearray(CHARON[:size])
        cut[24:28] = size.to_bytes(4, "big")
        try:
            message = Message.parse(cut)
        except IkeError as error:
            assert error.notify == INVALID_SYNTAX
        else:  # none of the cuts falls where a chain may end
            raise AssertionError(f"{size} octets passed as {message.payloads}")


# Bounds on work and memory


def calls(action: Callable[[], object]) -> int:
    """How many Python and C functions are called: a measure of time that does not depend on the machine."""
    count = 0

    def tally(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tally)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def transform(last: bool, body: bytes) -> bytes:
    return bytes((0 if last else 3, 0)) + (len(body) + 4).to_bytes(2, "big") + body


def proposal(number: int, last: bool, transforms: list[bytes], announced: int | None = None) -> bytes:
    body = bytes((number, 1, 0, len(transforms) if announced is None else announced)) + b"".join(transforms)
    return bytes((0 if last else 2, 0)) + (len(body) + 4).to_bytes(2, "big") + body


def offer(proposals: int, transforms: int, attributes: bytes) -> bytes:
    """Every transform is another one, so that no cache helps."""
    number = iter(range(1 << 20))
    return b"".join(
        proposal(
            count % 255 + 1,
            count == proposals - 1,
            [
                transform(left == 0, b"\1\0" + (next(number) & 0xFFFF).to_bytes(2, "big") + attributes)
                for left in range(transforms - 1, -1, -1)
            ],
        )
        for count in range(proposals)
    )


V4_RANGE = bytes.fromhex("07000010 0000ffff 0a000000 0a0000ff")
BOMBS = {
    "10,000 empty unknown payloads": (200, generic(200, b"") * 10000),
    "10,000 vendor IDs": (43, generic(43, b"") * 10000),
    "8,000 notifies": (41, generic(41, b"\0\0\x40\0") * 8000),
    "8,000 deletes": (42, generic(42, b"\1\0\0\0") * 8000),
    "255 x 255 transforms": (33, generic(0, offer(31, 255, b""))),
    "255 proposals of one transform": (33, generic(0, offer(255, 1, b""))),
    "100 SA payloads": (33, generic(33, offer(2, 40, b"")) * 90),
    "a transform with 16,000 attributes": (33, generic(0, offer(1, 1, bytes.fromhex("800f0001") * 16000))),
    "100 attributes in each transform": (33, generic(0, offer(2, 70, bytes.fromhex("800f0001") * 100))),
    "70 deletes of 200 SPIs": (42, generic(42, b"\3\4\0\xc8" + bytes(800)) * 70),
    "a delete of 16,000 SPIs": (42, generic(0, b"\3\4\x3e\x80" + bytes(64000))),
    "16,000 configuration attributes": (47, generic(0, b"\1\0\0\0" + bytes(64000))),
    "16 TS payloads of 255 selectors": (44, generic(44, b"\xff\0\0\0" + V4_RANGE * 255) * 15),
    "50 CERT of 1,000 octets": (37, generic(37, b"\4" + bytes(1000)) * 50),
}


@pytest.mark.parametrize(("first", "chain"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_costs_much(first: int, chain: bytes) -> None:
    octets = datagram(first, chain)
    if len(octets) > 65507:  # what UDP carries
        octets = datagram(first, chain[: 65507 - 28])
    raised: list[IkeError] = []

    def defuse() -> None:
        try:
            Message.parse(octets)
        except IkeError as error:
            raised.append(error)

    spent = calls(defuse)
    assert raised and raised[0].notify == INVALID_SYNTAX
    assert raised[0].story.startswith("the message has too many ")
    # Under 1 ms on a machine on which an ordinary IKE_SA_INIT, some 150 calls, takes 15 µs.
    assert spent < 15000, spent


def test_each_limit_admits_its_own_number() -> None:
    count = LIMITS["transforms"] // 64
    octets = datagram(33, generic(0, offer(64, count, bytes.fromhex("800e0100"))))
    (sa,) = Message.parse(octets).payloads
    assert (len(sa.proposals), sum(len(found.transforms) for found in sa.proposals)) == (64, 64 * count)
    assert sa.proposals[1].transforms[0] == Transform(1, count, 256)
    for kind, name, body in ((43, "payloads", b""), (41, "notifies", b"\0\0\x40\0")):
        chain = generic(kind, body) * (LIMITS[name] - 1) + generic(0, body)
        assert len(Message.parse(datagram(kind, chain)).payloads) == LIMITS[name]
        assert f"too many {name}" in refusal(datagram(kind, generic(kind, body) + chain)).story


def test_an_ordinary_message_costs_little() -> None:
    Message.parse(CHARON)
    assert calls(lambda: Message.parse(CHARON)) < 200


@pytest.mark.parametrize("payload", ONCE[1:5], ids=lambda found: type(found).__name__)
def test_duplicates_are_refused_when_looked_up(payload) -> None:
    message = Message.parse(encode_message(SPI_I, SPI_R, 34, 8, 0, (payload, payload)))
    with pytest.raises(IkeError, match="more than one"):
        Payloads(message.payloads)
