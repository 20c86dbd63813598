# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address of its peer a tunnel is tried at: the most preferred one, then the next where nothing came of it.

A round goes through all addresses. It begins anew at the most preferred one when nothing came of the last one, and when
an IKE SA was up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from ..ike.actions import Report
from ..newer_python import dataclass
from .states import Notice

_NO_ATTEMPT = ("stopped", "replaced")  # ends that say nothing of an address


@dataclass(slots=True)
class _Round:
    """What became of addresses so far, and the IKE SA by which one is tried now, by its number."""

    tried: dict[str, Notice] = field(default_factory=dict)
    ike: int = 0
    address: str = ""


class Attempts:
    """The round of each tunnel that has begun one."""

    def __init__(self) -> None:
        self._rounds: dict[str, _Round] = {}

    def left(self, name: str, addresses: Sequence[str]) -> Sequence[str]:
        """The addresses to try, the next one first; all where a round is over."""
        if not self.between(name, addresses):
            self.forget(name)
            return addresses
        tried = self._rounds[name].tried
        return [address for address in addresses if address not in tried]

    def between(self, name: str, addresses: Sequence[str]) -> bool:
        """Whether some address was tried in vain, and another one has its turn."""
        tried = self._rounds[name].tried if name in self._rounds else {}
        return bool(tried) and any(address not in tried for address in addresses)

    def began(self, name: str, ike: int, address: str) -> None:
        """An IKE SA of ours is being opened there."""
        begun = self._rounds.setdefault(name, _Round())
        begun.ike, begun.address = ike, address

    def failed(self, name: str, address: str, notice: Notice) -> Notice:
        """Nothing came of an address; what to tell of the round so far."""
        tried = self._rounds.setdefault(name, _Round()).tried
        tried[address] = notice
        return _together(tried)

    def take(self, report: Report) -> Notice | None:
        """Take in what the protocol engine reports; where an attempt failed, what to tell of the round so far."""
        found = self._rounds.get(report.tunnel)
        if found is None:
            return None
        if report.kind == "ike_established":
            self.forget(report.tunnel)
        elif report.kind == "ike_failed" and report.ike == found.ike and report.data["reason"] not in _NO_ATTEMPT:
            return self.failed(report.tunnel, found.address, Notice(report.data["reason"], report.data["story"]))
        return None

    def forget(self, name: str) -> None:
        """Begin with the most preferred address."""
        self._rounds.pop(name, None)


def _together(tried: dict[str, Notice]) -> Notice:
    """One notice of all addresses tried; silence tells least, so that any other reason comes before it."""
    if len(tried) == 1:
        return next(iter(tried.values()))
    reason = next((each.reason for each in tried.values() if each.reason != "no_answer"), "no_answer")
    stories = (each.story if address in each.story else f"{address}: {each.story}" for address, each in tried.items())
    return Notice(reason, "; ".join(stories))
