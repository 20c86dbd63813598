# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures in AUTH as rows: RFC 7427 (any algorithm by its AlgorithmIdentifier), RFC 8420 (EdDSA), RFC 4754 (ECDSA).

To add an algorithm is to add a row, and at most a class that signs and verifies. SHA-1 is in no row (RFC 8247 section
3.2), and neither is method 1, RSA Digital Signature: peers that know no other sign SHA-1 with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from .. import der
from ..wire.v2.numbers import AuthMethod
from . import library
from .public_keys import ECDSA, ED448, ED25519, RSA, PublicKey

# RFC 7427 section 7 and RFC 8420 section 3: numbers of hash algorithms in SIGNATURE_HASH_ALGORITHMS.
SHA2_256, SHA2_384, SHA2_512, IDENTITY = 2, 3, 4, 5
HASHES = (SHA2_256, SHA2_384, SHA2_512, IDENTITY)


class Signer(Protocol):
    """Makes and checks signatures of one kind, with the library's objects for keys."""

    def sign(self, key: Any, octets: bytes) -> bytes:
        """The signature of ``octets``."""

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        """Check one.

        :raises library.BadSignature: it is not the one of this key and these octets.
        """


class _Hashed:
    """What signs with a hash.

    :param hash_name: as the library's class is called; ``salt``: octets of it, which is the length of the hash.
    """

    def __init__(self, hash_name: str, salt: int = 0) -> None:
        self._name = hash_name
        self._salt = salt

    @cached_property
    def _hash(self) -> Any:
        return getattr(library.hashes, self._name)()


class _RsaPkcs1(_Hashed):
    """RSASSA-PKCS1-v1_5."""

    def sign(self, key: Any, octets: bytes) -> bytes:
        signature: bytes = key.sign(octets, library.padding.PKCS1v15(), self._hash)
        return signature

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        key.verify(signature, octets, library.padding.PKCS1v15(), self._hash)


class _RsaPss(_Hashed):
    """RSASSA-PSS with MGF1 on the same hash and a salt of its length."""

    @cached_property
    def _padding(self) -> Any:
        return library.padding.PSS(library.padding.MGF1(self._hash), self._salt)

    def sign(self, key: Any, octets: bytes) -> bytes:
        signature: bytes = key.sign(octets, self._padding, self._hash)
        return signature

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        key.verify(signature, octets, self._padding, self._hash)


class _Ecdsa(_Hashed):
    """ECDSA, the signature in DER."""

    def sign(self, key: Any, octets: bytes) -> bytes:
        signature: bytes = key.sign(octets, library.ec.ECDSA(self._hash))
        return signature

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        key.verify(signature, octets, library.ec.ECDSA(self._hash))


class _EcdsaConcatenated(_Ecdsa):
    """ECDSA as RFC 4754 section 5 has it: r and s, each as long as the curve, one after the other."""

    def __init__(self, hash_name: str, size: int) -> None:
        """:param size: octets of r and of s."""
        super().__init__(hash_name)
        self._size = size

    def sign(self, key: Any, octets: bytes) -> bytes:
        r, s = library.decode_dss_signature(super().sign(key, octets))
        return r.to_bytes(self._size, "big") + s.to_bytes(self._size, "big")

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        size = self._size
        if len(signature) != 2 * size:
            raise library.BadSignature
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        super().verify(key, library.encode_dss_signature(r, s), octets)


class _Eddsa:
    """Ed25519 or Ed448, which hash by themselves."""

    def sign(self, key: Any, octets: bytes) -> bytes:
        signature: bytes = key.sign(octets)
        return signature

    def verify(self, key: Any, signature: bytes, octets: bytes) -> None:
        key.verify(signature, octets)


class Scheme(NamedTuple):
    """One way to sign.

    :ivar name: for stories; ``kind``: of the keys that it takes.
    :ivar method: of the AUTH payload.
    :ivar hash: number in SIGNATURE_HASH_ALGORITHMS, 0 where the method implies it.
    :ivar identifiers: its AlgorithmIdentifier in DER, ours first, then how else it may be written; none of old methods.
    :ivar bits: of the one curve that its keys may be on, 0 for any.
    """

    name: str
    kind: str
    method: int
    hash: int
    identifiers: tuple[bytes, ...]
    signer: Signer
    bits: int = 0

    def fits(self, key: PublicKey) -> bool:
        """Whether it is for such a key."""
        return self.kind == key.kind and self.bits in (0, key.size)


# AlgorithmIdentifiers


_NULL = der.element(der.NULL, b"")
_HASH_OIDS = {SHA2_256: "608648016503040201", SHA2_384: "608648016503040202", SHA2_512: "608648016503040203"}


def _sequence(oid: str, *parameters: bytes) -> bytes:
    return der.element(der.SEQUENCE, b"".join((der.element(der.OID, bytes.fromhex(oid)), *parameters)))


def _either(oid: str) -> tuple[bytes, ...]:
    """With parameters that are NULL, and without any: both stand for none."""
    return _sequence(oid, _NULL), _sequence(oid)


def _pss(number: int, salt: int) -> tuple[bytes, ...]:
    """RFC 4055 section 3.1; the trailer field may be left out or said."""
    written = []
    for digest in _either(_HASH_OIDS[number]):
        mask = _sequence("2a864886f70d010108", digest)
        octets = der.element(der.INTEGER, bytes((salt,)))
        parameters = der.element(0xA0, digest) + der.element(0xA1, mask) + der.element(0xA2, octets)
        for trailer in (b"", der.element(0xA3, der.element(der.INTEGER, b"\x01"))):
            written.append(_sequence("2a864886f70d01010a", der.element(der.SEQUENCE, parameters + trailer)))
    return tuple(written)


_RSA, _EC = "2a864886f70d0101", "2a8648ce3d0403"
_NEW = int(AuthMethod.DIGITAL_SIGNATURE)
# In order of preference: among those for one kind of key the first that the peer takes is used, beginning with the one
# whose hash suits the key.
SCHEMES = (
    Scheme("RSA-PSS with SHA2-256", RSA, _NEW, SHA2_256, _pss(SHA2_256, 32), _RsaPss("SHA256", 32)),
    Scheme("RSA-PSS with SHA2-384", RSA, _NEW, SHA2_384, _pss(SHA2_384, 48), _RsaPss("SHA384", 48)),
    Scheme("RSA-PSS with SHA2-512", RSA, _NEW, SHA2_512, _pss(SHA2_512, 64), _RsaPss("SHA512", 64)),
    Scheme("RSA with SHA2-256", RSA, _NEW, SHA2_256, _either(_RSA + "0b"), _RsaPkcs1("SHA256")),
    Scheme("RSA with SHA2-384", RSA, _NEW, SHA2_384, _either(_RSA + "0c"), _RsaPkcs1("SHA384")),
    Scheme("RSA with SHA2-512", RSA, _NEW, SHA2_512, _either(_RSA + "0d"), _RsaPkcs1("SHA512")),
    Scheme("ECDSA with SHA2-256", ECDSA, _NEW, SHA2_256, (_sequence(_EC + "02"),), _Ecdsa("SHA256")),
    Scheme("ECDSA with SHA2-384", ECDSA, _NEW, SHA2_384, (_sequence(_EC + "03"),), _Ecdsa("SHA384")),
    Scheme("ECDSA with SHA2-512", ECDSA, _NEW, SHA2_512, (_sequence(_EC + "04"),), _Ecdsa("SHA512")),
    Scheme("Ed25519", ED25519, _NEW, IDENTITY, (_sequence("2b6570"),), _Eddsa()),
    Scheme("Ed448", ED448, _NEW, IDENTITY, (_sequence("2b6571"),), _Eddsa()),
    Scheme("ECDSA-256", ECDSA, int(AuthMethod.ECDSA_SHA256_P256), 0, (), _EcdsaConcatenated("SHA256", 32), 256),
    Scheme("ECDSA-384", ECDSA, int(AuthMethod.ECDSA_SHA384_P384), 0, (), _EcdsaConcatenated("SHA384", 48), 384),
    Scheme("ECDSA-521", ECDSA, int(AuthMethod.ECDSA_SHA512_P521), 0, (), _EcdsaConcatenated("SHA512", 66), 521),
)
METHODS = frozenset(scheme.method for scheme in SCHEMES)
_BY_IDENTIFIER = {identifier: scheme for scheme in SCHEMES for identifier in scheme.identifiers}
_BY_METHOD = {scheme.method: scheme for scheme in SCHEMES if not scheme.identifiers}

# What peers may still sign with, by the beginning of its AlgorithmIdentifier: refused, and named.
_REFUSED = {
    _sequence(_RSA + "05")[2:]: "RSA with SHA-1",
    _sequence("2a8648ce3d0401")[2:]: "ECDSA with SHA-1",
    _sequence("2a8648ce380403")[2:]: "DSA with SHA-1",
    _sequence(_RSA + "0a")[2:]: "RSA-PSS with parameters that are not for SHA2 and a salt as long as the hash",
    _sequence("2a8648ce3d0402")[2:]: "ECDSA with a hash of no name",
}
REFUSED_METHODS: dict[int, str] = {
    int(AuthMethod.RSA_SIGNATURE): "by the old method of RSA, with SHA-1",
    int(AuthMethod.DSS_SIGNATURE): "by the old method of DSA, with SHA-1",
}


class Unacceptable(Exception):
    """A signature that is not to be looked at; ``str()`` says how it was made."""


def parse_signature(method: int, data: bytes) -> tuple[Scheme, bytes]:
    """How a signature was made, and the signature itself, octets (RFC 7427 section 3).

    :param data: of the AUTH payload.
    :raises Unacceptable: in no way that is allowed.
    """
    old = _BY_METHOD.get(method)
    if old is not None:
        return old, data
    if method != _NEW:
        raise Unacceptable(REFUSED_METHODS.get(method, f"by method {method}"))
    if len(data) < 2 or 1 + data[0] >= len(data):
        raise Unacceptable("with an AUTH payload that is cut short")
    identifier, signature = data[1 : 1 + data[0]], data[1 + data[0] :]
    scheme = _BY_IDENTIFIER.get(identifier)
    if scheme is not None:
        return scheme, signature
    named = next((name for start, name in _REFUSED.items() if identifier[2:].startswith(start)), "")
    raise Unacceptable(f"with {named}" if named else f"with an algorithm that is not known here ({identifier.hex()})")


def verify(scheme: Scheme, key: PublicKey, signature: bytes, octets: bytes) -> bool:
    """Whether that is the signature of these octets by this key; never by a key that is too weak."""
    if not scheme.fits(key) or key.weakness:
        return False
    try:
        scheme.signer.verify(key.key, signature, octets)
    except (library.BadSignature, *library.UNREADABLE):
        return False
    return True


def choose(key: PublicKey, taken: Collection[int]) -> Scheme | None:
    """How to sign with a key for a peer; None: in no way that it takes.

    :param taken: what the peer's SIGNATURE_HASH_ALGORITHMS said; nothing where it sent none: it knows old methods only.
    """
    fitting = [scheme for scheme in SCHEMES if scheme.fits(key)]
    if not taken:
        return next((scheme for scheme in fitting if not scheme.hash), None)
    usable = [scheme for scheme in fitting if scheme.hash in taken]
    suited = _suited(key)
    return next((scheme for scheme in usable if scheme.hash == suited), usable[0] if usable else None)


def _suited(key: PublicKey) -> int:
    """The hash that is about as strong as a key."""
    limits: dict[str, Callable[[int], int]] = {
        RSA: lambda bits: SHA2_256 if bits <= 3072 else SHA2_384 if bits <= 7680 else SHA2_512,
        ECDSA: lambda bits: SHA2_256 if bits <= 256 else SHA2_384 if bits <= 384 else SHA2_512,
    }
    return limits[key.kind](key.size) if key.kind in limits else IDENTITY


def sign(scheme: Scheme, key: Any, octets: bytes) -> bytes:
    """Data of the AUTH payload.

    :param key: the library's private key.
    """
    signature = scheme.signer.sign(key, octets)
    if not scheme.identifiers:
        return signature
    identifier = scheme.identifiers[0]
    return bytes((len(identifier),)) + identifier + signature
