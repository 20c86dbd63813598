# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that sign, made once a run: RSA takes its time."""

from __future__ import annotations

import functools
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

KINDS = ("rsa2048", "rsa3072", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519", "ed448")
_CURVES = {"ecdsa224": ec.SECP224R1, "ecdsa256": ec.SECP256R1, "ecdsa384": ec.SECP384R1, "ecdsa521": ec.SECP521R1}


@functools.cache
def key(kind: str, which: int = 0) -> Any:
    """A private key of the library; another one for another ``which``."""
    if kind.startswith("rsa"):
        exponent = 3 if kind.endswith("e3") else 65537
        return rsa.generate_private_key(exponent, int(kind[3:7]))
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    return {"ed25519": ed25519.Ed25519PrivateKey, "ed448": ed448.Ed448PrivateKey}[kind].generate()


def private_pem(kind: str, which: int = 0, passphrase: bytes = b"", traditional: bool = False) -> bytes:
    """The private key as PEM, encrypted where there is a passphrase."""
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key(kind, which).private_bytes(Encoding.PEM, form, protection)


def public_pem(kind: str, which: int = 0) -> bytes:
    """The public key as PEM."""
    return key(kind, which).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
