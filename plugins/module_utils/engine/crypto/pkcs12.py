# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PKCS#12 files (RFC 7292): a private key with its certificate and those of authorities, to be handed on."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import der
from ..errors import CertificateError, InputError
from ..secret import Secret
from . import library
from .certificates import Certificate, between
from .public_keys import check_strength, public_key_of

LARGEST = 1 << 20  # octets
_DATA = "1.2.840.113549.1.7.1"
_KEY_BAGS = ("1.2.840.113549.1.12.10.1.1", "1.2.840.113549.1.12.10.1.2")  # of a key in clear, and of one encrypted
_EXPLICIT = 0xA0


class WrongPassphrase(InputError):
    """What was given does not open the file."""


class Bundle:
    """What is in such a file; its key shows in no ``repr``.

    :ivar certificate: of the key.
    :ivar between: those between it and its root, in this order.
    :ivar roots: those that nobody has issued but themselves.
    :ivar others: the rest.
    """

    __slots__ = ("_key", "between", "certificate", "others", "roots")

    def __init__(self, key: Any, certificate: Certificate, others: list[Certificate]) -> None:
        self._key = key
        self.certificate = certificate
        self.roots = [one for one in others if one.self_issued]
        self.between = between(certificate, [one for one in others if not one.self_issued])
        self.others = [one for one in others if one not in self.roots and one not in self.between]

    def key_pem(self) -> bytes:
        """The private key in clear, as PKCS#8 in PEM: for a file that root alone may read, and nothing else."""
        octets: bytes = self._key.private_bytes(
            library.Encoding.PEM, library.PrivateFormat.PKCS8, library.NoEncryption()
        )
        return octets

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key is not serialised; it stays in the file that it came from")


class _Content(NamedTuple):
    key: Any
    certificates: list[Certificate]


def read_bundle(octets: bytes, passphrase: Secret | None, field: str) -> Bundle:
    """What is in a file.

    :param passphrase: that it is encrypted with; None for one that is not, or with an empty one.
    :raises WrongPassphrase: it does not open the file.
    :raises InputError: naming ``field``: it is no PKCS#12, or has not one key with its certificate.
    :raises MissingError: the crypto library is not there.
    """
    library.require()
    if octets[:1] != b"0" or len(octets) > LARGEST:
        remedy = "name a file with the ending .p12 or .pfx"
        if b"-----BEGIN " in octets:
            remedy = "it is PEM: name the files of key and certificate in the definition as they are"
        raise InputError(field, None, "is no PKCS#12", remedy)
    content = _opened(octets, passphrase, field)
    if content.key is None:
        raise InputError(field, None, "holds no private key", "export the certificate with its key")
    if _keys_in(octets) > 1:
        raise InputError(field, None, "holds several private keys", "export them one by one, each with its certificate")
    if not hasattr(content.key, "sign"):
        raise InputError(field, None, "holds a key that cannot sign", "export one for signatures")
    public = public_key_of(content.key.public_key())
    check_strength(public, field)
    own = next((one for one in content.certificates if one.key_octets == public.info), None)
    if own is None:
        raise InputError(field, None, "holds no certificate of its private key", "export the key with its certificate")
    return Bundle(content.key, own, [one for one in content.certificates if one != own])


def _opened(octets: bytes, passphrase: Secret | None, field: str) -> _Content:
    """:raises WrongPassphrase: it does not open."""
    tried = (None, b"") if passphrase is None else (passphrase.reveal(),)
    for word in tried:
        try:
            key, own, others = library.load_key_and_certificates(octets, word)
        except library.UNREADABLE:
            continue  # what the library says is the same whatever is wrong
        return _Content(key, [_certificate(each, field) for each in (own, *others) if each is not None])
    remedy = "where it is right, the file may be damaged, or of old algorithms: openssl pkcs12 -legacy -in OLD -nodes "
    remedy += "-out NEW writes it as PEM"
    what = "is not opened by this passphrase" if passphrase is not None else "needs a passphrase"
    raise WrongPassphrase(field, None, what, remedy)


def _certificate(found: Any, field: str) -> Certificate:
    try:
        return Certificate.parse(found.public_bytes(library.Encoding.DER))
    except CertificateError as problem:
        raise InputError(field, None, problem.story, problem.remedy) from None


def _keys_in(octets: bytes) -> int:
    """How many private keys there are, as far as that can be seen without opening anything; the library takes one."""
    try:
        _version, content, *_mac = der.elements(der.only(octets, der.SEQUENCE))
        return sum(_keys_of(each) for each in der.values(_data_of(content.value), der.SEQUENCE))
    except ValueError:
        return 0  # not all programs write DER


def _keys_of(content: bytes) -> int:
    bags = der.values(_data_of(content), der.SEQUENCE)
    return sum(_kind_of(bag) in _KEY_BAGS for bag in bags)


def _kind_of(bag: bytes) -> str:
    kind, *_rest = der.elements(bag)
    return der.oid_text(kind.value)


def _data_of(content: bytes) -> bytes:
    """What a ContentInfo has within a SEQUENCE; nothing where it is encrypted."""
    kind, *inner = der.elements(content)
    if der.oid_text(kind.value) != _DATA or not inner:
        return b""
    octets = der.only(der.only(inner[0].whole, _EXPLICIT), der.OCTET_STRING)
    return der.only(octets, der.SEQUENCE)
