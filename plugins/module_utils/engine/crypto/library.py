# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one seam to the ``cryptography`` package: what it offers, by the names of the registry's rows.

Nothing else in the engine imports it. What the installed version lacks is unavailable, never an
ImportError; :func:`require` and :func:`available` tell. Bad octets raise ValueError here, a wrong
integrity check value :class:`BadTag`; the floor above knows whose fault it is.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

from ..errors import MissingError
from .groups import GENERATOR, modp_prime

try:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, x25519
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
except ImportError as exc:
    PROBLEM: str | None = str(exc)

    class BadTag(Exception):  # type: ignore[no-redef]
        """Stands in where there is no library to raise it."""

else:
    PROBLEM = None
    BadTag = InvalidTag  # type: ignore[misc]

try:
    from cryptography.hazmat.primitives.asymmetric import dh
except ImportError:
    dh = None  # type: ignore[assignment]

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    # Before 43 it stands among the others; a version that has dropped it there has it in ``decrepit`` or nowhere.
    TripleDES = None if PROBLEM else getattr(algorithms, "TripleDES", None)

# Finite-field Diffie-Hellman warns at every public value since 50. Which groups are allowed is
# the proposals' business; a release without it is reported by available().
warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")

REMEDY = "install python3-cryptography 38 or newer (Debian: apt install python3-cryptography)"


def require() -> None:
    """Make sure that the package is there.

    :raises MissingError: naming the package to install.
    """
    if PROBLEM is not None:
        raise MissingError(f"the Python package cryptography cannot be imported ({PROBLEM})", REMEDY)


# Ciphers


class Aead(Protocol):
    """A keyed AEAD; :meth:`decrypt` raises :class:`BadTag`."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Ciphertext and tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Plaintext."""


def aead(primitive: str, key: bytes) -> Aead:
    """The cipher object of an AEAD for one key."""
    require()
    return AESGCM(key) if primitive == "aes-gcm" else ChaCha20Poly1305(key)


class Cbc:
    """A block cipher in CBC mode for one key; no padding."""

    __slots__ = ("_algorithm",)

    def __init__(self, primitive: str, key: bytes) -> None:
        require()
        self._algorithm: Any = algorithms.AES(key) if primitive == "aes-cbc" else TripleDES(key)

    def encrypt(self, iv: bytes, data: bytes) -> bytes:
        """``data`` is a whole number of blocks."""
        context = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        return context.update(data) + context.finalize()

    def decrypt(self, iv: bytes, data: bytes) -> bytes:
        """``data`` is a whole number of blocks."""
        context = Cipher(self._algorithm, modes.CBC(iv)).decryptor()
        return context.update(data) + context.finalize()


# Key pairs


class Pair(Protocol):
    """An ephemeral key pair; ``public`` as in a KE payload."""

    public: bytes

    def private(self) -> bytes:
        """What :func:`load_pair` takes."""

    def shared(self, peer: Any) -> bytes:
        """The shared secret with the end whose value :func:`read_public` read.

        :raises ValueError: nothing comes of that value.
        """


_X25519_BASE_POINT = b"\x09" + bytes(31)


class X25519Pair:
    """Curve25519 (RFC 7748)."""

    __slots__ = ("_private", "public")

    def __init__(self, private: x25519.X25519PrivateKey) -> None:
        self._private = private
        if hasattr(x25519.X25519PublicKey, "public_bytes_raw"):
            self.public = private.public_key().public_bytes_raw()
        else:
            # Before 40 the public key goes through a PEM detour that costs four multiplications;
            # the product with the base point is the same octets.
            self.public = self.shared(read_public("x25519", _X25519_BASE_POINT))

    def private(self) -> bytes:
        return self._private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def shared(self, peer: x25519.X25519PublicKey) -> bytes:
        return self._private.exchange(peer)


class EcpPair:
    """NIST prime curves (RFC 5903): x and y without a prefix; the secret is x."""

    __slots__ = ("_private", "public")

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def private(self) -> bytes:
        return _octets_of(self._private.private_numbers().private_value)

    def shared(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        return self._private.exchange(ec.ECDH(), peer)


class ModpPair:
    """Diffie-Hellman modulo a safe prime: value and secret padded to the size of the prime."""

    __slots__ = ("_numbers", "_private", "public")

    def __init__(self, private: dh.DHPrivateKey, numbers: dh.DHParameterNumbers) -> None:
        self._private = private
        self._numbers = numbers
        public = private.public_key().public_numbers().y
        self.public = public.to_bytes((numbers.p.bit_length() + 7) // 8, "big")

    def private(self) -> bytes:
        return _octets_of(self._private.private_numbers().x)

    def shared(self, peer: dh.DHPublicKey) -> bytes:
        return self._private.exchange(peer).rjust(len(self.public), b"\0")


def _octets_of(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


_CURVES = {} if PROBLEM else {"ecp256": ec.SECP256R1(), "ecp384": ec.SECP384R1(), "ecp521": ec.SECP521R1()}
_MODP_BITS = {f"modp{bits}": bits for bits in (1024, 1536, 2048, 3072, 4096, 6144, 8192)}
_modp_cache: dict[str, tuple[Any, Any]] = {}


def _modp(primitive: str) -> tuple[dh.DHParameterNumbers, dh.DHParameters]:
    """The group's numbers and the library's object of them, made once: OpenSSL recognises the
    prime and takes a short exponent."""
    if primitive not in _modp_cache:
        numbers = dh.DHParameterNumbers(modp_prime(_MODP_BITS[primitive]), GENERATOR)
        _modp_cache[primitive] = (numbers, numbers.parameters())
    return _modp_cache[primitive]


def generate_pair(primitive: str) -> Pair:
    """A fresh key pair from the library's generator."""
    require()
    if primitive == "x25519":
        return X25519Pair(x25519.X25519PrivateKey.generate())
    if primitive in _CURVES:
        return EcpPair(ec.generate_private_key(_CURVES[primitive]))
    numbers, parameters = _modp(primitive)
    return ModpPair(parameters.generate_private_key(), numbers)


def load_pair(primitive: str, private: bytes) -> Pair:
    """The key pair of a private value: a big-endian number, for x25519 the 32 octets of RFC 7748."""
    require()
    if primitive == "x25519":
        return X25519Pair(x25519.X25519PrivateKey.from_private_bytes(private))
    value = int.from_bytes(private, "big")
    if primitive in _CURVES:
        return EcpPair(ec.derive_private_key(value, _CURVES[primitive]))
    numbers = _modp(primitive)[0]
    public = dh.DHPublicNumbers(pow(GENERATOR, value, numbers.p), numbers)
    return ModpPair(dh.DHPrivateNumbers(value, public).private_key(), numbers)


def read_public(primitive: str, octets: bytes) -> Any:
    """A peer's value as in a KE payload, looked at without a key pair of ours, which may be dear.

    :raises ValueError: it is not one of the group.
    """
    require()
    if primitive == "x25519":
        return x25519.X25519PublicKey.from_public_bytes(octets)
    if primitive in _CURVES:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[primitive], b"\x04" + octets)
    numbers = _modp(primitive)[0]
    value = int.from_bytes(octets, "big")
    # With a safe prime this leaves no small subgroup (RFC 6989 section 2.1).
    if not 2 <= value <= numbers.p - 2:
        raise ValueError("outside 2..p-2")
    return dh.DHPublicNumbers(value, numbers).public_key()


# What this host can do

_available_cache: dict[str, bool] = {}


def available(primitive: str) -> bool:
    """Whether the installed library can compute a cipher or key exchange of the registry; found out once by doing it.

    :raises MissingError: when there is no library at all.
    """
    require()
    if primitive not in _available_cache:
        try:
            _PROBES[primitive](primitive)
        except (UnsupportedAlgorithm, TypeError, AttributeError, ValueError):
            # TypeError and AttributeError: the class is None or gone in this version.
            _available_cache[primitive] = False
        else:
            _available_cache[primitive] = True
    return _available_cache[primitive]


def _probe_modp(primitive: str) -> None:
    # Not a key pair: the large groups would cost every start of the manager milliseconds.
    dh.DHParameterNumbers(modp_prime(_MODP_BITS[primitive]), GENERATOR).parameters()


_PROBES = {
    "aes-gcm": lambda primitive: aead(primitive, bytes(16)),
    "chacha20-poly1305": lambda primitive: aead(primitive, bytes(32)),
    "aes-cbc": lambda primitive: Cbc(primitive, bytes(16)).encrypt(bytes(16), bytes(16)),
    "3des-cbc": lambda primitive: Cbc(primitive, bytes(range(24))).encrypt(bytes(8), bytes(8)),
    "x25519": generate_pair,
    "ecp256": generate_pair,
    "ecp384": generate_pair,
    "ecp521": generate_pair,
    **dict.fromkeys(_MODP_BITS, _probe_modp),
}
