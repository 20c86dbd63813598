# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate revocation lists (RFC 5280 section 5) as values; what they revoke is OpenSSL's to look up."""

from __future__ import annotations

from dataclasses import field

from .. import der
from ..errors import CertificateError
from ..identity import ID_DER_ASN1_DN, Identity
from ..newer_python import dataclass
from . import moments
from .signature_names import LEAST_STRENGTH, SignatureName, signature_name

LARGEST = 8 << 20  # octets: some 200,000 certificates
FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list; two are equal where their octets are.

    :ivar der: all of it, octets.
    :ivar issuer: whose list it is, an identity of type ID_DER_ASN1_DN.
    :ivar this_update: when it was made, Unix seconds.
    :ivar next_update: from when on it is overdue, Unix seconds; :data:`FOR_EVER` where it does not say.
    """

    der: bytes = field(repr=False)
    issuer: Identity = field(compare=False)
    this_update: float = field(compare=False)
    next_update: float = field(compare=False)

    @classmethod
    def parse(cls, octets: bytes) -> RevocationList:
        """Read one list, whoever sent it.

        :raises CertificateError: ``certificate_unreadable``, ``certificate_weak``.
        """
        if len(octets) > LARGEST:
            raise _unreadable(f"it has {len(octets)} octets, more than {LARGEST}")
        try:
            found, algorithm = _read(octets)
        except ValueError as problem:
            raise _unreadable(str(problem)[:200]) from None
        if algorithm is None or algorithm.strength < LEAST_STRENGTH:
            told = algorithm.text if algorithm else "an algorithm that is not known here"
            raise CertificateError(
                "certificate_weak",
                f"the revocation list of {found} is signed by {told}",
                "have it signed with SHA-256 or stronger",
            )
        return found

    def is_current(self, now: float) -> bool:
        """Whether it was made before a moment, and is not overdue then."""
        return self.this_update <= now <= self.next_update

    def __str__(self) -> str:
        """For stories: whose it is."""
        return str(self.issuer).partition(":")[2]


def _unreadable(problem: str) -> CertificateError:
    return CertificateError(
        "certificate_unreadable",
        f"a revocation list cannot be read: {problem}",
        "get it anew from the authority, as X.509 CRL in PEM or DER",
    )


def _read(octets: bytes) -> tuple[RevocationList, SignatureName | None]:
    signed, algorithm, signature = der.elements(der.only(octets, der.SEQUENCE))
    if (signed.tag, algorithm.tag, signature.tag) != (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
        raise ValueError("not a revocation list")
    fields = der.elements(signed.value)
    has_version = fields[:1] and fields[0].tag == der.INTEGER
    _inner, issuer, made, *rest = fields[1:] if has_version else fields
    if issuer.tag != der.SEQUENCE:
        raise ValueError("not a revocation list")
    has_end = rest[:1] and rest[0].tag in (der.UTC_TIME, der.GENERALIZED_TIME)
    found = RevocationList(
        octets,
        Identity(ID_DER_ASN1_DN, issuer.whole),
        moments.read(made),
        moments.read(rest[0]) if has_end else FOR_EVER,
    )
    return found, signature_name(algorithm.whole)
