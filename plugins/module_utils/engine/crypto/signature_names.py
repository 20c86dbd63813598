# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How certificates are signed: object identifiers of algorithms (RFC 3279, 4055, 5758, 8410) and their hashes."""

from __future__ import annotations

from typing import NamedTuple

from .. import der

LEAST_STRENGTH = 256  # bits: SHA-1 and MD5 prove nothing any more


class SignatureName(NamedTuple):
    """An algorithm of signatures.

    :ivar text: for people.
    :ivar strength: bits of the hash in it.
    """

    text: str
    strength: int


_PSS = "1.2.840.113549.1.1.10"
_SHA_1 = "1.3.14.3.2.26"
_HASHES = {
    _SHA_1: ("SHA-1", 160),
    "2.16.840.1.101.3.4.2.1": ("SHA-256", 256),
    "2.16.840.1.101.3.4.2.2": ("SHA-384", 384),
    "2.16.840.1.101.3.4.2.3": ("SHA-512", 512),
}
_PSS_HASH = 0xA0
_NAMES = {
    "1.2.840.113549.1.1.4": SignatureName("RSA with MD5", 128),
    "1.2.840.113549.1.1.5": SignatureName("RSA with SHA-1", 160),
    "1.2.840.113549.1.1.11": SignatureName("RSA with SHA-256", 256),
    "1.2.840.113549.1.1.12": SignatureName("RSA with SHA-384", 384),
    "1.2.840.113549.1.1.13": SignatureName("RSA with SHA-512", 512),
    "1.2.840.10045.4.1": SignatureName("ECDSA with SHA-1", 160),
    "1.2.840.10045.4.3.2": SignatureName("ECDSA with SHA-256", 256),
    "1.2.840.10045.4.3.3": SignatureName("ECDSA with SHA-384", 384),
    "1.2.840.10045.4.3.4": SignatureName("ECDSA with SHA-512", 512),
    "1.3.101.112": SignatureName("Ed25519", 512),
    "1.3.101.113": SignatureName("Ed448", 912),
}


def signature_name(algorithm: bytes) -> SignatureName | None:
    """The algorithm of an AlgorithmIdentifier, octets of DER; None where it is not known here.

    :raises ValueError: where the octets are none.
    """
    oid = _oid(algorithm)
    return _pss(der.elements(der.only(algorithm, der.SEQUENCE))[1:]) if oid == _PSS else _NAMES.get(oid)


def _oid(algorithm: bytes) -> str:
    """The object identifier that an AlgorithmIdentifier begins with."""
    oid, *_parameters = der.elements(der.only(algorithm, der.SEQUENCE))
    if oid.tag != der.OID:
        raise ValueError("not an algorithm")
    return der.oid_text(oid.value)


def _pss(parameters: list[der.Element]) -> SignatureName | None:
    """RSASSA-PSS with the hash that its parameters name, or the default (RFC 4055 section 3.1)."""
    fields = [field for parameter in parameters for field in der.elements(parameter.value)]
    hashes = [_oid(field.value) for field in fields if field.tag == _PSS_HASH] or [_SHA_1]
    if len(hashes) > 1 or hashes[0] not in _HASHES:
        return None
    name, strength = _HASHES[hashes[0]]
    return SignatureName(f"RSASSA-PSS with {name}", strength)
