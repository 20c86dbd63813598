# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is kept of messages that are not whole yet, in all IKE SAs together: the oldest is dropped for the newest.

Whoever sends a message in fragments sends all of it again when it is not answered, so nothing is lost for good.
"""

from __future__ import annotations

from collections.abc import Callable

from ..newer_python import dataclass

STRANGERS = ""  # whose share is that of all who are not authenticated; others go by the name of their tunnel
_EACH = 1024  # octets that a message costs beside its own

Key = tuple[int, bool]  # number of an IKE SA, and whether it is an answer that is awaited


@dataclass(slots=True)
class _Kept:
    octets: int
    drop: Callable[[], object]


class Incomplete:
    """What is kept, by share. Strangers have one of their own, so that nothing of a peer is dropped for them.

    :param most: octets in all shares; beyond that the largest one loses something.
    :param of_share: octets in the share of a tunnel; ``of_strangers``: in that of all strangers.
    """

    def __init__(self, most: int, of_share: int, of_strangers: int) -> None:
        self._most, self._of_share, self._of_strangers = most, of_share, of_strangers
        self._shares: dict[str, dict[Key, _Kept]] = {}
        self._octets: dict[str, int] = {}
        self._whose: dict[Key, str] = {}
        self.octets = 0

    def __len__(self) -> int:
        return len(self._whose)

    def keep(self, share: str, key: Key, octets: int, drop: Callable[[], object]) -> None:
        """So much is kept of a message by now; ``drop`` lets go of it."""
        kept = self._shares.get(share, {}).get(key)
        if kept is None:
            self.leave(key)
            kept = self._shares.setdefault(share, {})[key] = _Kept(0, drop)
            self._whose[key] = share
        grown = octets + _EACH - kept.octets
        kept.octets += grown
        self.octets += grown
        self._octets[share] = self._octets.get(share, 0) + grown
        while self._octets.get(share, 0) > (self._of_share if share else self._of_strangers):
            self._drop_oldest(share)
        while self.octets > self._most:
            self._drop_oldest(max(self._octets, key=self._octets.__getitem__))

    def leave(self, key: Key) -> None:
        """Nothing is kept of that message any more."""
        share = self._whose.pop(key, None)
        if share is None:
            return
        kept = self._shares[share].pop(key)
        self.octets -= kept.octets
        self._octets[share] -= kept.octets
        if not self._shares[share]:
            del self._shares[share], self._octets[share]

    def _drop_oldest(self, share: str) -> None:
        key, kept = next(iter(self._shares[share].items()))
        self.leave(key)
        kept.drop()
