# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bounded reader over the octets of a datagram, shared by IKEv1 and IKEv2.

A nested length opens a window; whoever opened it consumes it exactly. Nothing here
recurses, and no octet is copied before somebody takes it.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from ..errors import MESSAGE, IkeError
from .budget import INVALID_SYNTAX, Budget


class Reader:
    """Reads numbers in network order and octets from ``data[start:end]``.

    Every shortfall raises :class:`IkeError` (INVALID_SYNTAX, scope message).

    :param data: the octets; anything but ``bytes`` is copied once.
    :param start: offset of the first octet to read.
    :param end: offset behind the last one; the end of ``data`` when left out.
    :param budget: what this message may still cost; windows share it.
    """

    __slots__ = ("budget", "data", "end", "position")

    def __init__(
        self, data: bytes | memoryview, start: int = 0, end: int | None = None, budget: Budget | None = None
    ) -> None:
        self.data = bytes(data)  # no copy of what is octets already
        size = len(self.data)
        self.end = size if end is None else end
        if not 0 <= start <= self.end <= size:
            raise ValueError(f"window {start}..{end} is outside of {size} octets")
        self.position = start
        self.budget = Budget() if budget is None else budget

    @property
    def remaining(self) -> int:
        """Octets not read yet."""
        return self.end - self.position

    def _short(self, count: int) -> IkeError:
        story = f"{count} octets announced or needed, {self.end - self.position} there"
        return IkeError(INVALID_SYNTAX, story, MESSAGE)

    def u8(self) -> int:
        """The next octet."""
        return self.take(1)[0]

    def u16(self) -> int:
        """The next 2 octets as a number."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """The next 4 octets as a number."""
        return int.from_bytes(self.take(4), "big")

    # What follows is most of the work of parsing a message, hence no call within it.

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """The next ``layout.size`` octets as the fields of ``layout``."""
        position = self.position
        following = position + layout.size
        if following > self.end:
            raise self._short(layout.size)
        self.position = following
        return layout.unpack_from(self.data, position)

    def take(self, count: int) -> bytes:
        """The next ``count`` octets."""
        position = self.position
        following = position + count
        if not position <= following <= self.end:
            raise self._short(count)
        self.position = following
        return self.data[position:following]

    def rest(self) -> bytes:
        """All octets not read yet, perhaps none."""
        position, self.position = self.position, self.end
        return self.data[position : self.end]

    def window(self, count: int) -> Reader:
        """A reader of exactly the next ``count`` octets; this one goes on behind them."""
        position = self.position
        following = position + count
        if not position <= following <= self.end:
            raise self._short(count)
        self.position = following
        inner = Reader.__new__(Reader)  # the bounds are known to be right
        inner.data = self.data
        inner.position = position
        inner.end = following
        inner.budget = self.budget
        return inner

    def finish(self) -> None:
        """Demand that everything was read.

        :raises IkeError: INVALID_SYNTAX when octets trail.
        """
        if self.position != self.end:
            raise IkeError(INVALID_SYNTAX, f"{self.end - self.position} octets trail behind the content", MESSAGE)
