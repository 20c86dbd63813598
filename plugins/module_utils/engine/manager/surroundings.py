# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What parts of the manager ask of those that stand above them or beside them, and do not import."""

from __future__ import annotations

from typing import Protocol

from .host import KernelHost
from .repairs import Disturbance, Record


class TunnelListener(Protocol):
    """Who is told what becomes of tunnels."""

    def tunnel_changed(self, tunnel: str) -> None:
        """Something of it is different."""

    def tunnel_settled(self, tunnel: str) -> None:
        """It is in operation as its row says, or is not any more."""


class KernelState(Protocol):
    """What the kernel has of tunnels."""

    def disturbance(self, tunnel: str) -> Disturbance | None:
        """What it lacks just now."""

    def record(self, tunnel: str) -> Record:
        """What was put back."""


class Loop(Protocol):
    """The event loop that wakes the manager."""

    def turned(self) -> None:
        """Something was done, after which the next deadline may be nearer."""


class NoLoop:
    """Nobody is going to wake the manager."""

    def turned(self) -> None:
        """See :class:`Loop`."""


class HostMaker(Protocol):
    """Who gives the manager the kernel to work with."""

    def __call__(self, runtime_dir: str, guard: str, /) -> KernelHost:
        """The kernel of this host."""
