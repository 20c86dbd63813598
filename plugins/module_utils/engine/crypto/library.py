# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one seam to the ``cryptography`` package: its names, as this version has them.

Nothing else in the engine imports it. Where the package or a part of it cannot be imported, its names stand for
something absent: whoever reaches for one hears what to install, never an ImportError. Whether a part that is there
works on this host as well is for the primitives to find out (:mod:`.primitive`).
"""

# What others use from here is imported under its own name.
# pylint: disable=useless-import-alias,unused-import
from __future__ import annotations

import warnings
from typing import Any, NoReturn

from ..errors import MissingError

REMEDY = "install python3-cryptography 38 or newer (Debian: apt install python3-cryptography)"


class _AbsentPart:
    """Stands for a part that this version does not have; without the package, for every part."""

    def __getattr__(self, name: str) -> NoReturn:
        require()
        raise AttributeError(f"the installed cryptography has no {name}")

    def __call__(self, *_arguments: object) -> NoReturn:
        self.__getattr__("such class")


class _NeverRaised(Exception):
    """Stands for the exception of a tag or signature that is wrong where there is no library to raise it."""


_ABSENT: Any = _AbsentPart()

try:
    from cryptography.exceptions import InternalError, InvalidSignature, InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes as hashes
    from cryptography.hazmat.primitives.asymmetric import ec as ec
    from cryptography.hazmat.primitives.asymmetric import ed448 as ed448
    from cryptography.hazmat.primitives.asymmetric import ed25519 as ed25519
    from cryptography.hazmat.primitives.asymmetric import padding as padding
    from cryptography.hazmat.primitives.asymmetric import rsa as rsa
    from cryptography.hazmat.primitives.asymmetric import x25519 as x25519
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature as decode_dss_signature
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature as encode_dss_signature
    from cryptography.hazmat.primitives.ciphers import Cipher as Cipher
    from cryptography.hazmat.primitives.ciphers import algorithms as algorithms
    from cryptography.hazmat.primitives.ciphers import modes as modes
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM as AESCCM
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM as AESGCM
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305 as ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import Encoding as Encoding
    from cryptography.hazmat.primitives.serialization import NoEncryption as NoEncryption
    from cryptography.hazmat.primitives.serialization import PrivateFormat as PrivateFormat
    from cryptography.hazmat.primitives.serialization import PublicFormat as PublicFormat
    from cryptography.hazmat.primitives.serialization import load_der_private_key as load_der_private_key
    from cryptography.hazmat.primitives.serialization import load_der_public_key as load_der_public_key
    from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_pem_private_key
    from cryptography.hazmat.primitives.serialization import load_pem_public_key as load_pem_public_key
    from cryptography.hazmat.primitives.serialization.pkcs12 import (
        load_key_and_certificates as load_key_and_certificates,
    )

    BadTag: type[Exception] = InvalidTag
    BadSignature: type[Exception] = InvalidSignature
except ImportError as exc:
    PROBLEM: str | None = str(exc)
    _NAMES = "ec ed448 ed25519 rsa x25519 hashes padding Cipher algorithms modes AESCCM AESGCM ChaCha20Poly1305"
    _FORMS = "Encoding NoEncryption PrivateFormat PublicFormat decode_dss_signature encode_dss_signature"
    _KEYS = (
        "load_der_private_key load_der_public_key load_pem_private_key load_pem_public_key load_key_and_certificates"
    )
    globals().update(dict.fromkeys(f"{_NAMES} {_FORMS} {_KEYS}".split(), _ABSENT))
    BadTag = BadSignature = _NeverRaised
    _refused: tuple[type[Exception], ...] = ()
    _failed: tuple[type[Exception], ...] = ()
else:
    PROBLEM = None
    _refused = (UnsupportedAlgorithm,)
    _failed = (InternalError,)

try:
    from cryptography import x509 as x509
except ImportError:
    x509 = _ABSENT

try:
    from cryptography.hazmat.primitives.asymmetric import dh as dh
except ImportError:
    dh = _ABSENT

try:
    from cryptography.hazmat.primitives.asymmetric import mlkem as mlkem
except ImportError:
    mlkem = _ABSENT  # before 48

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES as TripleDES
except ImportError:
    # Before 43 it stands among the others; a version that has dropped it there has it in ``decrepit`` or nowhere.
    globals()["TripleDES"] = _ABSENT if PROBLEM else getattr(algorithms, "TripleDES", _ABSENT)

# What tells of a primitive that this version cannot compute here: a class that it lost or has not got yet, a size that
# it does not know, an algorithm that the library under it was built without.
UNSUPPORTED: tuple[type[Exception], ...] = (AttributeError, ValueError, *_refused)

# What octets raise that are not what they ought to be, such as a public key with a point that is on no curve.
UNREADABLE: tuple[type[Exception], ...] = (
    ValueError, TypeError, OverflowError, NotImplementedError, *_refused, *_failed
)  # fmt: skip

# Finite-field Diffie-Hellman warns at every public value since 50. Which groups are allowed is
# the proposals' business; a release without it is reported as lacking them.
warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")


def require() -> None:
    """Make sure that the package is there.

    :raises MissingError: naming the package to install.
    """
    if PROBLEM is not None:
        raise MissingError(f"the Python package cryptography cannot be imported ({PROBLEM})", REMEDY)
