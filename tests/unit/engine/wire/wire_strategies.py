# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies for every payload value that the wire format can carry."""

from __future__ import annotations

from engine.identity import Identity
from engine.selector import Selector
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
from engine.wire.v2.ts import TSi, TSr
from engine.wire.v2.unknown import Unknown
from engine.wire.v2.vendor import VendorID
from hypothesis import strategies as st

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
some = st.binary(min_size=1, max_size=80)
spi4 = st.binary(min_size=4, max_size=4)
spi8 = st.binary(min_size=8, max_size=8)

transforms = st.builds(Transform, u8, u16, st.none() | u16)


def _proposal(number: int, suite: tuple[int, bytes], chosen: list[Transform]) -> Proposal:
    return Proposal(number, suite[0], suite[1], tuple(chosen))


_suites = st.one_of(
    st.tuples(st.just(1), st.just(b"") | spi8),
    st.tuples(st.sampled_from([2, 3]), spi4),
    st.tuples(st.integers(4, 255), st.binary(max_size=255)),
)
_bodies = st.tuples(_suites, st.lists(transforms, min_size=1, max_size=12))
offers = st.lists(_bodies, min_size=2, max_size=6).map(
    lambda found: SA(tuple(_proposal(number, *body) for number, body in enumerate(found, 1)))
)
answers = st.builds(lambda number, body: SA((_proposal(number, *body),)), u8, _bodies)

_names = st.binary(min_size=1, max_size=60).filter(lambda data: 0 not in data)


def _der(content: bytes) -> bytes:
    size = len(content)
    head = (
        bytes((size,))
        if size < 0x80
        else b"\x81" + bytes((size,))
        if size < 0x100
        else b"\x82" + size.to_bytes(2, "big")
    )
    return b"\x30" + head + content


identities = st.one_of(
    st.builds(Identity, st.just(1), st.binary(min_size=4, max_size=4)),
    st.builds(Identity, st.sampled_from([2, 3]), _names),
    st.builds(Identity, st.just(5), st.binary(min_size=16, max_size=16)),
    st.builds(Identity, st.sampled_from([9, 10]), st.binary(max_size=300).map(_der)),
    st.builds(Identity, st.sampled_from([11, 12, 200]), some),
    st.just(Identity(13, b"")),
)

_SIZED = {17, 16385, 16388, 16389, 16390, 16397, 16398, 16401, 16403}
_free_types = u16.filter(lambda number: number not in _SIZED and number != 16393)
notifies = st.one_of(
    st.builds(Notify, _free_types, st.binary(max_size=80)),
    st.builds(Notify, _free_types, st.binary(max_size=80), u8),
    st.builds(Notify, _free_types, st.binary(max_size=80), st.just(1), spi8),
    st.builds(Notify, _free_types | st.just(16393), st.binary(max_size=80), st.sampled_from([2, 3]), spi4),
    st.builds(Notify, st.sampled_from([16388, 16389]), st.binary(min_size=20, max_size=20)),
    st.builds(Notify, st.just(16390), st.binary(min_size=1, max_size=64)),
    st.builds(Notify, st.just(16401), st.binary(min_size=8, max_size=64)),
    st.builds(Notify, st.just(17), st.binary(min_size=2, max_size=2)),
    st.builds(Notify, st.sampled_from([16385, 16397, 16403]), st.binary(min_size=4, max_size=4)),
    st.builds(Notify, st.just(16398), st.binary(min_size=16, max_size=16)),
)

_ports = st.lists(u16, min_size=2, max_size=2).map(sorted).map(tuple) | st.just((65535, 0))


def _selectors_of(size: int) -> st.SearchStrategy[Selector]:
    ends = st.lists(st.binary(min_size=size, max_size=size), min_size=2, max_size=2).map(sorted)
    return st.builds(lambda found, protocol, ports: Selector(found[0], found[1], protocol, *ports), ends, u8, _ports)


selectors = st.lists(_selectors_of(4) | _selectors_of(16), min_size=1, max_size=8).map(tuple)

eaps = st.binary(max_size=60).map(lambda data: EAP(b"\x01\x02" + (len(data) + 4).to_bytes(2, "big") + data))

# One strategy for each payload class.
BY_CLASS = {
    SA: offers | answers,
    KE: st.builds(KE, u16, some),
    IDi: st.builds(IDi, identities, st.binary(min_size=3, max_size=3)),
    IDr: st.builds(IDr, identities),
    CERT: st.builds(CERT, u8, some),
    CERTREQ: st.builds(CERTREQ, u8, st.binary(max_size=80)),
    AUTH: st.builds(AUTH, u8, some),
    Nonce: st.builds(Nonce, st.binary(min_size=16, max_size=256)),
    Notify: notifies,
    Delete: st.one_of(
        st.just(Delete(1)), st.builds(Delete, st.sampled_from([2, 3]), st.lists(spi4, max_size=12).map(tuple))
    ),
    VendorID: st.builds(VendorID, st.binary(max_size=80)),
    TSi: st.builds(TSi, selectors),
    TSr: st.builds(TSr, selectors),
    CP: st.builds(CP, u8, st.lists(st.tuples(st.integers(0, 0x7FFF), st.binary(max_size=20)), max_size=8).map(tuple)),
    EAP: eaps,
}

unknowns = st.builds(Unknown, st.integers(1, 32) | st.integers(49, 52) | st.integers(54, 255), st.just(False), some)
payloads = st.one_of(*BY_CLASS.values(), unknowns)
chains = st.lists(payloads, max_size=12).map(tuple)
