# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Since when tunnels and their children are up, through fresh keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..ike.views import ChildStage, IkeView
from .states import Condition


class Uptimes:
    """By tunnel and child (empty for the IKE SA), when it came up, on the protocol engine's clock.

    Of what an earlier manager had up it is known no better than how old its keys are.
    """

    def __init__(self) -> None:
        self._since: dict[str, dict[str, float]] = {}

    def see(self, name: str, how: Condition, sas: Callable[[], Iterable[IkeView]]) -> None:
        """How a tunnel is now; its IKE SAs are looked at where something came up."""
        up = how.up | {""} if how.phase1 == "active" else how.up
        before = self._since.get(name, {})
        fresh = up - before.keys()
        since = {child: when for child, when in before.items() if child in up}
        if fresh:
            since |= {child: when for child, when in _made(sas()).items() if child in fresh}
        if since:
            self._since[name] = since
        else:
            self._since.pop(name, None)

    def of(self, name: str, child: str = "") -> float | None:
        """Since when it is up; None where it is not."""
        return self._since.get(name, {}).get(child)

    def rename(self, old: str, new: str) -> None:
        """The tunnel goes by another name."""
        if old in self._since:
            self._since[new] = self._since.pop(old)

    def forget(self, name: str) -> None:
        """There is no such tunnel any more."""
        self._since.pop(name, None)


def _made(sas: Iterable[IkeView]) -> dict[str, float]:
    """When the oldest SA in use of each was made."""
    found: dict[str, float] = {}
    for sa in sas:
        if sa.lasting:
            found[""] = min(sa.created, found.get("", sa.created))
        for child in sa.children:
            if child.stage in (ChildStage.SENDING, ChildStage.RECEIVING, ChildStage.RELIEVED):
                found[child.name] = min(child.created, found.get(child.name, child.created))
    return found
