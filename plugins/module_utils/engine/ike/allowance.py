# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many SAs a peer that is authenticated may have us make: many at once, and some a second after that."""

from __future__ import annotations

from ..bucket import Bucket


class Allowances:
    """What is left to each tunnel. It outlives its IKE SAs, since a peer can have any number of them, one by one.

    :param at_once: how many SAs a peer may ask for at once; ``per_second``: how many more a second later.
    """

    def __init__(self, at_once: int, per_second: float) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._left: dict[str, Bucket] = {}

    def take(self, tunnel: str, now: float) -> bool:
        """Whether the peer of this tunnel may have one more."""
        left = self._left.get(tunnel)
        if left is None:
            left = self._left[tunnel] = Bucket(self._per_second, self._at_once)
        return left.take(now)

    def forget(self, tunnel: str) -> None:
        """The tunnel is not defined any more."""
        self._left.pop(tunnel, None)
