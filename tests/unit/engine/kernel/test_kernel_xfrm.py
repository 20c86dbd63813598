# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of XFRM: octets as the kernel lays them out, and back."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest
from engine.child_sa import ChildSa, Copied, Limits
from engine.kernel import xfrm
from engine.kernel.installed import REPLAY_VAL, unpack_installed
from engine.kernel.values import Aead, Auth, Crypt, KernelSelector, Policy, Sa, Template
from engine.secret import Secret
from engine.selector import parse_selector
from hypothesis import given
from hypothesis import strategies as st

addresses = (
    st.sampled_from([4, 6])
    .flatmap(lambda v: st.ip_addresses(v=v))
    .map(lambda a: socket.inet_ntop(socket.AF_INET6 if a.version == 6 else socket.AF_INET, a.packed))
)
word = st.integers(0, 0xFFFFFFFF)
half = st.integers(0, 0xFFFF)
KEY = Secret(bytes(range(36)))


@st.composite
def selectors(draw) -> KernelSelector:
    version = draw(st.sampled_from([4, 6]))
    sides = []
    for _side in range(2):
        address = draw(st.ip_addresses(v=version))
        sides += [address.packed, draw(st.integers(0, address.max_prefixlen))]
    return KernelSelector(
        version, *sides, draw(st.integers(0, 255)), *(draw(half) for _unused in range(4)), draw(st.integers(0, 99))
    )


templates = st.builds(
    Template, addresses, addresses, word, st.sampled_from([50, 51, 108]), st.sampled_from(["tunnel", "transport"]),
    word, st.booleans(),
).filter(lambda t: (":" in t.source) == (":" in t.destination))  # fmt: skip


@given(selectors())
def test_selectors(selector: KernelSelector) -> None:
    octets = xfrm.pack_selector(selector)
    assert len(octets) == xfrm.SELECTOR_SIZE == 56
    assert xfrm.unpack_selector(b"junk" + octets, 4) == selector


def test_a_selector_as_the_kernel_lays_it_out() -> None:
    """struct xfrm_selector: addresses, ports with masks, family, prefix lengths, protocol; destination comes first."""
    selector = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), 16, 17, 1000, 0xFFFF, 53, 0xFF00)
    assert xfrm.pack_selector(selector) == (
        bytes([10, 2, 0, 0]) + bytes(12) + bytes([10, 1, 0, 0]) + bytes(12)
        + bytes.fromhex("0035 ff00 03e8 ffff") + struct.pack("=H", socket.AF_INET) + bytes([16, 24, 17]) + bytes(11)
    )  # fmt: skip


@given(addresses)
def test_addresses(address: str) -> None:
    octets = xfrm.pack_address(address)
    assert len(octets) == 16 and octets.startswith(ip_address(address).packed)
    assert xfrm.unpack_address(octets, xfrm.family_of(address)) == address


@given(
    selectors(), st.sampled_from(["in", "out", "fwd"]), word, st.sampled_from(["allow", "block"]),
    st.lists(templates, max_size=6).map(tuple), word,
)  # fmt: skip
def test_policies(selector, direction, rank, action, demanded, index) -> None:
    policy = Policy(selector, direction, rank, action, demanded, index)
    octets = xfrm.pack_policy(policy)
    assert len(octets) == xfrm.POLICY_SIZE + (4 + 64 * len(demanded) if demanded else 0)
    assert xfrm.unpack_policy(b"head" + octets, 4, 4 + len(octets)) == policy


def test_policies_of_sockets_and_of_sub_tables_are_left_out() -> None:
    policy = Policy(KernelSelector(4, bytes(4), 0, bytes(4), 0), "out", 1)
    octets = bytearray(xfrm.pack_policy(policy))
    octets += xfrm.attribute(xfrm.POLICY_TYPE, bytes([1, 0, 0, 0, 0, 0]))
    assert xfrm.unpack_policy(bytes(octets), 0, len(octets)) is None
    octets = bytearray(xfrm.pack_policy(policy))
    octets[160] = 4  # direction: out of a socket
    assert xfrm.unpack_policy(bytes(octets), 0, len(octets)) is None


@pytest.mark.parametrize(("direction", "there"), [("out", True), ("in", False), ("fwd", False)])
def test_only_what_goes_out(direction: str, there: bool) -> None:
    policy = Policy(KernelSelector(4, bytes(4), 0, bytes(4), 0), direction, 1)
    octets = b"head" + xfrm.pack_policy(policy)
    assert xfrm.unpack_outbound_policy(octets, 4, len(octets)) == (policy if there else None)


def test_a_mark_is_noticed() -> None:
    octets = xfrm.pack_policy(Policy(KernelSelector(4, bytes(4), 0, bytes(4), 0), "out", 1)) + xfrm.attribute(
        xfrm.MARK, bytes(8)
    )
    assert xfrm.unpack_policy(octets, 0, len(octets)).marked


@given(selectors(), st.integers(1, 0xFFFFFFFF), st.lists(templates, max_size=2).map(tuple))
def test_the_interface_of_policies_and_sas(selector, if_id, demanded) -> None:
    policy = Policy(selector, "out", 1, templates=demanded, if_id=if_id)
    octets = xfrm.pack_policy(policy)
    assert octets.endswith(struct.pack("=HHI", 8, 31, if_id)), "XFRMA_IF_ID"
    assert xfrm.unpack_policy(octets, 0, len(octets)) == policy
    named, numbered = xfrm.pack_policy_id(selector, "out", if_id), xfrm.pack_policy_index(9, "out", if_id)
    assert named.endswith(octets[-8:]) and numbered.endswith(octets[-8:])
    assert len(xfrm.pack_policy_id(selector, "out")) == len(named) - 8, "older kernels know no such attribute"
    sa = Sa("192.0.2.1", "192.0.2.2", 0x100, 50, "tunnel", 7, aead=Aead("gcm", KEY, 128), if_id=if_id)
    octets = xfrm.pack_sa(sa)
    assert xfrm.unpack_sa(octets, 0, len(octets)).if_id == if_id


SAS = {
    "aead": (Sa("192.0.2.1", "192.0.2.2", 0x100, 50, "tunnel", 7, aead=Aead("rfc4106(gcm(aes))", KEY, 128),
                af_unspec=True, replay_window=128, esn=True), ("rfc4106(gcm(aes))",)),
    "cbc": (Sa("2001:db8::1", "2001:db8::2", 0xFFFFFFFF, 50, "transport", 7, encryption=Crypt("cbc(aes)", KEY),
               integrity=Auth("hmac(sha256)", KEY, 128), encapsulation=(4500, 1024), replay_window=32),
            ("cbc(aes)", "hmac(sha256)")),
    "ah": (Sa("192.0.2.1", "192.0.2.2", 0x101, 51, "transport", 0, integrity=Auth("hmac(sha1)", KEY, 96)),
           ("hmac(sha1)",)),
    "comp": (Sa("192.0.2.1", "192.0.2.2", 0x102, 108, "tunnel", 7, compression="deflate"), ("deflate",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAS)
def test_sas_are_read_without_their_keys(name: str) -> None:
    sa, algorithms = SAS[name]
    octets = xfrm.pack_sa(sa)
    state = xfrm.unpack_sa(b"x" * 16 + octets, 16, 16 + len(octets))
    fields = (
        "source",
        "destination",
        "spi",
        "protocol",
        "mode",
        "reqid",
        "encapsulation",
        "esn",
        "af_unspec",
        "replay_window",
    )
    assert {f: getattr(state, f) for f in fields} == {f: getattr(sa, f) for f in fields}
    assert state.algorithms == algorithms and not state.larval and not state.hold
    assert KEY.reveal().hex() not in repr(state) + repr(sa) and str(KEY.reveal()) not in repr(state) + repr(sa)


@given(
    st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(st.ip_addresses(v=v), st.ip_addresses(v=v))), word,
    st.sampled_from([1, 32, 33, 4096]), st.booleans(), word,
)  # fmt: skip
def test_sas_of_any_ends_and_windows(ends, spi: int, window: int, esn: bool, reqid: int) -> None:
    texts = [socket.inet_ntop(socket.AF_INET6 if end.version == 6 else socket.AF_INET, end.packed) for end in ends]
    sa = Sa(
        *texts, spi, 50, "tunnel", reqid, aead=Aead("rfc4106(gcm(aes))", Secret(b"k" * 36), 128),
        encapsulation=(4500, 1024), replay_window=window, esn=esn, af_unspec=True,
    )  # fmt: skip
    octets = xfrm.pack_sa(sa)
    state = xfrm.unpack_sa(octets, 0, len(octets))
    assert [state.source, state.destination, state.spi, state.reqid] == [*texts, spi, reqid]
    assert (state.mode, state.replay_window, state.esn, state.encapsulation) == ("tunnel", window, esn, (4500, 1024))
    assert state.algorithms == ("rfc4106(gcm(aes))",) and not state.larval
    assert "kkkk" not in repr(state) + repr(sa)
    assert unpack_installed(octets, 0, len(octets)).sa == sa


@pytest.mark.parametrize("name", SAS)
def test_sas_are_read_back_whole(name: str) -> None:
    sa = replace(SAS[name][0], limits=Limits(1, 2, 3, 4, 5, 6, 7, 8))
    octets = xfrm.pack_sa(sa)
    found = unpack_installed(b"x" * 16 + octets, 16, 16 + len(octets))
    assert found.sa == sa and found.state == xfrm.unpack_sa(octets, 0, len(octets))
    assert (found.sent, found.received, found.bitmap) == (0, 0, 0)
    assert KEY.reveal().hex() not in repr(found) and str(KEY.reveal())[2:-1] not in repr(found)
    other = replace(sa, integrity=Auth("hmac(sha1)", Secret(b"other"), 96), aead=None)
    octets = xfrm.pack_sa(other)
    assert unpack_installed(octets, 0, len(octets)).sa == other != sa


def test_sequence_numbers_and_the_window_are_read() -> None:
    plain = xfrm.pack_sa(SAS["cbc"][0]) + xfrm.attribute(REPLAY_VAL, struct.pack("=3I", 7, 9, 0b1011))
    found = unpack_installed(plain, 0, len(plain))
    assert (found.sent, found.received, found.bitmap) == (7, 9, 0b1011)
    base = xfrm.pack_sa(replace(SAS["ah"][0]))
    # A window of 64 is a ring: packet 66 stands at its second place, 65 at its first, 64 at its last.
    ring = (1 << 1 | 1 << 63).to_bytes(8, "little")
    wide = base + xfrm.attribute(xfrm.REPLAY_ESN_VAL, struct.pack("=6I", 2, 0, 66, 0, 1, 64) + ring)
    found = unpack_installed(wide, 0, len(wide))
    assert (found.sent, found.received, found.bitmap) == (0, 66 | 1 << 32, 0b101)


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


def test_the_key_and_its_length_in_bits_reach_the_kernel() -> None:
    octets = xfrm.pack_sa(SAS["aead"][0])
    start, end = xfrm.attributes(octets, xfrm.SA_SIZE, len(octets))[xfrm.ALG_AEAD]
    name, bits, icv = struct.unpack_from("=64sII", octets, start)
    assert (name.rstrip(b"\0"), bits, icv, octets[start + 72 : end]) == (b"rfc4106(gcm(aes))", 288, 128, KEY.reveal())


def test_ah_over_ipv4_is_aligned_to_four_octets() -> None:
    flags = {name: xfrm.pack_sa(sa)[xfrm.SA_SIZE - 8] for name, (sa, _names) in SAS.items()}
    assert flags == {"aead": 0x20 | 0x80, "cbc": 0, "ah": 0x40, "comp": 0}


@pytest.mark.parametrize(
    ("window", "esn", "narrow", "words"),
    [(0, False, 0, None), (32, False, 32, None), (33, False, 0, 2), (4096, False, 0, 128), (1, True, 0, 1)],
)
def test_wide_replay_windows_and_esn_travel_as_a_bitmap(window: int, esn: bool, narrow: int, words: int | None) -> None:
    gcm = Aead("gcm", KEY, 128)
    sa = Sa("192.0.2.1", "192.0.2.2", 0x100, 50, "tunnel", 7, aead=gcm, replay_window=window, esn=esn)
    octets = xfrm.pack_sa(sa)
    found = xfrm.attributes(octets, xfrm.SA_SIZE, len(octets)).get(xfrm.REPLAY_ESN_VAL)
    assert octets[xfrm.SA_SIZE - 9] == narrow
    assert (struct.unpack_from("=I", octets, found[0])[0] if found else None) == words


def test_limits_that_are_not_set_are_infinite() -> None:
    never = struct.pack("=8Q", *[0xFFFFFFFFFFFFFFFF] * 4, 0, 0, 0, 0)
    some = struct.pack("=8Q", 1, 2, 3, 4, 5, 6, 7, 8)
    base = SAS["ah"][0]
    assert xfrm.pack_sa(base)[96:160] == never
    limited = Sa("192.0.2.1", "192.0.2.2", 1, 51, "transport", 0, limits=Limits(1, 2, 3, 4, 5, 6, 7, 8))
    assert xfrm.pack_sa(limited)[96:160] == some


def test_a_reservation_is_larval_and_a_hold_has_no_spi() -> None:
    request = xfrm.pack_spi_request("192.0.2.1", "192.0.2.2", 50, "tunnel", 7, 0x100, 0x1FF)
    assert len(request) == xfrm.SA_SIZE + 8 and struct.unpack("=II", request[-8:]) == (0x100, 0x1FF)
    state = xfrm.unpack_sa(request, 0, xfrm.SA_SIZE)
    assert state.larval and state.hold
    assert not xfrm.unpack_sa(xfrm.pack_sa(Sa("192.0.2.1", "192.0.2.2", 0x100, 50, "tunnel", 7)), 0, xfrm.SA_SIZE).hold


@given(st.binary(max_size=200))
def test_attributes_of_any_octets_end(octets: bytes) -> None:
    for kind, (start, _end) in xfrm.attributes(octets, 0, len(octets)).items():
        assert 0 <= kind <= 0xFFFF and start >= 4


@pytest.mark.parametrize("data", [b"", b"\x03\x00\x01\x00", b"\x00\x00\x00\x00", b"\x08\x00"])
def test_attributes_end_where_they_are_broken(data: bytes) -> None:
    assert xfrm.attributes(data, 0, len(data)) == {}


# The manager's side of it


def test_a_spec_never_shows_its_keys() -> None:
    spec = ChildSa(
        "hq", "lan", 7, 1, "192.0.2.1", "192.0.2.2", 50, "tunnel", 0, 0, (parse_selector("10.1.0.0/24"),),
        (parse_selector("10.2.0.0/24"),), None, None, encryption_in=KEY, integrity_out=KEY, owner="lab",
    )  # fmt: skip
    assert "hq" in repr(spec)
    for secret in (KEY.reveal().hex(), str(KEY.reveal()), str(KEY.reveal())[2:-1], str(list(KEY.reveal()))):
        assert secret not in repr(spec)
    with pytest.raises(AttributeError):
        spec.reqid = 2


@pytest.mark.parametrize(
    ("copied", "flags", "extra"),
    [
        (Copied(), 0, 0),
        (Copied(dscp_out=False), 0, 1),
        (Copied(dscp_in=True), 2, 0),
        (Copied(df=False), 4, 0),
        (Copied(dscp_out=False, dscp_in=True, df=False, ecn=False), 7, 1),
    ],
)
def test_what_is_not_copied_is_told_by_flags(copied: Copied, flags: int, extra: int) -> None:
    sa = replace(SAS["aead"][0], copied=copied)
    octets = xfrm.pack_sa(sa)
    assert octets[xfrm._SA_TAIL_AT + 24] & 7 == flags
    found = xfrm.attributes(octets, xfrm.SA_SIZE, len(octets))
    at = found.get(xfrm.SA_EXTRA_FLAGS, (0,))[0]
    assert (struct.unpack_from("=I", octets, at)[0] if at else 0) == extra


@pytest.mark.parametrize(("destination", "receives", "flags"), [("192.0.2.2", False, 0), ("2001:db8::2", True, 3)])
def test_the_device_that_encrypts_is_named_and_read_back(destination: str, receives: bool, flags: int) -> None:
    source = "2001:db8::1" if ":" in destination else "192.0.2.1"
    sa = replace(SAS["aead"][0], source=source, destination=destination, device=7, receives=receives)
    octets = xfrm.pack_sa(sa)
    at = xfrm.attributes(octets, xfrm.SA_SIZE, len(octets))[xfrm.OFFLOAD_DEV][0]
    assert struct.unpack_from("=iB", octets, at) == (7, flags)
    assert xfrm.unpack_sa(octets, 0, len(octets)).device == 7
    plain = xfrm.pack_sa(SAS["aead"][0])
    assert xfrm.unpack_sa(plain, 0, len(plain)).device == 0
