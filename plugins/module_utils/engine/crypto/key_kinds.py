# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of public key one is, how large, and whether it is strong enough to prove anything."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import library

LEAST_RSA, MOST_RSA = 2048, 16384  # bits; more than these the OpenSSL library does not take
_LEAST_EXPONENT, _MOST_EXPONENT_BITS = 65537, 256  # FIPS 186-5 section 5.1
_CURVES = {"secp256r1": ("P-256", 256), "secp384r1": ("P-384", 384), "secp521r1": ("P-521", 521)}


class KeyKind(NamedTuple):
    """:ivar family: ``rsa``, ``ecdsa``, ``ed25519`` or ``ed448``.

    :ivar bits: of the modulus or the curve.
    :ivar text: for people.
    :ivar weakness: what is wrong with such a key; empty where nothing is.
    """

    family: str
    bits: int
    text: str
    weakness: str = ""


def kind_of(key: Any) -> KeyKind:
    """The kind of a public key of ``cryptography``."""
    if isinstance(key, library.rsa.RSAPublicKey):
        return _rsa(key)
    if isinstance(key, library.ec.EllipticCurvePublicKey):
        text, bits = _CURVES.get(key.curve.name, (key.curve.name, 0))
        return KeyKind("ecdsa", bits, f"ECDSA {text}", "" if bits else "only the curves P-256, P-384 and P-521 count")
    if isinstance(key, library.ed25519.Ed25519PublicKey):
        return KeyKind("ed25519", 256, "Ed25519")
    if isinstance(key, library.ed448.Ed448PublicKey):
        return KeyKind("ed448", 448, "Ed448")
    return KeyKind("", 0, "of another kind", "only RSA, ECDSA, Ed25519 and Ed448 count")


def _rsa(key: Any) -> KeyKind:
    exponent = key.public_numbers().e
    weakness = ""
    if not LEAST_RSA <= key.key_size <= MOST_RSA:
        weakness = f"only RSA keys of {LEAST_RSA} to {MOST_RSA} bits count"
    elif exponent % 2 == 0 or exponent < _LEAST_EXPONENT or exponent.bit_length() > _MOST_EXPONENT_BITS:
        weakness = f"its public exponent is not an odd number of {_LEAST_EXPONENT} or more, as they are used"
    return KeyKind("rsa", key.key_size, f"RSA with {key.key_size} bits", weakness)
