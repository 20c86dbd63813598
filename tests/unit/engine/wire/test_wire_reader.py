# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounded reader, its budget and the header."""

from __future__ import annotations

from struct import Struct

import pytest
from engine.errors import MESSAGE, IkeError
from engine.wire.budget import LIMITS, Budget
from engine.wire.header import INITIATOR, RESPONSE, VERSION, Header
from engine.wire.reader import INVALID_SYNTAX, Reader
from hypothesis import given
from hypothesis import strategies as st

DATA = bytes(range(1, 33))


def test_reads_numbers_in_network_order_and_octets() -> None:
    reader = Reader(DATA)
    assert (reader.u8(), reader.u16(), reader.u32()) == (0x01, 0x0203, 0x04050607)
    assert reader.unpack(Struct("!Q")) == (0x08090A0B0C0D0E0F,)
    assert reader.take(2) == b"\x10\x11"
    assert reader.remaining == 15
    assert reader.rest() == DATA[17:]
    reader.finish()


@pytest.mark.parametrize("data", [memoryview(DATA), bytearray(DATA)])
def test_gives_bytes_whatever_it_reads_from(data: memoryview | bytearray) -> None:
    taken = Reader(data).take(4)  # type: ignore[arg-type]
    assert isinstance(taken, bytes) and taken == DATA[:4]


@pytest.mark.parametrize(
    "read",
    [
        lambda reader: reader.u8(),
        lambda reader: reader.u16(),
        lambda reader: reader.u32(),
        lambda reader: reader.unpack(Struct("!Q")),
        lambda reader: reader.take(1),
        lambda reader: reader.take(-1),
        lambda reader: reader.window(1),
        lambda reader: reader.window(-4),
    ],
)
def test_never_reads_beyond_its_end(read) -> None:
    reader = Reader(DATA, 4, 4)  # there are octets behind the end, and before it
    with pytest.raises(IkeError) as caught:
        read(reader)
    assert (caught.value.notify, caught.value.scope) == (INVALID_SYNTAX, MESSAGE)
    assert reader.rest() == b""


def test_a_window_is_exact_and_the_outer_reader_goes_on_behind_it() -> None:
    reader = Reader(DATA)
    window = reader.window(4)
    assert reader.u8() == 5
    assert window.u16() == 0x0102
    with pytest.raises(IkeError, match="2 octets trail"):
        window.finish()
    with pytest.raises(IkeError):
        window.take(3)
    assert window.take(2) == b"\x03\x04"
    window.finish()


@pytest.mark.parametrize(("start", "end"), [(-1, 4), (5, 4), (0, 33), (33, None)])
def test_a_window_outside_of_the_data_is_our_own_mistake(start: int, end: int | None) -> None:
    with pytest.raises(ValueError, match="outside"):
        Reader(DATA, start, end)


@given(st.binary(max_size=64), st.lists(st.integers(-2, 12), max_size=20))
def test_any_walk_yields_the_octets_in_order_or_stops(data: bytes, steps: list[int]) -> None:
    reader = Reader(data)
    seen = b""
    for step in steps:
        try:
            seen += reader.take(step)
        except IkeError:
            assert step < 0 or step > reader.remaining
    assert seen + reader.rest() == data


def test_windows_share_the_budget() -> None:
    reader = Reader(DATA, budget=Budget({"payloads": 2}))
    reader.window(1).budget.spend("payloads")
    reader.budget.spend("payloads")
    with pytest.raises(IkeError, match="too many payloads") as caught:
        reader.window(1).window(1).budget.spend("payloads")
    assert caught.value.notify == INVALID_SYNTAX


def test_a_budget_is_not_shared_between_messages() -> None:
    for _unused in range(2):
        Reader(DATA).budget.spend("notifies", LIMITS["notifies"])


HEADER = bytes.fromhex("0102030405060708 1112131415161718 2e 20 25 28 0000000a 0000001c")


def test_header_vector() -> None:
    header = Header.parse(HEADER)
    assert header == Header(HEADER[:8], HEADER[8:16], 46, 2, 0, 37, INITIATOR | RESPONSE, 10, 28)
    assert header.encode() == HEADER
    assert header.is_response and header.from_initiator


def test_header_of_ikev1_is_not_judged() -> None:
    header = Header.parse(memoryview(bytes.fromhex("01020304050607080000000000000000 01 10 02 00 00000000 0000001c")))
    assert (header.major, header.minor, header.exchange) == (1, 0, 2)
    assert not header.is_response and not header.from_initiator


_u8 = st.integers(0, 255)
_u32 = st.integers(0, 2**32 - 1)
_spi = st.binary(min_size=8, max_size=8)


@given(_spi, _spi, _u8, st.integers(0, 15), st.integers(0, 15), _u8, _u8, _u32)
def test_header_round_trip(
    i: bytes, r: bytes, first: int, major: int, minor: int, exchange: int, flags: int, number: int
) -> None:
    header = Header(i, r, first, major, minor, exchange, flags, number, 28)
    assert Header.parse(header.encode()) == header
    assert header.is_response == bool(flags & 0x20) and header.from_initiator == bool(flags & 0x08)
    assert VERSION == 0x10


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xff",  # NAT keepalive
        HEADER[:-1],
        HEADER + b"\0",
        bytes(4) + HEADER,  # non-ESP marker left in front
        HEADER[4:] + bytes(4),
        HEADER[:24] + bytes(4),
        HEADER[:24] + b"\0\0\0\x1b",
        HEADER[:24] + b"\xff\xff\xff\xff",
    ],
    ids=["empty", "keepalive", "27 octets", "29 octets", "marker", "marker missing", "zero", "27", "huge"],
)
def test_what_is_not_even_a_header_gets_no_answer(datagram: bytes) -> None:
    with pytest.raises(IkeError) as caught:
        Header.parse(datagram)
    assert (caught.value.notify, caught.value.scope) == (0, MESSAGE)
