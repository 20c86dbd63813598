# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a method of the control socket waits for tunnels, and looks at thousands without keeping others waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import TypeVar

SLICE = 25  # tunnels looked at or changed before the loop turns to others

T = TypeVar("T")


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; after every :data:`SLICE` of them the loop turns to others."""
    for done, item in enumerate(items, 1):
        yield item
        if done % SLICE == 0:
            await asyncio.sleep(0)


class Watches:
    """Who waits for which tunnels."""

    def __init__(self) -> None:
        self._all: set[_Watch] = set()

    def tell(self, name: str) -> None:
        """Something of a tunnel changed."""
        for watch in self._all:
            watch.tell(name)

    async def until(self, names: Collection[str], reached: Callable[[str], bool], seconds: float) -> set[str]:
        """Wait until all of these tunnels are where they are to be, or the time is up; those that are not there.

        :param reached: whether a tunnel is there now.
        """
        deadline = time.monotonic() + seconds
        watch = _Watch(set(names))
        self._all.add(watch)
        try:
            waiting = {name async for name in in_slices(names) if not reached(name)}
            while waiting and (left := deadline - time.monotonic()) > 0:
                for name in await watch.changed(left):
                    if reached(name):
                        waiting.discard(name)
                    else:
                        waiting.add(name)
        finally:
            self._all.discard(watch)
        return waiting


class _Watch:
    """Names of tunnels of which something changed, collected until their waiter looks."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._changed: set[str] = set()
        self._event = asyncio.Event()

    def tell(self, name: str) -> None:
        """Something changed."""
        if name in self._names:
            self._changed.add(name)
            self._event.set()

    async def changed(self, timeout: float) -> set[str]:
        """The names since the last call; empty when none changed in time."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except asyncio.TimeoutError:
            return set()
        self._event.clear()
        names, self._changed = self._changed, set()
        return names
