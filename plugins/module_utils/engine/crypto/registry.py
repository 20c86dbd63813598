# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Algorithms as rows: every transform the engine knows, with its sizes and names.

Sources: the IANA registry "IKEv2 Transform Type Values", RFC 8247 and RFC 8221 for the status,
RFC 5282/4106 (AES-GCM), RFC 7634 (ChaCha20-Poly1305), RFC 4868 (HMAC-SHA2), RFC 3526 (MODP),
RFC 5903 (ECP), RFC 8031 (Curve25519).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Kind(IntEnum):
    """Transform types (RFC 7296 section 3.3.2; RFC 9370 renamed type 4)."""

    ENCR = 1
    PRF = 2
    INTEG = 3
    KE = 4
    ESN = 5


class Status(Enum):
    """How far an algorithm may be trusted; LEGACY is off unless asked for by name or by the profile ``legacy``."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"
    LEGACY = "legacy"


# Rows are singletons of this file: identity comparison and hash keep look-ups keyed by a row cheap.
@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """One transform.

    :ivar transform_id: number in the registry of ``kind``.
    :ivar name: the word for it in proposals; unique within its kind.
    :ivar primitive: what computes it: a row of :mod:`.library`, or a :mod:`hashlib` name for PRF and INTEG.
    :ivar key_length: value of the Key Length attribute, bits; None when the attribute must be absent.
    :ivar key_octets: key without salt (ENCR, INTEG, PRF's preferred key).
    :ivar salt_octets: implicit part of the nonce, derived behind the key.
    :ivar iv_octets: explicit IV in every message; ``icv_octets``: integrity check value behind it.
    :ivar block_octets: what the plaintext is padded to a multiple of.
    :ivar public_octets: size of a KE payload's data; both sides alike.
    :ivar kernel: XFRM algorithm name, empty where the kernel has no part in it.
    :ivar icv_bits: truncation, for the kernel.
    """

    kind: Kind
    transform_id: int
    name: str
    primitive: str
    status: Status = Status.MAY
    key_length: int | None = None
    key_octets: int = 0
    salt_octets: int = 0
    iv_octets: int = 0
    icv_octets: int = 0
    block_octets: int = 1
    aead: bool = False
    public_octets: int = 0
    kernel: str = ""
    icv_bits: int = 0

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.name}>"


def _aead(transform_id: int, name: str, primitive: str, status: Status, bits: int, kernel: str) -> Algorithm:
    key_length = None if primitive == "chacha20-poly1305" else bits
    return Algorithm(
        Kind.ENCR, transform_id, name, primitive, status, key_length, bits // 8,
        salt_octets=4, iv_octets=8, icv_octets=16, aead=True, kernel=kernel, icv_bits=128,
    )  # fmt: skip


def _cbc(transform_id: int, name: str, primitive: str, status: Status, bits: int, block: int, kernel: str) -> Algorithm:
    key_length = bits if primitive == "aes-cbc" else None
    return Algorithm(
        Kind.ENCR, transform_id, name, primitive, status, key_length, bits // 8,
        iv_octets=block, block_octets=block, kernel=kernel,
    )  # fmt: skip


def _prf(transform_id: int, name: str, status: Status, octets: int) -> Algorithm:
    return Algorithm(Kind.PRF, transform_id, name, name, status, key_octets=octets)


def _integ(transform_id: int, name: str, status: Status, octets: int, icv: int) -> Algorithm:
    return Algorithm(
        Kind.INTEG, transform_id, name, name, status, key_octets=octets,
        icv_octets=icv, kernel=f"hmac({name})", icv_bits=icv * 8,
    )  # fmt: skip


def _ke(group: int, name: str, primitive: str, status: Status, octets: int) -> Algorithm:
    return Algorithm(Kind.KE, group, name, primitive, status, public_octets=octets)


_MUST, _SHOULD, _MAY, _LEGACY = Status.MUST, Status.SHOULD, Status.MAY, Status.LEGACY
_GCM = "rfc4106(gcm(aes))"
_CHACHA = "rfc7539esp(chacha20,poly1305)"

ALGORITHMS: tuple[Algorithm, ...] = (
    _aead(20, "aes256gcm16", "aes-gcm", _MUST, 256, _GCM),
    _aead(20, "aes192gcm16", "aes-gcm", _MAY, 192, _GCM),
    _aead(20, "aes128gcm16", "aes-gcm", _MUST, 128, _GCM),
    _aead(28, "chacha20poly1305", "chacha20-poly1305", _SHOULD, 256, _CHACHA),
    _cbc(12, "aes256", "aes-cbc", _MUST, 256, 16, "cbc(aes)"),
    _cbc(12, "aes192", "aes-cbc", _MAY, 192, 16, "cbc(aes)"),
    _cbc(12, "aes128", "aes-cbc", _MUST, 128, 16, "cbc(aes)"),
    _cbc(3, "3des", "3des-cbc", _LEGACY, 192, 8, "cbc(des3_ede)"),
    Algorithm(Kind.ENCR, 11, "null", "null", _MUST, kernel="ecb(cipher_null)"),
    _prf(5, "sha256", _MUST, 32),
    _prf(6, "sha384", _SHOULD, 48),
    _prf(7, "sha512", _SHOULD, 64),
    _prf(2, "sha1", _LEGACY, 20),
    _integ(12, "sha256", _MUST, 32, 16),
    _integ(13, "sha384", _SHOULD, 48, 24),
    _integ(14, "sha512", _SHOULD, 64, 32),
    _integ(2, "sha1", _LEGACY, 20, 12),
    _ke(31, "x25519", "x25519", _SHOULD, 32),
    _ke(19, "ecp256", "ecp256", _SHOULD, 64),
    _ke(20, "ecp384", "ecp384", _MAY, 96),
    _ke(21, "ecp521", "ecp521", _MAY, 132),
    _ke(14, "modp2048", "modp2048", _MUST, 256),
    _ke(15, "modp3072", "modp3072", _MAY, 384),
    _ke(16, "modp4096", "modp4096", _SHOULD, 512),
    _ke(17, "modp6144", "modp6144", _MAY, 768),
    _ke(18, "modp8192", "modp8192", _MAY, 1024),
    _ke(5, "modp1536", "modp1536", _LEGACY, 192),
    _ke(2, "modp1024", "modp1024", _LEGACY, 128),
    Algorithm(Kind.ESN, 1, "esn", "", _SHOULD),
    Algorithm(Kind.ESN, 0, "noesn", "", _MUST),
)

_BY_NAME = {(row.kind, row.name): row for row in ALGORITHMS}
_BY_TRANSFORM = {(row.kind, row.transform_id, row.key_length): row for row in ALGORITHMS}


def by_name(kind: Kind, name: str) -> Algorithm | None:
    """The row of that name, or None."""
    return _BY_NAME.get((kind, name))


def by_transform(kind: int, transform_id: int, key_length: int | None = None) -> Algorithm | None:
    """The row of a transform on the wire, or None; ``key_length`` in bits, None when the attribute is absent."""
    return _BY_TRANSFORM.get((kind, transform_id, key_length))  # type: ignore[call-overload]


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of a kind, in the order of the table."""
    return tuple(row.name for row in ALGORITHMS if row.kind == kind)
