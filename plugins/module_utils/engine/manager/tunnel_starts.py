# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin tunnels from this end: find out where the peer is, and go through its addresses until an IKE SA is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..ike.actions import Action, Path, Report
from ..ike.connection import Connection
from ..ike.endpoint import Endpoint
from ..ike.paths import path_between
from ..selector import Selector
from .attempts import Attempts
from .hindrances import Hindrances
from .host import KernelHost
from .peer_names import PeerNames
from .retry import Retry
from .states import Notice
from .tunnel_connections import TunnelConnections

Packet = tuple[Selector, Selector]


class TunnelStarts:
    """What is begun, and what waits for the name service.

    :param act: performs the actions of the protocol engine. :param clock: the time in seconds, monotonic.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host: KernelHost,
        connections: TunnelConnections,
        names: PeerNames,
        hindrances: Hindrances,
        retry: Retry,
        act: Callable[[Iterable[Action]], None],
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._host = host
        self._connections = connections
        self._names = names
        self._hindrances = hindrances
        self._retry = retry
        self._act = act
        self._clock = clock
        self._attempts = Attempts()
        self._waiting: dict[str, tuple[dict[str, None] | None, Packet | None]] = {}

    def start(self, name: str, children: Iterable[str] | None, packet: Packet | None) -> None:
        """Begin a tunnel, or add children to what there is of it; names of its peer are looked up before.

        :param children: their names, None for those that start by themselves.
        :param packet: local and remote selector of the packet that wants them.
        """
        if not self._is_to_look_up(self._connections[name]):
            self._begin(name, children, packet)
            return
        before = self._waiting[name][0] if name in self._waiting else {}
        together = None if children is None or before is None else before | dict.fromkeys(children)
        self._waiting[name] = together, packet
        self._names.wait(name, self._clock())

    def go_on(self) -> list[str]:
        """Begin what need not wait for the name service any more; the tunnels that can be begun nowhere."""
        ready = self._names.ready(self._clock())
        return [name for name in ready if not self._begin(name, *self._waiting.pop(name))]

    def take(self, report: Report) -> Notice | None:
        """Take in what the protocol engine reports; where an attempt failed, what to tell of all of its round."""
        return self._attempts.take(report)

    def failed(self, name: str) -> None:
        """It is not up, and nothing is under way: the next address has its turn, or after a pause the first."""
        if self._attempts.between(name, self._connections[name].remote_addresses):
            self._retry.at_once(name, self._clock())
        else:
            self._retry.failed(name, self._clock())

    def forget(self, name: str) -> None:
        """What was tried before, and what waits, means another definition."""
        self._attempts.forget(name)
        self._names.cease(name)
        self._waiting.pop(name, None)

    def _is_to_look_up(self, connection: Connection) -> bool:
        """Whether an IKE SA would be begun by what names of the peer stood for before."""
        name, addresses = connection.name, connection.remote_addresses
        if not self._names.of(name) or self._attempts.between(name, addresses):
            return False
        return not addresses or not self._endpoint.of_tunnel(name)

    def _begin(self, name: str, children: Iterable[str] | None, packet: Packet | None) -> bool:
        """Begin at the address of the peer whose turn it is; whether there is any."""
        connection = self._connections[name]
        path = self._way(connection)
        if path is None and (connection.remote_addresses or self._names.of(name)):
            if not connection.remote_addresses:
                self._hindrances.note(name, Notice("name_not_found", self._names.story(name)))
            self._retry.failed(name, self._clock())
            return False
        before = {sa.number for sa in self._endpoint.of_tunnel(name)}
        actions = self._endpoint.start(name, self._clock(), path, children, packet)
        for sa in self._endpoint.of_tunnel(name):
            if path is not None and sa.number not in before:
                self._attempts.began(name, sa.number, path.remote_address)
        self._act(actions)
        return True

    def _way(self, connection: Connection) -> Path | None:
        """The way to the address of the peer whose turn it is; where there is none to any left, that is noted."""
        name = connection.name
        left = self._attempts.left(name, connection.remote_addresses)
        for address in left:
            source = connection.local_address or self._host.source_address(address)
            if source is not None:
                return path_between(source, address, connection, self._endpoint.settings)
        for address in left:
            notice = Notice("no_answer", f"this host has no route to {address}")
            self._hindrances.note(name, self._attempts.failed(name, address, notice))
        return None
