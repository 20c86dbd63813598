# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM's encapsulation written down from FIPS 203, for tests: slow, and with the randomness handed in.

The libraries draw it themselves, so that neither a known answer nor a simulation could be repeated with them.
"""

from __future__ import annotations

from hashlib import sha3_256, sha3_512, shake_128, shake_256
from itertools import product
from typing import NamedTuple

Q = 3329
N = 256
_XOF_OCTETS = 2016  # more than any known sample needs
Polynomial = list[int]


class Parameters(NamedTuple):
    """A parameter set (section 8); eta1 and eta2 are 2 in both."""

    k: int
    du: int
    dv: int


PARAMETERS = {768: Parameters(3, 10, 4), 1024: Parameters(4, 11, 5)}


def encapsulate(size: int, key: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and shared secret of an encapsulation key and 32 octets of randomness (algorithm 17)."""
    digest = sha3_512(message + sha3_256(key).digest()).digest()
    return _encrypt(PARAMETERS[size], key, message, digest[32:]), digest[:32]


def _encrypt(parameters: Parameters, key: bytes, message: bytes, coins: bytes) -> bytes:
    """Algorithm 14."""
    k, du, dv = parameters
    packed, rho = key[:-32], key[-32:]
    t = [_decode(packed[384 * i : 384 * (i + 1)], 12) for i in range(k)]
    a = {(i, j): _sample_uniform(rho + bytes((j, i))) for i, j in product(range(k), repeat=2)}
    noise = [_sample_noise(shake_256(coins + bytes((i,))).digest(128)) for i in range(2 * k + 1)]
    y = [_transform(noise[i]) for i in range(k)]
    ciphertext = b""
    for i in range(k):
        u = _inverse(_sum(_product(a[j, i], y[j]) for j in range(k)))
        ciphertext += _encode(_compress(_sum((u, noise[k + i])), du), du)
    v = _inverse(_sum(_product(t[j], y[j]) for j in range(k)))
    bits = [(bit * Q + 1) // 2 for bit in _decode(message, 1)]
    return ciphertext + _encode(_compress(_sum((v, noise[2 * k], bits)), dv), dv)


def _decode(octets: bytes, bits: int) -> Polynomial:
    number = int.from_bytes(octets, "little")
    return [number >> bits * i & (1 << bits) - 1 for i in range(N)]


def _encode(values: Polynomial, bits: int) -> bytes:
    return sum(value << bits * i for i, value in enumerate(values)).to_bytes(N * bits // 8, "little")


def _compress(values: Polynomial, bits: int) -> Polynomial:
    return [((value << bits + 1) + Q) // (2 * Q) % (1 << bits) for value in values]


def _sum(polynomials) -> Polynomial:
    return [sum(column) % Q for column in zip(*polynomials)]


def _sample_uniform(seed: bytes) -> Polynomial:
    """Algorithm 7."""
    stream = shake_128(seed).digest(_XOF_OCTETS)
    found: Polynomial = []
    for at in range(0, _XOF_OCTETS, 3):
        first, second, third = stream[at : at + 3]
        found += [value for value in (first | (second & 15) << 8, second >> 4 | third << 4) if value < Q]
    return found[:N]


def _sample_noise(octets: bytes) -> Polynomial:
    """Algorithm 8 with eta 2."""
    return [
        ((n & 1) + (n >> 1 & 1) - (n >> 2 & 1) - (n >> 3 & 1)) % Q for octet in octets for n in (octet & 15, octet >> 4)
    ]


def _reversed_bits(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


_ZETAS = [pow(17, _reversed_bits(i), Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _reversed_bits(i) + 1, Q) for i in range(128)]


def _transform(values: Polynomial) -> Polynomial:
    """Algorithm 9."""
    f, i, length = list(values), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = _ZETAS[i]
            i += 1
            for j in range(start, start + length):
                t = zeta * f[j + length]
                f[j + length] = (f[j] - t) % Q
                f[j] = (f[j] + t) % Q
        length //= 2
    return f


def _inverse(values: Polynomial) -> Polynomial:
    """Algorithm 10."""
    f, i, length = list(values), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = _ZETAS[i]
            i -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [value * 3303 % Q for value in f]


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    """Algorithm 11."""
    found: Polynomial = []
    for i, gamma in enumerate(_GAMMAS):
        (a0, a1), (b0, b1) = a[2 * i : 2 * i + 2], b[2 * i : 2 * i + 2]
        found += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return found
