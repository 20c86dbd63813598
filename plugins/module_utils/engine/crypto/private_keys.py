# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys that signatures are made with: PKCS#8 or traditional PEM, encrypted or not."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..secret import Secret
from . import library
from .public_keys import LARGEST, PublicKey, check_strength, public_key_of


class PrivateKey:
    """A private key, which shows in no ``repr``, traceback or pickle.

    :ivar public: the public key that belongs to it.
    """

    __slots__ = ("_key", "public")

    def __init__(self, key: Any, public: PublicKey) -> None:
        """:param key: the library's object."""
        self._key = key
        self.public = public

    def reveal(self) -> Any:
        """The library's object, to sign with; never log, print or store it."""
        return self._key

    def __repr__(self) -> str:
        return f"PrivateKey({self.public})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key is not serialised; it stays in the file that it came from")


def read_private_key(octets: bytes, passphrase: Secret | None, field: str, passphrase_field: str) -> PrivateKey:
    """The private key of a PEM file.

    :param field: where the file is named, and ``passphrase_field`` the passphrase, for errors.
    :raises InputError: it is none, is encrypted and cannot be decrypted, or is not good enough.
    :raises MissingError: the crypto library is not there.
    """
    library.require()
    octets = octets[:LARGEST]
    if b"PRIVATE KEY-----" not in octets:
        what = "holds a certificate, not a private key" if b"CERTIFICATE-----" in octets else "holds no private key"
        remedy = "name a PEM file with -----BEGIN PRIVATE KEY-----"
        if octets.startswith(b"0"):
            remedy += " (of one in DER, openssl pkey -inform DER -in OLD -out NEW makes it)"
        raise InputError(field, None, what, remedy)
    if b"OPENSSH PRIVATE KEY-----" in octets:
        remedy = "write a copy of it in PEM: ssh-keygen -p -m PKCS8 -f COPY"
        raise InputError(field, None, "holds a private key in the form of OpenSSH", remedy)
    encrypted = b"BEGIN ENCRYPTED PRIVATE KEY-----" in octets or b"Proc-Type: 4,ENCRYPTED" in octets
    if encrypted and passphrase is None:
        remedy = f"give {passphrase_field}, or a file that is not encrypted"
        raise InputError(field, None, "is encrypted, and there is no passphrase", remedy)
    if passphrase is not None and not encrypted:
        remedy = f"leave out {passphrase_field}, or name the file that it is for"
        raise InputError(passphrase_field, None, "is for a key that is encrypted, and this one is not", remedy)
    key = _load(octets, passphrase, field, passphrase_field)
    if not hasattr(key, "sign"):
        raise InputError(field, None, "holds a key that cannot sign", "name the file of a key for signatures")
    found = PrivateKey(key, public_key_of(key.public_key()))
    check_strength(found.public, field)
    return found


def _load(octets: bytes, passphrase: Secret | None, field: str, passphrase_field: str) -> Any:
    try:
        return library.load_pem_private_key(octets, passphrase.reveal() if passphrase is not None else None)
    except library.UNREADABLE:
        # What the library says may quote the file.
        if passphrase is None:
            raise InputError(field, None, "holds a private key that cannot be read", _REMEDY) from None
    remedy = f"check it: openssl pkey -in KEY -noout asks for it; {_REMEDY}"
    raise InputError(passphrase_field, None, f"does not decrypt the key of {field}", remedy)


_REMEDY = "write the key anew: openssl pkey -in OLD -out NEW"
