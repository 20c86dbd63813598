# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffie-Hellman on Curve25519, on NIST's curves and modulo a prime, and what every key exchange has to offer."""

from __future__ import annotations

from typing import Any

from . import library
from .groups import GENERATOR, modp_prime
from .primitive import Primitive


class KeyExchangePrimitive(Primitive):
    """Computes a key exchange method: private objects are the library's own, all else is octets as in a KE payload.

    Octets that are no value of the method raise ValueError; their number is looked at before.
    """

    def generate(self) -> Any:
        """A fresh private object, from the library's generator."""
        raise NotImplementedError

    def load(self, octets: bytes) -> Any:
        """The private object that :meth:`private_octets` tells of."""
        raise NotImplementedError

    def private_octets(self, private: Any) -> bytes:
        """What makes it again."""
        raise NotImplementedError

    def public_octets(self, private: Any) -> bytes:
        """The initiator's value."""
        raise NotImplementedError

    def finish(self, private: Any, answer: bytes) -> bytes:
        """Initiator: the shared secret, of the responder's value."""
        raise NotImplementedError

    def read(self, octets: bytes) -> Any:
        """Responder: the initiator's value, looked at before anything dear is done for it."""
        raise NotImplementedError

    def answer(self, value: Any) -> tuple[bytes, bytes]:
        """Responder: its value and the shared secret, of what :meth:`read` returned."""
        raise NotImplementedError


class _DiffieHellman(KeyExchangePrimitive):
    """Both sides do the same."""

    def shared(self, private: Any, value: Any) -> bytes:
        """The shared secret of a private object and of the other end's value, as :meth:`read` returned it."""
        raise NotImplementedError

    def finish(self, private: Any, answer: bytes) -> bytes:
        return self.shared(private, self.read(answer))

    def answer(self, value: Any) -> tuple[bytes, bytes]:
        private = self.generate()
        return self.public_octets(private), self.shared(private, value)

    def probe(self) -> None:
        self.public_octets(self.generate())


_X25519_BASE_POINT = b"\x09" + bytes(31)


class X25519(_DiffieHellman):
    """Curve25519 (RFC 7748, RFC 8031); a private value is its 32 octets."""

    def generate(self) -> Any:
        return library.x25519.X25519PrivateKey.generate()

    def load(self, octets: bytes) -> Any:
        return library.x25519.X25519PrivateKey.from_private_bytes(octets)

    def private_octets(self, private: Any) -> bytes:
        raw = library.Encoding.Raw, library.PrivateFormat.Raw, library.NoEncryption()
        return private.private_bytes(*raw)  # type: ignore[no-any-return]

    def public_octets(self, private: Any) -> bytes:
        public = private.public_key
        if hasattr(library.x25519.X25519PublicKey, "public_bytes_raw"):
            return public().public_bytes_raw()  # type: ignore[no-any-return]
        # Before 40 the public key goes through a PEM detour that costs four multiplications;
        # the product with the base point is the same octets.
        return self.shared(private, self.read(_X25519_BASE_POINT))

    def read(self, octets: bytes) -> Any:
        return library.x25519.X25519PublicKey.from_public_bytes(octets)

    def shared(self, private: Any, value: Any) -> bytes:
        return private.exchange(value)  # type: ignore[no-any-return]


class Ecp(_DiffieHellman):
    """A NIST prime curve (RFC 5903): x and y without a prefix; the secret is x."""

    def __init__(self, curve: str) -> None:
        """:param curve: the library's name of it."""
        self._name = curve

    @property
    def _curve(self) -> Any:
        return getattr(library.ec, self._name)()

    def generate(self) -> Any:
        return library.ec.generate_private_key(self._curve)

    def load(self, octets: bytes) -> Any:
        return library.ec.derive_private_key(int.from_bytes(octets, "big"), self._curve)

    def private_octets(self, private: Any) -> bytes:
        return _shortest(private.private_numbers().private_value)

    def public_octets(self, private: Any) -> bytes:
        point = library.Encoding.X962, library.PublicFormat.UncompressedPoint
        return private.public_key().public_bytes(*point)[1:]  # type: ignore[no-any-return]

    def read(self, octets: bytes) -> Any:
        return library.ec.EllipticCurvePublicKey.from_encoded_point(self._curve, b"\x04" + octets)

    def shared(self, private: Any, value: Any) -> bytes:
        return private.exchange(library.ec.ECDH(), value)  # type: ignore[no-any-return]


class Modp(_DiffieHellman):
    """Modulo a safe prime (RFC 3526): value and secret are padded to the size of the prime."""

    needs = "a python3-cryptography that has finite-field Diffie-Hellman"

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._made: tuple[Any, Any] | None = None

    def _group(self) -> tuple[Any, Any]:
        """The group's numbers and the library's object of them, made once: OpenSSL recognises the
        prime and takes a short exponent."""
        if self._made is None:
            numbers = library.dh.DHParameterNumbers(modp_prime(self._bits), GENERATOR)
            self._made = numbers, numbers.parameters()
        return self._made

    def generate(self) -> Any:
        return self._group()[1].generate_private_key()

    def load(self, octets: bytes) -> Any:
        value = int.from_bytes(octets, "big")
        numbers = self._group()[0]
        public = library.dh.DHPublicNumbers(pow(GENERATOR, value, numbers.p), numbers)
        return library.dh.DHPrivateNumbers(value, public).private_key()

    def private_octets(self, private: Any) -> bytes:
        return _shortest(private.private_numbers().x)

    def public_octets(self, private: Any) -> bytes:
        value: int = private.public_key().public_numbers().y
        return value.to_bytes(self._bits // 8, "big")

    def read(self, octets: bytes) -> Any:
        numbers = self._group()[0]
        value = int.from_bytes(octets, "big")
        # With a safe prime this leaves no small subgroup (RFC 6989 section 2.1).
        if not 2 <= value <= numbers.p - 2:
            raise ValueError("outside 2..p-2")
        return library.dh.DHPublicNumbers(value, numbers).public_key()

    def shared(self, private: Any, value: Any) -> bytes:
        return private.exchange(value).rjust(self._bits // 8, b"\0")  # type: ignore[no-any-return]

    def probe(self) -> None:
        # Not a key pair: the large groups would cost every start of the manager milliseconds.
        library.dh.DHParameterNumbers(modp_prime(self._bits), GENERATOR).parameters()


def _shortest(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
