# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels lead to which address, and which of them are to hear of an error there."""

from __future__ import annotations

from collections.abc import Iterable

# Seconds for which an error is not told again. Each of N tunnels to one address meets the error with each datagram, so
# without a pause N datagrams would be N * N looks at a tunnel; one that starts meanwhile hears with its next datagram.
QUIET_SECONDS = 1.0


class PeerErrors:
    """The names of tunnels by the addresses of their peers."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._told: dict[str, dict[tuple[str, str | None], float]] = {}

    def enter(self, name: str, addresses: Iterable[str]) -> None:
        """The tunnel leads there."""
        for address in addresses:
            self._names.setdefault(address, set()).add(name)

    def leave(self, name: str, addresses: Iterable[str]) -> None:
        """It does so no more."""
        for address in addresses:
            names = self._names[address]
            names.discard(name)
            if not names:
                del self._names[address]
                self._told.pop(address, None)

    def to_tell(self, address: str, reason: str, local: str | None, now: float) -> list[str]:
        """The tunnels that are to hear of an error; none if they did within :data:`QUIET_SECONDS`.

        :param local: our address, where it is about those tunnels only that leave from it.
        """
        if address not in self._names:
            return []
        told = self._told.setdefault(address, {})
        if now - told.get((reason, local), now - QUIET_SECONDS) < QUIET_SECONDS:
            return []
        told[reason, local] = now
        return list(self._names[address])
