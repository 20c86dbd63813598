# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Demands on the keys and signatures of a peer's path, such as ``rsa-3072-sha256``, in the words of swanctl.conf.

Of several, each key has to meet one, and each signature one that its signer's key meets. All are least values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import CertificateError, InputError, a_few
from .certificates import Certificate
from .key_kinds import LEAST_RSA, MOST_RSA, kind_of

_HASHES = {"sha256": 256, "sha384": 384, "sha512": 512}
_CURVES = (256, 384, 521)
_ALONE = ("ed25519", "ed448")
_REMEDY = "write it such as rsa-3072-sha256, ecdsa-384-sha384, ecdsa-256 or ed25519"


class Demand(NamedTuple):
    """:ivar family: of keys, as :class:`.KeyKind` has it.

    :ivar bits: the least size of a key.
    :ivar strength: the least strength of a signature's hash, bits.
    """

    family: str
    bits: int
    strength: int

    @classmethod
    def parse(cls, text: str, field: str) -> Demand:
        """Read ``FAMILY[-BITS][-HASH]``.

        :raises InputError: naming ``field``.
        """
        family, *parts = text.lower().split("-")
        hashes = [_HASHES[part] for part in parts if part in _HASHES]
        sizes = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 6]
        if len(hashes) > 1 or len(sizes) > 1 or len(hashes) + len(sizes) != len(parts):
            raise InputError(field, text, "is no demand on keys and signatures", _REMEDY)
        if family in _ALONE and not parts:
            return cls(family, 0, 0)
        if family == "rsa" and all(LEAST_RSA <= size <= MOST_RSA for size in sizes):
            return cls(family, *(sizes or [LEAST_RSA]), *(hashes or [256]))
        if family == "ecdsa" and all(size in _CURVES for size in sizes):
            return cls(family, *(sizes or [_CURVES[0]]), *(hashes or [256]))
        raise InputError(field, text, "is no demand on keys and signatures", _REMEDY)

    def met_by(self, certificate: Certificate) -> bool:
        """Whether the key in a certificate is so strong."""
        kind = kind_of(certificate.key)
        return kind.family == self.family and kind.bits >= self.bits

    def __str__(self) -> str:
        if self.family in _ALONE:
            return self.family
        return f"{self.family}-{self.bits}-sha{self.strength}"


def check_demands(path: Sequence[Certificate], demands: Sequence[Demand]) -> None:
    """That a path meets them; the signature of the authority at its end does not count.

    :raises CertificateError: ``certificate_too_weak_here``.
    """
    if not demands:
        return
    for certificate in path:
        if not any(demand.met_by(certificate) for demand in demands):
            raise _unmet(f"the key in the certificate of {certificate} is {kind_of(certificate.key).text}", demands)
    for certificate, issuer in zip(path, path[1:]):
        least = min(demand.strength for demand in demands if demand.met_by(issuer))
        signature = certificate.signature
        if signature is None or signature.strength < least:
            told = signature.text if signature else "an unknown algorithm"
            raise _unmet(f"the certificate of {certificate} is signed by {told}", demands)


def _unmet(what: str, demands: Sequence[Demand]) -> CertificateError:
    wanted = a_few(demands, " or ")
    return CertificateError(
        "certificate_too_weak_here", f"{what}, and demanded is {wanted}", "have it issued so, or demand less here"
    )
