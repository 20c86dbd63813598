# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as the protocol engine takes them, of the tunnels in operation: with request IDs, and by their peers."""

from __future__ import annotations

from ..crypto.auth import Authenticator, Unusable
from ..definition.authenticators import Authenticators, usable
from ..definition.build import connection_of
from ..definition.credentials import Credential
from ..definition.interface import if_id_of
from ..definition.peer import names_of, places_of
from ..ike.connection import Connection
from ..ike.instances import MARK
from ..kernel.registry import Child, Identities, Registry
from .credential_files import CredentialFiles
from .peer_errors import PeerErrors
from .peer_names import PeerNames
from .store import Stored


class TunnelConnections:
    """The connection of each tunnel that was put into operation, by name.

    :ivar modes: of encapsulation, by the request ID of a child.
    :ivar peers: which of them lead to which address.
    :ivar problems: why the key or the certificates of a tunnel, as they are now, cannot be used.
    """

    def __init__(self, registry: Registry, names: PeerNames) -> None:
        self.modes: dict[int, str] = {}
        self.peers = PeerErrors()
        self.problems: dict[str, str] = {}
        self._files = CredentialFiles()
        self._authenticators = Authenticators(self._files.read, None)
        self._registry = registry
        self._names = names
        self._by_name: dict[str, Connection] = {}
        self._credentials: dict[str, Credential] = {}
        self._reqids_by_name: dict[str, dict[str, int]] = {}
        self._reqids_of_instances: dict[str, dict[str, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Connection:
        return self._by_name[name]

    def make(self, row: Stored) -> Connection:
        """The connection of a row, in the place of the one that its tunnel had."""
        reqids = self._reqids_by_name[row.name] = self._reqids(row)
        auth, if_id = self._authenticator(row), if_id_of(row.definition.document, row.number)
        self._names.define(row.name, names_of(row.definition.document))
        connection = connection_of(row.definition, auth, reqids, if_id, self.addresses(row))
        self._credentials[row.name] = row.definition.credential
        self._leave_peer(row.name)
        self._by_name[row.name] = connection
        peer = connection.remote_id or connection.pattern
        self._registry.identify(row.name, Identities(str(connection.local_id), None if peer is None else str(peer)))
        self.peers.enter(row.name, connection.remote_addresses)
        for child in connection.children:
            self.modes[child.reqid] = child.mode
        return connection

    def addresses(self, row: Stored) -> tuple[str, ...]:
        """Where the peer of a row is, by what its names stood for last."""
        document = row.definition.document
        return self._names.addresses(places_of(document), document["local"]["address"])

    def reqids(self, name: str) -> dict[str, int]:
        """Request IDs of the children of a tunnel, by name, also of those that are not negotiated."""
        return self._reqids_by_name[name]

    def instance_reqid(self, owner: str, definition: str, instance: str, child: str) -> int:
        """The request ID of a child of an instance, the same as long as that is there.

        :raises KernelError: there is none left.
        """
        connection, known = self._by_name[definition], self._reqids_of_instances.setdefault(instance, {})
        reqid = known[child] = self._registry.allocate(owner, instance, child)
        self.modes[reqid] = next(each.mode for each in connection.children if each.name == child)
        peer = instance.partition(MARK)[2]
        self._registry.identify(instance, Identities(str(connection.local_id), peer))
        return reqid

    def drop_instance(self, name: str) -> dict[str, int]:
        """Forget an instance; the request IDs that its children had, by name."""
        self._registry.forget_identities(name)
        reqids = self._reqids_of_instances.pop(name, {})
        for reqid in reqids.values():
            self.modes.pop(reqid, None)
        return reqids

    def renewed(self) -> list[str]:
        """The tunnels of which a file with a key or certificates is not as it was when it was read."""
        return list(self._files.changed())

    @property
    def watches_files(self) -> bool:
        """Whether :meth:`renewed` may ever name any."""
        return bool(self._files)

    def _authenticator(self, row: Stored) -> Authenticator:
        """With files as they are now; where those cannot be used, what the same credential made of those before."""
        name, credential = row.name, row.definition.credential
        self._files.begin(name)
        made = usable(self._authenticators, row.definition)
        if not isinstance(made, str):
            self.problems.pop(name, None)
            return made
        self.problems[name] = made
        before = self._by_name.get(name)
        if before is not None and self._credentials.get(name) == credential:
            return before.auth if not isinstance(before.auth, Unusable) else Unusable(made)
        return Unusable(made)

    def rename(self, old: str, new: str) -> None:
        """The tunnel goes by another name."""
        self._forget_credential(old)
        self._leave_peer(old)
        self._registry.forget_identities(old)
        if old in self._by_name:
            self._by_name[new] = self._by_name.pop(old)
            self._reqids_by_name[new] = self._reqids_by_name.pop(old)
            self.peers.enter(new, self._by_name[new].remote_addresses)

    def drop(self, name: str) -> dict[str, int]:
        """Forget the connection of a tunnel; the request IDs that its children had, by name."""
        self._forget_credential(name)
        self._leave_peer(name)
        self._registry.forget_identities(name)
        self._by_name.pop(name, None)
        reqids = self._reqids_by_name.pop(name, {})
        for reqid in reqids.values():
            self.modes.pop(reqid, None)
        return reqids

    def _reqids(self, row: Stored) -> dict[str, int]:
        """Request IDs of the children; they stay the same when a tunnel changes its owner."""
        found = {}
        old = self._reqids_by_name.get(row.name, {})
        for child in row.children:
            if child in old:
                self._registry.record(old[child], Child(row.owner, row.name, child))
                found[child] = old[child]
            else:
                found[child] = self._registry.allocate(row.owner, row.name, child)
        return found

    def _forget_credential(self, name: str) -> None:
        self._files.forget(name)
        self._credentials.pop(name, None)
        self.problems.pop(name, None)

    def _leave_peer(self, name: str) -> None:
        before = self._by_name.get(name)
        if before is not None:
            self.peers.leave(name, before.remote_addresses)
