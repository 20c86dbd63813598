# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each certificate of a path has to be for IKE (RFC 4945 section 5.1.3), beyond what OpenSSL looks at.

OpenSSL knows no purpose of IKE's and no level of security: it takes a key of 512 bits, SHA-1 and a certificate for
e-mail.
"""

from __future__ import annotations

from ..errors import CertificateError
from ..identity import ID_DER_ASN1_DN, ID_FQDN, ID_IPV4_ADDR, ID_IPV6_ADDR, ID_RFC822_ADDR, Identity
from . import moments
from .certificates import Certificate
from .key_kinds import kind_of
from .signature_names import LEAST_STRENGTH

_DIGITAL_SIGNATURE, _NON_REPUDIATION, _CERT_SIGN = 0, 1, 5
# The last one was IKE's before RFC 4945 gave it a number; strongSwan's pki and Windows still issue it.
_FOR_IKE = frozenset({"2.5.29.37.0", "1.3.6.1.5.5.7.3.17", "1.3.6.1.5.5.8.2.2"})
_PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "TLS servers",
    "1.3.6.1.5.5.7.3.2": "TLS clients",
    "1.3.6.1.5.5.7.3.3": "code",
    "1.3.6.1.5.5.7.3.4": "e-mail",
    "1.3.6.1.5.5.7.3.5": "ipsecEndSystem, which is obsolete",
    "1.3.6.1.5.5.7.3.6": "ipsecTunnel, which is obsolete",
    "1.3.6.1.5.5.7.3.7": "ipsecUser, which is obsolete",
    "1.3.6.1.5.5.7.3.8": "time stamps",
    "1.3.6.1.5.5.7.3.9": "OCSP",
}
_BOUND = {
    ID_DER_ASN1_DN: "the subject",
    ID_FQDN: "a subjectAltName (DNS)",
    ID_RFC822_ADDR: "a subjectAltName (email)",
    ID_IPV4_ADDR: "a subjectAltName (IP)",
    ID_IPV6_ADDR: "a subjectAltName (IP)",
}
_SHOWN_NAMES = 5


def check_time(certificate: Certificate, now: float) -> None:
    """That it is valid at a time of Unix seconds.

    :raises CertificateError: ``certificate_not_yet_valid``, ``certificate_expired``.
    """
    if now < certificate.not_before:
        start, clock = moments.text_of(certificate.not_before), moments.text_of(now)
        raise CertificateError(
            "certificate_not_yet_valid",
            f"the certificate of {certificate} is valid from {start} on, and the clock of this host says {clock}",
            "set the clock of this host (timedatectl tells it), or have the certificate issued for now",
        )
    if now > certificate.not_after:
        end, clock = moments.text_of(certificate.not_after), moments.text_of(now)
        raise CertificateError(
            "certificate_expired",
            f"the certificate of {certificate} expired at {end}; the clock of this host says {clock}",
            "renew the certificate, or set the clock of this host",
        )


def check_key(certificate: Certificate) -> None:
    """That its key is strong enough.

    :raises CertificateError: ``certificate_weak``.
    """
    kind = kind_of(certificate.key)
    if kind.weakness:
        raise CertificateError(
            "certificate_weak",
            f"the key in the certificate of {certificate} is {kind.text}: {kind.weakness}",
            "have it issued for a key of RSA with 3072 bits, ECDSA P-256 or Ed25519",
        )


def check_signature(certificate: Certificate) -> None:
    """That the algorithm of its signature is strong enough; whether it holds is OpenSSL's to say.

    :raises CertificateError: ``certificate_weak``.
    """
    signature = certificate.signature
    if signature is None or signature.strength < LEAST_STRENGTH:
        by = signature.text if signature else "an algorithm that is not known here"
        raise CertificateError(
            "certificate_weak",
            f"the certificate of {certificate} is signed by {by}",
            "have it issued anew with SHA-256 or stronger",
        )


def check_holder(certificate: Certificate) -> None:
    """That the certificate of an end may prove it in IKE: key usage and extended key usage, where it has them.

    :raises CertificateError: ``certificate_wrong_use``.
    """
    bits = certificate.usage.bits
    if bits is not None and not {_DIGITAL_SIGNATURE, _NON_REPUDIATION}.intersection(bits):
        raise CertificateError(
            "certificate_wrong_use",
            f"the certificate of {certificate} is not for signatures (keyUsage)",
            "have it issued with the key usage digitalSignature",
        )
    _check_purpose(certificate)


def check_authority(certificate: Certificate) -> None:
    """That it is an authority's which may sign certificates for IKE.

    :raises CertificateError: ``certificate_wrong_use``.
    """
    if not certificate.usage.authority:
        raise CertificateError(
            "certificate_wrong_use",
            f"the certificate of {certificate} is not an authority's (basicConstraints CA:TRUE)",
            "name the authority that issued it, or have it issued as an authority",
        )
    if certificate.usage.bits is not None and _CERT_SIGN not in certificate.usage.bits:
        raise CertificateError(
            "certificate_wrong_use",
            f"the certificate of {certificate} may not sign others (keyUsage)",
            "have the authority issued with the key usage keyCertSign",
        )
    _check_purpose(certificate)


def check_identity(certificate: Certificate, identity: Identity) -> None:
    """That it proves its holder to be that end (RFC 4945 section 3.1); an asterisk in its names stands for nothing.

    :raises CertificateError: ``certificate_other_identity``.
    """
    place = _BOUND.get(identity.type)
    is_pattern = identity.type in (ID_FQDN, ID_RFC822_ADDR) and b"*" in identity.data
    if place and not is_pattern and any(name.matches(identity) for name in certificate.identities):
        return
    names = ", ".join(str(name) for name in certificate.identities[:_SHOWN_NAMES]) or "nobody"
    have = f"have it issued with {identity} as {place}" if place else "use the subject or a name in the certificate"
    raise CertificateError(
        "certificate_other_identity",
        f"the certificate of {certificate} does not prove {identity}: it is for {names}",
        f"use one of these as the id at both ends, or {have}",
    )


def _check_purpose(certificate: Certificate) -> None:
    """Extended key usage as of RFC 4945 section 5.1.3.12: none, any, or IKE among them."""
    purposes = certificate.usage.purposes
    if purposes is None or _FOR_IKE.intersection(purposes):
        return
    told = ", ".join(_PURPOSES.get(purpose, purpose) for purpose in purposes[:_SHOWN_NAMES]) or "nothing"
    raise CertificateError(
        "certificate_wrong_use",
        f"the certificate of {certificate} is for {told} alone (extendedKeyUsage)",
        "have it issued without an extended key usage, or with ipsecIKE (1.3.6.1.5.5.7.3.17) among them",
    )
