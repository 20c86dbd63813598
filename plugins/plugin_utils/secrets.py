# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared keys of a fleet: each pair's own, derived from one seed that never leaves the controller."""

from __future__ import annotations

import base64
import hashlib
import hmac

SALT = b"fleet.ipsec pre-shared key 1"
KEY_OCTETS = 32
MINIMUM_SEED = 32  # characters
# What is drawn at random has more distinct characters, dice excepted, and repeats nothing throughout.
_FEWEST_CHARACTERS = 6
_LONGEST_PATTERN = 12


def extract(seed: str) -> bytes:
    """The pseudorandom key of a seed: HKDF-Extract with SHA-256 (RFC 5869 section 2.2), 32 octets."""
    return hmac.digest(SALT, seed.encode(), hashlib.sha256)


def guessable(seed: str) -> bool:
    """Whether a seed was plainly not drawn at random: of few distinct characters, or one pattern throughout."""
    text = seed.strip().lower()
    repeats = any(text[length:] == text[:-length] for length in range(1, _LONGEST_PATTERN + 1))
    return len(set(text)) < _FEWEST_CHARACTERS or repeats


def pair_secret(key: bytes, community: str, ids: tuple[str, str], epoch: int) -> str:
    """The pre-shared key of one pair in one epoch: HKDF-Expand (RFC 5869 section 2.3), 32 octets in URL-safe base64.

    :param key: of :func:`extract`.
    :param ids: both identities, in any order; their case does not count, as it does not in IKE.
    """
    # No name and no identity holds a zero octet, so that no two pairs share an info.
    info = "\0".join([community, *sorted(name.lower() for name in ids), str(epoch)]).encode()
    # One block of SHA-256 is as long as the key.
    return base64.urlsafe_b64encode(hmac.digest(key, info + b"\x01", hashlib.sha256)).decode().rstrip("=")
