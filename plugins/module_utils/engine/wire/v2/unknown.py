# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A payload of a type that this implementation does not know (RFC 7296 section 2.5)."""

from __future__ import annotations

from ...newer_python import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Skipped unless critical; then it never gets this far, but one can be sent.

    :ivar type: payload type number.
    :ivar critical: whether the receiver must refuse the message when it does not know the type.
    :ivar data: the body.
    """

    type: int
    critical: bool
    data: bytes

    @property
    def TYPE(self) -> int:
        """Payload type number."""
        return self.type

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
