# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of a version of IKE: what it does for an endpoint, which knows no more of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ..identity import Identity
from ..selector import Selector
from ..wire.header import Header
from .actions import KernelEvent, Path
from .connection import ChildConfig, Connection
from .context import Context
from .records import ChangedRecords, Records
from .sa import AnyChild, AnySa
from .views import IkeView

Packet = tuple[Selector, Selector]  # local and remote selector of a packet that wants a child
ConnectionOf = Callable[[str, Identity], "Connection | None"]
S = TypeVar("S", bound=AnySa, contravariant=True)  # pylint: disable=typevar-name-incorrect-variance
C = TypeVar("C", bound=AnyChild, contravariant=True)  # pylint: disable=typevar-name-incorrect-variance


class Thawed(NamedTuple):
    """What became of the records.

    :ivar sas: oldest first. :ivar problems: by tunnel, why its records cannot be used; none of its IKE SAs is thawed.
    :ivar highest: of all numbers that are in the records, those of what is gone and only named yet among them.
    """

    sas: list[Any]
    problems: dict[str, str]
    highest: int


class Version(Protocol[S, C]):
    """A version of IKE, with its own classes for an IKE SA and for a child.

    Its verbs append to the context what they ask for, and touch the IKE SAs that they change. What is asked of a tunnel
    concerns the IKE SAs of this version alone.

    :ivar number: the major version in a header, and :attr:`Connection.version` of a definition.
    """

    number: int

    # The wire

    def receive(self, context: Context, header: Header, datagram: bytes, path: Path) -> None:
        """Take a message of this version, whosever it is."""

    def refuse_newer(self, context: Context, header: Header, path: Path) -> None:
        """Tell who sent a message of a higher version that this is the highest one here."""

    # A tunnel

    def start(
        self,
        context: Context,
        connection: Connection,
        children: Sequence[ChildConfig],
        path: Path | None,
        packet: Packet | None,
    ) -> None:
        """Bring up an IKE SA unless there is one, and these children.

        :raises InputError: ``path`` is None, and the addresses of the definition do not tell how to reach the peer.
        """

    def rekey(self, context: Context, tunnel: str) -> None:
        """Replace the keys of the IKE SA of a tunnel."""

    def rekey_children(self, context: Context, tunnel: str, names: Collection[str]) -> None:
        """Replace the keys of children."""

    def reauthenticate(self, context: Context, tunnel: str) -> None:
        """Begin an IKE SA that takes the place of that of a tunnel, with all its children, when both are proven."""

    def supersede(self, context: Context, tunnel: str) -> None:
        """An option of the IKE SA changed: what there is stays until another one has taken its place."""

    def supersede_children(self, context: Context, tunnel: str, names: Collection[str]) -> None:
        """These children changed: what there is of them stays until others have taken their place."""

    def awaited(self, context: Context, tunnel: str) -> list[ChildConfig]:
        """The children that are to take over from superseded ones and are not up yet."""

    def negotiates(self, context: Context, tunnel: str) -> bool:
        """Whether a child of a tunnel is asked for, or about to be."""

    # An IKE SA

    def redefine(self, sa: S, connection: Connection) -> None:
        """The definition of its tunnel changed: it goes by that from its next exchange on."""

    def vet(self, context: Context, sa: S) -> None:
        """End it where what its peer has proven itself by is revoked, as the definition has it by now."""

    def stop(self, context: Context, sa: S) -> None:
        """End it with all its children; the peer is told."""

    def stop_children(self, context: Context, sa: S, names: Collection[str]) -> None:
        """End children of it."""

    def retire(self, context: Context, sa: S) -> None:
        """Let it live as long as its children are in use, and make nothing new."""

    def kernel_event(self, context: Context, sa: S, child: C, event: KernelEvent) -> None:
        """Take what the kernel tells of a child."""

    def wake(self, context: Context, sa: S) -> None:
        """Do what is due."""

    def settle(self, context: Context, sa: S) -> None:
        """Something was done about it: draw the conclusions, and begin what can be begun."""

    def deadline(self, context: Context, sa: S) -> float:
        """When it has to be looked at next; infinity for never."""

    def view(self, sa: S) -> IkeView:
        """How it is now."""

    # Going on in another process

    def changed_records(self) -> ChangedRecords[S]:
        """What tells which records of the IKE SAs of one endpoint are others than those given last."""

    def thaw(self, records: Records, connection_of: ConnectionOf, now: float) -> Thawed:
        """IKE SAs as they were frozen.

        :param connection_of: the definition of a tunnel with a peer, None for one that is not in operation any more.
        :param now: on the clock that froze them; outstanding requests are due at once.
        """

    def resumed(self, context: Context, sa: S) -> None:
        """It goes on, after a while in which nobody heard its peer."""
