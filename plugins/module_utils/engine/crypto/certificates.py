# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""X.509 certificates (RFC 5280) as values: what is in them that IKE needs, read from octets of strangers.

Only what this engine decides by is read, by its own rules for DER, so that every version of the libraries has it alike.
Whether the whole is sound is OpenSSL's to say when a path is verified (:mod:`.trust`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import field
from typing import Any, NamedTuple

from .. import der
from ..errors import CertificateError
from ..identity import (
    ID_DER_ASN1_DN,
    ID_FQDN,
    ID_IPV4_ADDR,
    ID_IPV6_ADDR,
    ID_RFC822_ADDR,
    Identity,
)
from ..newer_python import dataclass
from . import library, moments
from .signature_names import SignatureName, signature_name

LARGEST = 16384  # octets of one certificate; those in use have 500 to 4000
_MOST_EXTENSIONS = 64
_MOST_NAMES = 256

_VERSION_3, _EXTENSIONS = 0xA0, 0xA3
_KEY_USAGE, _ALTERNATIVE_NAME, _BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE = (
    "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37",
)  # fmt: skip
_EC_KEY = "1.2.840.10045.2.1"
_RFC822, _DNS, _ADDRESS = 0x81, 0x82, 0x87  # GeneralName, of those kinds that an identity can have
_ADDRESS_TYPES = {4: ID_IPV4_ADDR, 16: ID_IPV6_ADDR}


class Usage(NamedTuple):
    """What a certificate's key is for.

    :ivar authority: whether it is an authority's (basic constraints).
    :ivar bits: numbers of the bits of its key usage; None where it says nothing of it.
    :ivar purposes: object identifiers of its extended key usage; None where it says nothing of it.
    """

    authority: bool
    bits: tuple[int, ...] | None
    purposes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate; two are equal where their octets are.

    :ivar der: all of it, octets.
    :ivar subject, issuer: the names, as identities of type ID_DER_ASN1_DN.
    :ivar names: its subjectAltNames of those kinds that an identity can have.
    :ivar not_before, not_after: first and last second in which it is valid, Unix seconds.
    :ivar key: its public key, an object of ``cryptography``.
    :ivar key_octets: the same as SubjectPublicKeyInfo, octets of DER.
    :ivar signature: how it is signed; None where that is no algorithm which is known here.
    """

    der: bytes
    subject: Identity = field(compare=False)
    issuer: Identity = field(compare=False)
    serial: int = field(compare=False, repr=False)
    not_before: int = field(compare=False, repr=False)
    not_after: int = field(compare=False, repr=False)
    names: tuple[Identity, ...] = field(compare=False)
    usage: Usage = field(compare=False, repr=False)
    signature: SignatureName | None = field(compare=False, repr=False)
    key: Any = field(compare=False, repr=False)
    key_octets: bytes = field(compare=False, repr=False)

    @classmethod
    def parse(cls, octets: bytes) -> Certificate:
        """Read one certificate, whoever sent it.

        :raises CertificateError: ``certificate_unreadable``.
        """
        if len(octets) > LARGEST:
            raise _unreadable(f"it has {len(octets)} octets, more than {LARGEST}")
        try:
            return _read(octets)
        except library.UNREADABLE as problem:
            raise _unreadable(f"{problem}"[:200]) from None

    @property
    def identities(self) -> tuple[Identity, ...]:
        """What it proves its holder to be: the subject, unless that is empty, and the other names."""
        return (self.subject, *self.names) if self.subject.data != b"0\0" else self.names

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it, hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def key_digest(self) -> bytes:
        """SHA-1 over its SubjectPublicKeyInfo, 20 octets, by which a CERTREQ names it (RFC 7296 section 3.7)."""
        return hashlib.sha1(self.key_octets, usedforsecurity=False).digest()

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject.matches(self.issuer)

    @property
    def issued_by(self) -> str:
        """For stories: who signed it."""
        return "itself" if self.self_issued else _shown(self.issuer)

    def __str__(self) -> str:
        """For stories: its subject, or where that is empty its first other name."""
        return _shown(self.identities[0]) if self.identities else f"number {self.serial:x}"


def _shown(name: Identity) -> str:
    """A name as stories have it, cut short where it is longer than anybody reads."""
    text = str(name)
    text = text[3:] if name.type == ID_DER_ASN1_DN else text
    return text if len(text) <= 200 else f"{text[:199]}…"


def _unreadable(problem: str) -> CertificateError:
    return CertificateError(
        "certificate_unreadable", f"a certificate cannot be read: {problem}", "have it issued anew, as X.509 in DER"
    )


def between(certificate: Certificate, known: Iterable[Certificate]) -> list[Certificate]:
    """The certificates between one and its root, in this order, as far as they are known."""
    known = list(known)
    found: list[Certificate] = []
    while not certificate.self_issued:
        issuers = (one for one in known if one.subject.matches(certificate.issuer) and one not in found)
        above = next(issuers, None)
        if above is None or above.self_issued:
            break
        found.append(above)
        certificate = above
    return found


# Those between peers and authorities come again with each peer.
@functools.lru_cache(maxsize=64)
def _read(octets: bytes) -> Certificate:
    signed, algorithm, signature = der.elements(der.only(octets, der.SEQUENCE))
    if (signed.tag, algorithm.tag, signature.tag) != (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
        raise ValueError("not a certificate")
    fields = der.elements(signed.value)
    has_version = fields[:1] and fields[0].tag == _VERSION_3
    serial, inner, issuer, validity, subject, key, *optional = fields[1:] if has_version else fields
    if serial.tag != der.INTEGER or {f.tag for f in (inner, issuer, validity, subject, key)} != {der.SEQUENCE}:
        raise ValueError("not a certificate")
    if inner.whole != algorithm.whole:
        raise ValueError("it names two algorithms of its signature")
    not_before, not_after = der.elements(validity.value)
    extensions = _extensions([element.value for element in optional if element.tag == _EXTENSIONS])
    return Certificate(
        octets,
        Identity(ID_DER_ASN1_DN, subject.whole),
        Identity(ID_DER_ASN1_DN, issuer.whole),
        der.integer(serial.value),
        moments.read(not_before),
        moments.read(not_after),
        _names(extensions.get(_ALTERNATIVE_NAME)),
        Usage(
            _is_authority(extensions.get(_BASIC_CONSTRAINTS)),
            _usage_bits(extensions.get(_KEY_USAGE)),
            _purposes(extensions.get(_EXTENDED_KEY_USAGE)),
        ),
        signature_name(algorithm.whole),
        _public_key(key),
        key.whole,
    )


def _public_key(key: der.Element) -> Any:
    """The key as the library has it; curves count only by their names."""
    algorithm, _bits = der.elements(key.value)
    oid, *parameters = der.elements(algorithm.value)
    if oid.tag == der.OID and der.oid_text(oid.value) == _EC_KEY and [p.tag for p in parameters] != [der.OID]:
        raise ValueError("its key describes a curve instead of naming it")
    return library.load_der_public_key(key.whole)


def _extensions(found: list[bytes]) -> dict[str, bytes]:
    """The content of each extension by its object identifier."""
    if not found:
        return {}
    items = der.values(der.only(found[0], der.SEQUENCE), der.SEQUENCE)
    if len(found) > 1 or len(items) > _MOST_EXTENSIONS:
        raise ValueError("it has too many extensions")
    contents: dict[str, bytes] = {}
    for item in items:
        oid, *_critical, content = der.elements(item)
        name = der.oid_text(oid.value)
        if oid.tag != der.OID or content.tag != der.OCTET_STRING or name in contents:
            raise ValueError("an extension is not sound, or there twice")
        contents[name] = content.value
    return contents


def _is_authority(content: bytes | None) -> bool:
    """Of basic constraints: whether the certificate is an authority's."""
    if content is None:
        return False
    fields = der.elements(der.only(content, der.SEQUENCE), der.BOOLEAN, der.INTEGER)
    return bool(fields) and fields[0].tag == der.BOOLEAN and fields[0].value == b"\xff"


def _usage_bits(content: bytes | None) -> tuple[int, ...] | None:
    return None if content is None else der.bits(der.only(content, der.BIT_STRING))


def _purposes(content: bytes | None) -> tuple[str, ...] | None:
    if content is None:
        return None
    return tuple(der.oid_text(oid) for oid in der.values(der.only(content, der.SEQUENCE), der.OID))


def _names(content: bytes | None) -> tuple[Identity, ...]:
    if content is None:
        return ()
    names = der.elements(der.only(content, der.SEQUENCE))
    if len(names) > _MOST_NAMES:
        raise ValueError(f"it has more than {_MOST_NAMES} names")
    return tuple(identity for identity in map(_identity, names) if identity)


def _identity(name: der.Element) -> Identity | None:
    """The identity that a GeneralName binds; None where it is of a kind that no identity has."""
    if name.tag == _ADDRESS and len(name.value) in _ADDRESS_TYPES:
        return Identity(_ADDRESS_TYPES[len(name.value)], name.value)
    if name.tag in (_RFC822, _DNS) and name.value:
        return Identity(ID_RFC822_ADDR if name.tag == _RFC822 else ID_FQDN, name.value)
    return None
