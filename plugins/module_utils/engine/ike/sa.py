# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all versions of IKE have in common of an IKE SA and its children; each version has its own classes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..child_sa import ChildSa
from .actions import Path
from .connection import Connection

Opening = tuple[str, int, bytes]  # address and port of who sent a first message, and the message's digest


class AnyChild(Protocol):
    """A Child SA within its IKE SA.

    :ivar superseded: made of a definition that has changed since.
    """

    number: int
    sa: ChildSa
    superseded: bool


class AnySa(Protocol):
    """An IKE SA.

    :ivar number: unique while the endpoint lives.
    :ivar nat: whether there is a NAT on its path.
    :ivar opening: under which key the registry has it while the peer may repeat its first message.
    :ivar wake: when its next deadline is due, as entered in the timers; 0 for none.
    """

    number: int
    connection: Connection
    path: Path
    nat: bool
    opening: Opening | None
    wake: float

    @property
    def version(self) -> int:
        """The version of IKE that it speaks."""

    @property
    def local_spi(self) -> bytes:
        """The SPI that the peer's messages to us carry as ours, 8 octets."""

    @property
    def alive(self) -> bool:
        """Whether it is established."""

    @property
    def gone(self) -> bool:
        """Whether it is over and forgotten."""

    @property
    def children(self) -> Mapping[int, AnyChild]:
        """Its Child SAs, by number."""
