# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Child SAs send without ever receiving, from the kernel's counters: their peers may have forgotten them.

A peer that was restarted, or a NAT on the way that made another mapping, is found out so within seconds, however
long the liveness checks are apart. Traffic that goes one way by its nature has the peer asked now and then.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..child_sa import ChildSa
from ..ike.actions import Unanswered
from .traffic import Counters

LOOK_SECONDS = 5.0
# One look asks the kernel for everything: with thousands of SAs there are fewer looks.
SAS_PER_SECOND = 200


class Silence:
    """Looks now and then, and remembers what it saw the last time.

    :ivar due: when the next look is due, on the clock of the caller.
    """

    def __init__(self, now: float) -> None:
        self.due = now + LOOK_SECONDS
        self._seen: dict[int, tuple[int, int]] = {}

    def look(self, children: Iterable[ChildSa], counters: Counters, now: float) -> list[Unanswered]:
        """What has happened since the last look: each child that sent and did not receive."""
        seen: dict[int, tuple[int, int]] = {}
        found = []
        for child in children:
            incoming = counters.get((child.local_address, child.protocol, child.spi_in))
            outgoing = counters.get((child.remote_address, child.protocol, child.spi_out))
            if incoming is None or outgoing is None:
                continue
            sent, received = seen[child.number] = outgoing.packets, incoming.packets
            before = self._seen.get(child.number)
            if before is not None and sent > before[0] and received == before[1]:
                found.append(Unanswered(child.local_address, child.spi_in))
        self._seen = seen
        self.due = now + max(LOOK_SECONDS, len(counters) / SAS_PER_SECOND)
        return found
