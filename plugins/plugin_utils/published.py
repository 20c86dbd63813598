# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that stand in documentation and examples: whoever uses one of them has none."""

from __future__ import annotations

import hashlib
from typing import Any

# SHA-256 of each that ever stood there, in lower case and without blanks around it, so that none stands here in clear.
_PUBLISHED = frozenset(
    (
        "2a8abfa8cb9906290437854193ca6bca41d4d4e26d1d454bd66a35158095e737",
        "f3e9c5420265b128e78d99545e6edfa681d2a7d85bf560283a67954e36e0d7fd",
    )
)


def published(secret: Any) -> bool:
    """Whether a seed or a pre-shared key is one that everybody can read in this collection."""
    return hashlib.sha256(str(secret).strip().lower().encode()).hexdigest() in _PUBLISHED
