# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs read back whole, keys and limits included: to compare them with what is wanted, and to make one anew."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from ..child_sa import Limits
from ..secret import Secret
from . import xfrm
from .values import Aead, Auth, Crypt, Sa, SaState

LIFETIME_VAL, REPLAY_VAL = 9, 10
_LIMITS_AT = 96
_LIMITS = struct.Struct("=8Q")
_LIFETIME = struct.Struct("=4Q")  # octets, packets, time of adding, of first use
_INFINITE = 0xFFFFFFFFFFFFFFFF
_NAME_OCTETS = 64
_REPLAY = struct.Struct("=3I")  # sent, received, bitmap
_REPLAY_ESN = struct.Struct("=6I")  # bitmap words, sent, received, their upper halves, window


def shows_keys(sa: Sa) -> bool:
    """Whether the keys of an SA that was read back are those it has: a kernel that is locked down gives zeros."""
    keys = [part.key.reveal() for part in (sa.aead, sa.encryption, sa.integrity) if part]
    return all(any(key) for key in keys if key)


class Installed(NamedTuple):
    """An SA of the kernel.

    :ivar sa: what would create it again; its keys are all zeros where the kernel is locked down against reading them.
    :ivar state: what it did so far.
    :ivar sent: the latest sequence number that left; ``received``: the highest that came.
    :ivar bitmap: of the newest 32 packets of the replay window, the lowest bit is ``received``.
    :ivar replay: the whole replay state as the kernel wrote it: number of the attribute, and its octets.
    """

    sa: Sa
    state: SaState
    sent: int
    received: int
    bitmap: int
    replay: tuple[int, bytes] | None = None

    def progress(self) -> dict[int, bytes]:
        """What an SA in its place takes to go on where it stands, by number of the attribute: sequence numbers, replay
        window, counters. So none of them is used twice with its keys.
        """
        state = self.state
        found = {LIFETIME_VAL: _LIFETIME.pack(state.bytes, state.packets, state.add_time, state.use_time)}
        return found | (dict([self.replay]) if self.replay else {})


def unpack_installed(data: bytes, at: int, end: int) -> Installed:
    """One SA out of an answer or a dump."""
    state = xfrm.unpack_sa(data, at, end)
    found = xfrm.attributes(data, at + xfrm.SA_SIZE, end)
    aead = _keyed(data, found.get(xfrm.ALG_AEAD), 1)
    cipher = _keyed(data, found.get(xfrm.ALG_CRYPT), 0)
    auth = _keyed(data, found.get(xfrm.ALG_AUTH_TRUNC), 1)
    compression = _keyed(data, found.get(xfrm.ALG_COMP), 0)
    sa = Sa(
        state.source, state.destination, state.spi, state.protocol, state.mode, state.reqid,
        aead=Aead(*aead) if aead else None,
        encryption=Crypt(*cipher) if cipher else None,
        integrity=Auth(*auth) if auth else None,
        compression=compression[0] if compression else None,
        encapsulation=state.encapsulation,
        replay_window=state.replay_window,
        esn=state.esn,
        af_unspec=state.af_unspec,
        limits=_limits(data, at),
        if_id=state.if_id,
    )  # fmt: skip
    return Installed(sa, state, *_replay(data, found), _raw_replay(data, found))


def _raw_replay(data: bytes, found: dict[int, tuple[int, int]]) -> tuple[int, bytes] | None:
    for number in (xfrm.REPLAY_ESN_VAL, REPLAY_VAL):
        if number in found:
            at, end = found[number]
            return number, data[at:end]
    return None


def _keyed(data: bytes, place: tuple[int, int] | None, sizes: int) -> list[Any] | None:
    """[name, key, sizes …] of an algorithm attribute: the name, bits of the key, ``sizes`` numbers, the key."""
    if place is None:
        return None
    at, end = place
    name = data[at : at + _NAME_OCTETS].split(b"\0", 1)[0].decode("ascii", "replace")
    bits, *rest = struct.unpack_from(f"={1 + sizes}I", data, at + _NAME_OCTETS)
    key_at = at + _NAME_OCTETS + 4 * (1 + sizes)
    return [name, Secret(data[key_at : min(key_at + (bits + 7) // 8, end)]), *rest]


def _limits(data: bytes, at: int) -> Limits:
    values = _LIMITS.unpack_from(data, at + _LIMITS_AT)
    return Limits(*(0 if value == _INFINITE else value for value in values))


def _replay(data: bytes, found: dict[int, tuple[int, int]]) -> tuple[int, int, int]:
    if xfrm.REPLAY_ESN_VAL in found:
        at, end = found[xfrm.REPLAY_ESN_VAL]
        words, sent, received, sent_high, received_high, window = _REPLAY_ESN.unpack_from(data, at)
        bitmap = struct.unpack_from(f"={words}I", data, at + _REPLAY_ESN.size) if words else ()
        newest = _newest(bitmap, received, window)
        return sent | sent_high << 32, received | received_high << 32, newest
    if REPLAY_VAL in found:
        return _REPLAY.unpack_from(data, found[REPLAY_VAL][0])
    return 0, 0, 0


def _newest(bitmap: tuple[int, ...], received: int, window: int) -> int:
    """The wide bitmap is a ring, in which the packet ``received`` stands at (received - 1) modulo the window."""
    if not bitmap or not received or not window:
        return 0
    found = 0
    for back in range(min(32, window, received)):
        place = (received - 1 - back) % window
        if bitmap[place >> 5] >> (place & 31) & 1:
            found |= 1 << back
    return found
