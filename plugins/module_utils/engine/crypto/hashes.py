# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HMAC (RFC 2104), which serves as PRF and, cut short, as integrity check value."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from .primitive import Primitive

_INNER_PAD = bytes(octet ^ 0x36 for octet in range(256))
_OUTER_PAD = bytes(octet ^ 0x5C for octet in range(256))


class Hmac(Primitive):
    """HMAC with one hash, of Python's own.

    :ivar size: octets of its output and of its preferred key.
    """

    def __init__(self, hash_name: str, size: int) -> None:
        """:param hash_name: as :mod:`hashlib` has it."""
        self._hash = hash_name
        self._fresh = hashlib.new(hash_name)  # to look one up by name costs several times what a copy does
        self.size = size

    def digest(self, key: bytes, data: bytes) -> bytes:
        """The whole output, :attr:`size` octets."""
        return hmac.digest(key, data, self._hash)

    def keyed(self, key: bytes) -> Callable[[bytes], bytes]:
        """:meth:`digest` with one key, which costs less from the third time on: the key is taken in once."""
        inner, outer = self._fresh.copy(), self._fresh.copy()
        if len(key) > inner.block_size:
            key = hashlib.new(self._hash, key).digest()
        block = key.ljust(inner.block_size, b"\0")
        inner.update(block.translate(_INNER_PAD))
        outer.update(block.translate(_OUTER_PAD))

        def digest(data: bytes) -> bytes:
            first, second = inner.copy(), outer.copy()
            first.update(data)
            second.update(first.digest())
            return second.digest()

        return digest


SHA1 = Hmac("sha1", 20)
SHA256 = Hmac("sha256", 32)
SHA384 = Hmac("sha384", 48)
SHA512 = Hmac("sha512", 64)
