# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel definition belongs to a peer: by address first, by identities once it has proven one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeVar

from ..identity import Identity
from .actions import Path
from .connection import ChildConfig, Connection

Name = tuple[int, bytes]
K = TypeVar("K", bound=Hashable)


class Connections:
    """The definitions, indexed by name, by the peer's address and by the children's reqids."""

    def __init__(self) -> None:
        self._by_name: dict[str, Connection] = {}
        self._by_peer: dict[str | None, dict[str, Connection]] = {}
        self._by_identity: dict[tuple[str | None, Name | None], dict[str, Connection]] = {}
        self._by_reqid: dict[int, tuple[str, str]] = {}
        self._by_ends: dict[tuple[Identity, Identity | str | None], set[str]] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Connection | None:
        """The definition of that name, if there is one."""
        return self._by_name.get(name)

    def put(self, connection: Connection) -> None:
        """Add it, or replace the one of the same name."""
        self.remove(connection.name)
        self._by_name[connection.name] = connection
        if connection.answers:
            self._by_peer.setdefault(connection.remote_address, {})[connection.name] = connection
            self._by_identity.setdefault(_identity_key(connection), {})[connection.name] = connection
        self._by_ends.setdefault(_ends(connection), set()).add(connection.name)
        for child in connection.children:
            self._by_reqid[child.reqid] = (connection.name, child.name)

    def remove(self, name: str) -> None:
        """Forget it; nothing happens when it is not there."""
        connection = self._by_name.pop(name, None)
        if connection is None:
            return
        if connection.answers:
            _discard(self._by_peer, connection.remote_address, name)
            _discard(self._by_identity, _identity_key(connection), name)
        sharing = self._by_ends[_ends(connection)]
        sharing.discard(name)
        if not sharing:
            del self._by_ends[_ends(connection)]
        for child in connection.children:
            self._by_reqid.pop(child.reqid, None)

    def by_reqid(self, reqid: int) -> tuple[Connection, ChildConfig] | None:
        """The connection and child that a kernel request ID belongs to."""
        names = self._by_reqid.get(reqid)
        if names is None:
            return None
        connection = self._by_name[names[0]]
        return next((connection, child) for child in connection.children if child.name == names[1])

    def sharing_identities(self, connection: Connection) -> set[str]:
        """Names of the tunnels between the same two identities."""
        return self._by_ends.get(_ends(connection), set())

    def for_path(self, path: Path) -> Iterator[Connection]:
        """Candidates for a peer that is not authenticated yet, the most specific first.

        It is lazy: any number of peers may share an address, or have none, and the first fit is usually taken.
        """
        for remote in (path.remote_address, None):
            for local in (path.local_address, None):
                yield from (c for c in self._by_peer.get(remote, {}).values() if c.local_address == local)

    def for_identities(self, path: Path, remote: Identity, local: Identity | None) -> list[Connection]:
        """Candidates whose identities fit what the peer sent; ``local`` is its wish for our identity (IDr)."""
        return [
            c
            for key in (remote.key, None)
            for address in (path.remote_address, None)
            for c in self._by_identity.get((address, key), {}).values()
            if c.local_address in (None, path.local_address) and (local is None or c.local_id.matches(local))
        ]


def _identity_key(connection: Connection) -> tuple[str | None, Name | None]:
    return connection.remote_address, None if connection.remote_id is None else connection.remote_id.key


def _discard(index: dict[K, dict[str, Connection]], key: K, name: str) -> None:
    del index[key][name]
    if not index[key]:
        del index[key]


def _ends(connection: Connection) -> tuple[Identity, Identity | str | None]:
    return connection.local_id, connection.remote_id or connection.remote_address
