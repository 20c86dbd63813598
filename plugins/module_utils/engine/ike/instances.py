# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of a definition for many peers: one for each identity that has proven itself, as long as it has an IKE SA.

An instance is the definition with one peer's identity put in, and request IDs of its own. It is stored nowhere: whoever
goes on in another process makes it again, by the identity in the record of an IKE SA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ..identity import Identity
from .connection import Connection
from .connections import Connections
from .registry import Registry
from .sa import AnySa

MARK = "#"  # between the name of a definition, which has none, and the identity
LONGEST_IDENTITY = 256  # characters, of an identity that has an instance

# (definition, instance, child) -> kernel request ID, the same each time; raises KernelError.
ReqidSource = Callable[[str, str, str], int]


def no_reqids(definition: str, instance: str, child: str) -> int:
    """For endpoints that have no definitions for many peers."""
    raise ValueError(f"{definition} is defined for many peers, and there are no request IDs for {instance}: {child}")


def name_of(definition: str, identity: Identity) -> str:
    """The name of the instance of an identity, the same however the peer writes it."""
    return f"{definition}{MARK}{identity.canonical}"


def definition_of(name: str) -> str:
    """The name of the definition that a tunnel is an instance of; its own where it is none."""
    return name.partition(MARK)[0]


def is_instance(name: str) -> bool:
    """Whether a tunnel of that name is an instance of a definition."""
    return MARK in name


def is_for(definition: Connection, identity: Identity) -> bool:
    """Whether a definition is for many peers, and this one of them."""
    return definition.pattern is not None and definition.pattern.matches(identity)


def instance_of(definition: Connection, name: str, identity: Identity, reqids: ReqidSource) -> Connection:
    """The instance of an identity.

    :raises KernelError: there is no request ID for a child of it.
    """
    children = [replace(child, reqid=reqids(definition.name, name, child.name)) for child in definition.children]
    return replace(
        definition, name=name, definition=definition.name, pattern=None, remote_id=identity, children=tuple(children)
    )


class Crowd(NamedTuple):
    """Who is there of a definition for many peers.

    :ivar peers: how many; ``children``: names of those that any of them has up.
    """

    peers: int
    children: frozenset[str]


class Instances:
    """The instances that an endpoint has, each of them a tunnel in its own right.

    :param reqids: called for the request ID of each of their children.
    """

    def __init__(self, connections: Connections, registry: Registry, reqids: ReqidSource) -> None:
        self._connections = connections
        self._registry = registry
        self._reqids = reqids
        self._ended: dict[str, None] = {}

    def of(self, definition: str) -> list[str]:
        """Those of a definition that have IKE SAs, those that are there longest first."""
        return list(self._registry.instances(definition))

    def tunnels(self, name: str) -> list[str]:
        """A tunnel; with its instances, where it is a definition for many peers."""
        return [name, *self._registry.instances(name)]

    def sas(self, name: str) -> list[AnySa]:
        """The IKE SAs of all of these."""
        return [sa for tunnel in self.tunnels(name) for sa in self._registry.of_tunnel(tunnel)]

    def crowd(self, definition: str) -> Crowd:
        """Who is there of a definition for many peers."""
        alive = [sa for sa in self.sas(definition) if sa.alive]
        children = frozenset(child.sa.child for sa in alive for child in sa.children.values())
        return Crowd(len({sa.connection.name for sa in alive}), children)

    def made_anew(self, definition: Connection) -> list[Connection]:
        """The instances of a definition that has changed, but for those whose peers it is not for any more.

        :raises KernelError: there is no request ID for a child that one of them has more.
        """
        found = []
        for name in self.of(definition.name):
            peer = self._registry.by_tunnel[name][0].connection.remote_id
            if peer is not None and is_for(definition, peer):
                found.append(instance_of(definition, name, peer, self._reqids))
        return found

    def kept(self, tunnel: str, peer: Identity) -> Connection | None:
        """The definition that a kept IKE SA is of; an instance is made again."""
        found, definition = self._connections.get(tunnel), self._connections.get(definition_of(tunnel))
        if found is None and definition is not None and definition.pattern is not None:
            found = instance_of(definition, tunnel, peer, self._reqids)
            self._connections.put(found)
        return found

    def left_by(self, sa: AnySa) -> None:
        """An IKE SA is gone: an instance ends with its last one."""
        if sa.connection.definition:
            self._end(sa.connection.name)

    def settle(self) -> None:
        """End those that were made for IKE SAs that came to nothing."""
        for connection in [each for each in self._connections if each.definition]:
            self._end(connection.name)

    def _end(self, name: str) -> None:
        if name not in self._registry.by_tunnel:
            self._connections.remove(name)
            self._ended[name] = None

    def ended(self) -> list[str]:
        """Those that have ended since this was asked last, and are not there again."""
        ended, self._ended = self._ended, {}
        return [name for name in ended if name not in self._registry.by_tunnel]
