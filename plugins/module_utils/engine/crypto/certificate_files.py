# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and revocation lists as operators give them: PEM, one or several, or DER.

What stands there in their place by mistake is named, and never shown: it may be a private key.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from typing import Callable, NamedTuple, TypeVar

from ..errors import CertificateError, InputError
from .certificates import Certificate
from .revocation_lists import RevocationList

T = TypeVar("T")

LARGEST = 16 << 20  # octets
MOST = 256
_OCTETS_A_LINE = 48

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_HEAD = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_INSTEAD = {
    "CERTIFICATE REQUEST": "is a request for a certificate: give the certificate that the authority made of it",
    "NEW CERTIFICATE REQUEST": "is a request for a certificate: give the certificate that the authority made of it",
    "TRUSTED CERTIFICATE": "is a certificate in OpenSSL's own form: openssl x509 -in FILE makes a usual one",
    "PUBLIC KEY": "is a public key: give the certificate, or use auth method raw",
    "PKCS7": "is PKCS#7: openssl pkcs7 -print_certs -in FILE makes certificates of it",
    "CERTIFICATE": "is a certificate, where a revocation list belongs",
    "X509 CRL": "is a revocation list, where a certificate belongs: give it as crl",
}


class _Kind(NamedTuple):
    """:ivar labels: of PEM; the first is the usual one."""

    labels: tuple[str, ...]
    name: str


_CERTIFICATE = _Kind(("CERTIFICATE", "X509 CERTIFICATE"), "a certificate")
_LIST = _Kind(("X509 CRL", "CRL"), "a revocation list")


def read_certificates(octets: bytes, field: str) -> tuple[Certificate, ...]:
    """All certificates of a text or a file, in their order there; one at least.

    :raises InputError: naming ``field``.
    """
    return _read(octets, field, _CERTIFICATE, Certificate.parse)


def read_lists(octets: bytes, field: str) -> tuple[RevocationList, ...]:
    """All revocation lists of a text or a file; one at least.

    :raises InputError: naming ``field``.
    """
    return _read(octets, field, _LIST, RevocationList.parse)


def as_pem(certificates: Iterable[Certificate]) -> str:
    """Certificates as PEM, one behind the other, with lines of 64 characters as everybody reads them."""
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{_lines(certificate.der)}-----END CERTIFICATE-----\n"
        for certificate in certificates
    )


def _lines(octets: bytes) -> str:
    return "".join(
        binascii.b2a_base64(octets[at : at + _OCTETS_A_LINE]).decode("ascii")
        for at in range(0, len(octets), _OCTETS_A_LINE)
    )


def _read(octets: bytes, field: str, kind: _Kind, parse: Callable[[bytes], T]) -> tuple[T, ...]:
    if len(octets) > LARGEST:
        raise InputError(field, None, f"has {len(octets)} octets", f"give {kind.name} of no more than {LARGEST}")
    found = [octets] if octets.startswith(b"0") and _HEAD.search(octets) is None else _pem(octets, field, kind)
    try:
        return tuple(parse(one) for one in found)
    except CertificateError as problem:
        raise InputError(field, None, problem.story, problem.remedy) from None


def _pem(octets: bytes, field: str, kind: _Kind) -> list[bytes]:
    """The octets between lines of PEM."""
    remedy = f"give {kind.name} in PEM, from -----BEGIN {kind.labels[0]}----- to its end, or in DER"
    labels = [label.decode() for label in _HEAD.findall(octets)]
    for label in labels:
        _refuse_another(label, field, kind, remedy)
    bodies = [body for _label, body in _PEM.findall(octets)]
    if not labels:
        raise InputError(field, None, f"is not {kind.name}", remedy)
    if len(bodies) != len(labels) or len(bodies) > MOST:
        problem = "is cut short" if len(bodies) < len(labels) else f"holds more than {MOST} certificates"
        raise InputError(field, None, problem, remedy)
    try:
        return [binascii.a2b_base64(body) for body in bodies]
    except binascii.Error:
        raise InputError(field, None, "is not PEM: what stands between its lines is no base64", remedy) from None


def _refuse_another(label: str, field: str, kind: _Kind, remedy: str) -> None:
    if label in kind.labels:
        return
    if label.endswith("PRIVATE KEY"):
        raise InputError(
            field, None, f"is a private key, where {kind.name} belongs", "give the private key as auth.key"
        )
    problem, _colon, instead = _INSTEAD.get(label, f"is {label.lower()}").partition(": ")
    raise InputError(field, None, problem, instead or remedy)
