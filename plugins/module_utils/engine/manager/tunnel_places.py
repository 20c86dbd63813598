# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel has of a tunnel whether it is up or not: its interface, and what holds the places of its children."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import EngineError
from ..ike.connection import Connection
from ..ike.endpoint import Endpoint
from .child_shunts import ChildShunts
from .desired_policies import DesiredPolicies
from .found_places import FoundPlaces
from .hindrances import Hindrances
from .host import KernelHost
from .log import Log
from .peer_names import PeerNames
from .states import Notice, needed
from .store import Stored
from .trap_policies import NOWHERE, Ends, TrapPolicies
from .tunnel_connections import TunnelConnections
from .tunnel_interfaces import TunnelInterfaces


class TunnelPlaces:
    """The places of every tunnel.

    What the kernel refuses is logged, and noted as what keeps the tunnel from being up.

    :ivar traps: see :class:`.trap_policies.TrapPolicies`; ``shunts``: see :class:`.child_shunts.ChildShunts`;
        ``found``: see :class:`.found_places.FoundPlaces`; ``interfaces``: see
        :class:`.tunnel_interfaces.TunnelInterfaces`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host: KernelHost,
        policies: DesiredPolicies,
        interfaces: TunnelInterfaces,
        connections: TunnelConnections,
        names: PeerNames,
        hindrances: Hindrances,
        log: Log,
    ) -> None:
        self.traps = TrapPolicies(host, policies)
        self.shunts = ChildShunts(policies)
        self.found = FoundPlaces(policies)
        self.interfaces = interfaces
        self._endpoint = endpoint
        self._host = host
        self._connections = connections
        self._names = names
        self._hindrances = hindrances
        self._log = log

    def stand(self, row: Stored) -> None:
        """Have the tunnel's interface stand, if it is to have one."""
        try:
            self.interfaces.stand(row)
        except EngineError as exc:
            self.refused(row.name, exc)

    def take_interface(self, name: str) -> None:
        """Take the tunnel's interface away, if it has one."""
        try:
            self.interfaces.take(name)
        except EngineError as exc:
            self._log.error(str(exc), tunnel=name)

    def hold(self, row: Stored) -> None:
        """Hold the places of those children that want it, and no others."""
        try:
            self.shunts.lay(row, self._connections.reqids(row.name))
        except EngineError as exc:
            self.refused(row.name, exc)
        connection = self._connections[row.name]
        try:
            self.traps.lay(row, connection, self._ends(connection), self._coming(row, connection))
        except EngineError as exc:
            self.refused(row.name, exc)

    def _ends(self, connection: Connection) -> Ends | None:
        """Our address and the peer's, the most preferred one that there is a way to; None where there is none.

        Where a name has not been looked up yet its packets are held all the same: with an end that is nowhere.
        """
        for remote in connection.remote_addresses:
            local = connection.local_address or self._host.source_address(remote)
            if local is not None:
                return local, remote
        if not connection.remote_addresses and self._names.of(connection.name):
            nowhere = NOWHERE[":" in (connection.local_address or "")]
            return connection.local_address or nowhere, nowhere
        return None

    def let_go_found(self, name: str) -> None:
        """What was found of a tunnel is not needed: what holds its places now is known."""
        for refusal in self.found.let_go(name):
            self._log.error(str(refusal.problem), tunnel=name)

    def let_go(self, name: str) -> None:
        """Hold no place of a tunnel any more."""
        self.let_go_found(name)
        self.shunts.take(name)
        try:
            self.traps.take(name)
        except EngineError as exc:
            self._log.error(str(exc), tunnel=name)

    def refused(self, name: str, problem: EngineError) -> None:
        """Note what the kernel refused to have of a tunnel."""
        self._hindrances.note(name, Notice("kernel_refused", str(problem)))
        self._log.error(str(problem), tunnel=name)

    def _coming(self, row: Stored, connection: Connection) -> Collection[str]:
        """The children that come up without a packet that asks for them; none where a former peer still has SAs."""
        sas = self._endpoint.of_tunnel(row.name)
        peer = connection.remote_id
        if any(sa.children and peer is not None and not (sa.peer and peer.matches(sa.peer)) for sa in sas):
            return []
        if row.unreadable:
            return []
        if row.definition.document["role"] == "responder":
            return row.children
        return [*needed(row), *self._endpoint.awaited(row.name)]
