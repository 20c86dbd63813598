# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Algorithms as rows: every transform the engine knows, with its sizes, names and what computes it.

To add one is to add a row, and at most a class of primitive.

Sources: the IANA registry "IKEv2 Transform Type Values", RFC 8247 and RFC 8221 for the status,
RFC 5282, 4106 and 4309 (AES-GCM, AES-CCM), RFC 5930 and 3686 (AES-CTR), RFC 7634 (ChaCha20-Poly1305),
RFC 4868 (HMAC-SHA2), RFC 3526 (MODP), RFC 5903 (ECP), RFC 8031 (Curve25519), draft-ietf-ipsecme-ikev2-mlkem (ML-KEM).
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Literal, overload

from ..newer_python import dataclass
from . import ciphers, hashes
from .ciphers import Aead, Unauthenticated
from .diffie_hellman import X25519, Ecp, KeyExchangePrimitive, Modp
from .hashes import Hmac
from .ml_kem import MlKem
from .primitive import Primitive


class Kind(IntEnum):
    """Transform types (RFC 7296 section 3.3.2; RFC 9370 renamed type 4 and added those of additional key exchanges)."""

    __hash__ = int.__hash__  # that of Enum is a function of Python's

    ENCR = 1
    PRF = 2
    INTEG = 3
    KE = 4
    ESN = 5
    ADDKE1 = 6
    ADDKE2 = 7
    ADDKE3 = 8
    ADDKE4 = 9
    ADDKE5 = 10
    ADDKE6 = 11
    ADDKE7 = 12


# Of these types, too, the rows are those of KE: one method more each, in this order.
ADDITIONAL = tuple(kind for kind in Kind if kind >= Kind.ADDKE1)


class Status(Enum):
    """How far an algorithm may be trusted; LEGACY is off unless asked for by name or by the profile ``legacy``."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"
    LEGACY = "legacy"


# Rows are singletons of this file: identity comparison and hash keep look-ups keyed by a row cheap.
@dataclass(frozen=True, eq=False)
class Algorithm:
    """One transform; a class of its own for each kind, with the sizes and the primitive that such a one has.

    :ivar transform_id: number in the registry of ``kind``.
    :ivar name: the word for it in proposals; unique within its kind.
    :ivar key_length: value of the Key Length attribute, bits; None when the attribute must be absent.
    :ivar primitive: what computes it; None where nothing does, or the kernel alone.
    """

    kind: Kind
    transform_id: int
    name: str
    status: Status
    key_length: int | None = None
    primitive: Primitive | None = None

    @property
    def lacking(self) -> str:
        """What to install for this host to compute it, empty where it can.

        :raises MissingError: when there is no crypto library at all.
        """
        primitive = self.primitive
        return "" if primitive is None or primitive.available else primitive.needs

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.name}>"


@dataclass(frozen=True, eq=False, repr=False)
class Encryption(Algorithm):
    """A cipher.

    :ivar key_octets: key without salt; ``salt_octets``: implicit part of the nonce, derived behind the key.
    :ivar iv_octets: explicit IV in every message; ``icv_octets``: integrity check value behind it.
    :ivar block_octets: what the plaintext is padded to a multiple of.
    :ivar kernel: XFRM algorithm name; ``icv_bits``: truncation, for the kernel.
    """

    primitive: Aead | Unauthenticated | None = None
    key_octets: int = 0
    salt_octets: int = 0
    iv_octets: int = 0
    icv_octets: int = 0
    block_octets: int = 1
    kernel: str = ""
    icv_bits: int = 0

    @property
    def aead(self) -> bool:
        """Whether it takes no integrity algorithm beside it."""
        return isinstance(self.primitive, Aead)


@dataclass(frozen=True, eq=False, repr=False)
class PseudorandomFunction(Algorithm):
    """A PRF; ``primitive.size`` is the size of its output and of its preferred key."""

    primitive: Hmac = hashes.SHA256


@dataclass(frozen=True, eq=False, repr=False)
class Integrity(Algorithm):
    """An integrity algorithm.

    :ivar icv_octets: what is left of the primitive's output; ``icv_bits``: the same, for the kernel.
    :ivar kernel: XFRM algorithm name.
    """

    primitive: Hmac = hashes.SHA256
    key_octets: int = 0
    icv_octets: int = 0
    kernel: str = ""
    icv_bits: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class KeyExchangeMethod(Algorithm):
    """A key exchange method.

    :ivar public_octets: size of the data of the initiator's KE payload; ``answer_octets``: of the responder's.
    """

    primitive: KeyExchangePrimitive = X25519()
    public_octets: int = 0
    answer_octets: int = 0


def _aead(transform_id: int, name: str, primitive: Aead, status: Status, bits: int, kernel: str) -> Encryption:
    key_length = None if primitive is ciphers.CHACHA20_POLY1305 else bits
    return Encryption(
        Kind.ENCR, transform_id, name, status, key_length, primitive, bits // 8,
        salt_octets=4, iv_octets=8, icv_octets=16, kernel=kernel, icv_bits=128,
    )  # fmt: skip


def _aes_cbc(name: str, status: Status, bits: int) -> Encryption:
    return Encryption(
        Kind.ENCR, 12, name, status, bits, ciphers.AES_CBC, bits // 8, iv_octets=16, block_octets=16, kernel="cbc(aes)"
    )


def _aes_ccm(bits: int, icv: int) -> Encryption:
    return Encryption(
        Kind.ENCR, _CCM_IDS[icv], f"aes{bits}ccm{icv}", _LEGACY, bits, ciphers.AES_CCM[icv], bits // 8,
        salt_octets=3, iv_octets=8, icv_octets=icv, kernel="rfc4309(ccm(aes))", icv_bits=icv * 8,
    )  # fmt: skip


def _aes_ctr(bits: int) -> Encryption:
    return Encryption(
        Kind.ENCR, 13, f"aes{bits}ctr", _LEGACY, bits, ciphers.AES_CTR, bits // 8,
        salt_octets=4, iv_octets=8, kernel="rfc3686(ctr(aes))",
    )  # fmt: skip


def _prf(transform_id: int, name: str, primitive: Hmac, status: Status) -> PseudorandomFunction:
    return PseudorandomFunction(Kind.PRF, transform_id, name, status, primitive=primitive)


def _integ(transform_id: int, name: str, primitive: Hmac, status: Status, icv: int) -> Integrity:
    return Integrity(
        Kind.INTEG, transform_id, name, status, None, primitive, primitive.size,
        icv_octets=icv, kernel=f"hmac({name})", icv_bits=icv * 8,
    )  # fmt: skip


def _dh(group: int, name: str, primitive: KeyExchangePrimitive, status: Status, octets: int) -> KeyExchangeMethod:
    return KeyExchangeMethod(Kind.KE, group, name, status, None, primitive, octets, octets)


def _modp(group: int, bits: int, status: Status) -> KeyExchangeMethod:
    return _dh(group, f"modp{bits}", Modp(bits), status, bits // 8)


def _ml_kem(group: int, size: int, needs: str, public_octets: int, answer_octets: int) -> KeyExchangeMethod:
    primitive = MlKem(size, needs)
    return KeyExchangeMethod(Kind.KE, group, f"mlkem{size}", _MAY, None, primitive, public_octets, answer_octets)


_MUST, _SHOULD, _MAY, _LEGACY = Status.MUST, Status.SHOULD, Status.MAY, Status.LEGACY
_CCM_IDS = {8: 14, 12: 15, 16: 16}
_SIZES = (256, 192, 128)
_GCM = "rfc4106(gcm(aes))"
_CHACHA = "rfc7539esp(chacha20,poly1305)"
_SINCE_48 = "python3-cryptography 48 or newer"

ALGORITHMS: tuple[Algorithm, ...] = (
    _aead(20, "aes256gcm16", ciphers.AES_GCM, _MUST, 256, _GCM),
    _aead(20, "aes192gcm16", ciphers.AES_GCM, _MAY, 192, _GCM),
    _aead(20, "aes128gcm16", ciphers.AES_GCM, _MUST, 128, _GCM),
    _aead(28, "chacha20poly1305", ciphers.CHACHA20_POLY1305, _SHOULD, 256, _CHACHA),
    _aes_cbc("aes256", _MUST, 256),
    _aes_cbc("aes192", _MAY, 192),
    _aes_cbc("aes128", _MUST, 128),
    Encryption(
        Kind.ENCR, 3, "3des", _LEGACY, None, ciphers.TRIPLE_DES_CBC, 24,
        iv_octets=8, block_octets=8, kernel="cbc(des3_ede)",
    ),
    *(_aes_ccm(bits, icv) for icv in (16, 12, 8) for bits in _SIZES),
    *(_aes_ctr(bits) for bits in _SIZES),
    Encryption(Kind.ENCR, 11, "null", _MUST, kernel="ecb(cipher_null)"),
    _prf(5, "sha256", hashes.SHA256, _MUST),
    _prf(6, "sha384", hashes.SHA384, _SHOULD),
    _prf(7, "sha512", hashes.SHA512, _SHOULD),
    _prf(2, "sha1", hashes.SHA1, _LEGACY),
    _integ(12, "sha256", hashes.SHA256, _MUST, 16),
    _integ(13, "sha384", hashes.SHA384, _SHOULD, 24),
    _integ(14, "sha512", hashes.SHA512, _SHOULD, 32),
    _integ(2, "sha1", hashes.SHA1, _LEGACY, 12),
    # For ESP of peers that cut SHA-256 to 96 bits, as a draft had it: nothing on the wire tells it from sha256.
    Integrity(
        Kind.INTEG, 12, "sha256_96", _LEGACY, None, hashes.SHA256, 32, icv_octets=12, kernel="hmac(sha256)", icv_bits=96
    ),
    _dh(31, "x25519", X25519(), _SHOULD, 32),
    _dh(19, "ecp256", Ecp("SECP256R1"), _SHOULD, 64),
    _dh(20, "ecp384", Ecp("SECP384R1"), _MAY, 96),
    _dh(21, "ecp521", Ecp("SECP521R1"), _MAY, 132),
    _modp(14, 2048, _MUST),
    _modp(15, 3072, _MAY),
    _modp(16, 4096, _SHOULD),
    _modp(17, 6144, _MAY),
    _modp(18, 8192, _MAY),
    _modp(5, 1536, _LEGACY),
    _modp(2, 1024, _LEGACY),
    _ml_kem(35, 512, "a python3-cryptography that has ML-KEM-512, which 48 to 50 have not", 800, 768),
    _ml_kem(36, 768, _SINCE_48, 1184, 1088),
    _ml_kem(37, 1024, _SINCE_48, 1568, 1568),
    Algorithm(Kind.ESN, 1, "esn", _SHOULD),
    Algorithm(Kind.ESN, 0, "noesn", _MUST),
)  # fmt: skip

_BY_NAME = {(row.kind, row.name): row for row in ALGORITHMS}
# Of two with one number the first is what the RFC says.
_BY_TRANSFORM: dict[tuple[int, int, int | None], Algorithm] = {
    (row.kind, row.transform_id, row.key_length): row for row in reversed(ALGORITHMS)
}


@overload
def by_name(kind: Literal[Kind.ENCR], name: str) -> Encryption | None:
    """A cipher."""


@overload
def by_name(kind: Literal[Kind.PRF], name: str) -> PseudorandomFunction | None:
    """A PRF."""


@overload
def by_name(kind: Literal[Kind.INTEG], name: str) -> Integrity | None:
    """An integrity algorithm."""


@overload
def by_name(kind: Literal[Kind.KE], name: str) -> KeyExchangeMethod | None:
    """A key exchange method."""


@overload
def by_name(kind: Kind, name: str) -> Algorithm | None:
    """Whatever kind it is of."""


def by_name(kind: Kind, name: str) -> Algorithm | None:
    """The row of that name, or None."""
    return _BY_NAME.get((kind, name))


def by_transform(kind: int, transform_id: int, key_length: int | None = None) -> Algorithm | None:
    """The row of a transform on the wire, or None; ``key_length`` in bits, None when the attribute is absent."""
    if kind >= Kind.ADDKE1:
        kind = Kind.KE if kind in ADDITIONAL else kind
    return _BY_TRANSFORM.get((kind, transform_id, key_length))


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of a kind, in the order of the table."""
    return tuple(row.name for row in ALGORITHMS if row.kind == kind)
