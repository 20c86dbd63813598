# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many SAs a peer that is authenticated may have us make: many at once, and some a second after that."""

from __future__ import annotations

from ..bucket import Bucket

_MANY = 1024  # tunnels


class Allowances:
    """What is left to each tunnel. It outlives its IKE SAs, since a peer can have any number of them, one by one.

    :param at_once: how many SAs a peer may ask for at once; ``per_second``: how many more a second later.
    """

    def __init__(self, at_once: int, per_second: float) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._left: dict[str, Bucket] = {}
        self._looked_at = _MANY

    def take(self, tunnel: str, now: float) -> bool:
        """Whether the peer of this tunnel may have one more."""
        left = self._left.get(tunnel)
        if left is None:
            self._make_room(now)
            left = self._left[tunnel] = Bucket(self._per_second, self._at_once)
        taken = left.take(now)
        left.refused = 0
        return taken

    def _make_room(self, now: float) -> None:
        """Forget who has all of it left: peers of a definition for many come and go, and nobody says that one is gone.

        Work is that of one look for each that was entered.
        """
        if len(self._left) >= self._looked_at:
            self._left = {tunnel: left for tunnel, left in self._left.items() if not left.full(now)}
            self._looked_at = 2 * len(self._left) + _MANY

    def forget(self, tunnel: str) -> None:
        """The tunnel is not defined any more."""
        self._left.pop(tunnel, None)
