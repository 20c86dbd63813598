# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XFRM over netlink as ``struct`` rows: values to octets and back (Linux include/uapi/linux/xfrm.h).

Numbers are in the machine's byte order but for addresses, ports and SPIs, which are in network order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from ..child_sa import Limits
from .addresses import family_of
from .values import KernelSelector, Policy, Sa, SaState, Template

NETLINK_XFRM = 6

NEWSA, DELSA, GETSA, NEWPOLICY, DELPOLICY, GETPOLICY, ALLOCSPI, ACQUIRE, EXPIRE, UPDPOLICY, UPDSA = range(0x10, 0x1B)
FLUSHSA, FLUSHPOLICY, MAPPING = 0x1C, 0x1D, 0x26
GROUP_ACQUIRE, GROUP_EXPIRE, GROUP_SA, GROUP_POLICY, GROUP_MAPPING = 1, 2, 3, 4, 8

ALG_AUTH, ALG_CRYPT, ALG_COMP, ENCAP, TMPL = range(1, 6)
SA, POLICY = 6, 7  # what was deleted, in the event that tells of it
LASTUSED, POLICY_TYPE = 15, 16
ALG_AEAD, ALG_AUTH_TRUNC, MARK, REPLAY_ESN_VAL, SA_EXTRA_FLAGS, OFFLOAD_DEV, IF_ID = 18, 20, 21, 23, 24, 28, 31
_ALGORITHMS = (ALG_AEAD, ALG_CRYPT, ALG_AUTH_TRUNC, ALG_COMP)

STATE_NOECN, STATE_DECAP_DSCP, STATE_NOPMTUDISC = 1, 2, 4
STATE_AF_UNSPEC, STATE_ALIGN4, STATE_ESN = 32, 64, 128
EXTRA_DONT_ENCAP_DSCP = 1
OFFLOAD_IPV6, OFFLOAD_INBOUND = 1, 2
MODES = {"transport": 0, "tunnel": 1}
MODE_NAMES = {0: "transport", 1: "tunnel", 2: "route optimisation", 3: "in trigger", 4: "beet"}
DIRECTIONS = {"in": 0, "out": 1, "fwd": 2}
DIRECTION_NAMES = ("in", "out", "fwd")
ACTIONS = {"allow": 0, "block": 1}
ACTION_NAMES = {0: "allow", 1: "block"}
UDP_ENCAP_ESPINUDP = 2
POLICY_LOCAL_OK = 1
SHARE_UNIQUE = 3
MAX_REPLAY_WINDOW = 4096

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # length, type
_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")  # 56: destination, source, ports with masks, family, prefixes, …
_ID = struct.Struct("=16s4sB3x")  # 24: destination, SPI, protocol
_LIFETIME = struct.Struct("=8Q")  # 64: bytes, packets, add, use; soft before hard (add and use: seconds)
_CURRENT = struct.Struct("=4Q")  # 32: bytes, packets, add time, use time
_POLICY_TAIL = struct.Struct("=IIBBBB4x")  # priority, index, direction, action, flags, share
_TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")  # 64: ID, family, source, reqid, mode, share, optional, algorithms
_SA_TAIL = struct.Struct("=IIIIIHBBB7x")  # replay stats (3), sequence, reqid, family, mode, replay window, flags
_SA_ID = struct.Struct("=16s4sHBx")  # 24: destination, SPI, family, protocol
_POLICY_ID = struct.Struct("=IB3x")  # after the selector: index, direction
_SPI_RANGE = struct.Struct("=II")
_ENCAP = struct.Struct("=H2s2s2x16x")  # 24
_LAST_USED = struct.Struct("=Q")
_REPLAY_ESN = struct.Struct("=6I")  # bitmap words, oseq, seq, oseq_hi, seq_hi, window
_IF_ID = struct.Struct("=I")
_OFFLOAD = struct.Struct("=iB3x")

SELECTOR_SIZE, TEMPLATE_SIZE, SA_SIZE, POLICY_SIZE = 56, 64, 224, 168
_SA_ID_AT, _SA_SOURCE_AT, _SA_CURRENT_AT, _SA_TAIL_AT = 56, 80, 160, 192
_POLICY_CURRENT_AT, _POLICY_TAIL_AT, _POLICY_DIRECTION_AT = 120, 152, 160
ACQUIRE_SELECTOR_AT, ACQUIRE_SIZE = 40, 280
EXPIRE_HARD_AT, EXPIRE_SIZE = 224, 232
_MAPPING = struct.Struct("=16s4sHBxI16s16s2s2s")  # 64
MAPPING_SIZE = _MAPPING.size

_INFINITE = 0xFFFFFFFFFFFFFFFF
_NO_LIMITS = _LIFETIME.pack(_INFINITE, _INFINITE, _INFINITE, _INFINITE, 0, 0, 0, 0)
_NO_CURRENT = bytes(_CURRENT.size)
_NO_SELECTOR = bytes(SELECTOR_SIZE)
_ALL_ALGORITHMS = 0xFFFFFFFF
_AF = {4: socket.AF_INET, 6: socket.AF_INET6}


def pack_address(address: str) -> bytes:
    """Address text to 16 octets (IPv4 in the first four)."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)
    return socket.inet_pton(socket.AF_INET, address) + bytes(12)


def unpack_address(octets: bytes, family: int) -> str:
    """16 octets to address text."""
    return socket.inet_ntop(socket.AF_INET6, octets) if family == socket.AF_INET6 else socket.inet_ntoa(octets[:4])


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded."""
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Where each attribute's payload lies between ``at`` and ``end``: {type: (start, end)}."""
    found = {}
    while at + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind] = (at + 4, at + length)
        at += (length + 3) & ~3
    return found


# Selectors


def pack_selector(s: KernelSelector) -> bytes:
    """56 octets."""
    return _SELECTOR.pack(
        s.destination, s.source,  # struct pads IPv4 with zeros
        s.destination_port.to_bytes(2, "big"), s.destination_port_mask.to_bytes(2, "big"),
        s.source_port.to_bytes(2, "big"), s.source_port_mask.to_bytes(2, "big"),
        _AF[s.family], s.destination_prefix, s.source_prefix, s.protocol, s.ifindex, 0,
    )  # fmt: skip


def unpack_selector(data: bytes, at: int) -> KernelSelector:
    """The inverse of :func:`pack_selector`; family 0 (none) reads as IPv4."""
    (daddr, saddr, dport, dmask, sport, smask, family, dlen, slen, protocol, ifindex, _user) = _SELECTOR.unpack_from(
        data, at
    )
    if family == socket.AF_INET6:
        version = 6
    else:
        version, daddr, saddr = 4, daddr[:4], saddr[:4]
    number = int.from_bytes
    return KernelSelector(
        version, saddr, slen, daddr, dlen, protocol,
        number(sport, "big"), number(smask, "big"), number(dport, "big"), number(dmask, "big"), ifindex,
    )  # fmt: skip


# SAs


def pack_sa(sa: Sa, progress: Mapping[int, bytes] | None = None) -> bytes:
    """Body of NEWSA and UPDSA.

    :param progress: attributes with what the SA did so far, where it goes on with that.
    """
    family = family_of(sa.destination)
    flags = (
        (STATE_AF_UNSPEC if sa.af_unspec else 0)
        | (STATE_ESN if sa.esn else 0)
        | (STATE_ALIGN4 if sa.protocol == socket.IPPROTO_AH and family == socket.AF_INET else 0)
        | (0 if sa.copied.ecn else STATE_NOECN)
        | (STATE_DECAP_DSCP if sa.copied.dscp_in else 0)
        | (0 if sa.copied.df else STATE_NOPMTUDISC)
    )
    # The 8-bit field serves windows up to 32; above that, and for ESN, the bitmap travels in an attribute.
    wide = sa.esn or sa.replay_window > 32
    parts = [
        _NO_SELECTOR,
        _ID.pack(pack_address(sa.destination), sa.spi.to_bytes(4, "big"), sa.protocol),
        pack_address(sa.source),
        _pack_limits(sa.limits),
        _NO_CURRENT,
        _SA_TAIL.pack(0, 0, 0, 0, sa.reqid, family, MODES[sa.mode], 0 if wide else sa.replay_window, flags),
    ]
    if sa.aead:
        parts.append(_algorithm(ALG_AEAD, sa.aead.name, sa.aead.key.reveal(), sa.aead.icv_bits))
    if sa.encryption:
        parts.append(_algorithm(ALG_CRYPT, sa.encryption.name, sa.encryption.key.reveal()))
    if sa.integrity:
        parts.append(_algorithm(ALG_AUTH_TRUNC, sa.integrity.name, sa.integrity.key.reveal(), sa.integrity.trunc_bits))
    if sa.compression:
        parts.append(_algorithm(ALG_COMP, sa.compression, b""))
    if sa.encapsulation:
        source_port, destination_port = sa.encapsulation
        parts.append(
            attribute(
                ENCAP,
                _ENCAP.pack(UDP_ENCAP_ESPINUDP, source_port.to_bytes(2, "big"), destination_port.to_bytes(2, "big")),
            )
        )
    progress = progress or {}
    if wide and REPLAY_ESN_VAL not in progress:
        words = (sa.replay_window + 31) // 32
        parts.append(
            attribute(REPLAY_ESN_VAL, _REPLAY_ESN.pack(words, 0, 0, 0, 0, sa.replay_window) + bytes(4 * words))
        )
    parts += [attribute(number, octets) for number, octets in progress.items()]
    if not sa.copied.dscp_out:
        parts.append(attribute(SA_EXTRA_FLAGS, _IF_ID.pack(EXTRA_DONT_ENCAP_DSCP)))
    if sa.device:
        flags = (OFFLOAD_IPV6 if family == socket.AF_INET6 else 0) | (OFFLOAD_INBOUND if sa.receives else 0)
        parts.append(attribute(OFFLOAD_DEV, _OFFLOAD.pack(sa.device, flags)))
    parts.append(_pack_if_id(sa.if_id))
    return b"".join(parts)


def _pack_if_id(if_id: int) -> bytes:
    """No attribute for no interface: kernels before 4.19 know none."""
    return attribute(IF_ID, _IF_ID.pack(if_id)) if if_id else b""


def _unpack_if_id(data: bytes, found: dict[int, tuple[int, int]]) -> int:
    return _IF_ID.unpack_from(data, found[IF_ID][0])[0] if IF_ID in found else 0


def _pack_limits(limits: Limits) -> bytes:
    if limits == Limits():
        return _NO_LIMITS
    return _LIFETIME.pack(
        limits.soft_bytes or _INFINITE,
        limits.hard_bytes or _INFINITE,
        limits.soft_packets or _INFINITE,
        limits.hard_packets or _INFINITE,
        limits.soft_seconds,
        limits.hard_seconds,
        limits.soft_use_seconds,
        limits.hard_use_seconds,
    )


def _algorithm(kind: int, name: str, key: bytes, *bits: int) -> bytes:
    head = struct.pack(f"=64s{1 + len(bits)}I", name.encode(), len(key) * 8, *bits)
    return attribute(kind, head + key)


def unpack_sa(data: bytes, at: int, end: int) -> SaState:
    """One SA out of a dump, without its keys."""
    id_at = at + _SA_ID_AT
    destination, spi, protocol = _ID.unpack_from(data, id_at)
    total, packets, add_time, use_time = _CURRENT.unpack_from(data, at + _SA_CURRENT_AT)
    _window_missed, replayed, failed, _seq, reqid, family, mode, window, flags = _SA_TAIL.unpack_from(
        data, at + _SA_TAIL_AT
    )
    found = attributes(data, at + SA_SIZE, end)
    source_at = at + _SA_SOURCE_AT
    names = tuple(_name(data, found[kind][0]) for kind in _ALGORITHMS if kind in found)
    encapsulation = None
    if ENCAP in found:
        _type, source_port, destination_port = _ENCAP.unpack_from(data, found[ENCAP][0])
        encapsulation = (int.from_bytes(source_port, "big"), int.from_bytes(destination_port, "big"))
    if REPLAY_ESN_VAL in found:
        window = _REPLAY_ESN.unpack_from(data, found[REPLAY_ESN_VAL][0])[5]
    return SaState(
        unpack_address(data[source_at : source_at + 16], family),
        unpack_address(destination, family),
        int.from_bytes(spi, "big"),
        protocol,
        MODE_NAMES.get(mode, str(mode)),
        reqid,
        6 if family == socket.AF_INET6 else 4,
        names,
        encapsulation,
        window,
        bool(flags & STATE_ESN),
        not names and protocol in (50, 51, 108),  # the kernel does not tell the state; a real SA has an algorithm
        total,
        packets,
        add_time,
        use_time,
        _LAST_USED.unpack_from(data, found[LASTUSED][0])[0] if LASTUSED in found else 0,
        replayed,
        failed,
        unpack_selector(data, at),
        bool(flags & STATE_AF_UNSPEC),
        _unpack_if_id(data, found),
        _OFFLOAD.unpack_from(data, found[OFFLOAD_DEV][0])[0] if OFFLOAD_DEV in found else 0,
    )


def _name(data: bytes, at: int) -> str:
    return data[at : at + 64].split(b"\0", 1)[0].decode("ascii", "replace")


def pack_sa_id(destination: str, spi: int, protocol: int) -> bytes:
    """Body of GETSA and DELSA."""
    return _SA_ID.pack(pack_address(destination), spi.to_bytes(4, "big"), family_of(destination), protocol)


def pack_spi_request(source: str, destination: str, protocol: int, mode: str, reqid: int, low: int, high: int) -> bytes:
    """Body of ALLOCSPI."""
    tail = _SA_TAIL.pack(0, 0, 0, 0, reqid, family_of(destination), MODES[mode], 0, 0)
    identity = _ID.pack(pack_address(destination), bytes(4), protocol)
    return b"".join(
        (_NO_SELECTOR, identity, pack_address(source), _NO_LIMITS, _NO_CURRENT, tail, _SPI_RANGE.pack(low, high))
    )


# Policies


def pack_policy(policy: Policy) -> bytes:
    """Body of NEWPOLICY and UPDPOLICY."""
    head = b"".join(
        (
            pack_selector(policy.selector),
            _NO_LIMITS,
            _NO_CURRENT,
            _POLICY_TAIL.pack(
                policy.priority,
                policy.index,
                DIRECTIONS[policy.direction],
                ACTIONS[policy.action],
                POLICY_LOCAL_OK if policy.local_ok else 0,
                0,
            ),
        )
    )
    demanded = attribute(TMPL, b"".join(map(_pack_template, policy.templates))) if policy.templates else b""
    return head + demanded + _pack_if_id(policy.if_id)


def _pack_template(t: Template) -> bytes:
    return _TEMPLATE.pack(
        pack_address(t.destination), t.spi.to_bytes(4, "big"), t.protocol, family_of(t.destination),
        pack_address(t.source), t.reqid, MODES[t.mode], SHARE_UNIQUE if t.shared else 0, t.optional,
        _ALL_ALGORITHMS, _ALL_ALGORITHMS, _ALL_ALGORITHMS,
    )  # fmt: skip


def unpack_templates(data: bytes, start: int, end: int) -> tuple[Template, ...]:
    """The payload of a TMPL attribute."""
    return tuple(_unpack_template(data, at) for at in range(start, end - TEMPLATE_SIZE + 1, TEMPLATE_SIZE))


def _unpack_template(data: bytes, at: int) -> Template:
    fields = _TEMPLATE.unpack_from(data, at)
    destination, spi, protocol, family, source, reqid, mode, share, optional = fields[:9]
    return Template(
        unpack_address(source, family), unpack_address(destination, family), int.from_bytes(spi, "big"),
        protocol, MODE_NAMES.get(mode, str(mode)), reqid, bool(optional), share == SHARE_UNIQUE,
    )  # fmt: skip


def unpack_policy(data: bytes, at: int, end: int) -> Policy | None:
    """One policy out of a dump; None for what is not of the main table (socket policies, sub-policies)."""
    return _policy(data, at, attributes(data, at + POLICY_SIZE, end))


def _policy(data: bytes, at: int, found: dict[int, tuple[int, int]]) -> Policy | None:
    priority, index, direction, action, flags, _share = _POLICY_TAIL.unpack_from(data, at + _POLICY_TAIL_AT)
    if direction >= len(DIRECTION_NAMES):
        return None
    if POLICY_TYPE in found and data[found[POLICY_TYPE][0]]:
        return None
    _bytes, _packets, add_time, use_time = _CURRENT.unpack_from(data, at + _POLICY_CURRENT_AT)
    return Policy(
        unpack_selector(data, at),
        DIRECTION_NAMES[direction],
        priority,
        ACTION_NAMES.get(action, str(action)),
        unpack_templates(data, *found[TMPL]) if TMPL in found else (),
        index,
        add_time,
        use_time,
        MARK in found,
        _unpack_if_id(data, found),
        bool(flags & POLICY_LOCAL_OK),
    )


def unpack_outbound_policy(data: bytes, at: int, end: int) -> Policy | None:
    """As :func:`unpack_policy`; None, before anything else is read, for what is not about outgoing packets."""
    return unpack_policy(data, at, end) if data[at + _POLICY_DIRECTION_AT] == DIRECTIONS["out"] else None


def pack_policy_id(selector: KernelSelector, direction: str, if_id: int = 0) -> bytes:
    """Body of GETPOLICY and DELPOLICY by selector."""
    return pack_selector(selector) + _POLICY_ID.pack(0, DIRECTIONS[direction]) + _pack_if_id(if_id)


def pack_policy_index(index: int, direction: str, if_id: int = 0) -> bytes:
    """Body of GETPOLICY and DELPOLICY by the kernel's number; the kernel wants to know its interface too."""
    return _NO_SELECTOR + _POLICY_ID.pack(index, DIRECTIONS[direction]) + _pack_if_id(if_id)


# Events


def unpack_deleted_sa(data: bytes, at: int, end: int) -> SaState | None:
    """Body of DELSA as the kernel tells it: the SA that was, without its algorithms."""
    found = attributes(data, at + _SA_ID.size, end)
    return unpack_sa(data, found[SA][0], found[SA][0] + SA_SIZE) if SA in found else None


def unpack_deleted_policy(data: bytes, at: int, end: int) -> Policy | None:
    """Body of DELPOLICY as the kernel tells it: the policy that was; None as for :func:`unpack_policy`."""
    found = attributes(data, at + SELECTOR_SIZE + _POLICY_ID.size, end)
    return _policy(data, found[POLICY][0], found) if POLICY in found else None


def unpack_mapping(data: bytes, at: int) -> tuple[int, int, str, int]:
    """Body of MAPPING: (SPI, reqid, new peer address, new peer UDP port)."""
    _daddr, spi, family, _protocol, reqid, _old, new, _old_port, new_port = _MAPPING.unpack_from(data, at)
    return int.from_bytes(spi, "big"), reqid, unpack_address(new, family), int.from_bytes(new_port, "big")
