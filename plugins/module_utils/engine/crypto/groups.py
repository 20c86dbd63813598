# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The primes of the MODP groups, by their definition (RFC 2409 section 6, RFC 3526).

Every one is ``2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + offset)`` with generator 2; the
offset is the least that makes both p and (p-1)/2 prime.
"""

from __future__ import annotations

from functools import cache

# bits of the prime -> offset
_OFFSETS = {1024: 129093, 1536: 741804, 2048: 124476, 3072: 1690314, 4096: 240904, 6144: 929484, 8192: 4743158}

GENERATOR = 2


@cache
def modp_prime(bits: int) -> int:
    """The prime of the group of that size."""
    prime: int = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (_scaled_pi(bits - 130) + _OFFSETS[bits])
    return prime


def _scaled_pi(bits: int) -> int:
    """floor(2^bits * pi), by Machin's formula with guard bits."""
    guard = 64
    one = 1 << (bits + guard)
    return (4 * (4 * _arctan_inverse(5, one) - _arctan_inverse(239, one))) >> guard


def _arctan_inverse(x: int, one: int) -> int:
    """arctan(1/x) in units of 1/one, by its Taylor series."""
    power = total = one // x
    divisor, sign, square = 1, 1, x * x
    while power:
        power //= square
        divisor += 2
        sign = -sign
        total += sign * (power // divisor)
    return total
