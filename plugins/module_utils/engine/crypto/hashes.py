# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HMAC (RFC 2104), which serves as PRF and, cut short, as integrity check value."""

from __future__ import annotations

import hmac

from .primitive import Primitive


class Hmac(Primitive):
    """HMAC with one hash, of Python's own.

    :ivar size: octets of its output and of its preferred key.
    """

    def __init__(self, hash_name: str, size: int) -> None:
        """:param hash_name: as :mod:`hashlib` has it."""
        self._hash = hash_name
        self.size = size

    def digest(self, key: bytes, data: bytes) -> bytes:
        """The whole output, :attr:`size` octets."""
        return hmac.digest(key, data, self._hash)


SHA1 = Hmac("sha1", 20)
SHA256 = Hmac("sha256", 32)
SHA384 = Hmac("sha384", 48)
SHA512 = Hmac("sha512", 64)
