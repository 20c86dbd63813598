# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pseudorandom functions and prf+ (RFC 7296 section 2.13, RFC 4868)."""

from __future__ import annotations

import hmac
from functools import cache

from .registry import Algorithm


class Prf:
    """One PRF; keep it, look-ups by row are cached.

    :ivar size: octets of its output and of its preferred key.
    """

    __slots__ = ("_hash", "size")

    def __init__(self, row: Algorithm) -> None:
        self._hash = row.primitive
        self.size = row.key_octets

    def digest(self, key: bytes, data: bytes) -> bytes:
        """``prf(key, data)``, :attr:`size` octets."""
        return hmac.digest(key, data, self._hash)


@cache
def prf(row: Algorithm) -> Prf:
    """The function of a PRF row."""
    return Prf(row)


def prf_plus(function: Prf, key: bytes, seed: bytes, count: int) -> bytes:
    """The first ``count`` octets of ``prf+(key, seed)``.

    :raises ValueError: beyond the 255 blocks that the RFC's counter allows.
    """
    rounds = -(-count // function.size)
    if rounds > 255:
        raise ValueError("prf+ yields no more than 255 blocks")
    digest = function.digest
    block = digest(key, seed + b"\x01")
    stream = block
    for number in range(2, rounds + 1):
        block = digest(key, b"%b%b%c" % (block, seed, number))
        stream += block
    return stream[:count]
