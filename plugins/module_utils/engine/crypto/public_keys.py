# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys of signatures, as values (RFC 7670 section 3 for those without a certificate)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import InputError
from . import library
from .key_kinds import kind_of

RSA, ECDSA, ED25519, ED448 = "rsa", "ecdsa", "ed25519", "ed448"

LARGEST = 65536  # octets of a file with one key, several times what the largest has
GOOD = "use RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, Ed25519 or Ed448"


class PublicKey(NamedTuple):
    """A public key.

    :ivar kind: one of :data:`RSA`, :data:`ECDSA`, :data:`ED25519`, :data:`ED448`; empty for any other.
    :ivar size: bits of an RSA modulus or of a curve.
    :ivar text: for people; ``weakness``: why nobody is to be authenticated by it, empty where nothing is against it.
    :ivar key: the library's object.
    :ivar info: SubjectPublicKeyInfo, DER octets; two keys are the same where these are equal.
    """

    kind: str
    size: int
    text: str
    weakness: str
    key: Any
    info: bytes

    def __str__(self) -> str:
        return self.text


def public_key_of(key: Any) -> PublicKey:
    """What the library has, as a value; a kind that is not known here has an empty :attr:`PublicKey.kind`."""
    info = key.public_bytes(library.Encoding.DER, library.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(*kind_of(key), key, info)


def read_public_key(octets: bytes, field: str) -> PublicKey:
    """A public key as PEM (``BEGIN PUBLIC KEY``) or DER (SubjectPublicKeyInfo), RFC 7670 section 3.

    :raises InputError: naming ``field``: it is none, or one that is not good enough.
    :raises MissingError: the crypto library is not there.
    """
    library.require()
    if b"PRIVATE KEY-----" in octets[:LARGEST]:
        remedy = "give the public one: openssl pkey -in KEY -pubout"
        raise InputError(field, None, "is a private key, which nobody else may have", remedy)
    pem = b"-----BEGIN " in octets[:LARGEST]
    load: Callable[[bytes], Any] = library.load_pem_public_key if pem else library.load_der_public_key
    try:
        found = public_key_of(load(octets[:LARGEST]))
    except library.UNREADABLE:
        remedy = "give it as PEM, from -----BEGIN PUBLIC KEY----- on (openssl pkey -pubin -in KEY -text shows one)"
        raise InputError(field, None, "is no public key", remedy) from None
    check_strength(found, field)
    return found


def read_any_public_key(octets: bytes, field: str) -> PublicKey:
    """A public key as :func:`read_public_key` has it, or an RSA key as DNS has it (RFC 3110 section 2).

    :raises InputError: naming ``field``: it is none, or one that is not good enough.
    :raises MissingError: the crypto library is not there.
    """
    if octets[:1] == b"0" or b"-----BEGIN " in octets[:LARGEST]:
        return read_public_key(octets, field)
    library.require()
    length, rest = (octets[0], octets[1:]) if octets[:1] != b"\0" else (int.from_bytes(octets[1:3], "big"), octets[3:])
    numbers = int.from_bytes(rest[:length], "big"), int.from_bytes(rest[length:LARGEST], "big")
    try:
        found = public_key_of(library.rsa.RSAPublicNumbers(*numbers).public_key())
    except library.UNREADABLE:
        raise InputError(
            field, None, "is no public key", "give it as PEM, from -----BEGIN PUBLIC KEY----- on"
        ) from None
    check_strength(found, field)
    return found


def as_pem(key: PublicKey) -> str:
    """A public key as PEM (SubjectPublicKeyInfo)."""
    octets: bytes = key.key.public_bytes(library.Encoding.PEM, library.PublicFormat.SubjectPublicKeyInfo)
    return octets.decode("ascii")


def check_strength(key: PublicKey, field: str) -> None:
    """Refuse a key by which nobody is to be authenticated.

    :raises InputError: naming ``field``.
    """
    if key.weakness:
        raise InputError(field, None, f"is {key}: {key.weakness}", GOOD)
