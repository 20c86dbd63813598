# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XFRM rows: what is packed is unpacked the same, octets lie where the kernel looks, keys stay behind."""

from __future__ import annotations

import socket
import struct

import pytest
from engine.kernel import xfrm
from engine.kernel.spec import Limits
from engine.kernel.values import Aead, Auth, Crypt, KernelSelector, Policy, Sa, Template
from engine.secret import Secret
from hypothesis import given
from hypothesis import strategies as st

ports = st.integers(0, 0xFFFF)
words = st.integers(0, 0xFFFFFFFF)


@st.composite
def selectors(draw: st.DrawFn) -> KernelSelector:
    octets, bits = draw(st.sampled_from([(4, 32), (16, 128)]))
    address, prefix = st.binary(min_size=octets, max_size=octets), st.integers(0, bits)
    return KernelSelector(
        4 if octets == 4 else 6,
        draw(address), draw(prefix), draw(address), draw(prefix),
        draw(st.integers(0, 255)), draw(ports), draw(ports), draw(ports), draw(ports), draw(st.integers(0, 99)),
    )  # fmt: skip


@st.composite
def addresses(draw: st.DrawFn) -> tuple[str, str]:
    """Two address texts of one family, in their shortest form."""
    family, octets = draw(st.sampled_from([(socket.AF_INET, 4), (socket.AF_INET6, 16)]))
    first, second = (draw(st.binary(min_size=octets, max_size=octets)) for _unused in range(2))
    return socket.inet_ntop(family, first), socket.inet_ntop(family, second)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    protocol, mode = draw(st.sampled_from([50, 51, 108])), draw(st.sampled_from(["tunnel", "transport"]))
    return Template(*draw(addresses()), draw(words), protocol, mode, draw(words), draw(st.booleans()))


@given(selectors())
def test_selector_round_trip(selector: KernelSelector) -> None:
    packed = xfrm.pack_selector(selector)
    assert len(packed) == xfrm.SELECTOR_SIZE
    assert xfrm.unpack_selector(b"\0" * 8 + packed, 8) == selector


@given(selectors(), st.sampled_from(["out", "in", "fwd"]), words, st.sampled_from(["allow", "block"]),
       st.lists(templates(), max_size=6).map(tuple), words)  # fmt: skip
def test_policy_round_trip(
    selector: KernelSelector, direction: str, rank: int, action: str, chain: tuple[Template, ...], index: int
) -> None:
    policy = Policy(selector, direction, rank, action, chain, index)
    packed = xfrm.pack_policy(policy)
    assert xfrm.unpack_policy(packed, 0, len(packed)) == policy


@given(addresses(), words, st.sampled_from([1, 32, 33, 4096]), st.booleans(), words)
def test_sa_round_trip(ends: tuple[str, str], spi: int, window: int, esn: bool, reqid: int) -> None:
    sa = Sa(
        *ends, spi, 50, "tunnel", reqid,
        aead=Aead("rfc4106(gcm(aes))", Secret(b"k" * 36), 128), encapsulation=(4500, 1024),
        replay_window=window, esn=esn, af_unspec=True,
    )  # fmt: skip
    packed = xfrm.pack_sa(sa)
    state = xfrm.unpack_sa(packed, 0, len(packed))
    assert (state.source, state.destination, state.spi, state.reqid) == (*ends, spi, reqid)
    assert (state.mode, state.replay_window, state.esn, state.encapsulation) == ("tunnel", window, esn, (4500, 1024))
    assert state.algorithms == ("rfc4106(gcm(aes))",) and not state.larval
    assert "kkkk" not in repr(state) + repr(sa)


def test_the_bitmap_attribute_is_for_wide_windows_and_esn_only() -> None:
    def kinds(window: int, esn: bool = False) -> tuple[set[int], int]:
        sa = Sa("192.0.2.1", "192.0.2.2", 256, 50, "tunnel", 1, replay_window=window, esn=esn)
        packed = xfrm.pack_sa(sa)
        return set(xfrm.attributes(packed, xfrm.SA_SIZE, len(packed))), packed[xfrm.SA_SIZE - 9]

    assert kinds(32) == (set(), 32)
    assert kinds(33) == ({xfrm.REPLAY_ESN_VAL}, 0)
    assert kinds(1, esn=True) == ({xfrm.REPLAY_ESN_VAL}, 0)


def test_a_whole_sa_octet_by_octet() -> None:
    sa = Sa(
        "192.0.2.1", "192.0.2.2", 0xC0DE0001, 50, "transport", 7,
        encryption=Crypt("cbc(aes)", Secret(bytes(range(16)))), integrity=Auth("hmac(sha256)", Secret(b"m" * 32), 128),
        replay_window=32, limits=Limits(soft_bytes=5, hard_packets=9, hard_seconds=60),
    )  # fmt: skip
    native = struct.Struct
    infinite = 0xFFFFFFFFFFFFFFFF
    assert xfrm.pack_sa(sa) == b"".join(
        (
            bytes(56),
            bytes([192, 0, 2, 2]) + bytes(12) + bytes.fromhex("c0de0001") + bytes([50, 0, 0, 0]),
            bytes([192, 0, 2, 1]) + bytes(12),
            native("=8Q").pack(5, infinite, infinite, 9, 0, 60, 0, 0),
            bytes(32 + 12),
            native("=IIHBBB7x").pack(0, 7, socket.AF_INET, 0, 32, 0),
            native("=HH64sI").pack(4 + 68 + 16, 2, b"cbc(aes)", 128) + bytes(range(16)),
            native("=HH64sII").pack(4 + 72 + 32, 20, b"hmac(sha256)", 256, 128) + b"m" * 32,
        )
    )


def test_sub_policies_and_those_of_sockets_are_left_out() -> None:
    policy = Policy(KernelSelector(4, bytes(4), 0, bytes(4), 0), "out", 1)
    packed = xfrm.pack_policy(policy)
    sub = packed + xfrm.attribute(xfrm.POLICY_TYPE, bytes([1, 0, 0, 0, 0, 0]))
    assert xfrm.unpack_policy(sub, 0, len(sub)) is None
    direction_at = 160
    of_socket = packed[:direction_at] + b"\x04" + packed[direction_at + 1 :]
    assert xfrm.unpack_policy(of_socket, 0, len(of_socket)) is None


@pytest.mark.parametrize("data", [b"", b"\x03\x00\x01\x00", b"\x00\x00\x00\x00", b"\x08\x00"])
def test_attributes_end_where_they_are_broken(data: bytes) -> None:
    assert xfrm.attributes(data, 0, len(data)) == {}
