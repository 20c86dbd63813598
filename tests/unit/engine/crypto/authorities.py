# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities, certificates and revocation lists, made by another hand for tests; on every version of the library."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from engine.crypto.certificates import Certificate

NOW = 1_800_000_000  # some moment in 2027
DAY = 86400
IPSEC_IKE = "1.3.6.1.5.5.7.3.17"
_RSA: dict[tuple[int, int], rsa.RSAPrivateKey] = {}


def moment(seconds):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)


def ecdsa(curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def rsa_key(bits=2048, exponent=65537):
    """Made once a run: it takes long."""
    if (bits, exponent) not in _RSA:
        _RSA[bits, exponent] = rsa.generate_private_key(exponent, bits)
    return _RSA[bits, exponent]


def name(text):
    """``O=Fleet,CN=x``; empty for none."""
    kinds = {"C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
    pairs = [part.split("=", 1) for part in text.split(",") if part]
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in pairs])


def alternative(text):
    """``DNS:a``, ``IP:10.0.0.1``, ``email:a@b``, ``URI:x``."""
    kind, _colon, value = text.partition(":")
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    return {"DNS": x509.DNSName, "email": x509.RFC822Name, "URI": x509.UniformResourceIdentifier}[kind](value)


@dataclass(frozen=True)
class Wish:
    """What a certificate is to be; the defaults make one that is good.

    :ivar usage: keyUsage by the names of ``x509.KeyUsage``; None for none.
    :ivar extensions: further ones, as (value, critical).
    """

    subject: str = "O=Fleet,CN=gw"
    names: tuple[str, ...] = ("DNS:gw.example.net",)
    start: int = NOW - 30 * DAY
    end: int = NOW + 365 * DAY
    authority: bool | None = None
    path_length: int | None = None
    usage: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    hash: type = hashes.SHA256
    extensions: tuple = ()


USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def _extensions(wish):
    if wish.names:
        yield x509.SubjectAlternativeName([alternative(text) for text in wish.names]), not wish.subject
    if wish.authority is not None:
        yield x509.BasicConstraints(wish.authority, wish.path_length), True
    if wish.usage is not None:
        yield x509.KeyUsage(*[usage in wish.usage for usage in USAGES]), True
    if wish.purposes is not None:
        yield x509.ExtendedKeyUsage([ObjectIdentifier(purpose) for purpose in wish.purposes]), False
    yield from wish.extensions


def signed(builder, key, hash_class):
    plain = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(key, None if plain else hash_class())


def made(wish, public_key, issuer, signer, serial=None):
    """The octets of a certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(wish.subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(moment(wish.start))
        .not_valid_after(moment(wish.end))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    for extension, critical in _extensions(wish):
        builder = builder.add_extension(extension, critical)
    return signed(builder, signer, wish.hash).public_bytes(serialization.Encoding.DER)


@dataclass
class Authority:
    """An authority with its key; it issues certificates and revocation lists."""

    subject: str = "O=Fleet,CN=Root"
    key: object = field(default_factory=ecdsa)
    octets: bytes = b""
    wish: Wish = Wish(names=(), authority=True, usage=("key_cert_sign", "crl_sign"), end=NOW + 3650 * DAY)

    def __post_init__(self):
        if not self.octets:
            self.octets = self.made(self.wish, self.subject)

    def made(self, wish, subject):
        own = Wish(**{**vars(wish), "subject": subject})
        return made(own, self.key.public_key(), subject, self.key)

    @property
    def certificate(self):
        return Certificate.parse(self.octets)

    def issue(self, key=None, serial=None, **wish):
        """A certificate for a key; one of P-256 where none is given."""
        key = key or ecdsa()
        return Certificate.parse(made(Wish(**wish), key.public_key(), self.subject, self.key, serial))

    def below(self, subject="O=Fleet,CN=Intermediate", key=None, **wish):
        """An authority that this one has issued."""
        key = key or ecdsa()
        full = {**vars(self.wish), "end": NOW + 1000 * DAY, **wish, "subject": subject}
        return Authority(subject, key, made(Wish(**full), key.public_key(), self.subject, self.key))

    def revoke(self, *certificates, start=NOW - DAY, end=NOW + DAY, extensions=()):
        """The octets of a list of what it revokes."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(name(self.subject))
            .last_update(moment(start))
            .next_update(moment(end))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        for certificate in certificates:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(moment(start)).build())
        return signed(builder, self.key, self.wish.hash).public_bytes(serialization.Encoding.DER)
