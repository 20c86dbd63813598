# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prf+, the stream of octets that a PRF yields (RFC 7296 section 2.13)."""

from __future__ import annotations

from .hashes import Hmac


def prf_plus(function: Hmac, key: bytes, seed: bytes, count: int) -> bytes:
    """The first ``count`` octets of ``prf+(key, seed)``.

    :raises ValueError: beyond the 255 blocks that the RFC's counter allows.
    """
    rounds = -(-count // function.size)
    if rounds > 255:
        raise ValueError("prf+ yields no more than 255 blocks")
    digest = function.keyed(key)
    block = digest(seed + b"\x01")
    stream = block
    for number in range(2, rounds + 1):
        block = digest(b"%b%b%c" % (block, seed, number))
        stream += block
    return stream[:count]
