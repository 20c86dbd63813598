# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When packets last passed through each child, from the counters of its SAs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..child_sa import ChildSa
from ..kernel.values import Usage

Counters = Mapping[tuple[str, int, int], Usage]


class Traffic:
    """By request ID, when the counters of a child last moved.

    Newer kernels tell of each SA when that was (Linux 6.2); with others it is known no better than from look to look.
    """

    def __init__(self) -> None:
        self._moved: dict[int, float] = {}
        self._packets: dict[int, int] = {}

    def look(self, children: Iterable[ChildSa], counters: Counters, now: float, clock: float) -> None:
        """Take in what the SAs of all children have carried.

        :param now: on the clock of whoever asks; ``clock``: seconds since the epoch, which is the kernel's.
        """
        moved: dict[int, float] = {}
        packets: dict[int, int] = {}
        for child in children:
            ways = (child.local_address, child.spi_in), (child.remote_address, child.spi_out)
            used = [usage for address, spi in ways if (usage := counters.get((address, child.protocol, spi)))]
            packets[child.number] = sum(usage.packets for usage in used)
            known = [self._when(child, used, packets[child.number], now, clock)]
            known += [self._moved.get(child.reqid), moved.get(child.reqid)]
            if any(known):
                moved[child.reqid] = max(when for when in known if when is not None)
        self._moved, self._packets = moved, packets

    def _when(self, child: ChildSa, used: Sequence[Usage], packets: int, now: float, clock: float) -> float | None:
        """When a packet last passed, None if that is not known."""
        last = max((usage.last_used for usage in used), default=0)
        if not last and child.number in self._packets:
            return now if packets > self._packets[child.number] else None
        last = last or max((usage.use_time for usage in used), default=0)
        return now - max(0.0, clock - last) if last else None

    def last(self, reqid: int) -> float | None:
        """When that was, None if nothing has passed yet, or nothing is known."""
        return self._moved.get(reqid)
