# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority with an intermediate one, and certificates that it issues for hosts, as PEM for any daemon."""

from __future__ import annotations

import datetime
import functools
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.signing_keys import key

DAY = datetime.timedelta(days=1)
_HASHES = {"ecdsa384": hashes.SHA384, "ecdsa521": hashes.SHA512}


def _name(common_name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fleet")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(**used: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


def _hash(kind: str) -> Any:
    return None if kind.startswith("ed") else _HASHES.get(kind, hashes.SHA256)()


class Authority:
    """One that issues: of its own right, or by another's.

    :param kind: of its key, and of those of what it issues unless said otherwise.
    """

    def __init__(self, kind: str, name: str, above: Authority | None = None, which: int = 0) -> None:
        self.kind = kind
        self.name = name
        self.key = key(kind, 100 + which)
        builder = self._builder(name, self.key.public_key(), above or self, -30 * DAY, 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
        signer = above or self
        self.pem = builder.sign(signer.key, _hash(signer.kind)).public_bytes(Encoding.PEM)

    @staticmethod
    def _builder(
        name: str, public: Any, issuer: Authority, start: datetime.timedelta, end: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer.name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(identifier, False)
        )

    def issue(
        self,
        host: str,
        kind: str = "",
        which: int = 0,
        start: datetime.timedelta = -DAY,
        end: datetime.timedelta = 365 * DAY,
    ) -> bytes:
        """The certificate of a host, whose key is :func:`tests.signing_keys.key` of that kind and number."""
        public = key(kind or self.kind, which).public_key()
        builder = self._builder(host, public, self, start, end)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(_usage(digital_signature=True), True)
        return builder.sign(self.key, _hash(self.kind)).public_bytes(Encoding.PEM)

    def revoke(self, *certificates: bytes, end: datetime.timedelta = DAY) -> bytes:
        """A list of what it revokes."""
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(self.name))
            .last_update(now - DAY)
            .next_update(now + end)
            .add_extension(identifier, False)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), False)
        )
        for certificate in certificates:
            serial = x509.load_pem_x509_certificate(certificate).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _hash(self.kind)).public_bytes(Encoding.PEM)


@functools.cache
def authority(kind: str, which: int = 0) -> Authority:
    """A root, made once a run."""
    return Authority(kind, f"Root {which}", which=which)


@functools.cache
def intermediate(kind: str) -> Authority:
    """One that the root has issued."""
    return Authority(kind, "Intermediate", authority(kind), which=50)
