# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key material that cannot leak by accident."""

from __future__ import annotations

import hmac


class Secret:
    """Octets that never show in ``repr``, ``str``, tracebacks or pickles.

    Equality is constant time. :meth:`reveal` is the only way to the octets; grep for it to audit.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def reveal(self) -> bytes:
        """The octets themselves; never log, print or store them."""
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._octets, other._octets)

    # Hashing would allow probing a secret through set or dict timing.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not serialised; store it through the code that owns the file")
