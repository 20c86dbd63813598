# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's public face: an IKE endpoint with all its SAs, without a socket, a clock or a kernel.

Every verb takes the time (seconds, any monotonic origin) and returns the list of
:mod:`.actions` the caller has to perform, in order. What a message says and what it does is the affair of a version
(:mod:`.version`): that of the message's header, of the IKE SA or of the tunnel's definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ..child_sa import ChildSa
from ..crypto.entropy import Entropy
from ..errors import IkeError, InputError
from ..wire.header import Header
from .actions import (
    Acquire,
    Action,
    Expire,
    InstallFailed,
    KernelEvent,
    MappingChanged,
    Path,
    Report,
    Unanswered,
    Vanished,
)
from .allowance import Allowances
from .connection import ChildConfig, Connection
from .connections import Connections
from .context import Context, SpiSource
from .half_open import Cookies, HalfOpen, Refusals
from .incomplete import Incomplete
from .instances import Instances, ReqidSource, is_for, no_reqids
from .records import UNMARKED, Changes, Records, by_version
from .registry import Registry
from .sa import AnyChild, AnySa
from .settings import Settings
from .timers import Timers
from .version import Packet, Version
from .versions import all_versions
from .views import Counts, IkeView


class Endpoint:
    """IKE for one host.

    :param entropy: source of random octets and key exchanges.
    :param spis: called for each SPI of an inbound SA.
    :param reqids: called for the request ID of each child of an instance of a definition for many peers.
    :param versions: of IKE that it speaks; None for all that there are.
    :ivar instances: of definitions for many peers.
    :ivar unix_at_zero: Unix time at moment 0 of what the verbs are told as ``now``, for what is valid until a date. To
        be told again when the host's clock was set.
    """

    def __init__(
        self,
        entropy: Entropy,
        spis: SpiSource,
        settings: Settings | None = None,
        versions: Iterable[Version[Any, Any]] | None = None,
        reqids: ReqidSource = no_reqids,
    ) -> None:
        self.entropy = entropy
        self.spis = spis
        self.reqids = reqids
        self.settings = settings or Settings()
        self.connections = Connections()
        self.registry = Registry()
        self.instances = Instances(self.connections, self.registry, reqids)
        self.cookies = Cookies(entropy)
        self.half_open = HalfOpen()
        self.refusals = Refusals(self.settings.half_open_lifetime)
        self.allowances = Allowances(self.settings.sas_at_once, self.settings.sas_per_second)
        limits = self.settings.incomplete_octets_of_tunnel, self.settings.incomplete_octets_of_strangers
        self.incomplete = Incomplete(self.settings.incomplete_octets, *limits)
        self.unix_at_zero = 0.0
        self._versions = {version.number: version for version in versions or all_versions()}
        self._timers = Timers()
        self._records = {number: version.changed_records() for number, version in self._versions.items()}
        self._replaced: Changes = {}

    # Definitions

    def define(self, connection: Connection) -> None:
        """Add a definition, or replace the one of that name; living SAs go on and use it from their next exchange.

        What is under way ends as it began. A living child that is not defined any more keeps its old definition
        until it is stopped; one that is only wanted so far is wanted no more.
        """
        self.connections.put(connection)
        for sa in self.registry.half_open(connection.name):
            sa.connection = connection
        for sa in self.registry.of_tunnel(connection.name):
            sa.connection = connection
            self._touch(sa)
            self._version_of(sa).redefine(sa, connection)
        for instance in self.instances.made_anew(connection):
            self.define(instance)

    def undefine(self, name: str) -> None:
        """Forget a definition; stop its SAs first."""
        for each in self.instances.tunnels(name):
            self.connections.remove(each)
            self.allowances.forget(each)

    # Verbs

    def start(
        self,
        name: str,
        now: float,
        path: Path | None = None,
        children: Iterable[str] | None = None,
        packet: Packet | None = None,
    ) -> list[Action]:
        """Bring a tunnel up: the IKE SA unless there is one, and the children named.

        Without names it is the children that start by themselves (``start: auto``).

        :param path: how to reach the peer; None takes the addresses of the definition.
        :param packet: local and remote selector of the packet that wants these children.
        :raises InputError: unknown tunnel or child, or an address that is not known.
        """
        connection = self.connections.get(name)
        if connection is None:
            raise InputError("name", name, "no such tunnel is defined", "define it first")
        if connection.pattern is not None:
            raise InputError("name", name, "is defined for many peers", "have them start it: nobody else knows where")
        wanted = connection.auto_children if children is None else self._named(connection, children)
        version = self._versions.get(connection.version)
        if version is None:
            known = ", ".join(str(number) for number in self._versions)
            raise InputError("version", connection.version, "no such version of IKE is spoken here", f"use {known}")
        context = Context(self, now)
        version.start(context, connection, wanted, path, packet)
        return self._finish(context)

    def stop(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Take a tunnel down, or only the children named; the peer is told."""
        context = Context(self, now)
        if children is not None:
            names = set(children)
            for sa in self.instances.sas(name):
                self._version_of(sa).stop_children(context, sa, names)
            return self._finish(context)
        for sa in [*self.instances.sas(name), *self.registry.half_open(name)]:
            self._version_of(sa).stop(context, sa)
        return self._finish(context)

    def retire(self, name: str, now: float) -> list[Action]:
        """Take the IKE SA of a tunnel down without taking its children from whoever uses them.

        Deleting an IKE SA closes its children (RFC 7296 section 1.4.1), so it stays as long as they do: it makes and
        rekeys none, neither for us nor for the peer, and is deleted when the last one is gone. :meth:`start` has it
        go on as before.
        """
        context = Context(self, now)
        for sa in [*self.instances.sas(name), *self.registry.half_open(name)]:
            self._version_of(sa).retire(context, sa)
        return self._finish(context)

    def rekey(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Replace the keys of the IKE SA of a tunnel, or those of the children named, now."""
        context = Context(self, now)
        names = None if children is None else set(children)
        for version, tunnel in self._spoken(name):
            if names is None:
                version.rekey(context, tunnel)
            else:
                version.rekey_children(context, tunnel, names)
        return self._finish(context)

    def reauthenticate(self, name: str, now: float) -> list[Action]:
        """Have both ends prove once more who they are, by what is defined now, in an IKE SA beside that of a tunnel.

        That one goes on until the new one has all its children, and if nothing comes of the new one.
        """
        context = Context(self, now)
        for version in self._versions_in(name):
            version.reauthenticate(context, name)
        return self._finish(context)

    def vet(self, name: str, now: float) -> list[Action]:
        """End the IKE SAs of a tunnel whose peers have proven themselves by what is revoked, after :meth:`define`.

        Of a definition for many peers, those of peers that it is not for any more, too.
        """
        context = Context(self, now)
        connection = self.connections.get(name)
        for sa in self.instances.sas(name):
            peer = sa.connection.remote_id
            if (
                connection is not None
                and sa.connection.definition
                and peer is not None
                and not is_for(connection, peer)
            ):
                self._version_of(sa).stop(context, sa)
            else:
                self._version_of(sa).vet(context, sa)
        return self._finish(context)

    def supersede(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Replace, after :meth:`define`, what a definition of before brought about, without a moment in between.

        It goes on until what takes its place is up. Children are negotiated anew in the same IKE SA; where an
        option of the IKE SA changed (``children`` is None) another one has to be started: :meth:`awaited` tells
        which children it is to have.
        """
        context = Context(self, now)
        names = None if children is None else set(children)
        for version, tunnel in self._spoken(name):
            if names is None:
                version.supersede(context, tunnel)
            else:
                version.supersede_children(context, tunnel, names)
        return self._finish(context)

    def awaited(self, name: str) -> list[str]:
        """The children of a tunnel that are to take over from superseded ones and are not up yet."""
        context = Context(self, 0.0)
        return [child.name for version in self._versions_in(name) for child in version.awaited(context, name)]

    def negotiates(self, name: str) -> bool:
        """Whether we have asked for a child of a tunnel, or are about to."""
        context = Context(self, 0.0)
        return any(version.negotiates(context, name) for version in self._versions_in(name))

    def rename(self, old: str, new: str) -> None:
        """Let the IKE SAs of a tunnel be those of another name, which is then to be defined; nothing on the wire."""
        self.connections.remove(old)
        for sa in self.registry.of_tunnel(old):
            self.registry.rename(sa, replace(sa.connection, name=new))
            for child in sa.children.values():
                child.sa = replace(child.sa, tunnel=new)
            self._touch(sa)

    def receive(self, datagram: bytes, path: Path, now: float) -> list[Action]:
        """Take an IKE message (without the non-ESP marker) that came along ``path``."""
        context = Context(self, now)
        try:
            header = Header.parse(datagram)
        except IkeError as exc:
            context.reject(path, exc)
            return context.actions
        version = self._versions.get(header.major)
        if version is None:
            newest = self._versions[max(self._versions)]
            if header.major > newest.number:
                newest.refuse_newer(context, header, path)
            return context.actions
        version.receive(context, header, datagram, path)
        return self._finish(context)

    def kernel_event(self, event: KernelEvent, now: float) -> list[Action]:
        """Take what the kernel tells."""
        if isinstance(event, Acquire):
            return self._acquire(event, now)
        context = Context(self, now)
        found = self._owner(event)
        if found is not None:
            sa, child = found
            self._version_of(sa).kernel_event(context, sa, child, event)
        return self._finish(context)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has to be called next, None for never."""
        return self._timers.next_deadline()

    def tick(self, now: float) -> list[Action]:
        """Do what is due, of ``settings.due_at_once`` IKE SAs at most; :meth:`next_deadline` tells whether more is."""
        context = Context(self, now)
        for _unused in range(self.settings.due_at_once):
            sa = self._timers.take_due(now)
            if sa is None:
                break
            self._version_of(sa).wake(context, sa)
        return self._finish(context)

    # Going on in another process

    @property
    def changed(self) -> bool:
        """Whether :meth:`changes` has something to tell."""
        return bool(self._replaced) or any(self._records.values())

    def changes(self) -> Changes:
        """The records of IKE SAs that the verbs since the last call changed; None for one not to be kept any more.

        Kept are those whose peer is authenticated: a stranger cannot make anybody keep something. To be asked after
        each verb and stored before its actions are performed: what was stored is then never behind what a peer has
        seen, and :meth:`resume` uses no Message ID and no IV twice.
        """
        changes, self._replaced = self._replaced, {}
        for number, records in self._records.items():
            for key, record in records.take().items():
                if record is not None and number != UNMARKED:
                    record["version"] = number
                changes[key] = record
        return changes

    def resume(self, records: Records, now: float) -> tuple[list[Action], dict[str, str]]:
        """Go on with IKE SAs that another endpoint, of which nothing runs any more, had; first define their tunnels.

        Requests without an answer are due at once, and have all their tries again.

        :param records: of :meth:`changes`, the latest of each.
        :returns: what to do, and by tunnel why its records cannot be used: it has no IKE SA then.
        """
        self._replaced = dict.fromkeys(records)
        context = Context(self, now)
        sas: list[AnySa] = []
        problems: dict[str, str] = {}
        for number, kept in by_version(records).items():
            version = self._versions.get(number)
            if version is None:
                problem = f"IKE version {number} is not spoken here"
                problems |= {str(record["tunnel"]): problem for record in kept.values() if "tunnel" in record}
                continue
            thawed = version.thaw(kept, self.instances.kept, now)
            sas += thawed.sas
            self.registry.number_after(thawed.highest)
            problems |= thawed.problems
        for sa in sorted(sas, key=lambda each: each.number):
            self.registry.resume(sa)
            self._version_of(sa).resumed(context, sa)
            context.touch(sa)
        self.instances.settle()
        return self._finish(context), problems

    # Views

    def sas(self) -> Iterator[IkeView]:
        """All IKE SAs with their children, oldest first; last those that strangers opened."""
        sas = [sa for sas in self.registry.by_tunnel.values() for sa in sas]
        for sa in [*sas, *self.registry.strangers()]:
            yield self._version_of(sa).view(sa)

    def of_tunnel(self, name: str) -> list[IkeView]:
        """The IKE SAs of a tunnel, oldest first: those that we began, and those whose peer is authenticated."""
        return [self._version_of(sa).view(sa) for sa in self.registry.by_tunnel.get(name, ())]

    def child_sas(self, name: str | None = None) -> list[ChildSa]:
        """The Child SAs of a tunnel, or all that there are."""
        sas = self.registry.by_spi.values() if name is None else self.registry.by_tunnel.get(name, ())
        return [child.sa for sa in sas for child in sa.children.values()]

    def checked(self) -> list[ChildSa]:
        """The Child SAs whose peers are asked now and then whether they live."""
        sas = [sa for sa in self.registry.by_spi.values() if sa.alive and sa.connection.dpd_delay]
        return [child.sa for sa in sas for child in sa.children.values()]

    def translated(self) -> list[Path]:
        """The ways to the peers of established IKE SAs that lead through a NAT, which forgets what is not used."""
        return [sa.path for sa in self.registry.by_spi.values() if sa.alive and sa.nat and sa.path.natt]

    def peers(self) -> set[str]:
        """The addresses that established IKE SAs lead to."""
        return {sa.path.remote_address for sa in self.registry.by_spi.values() if sa.alive}

    def counts(self) -> Counts:
        """How many there are."""
        up = sum(1 for sas in self.registry.by_tunnel.values() for sa in sas if sa.alive)
        return Counts(len(self.registry.by_spi), up, len(self.registry.by_child_spi))

    @property
    def idle(self) -> bool:
        """Whether no tunnel has an IKE SA; what strangers opened does not count."""
        return not self.registry.by_tunnel

    # Parts

    def _finish(self, context: Context) -> list[Action]:
        """Begin queued work and set the timers of all SAs that this call touched."""
        while context.touched:
            sa = context.touched.popitem()[1]
            self._touch(sa)
            version = self._version_of(sa)
            version.settle(context, sa)
            context.touched.pop(sa.number, None)
            if sa.gone:
                self._timers.forget(sa)
                self.instances.left_by(sa)
            else:
                self._timers.enter(sa, version.deadline(context, sa))
        return context.actions

    def _version_of(self, sa: AnySa) -> Version[Any, Any]:
        return self._versions[sa.version]

    def _spoken(self, name: str) -> list[tuple[Version[Any, Any], str]]:
        """What is spoken in a tunnel; with its instances, where it is a definition for many peers."""
        return [(version, tunnel) for tunnel in self.instances.tunnels(name) for version in self._versions_in(tunnel)]

    def _versions_in(self, tunnel: str) -> list[Version[Any, Any]]:
        """The versions that IKE SAs of a tunnel speak."""
        numbers = dict.fromkeys(sa.version for sa in self.registry.of_tunnel(tunnel))
        return [self._versions[number] for number in numbers]

    def _touch(self, sa: AnySa) -> None:
        """Its records may be others by now."""
        self._records[sa.version].touch(sa)

    def _named(self, connection: Connection, names: Iterable[str]) -> list[ChildConfig]:
        by_name = {child.name: child for child in connection.children}
        for name in names:
            if name not in by_name:
                known = ", ".join(by_name)
                raise InputError("children", name, f"tunnel {connection.name} has no such child", f"it has {known}")
        return [by_name[name] for name in names]

    def _acquire(self, event: Acquire, now: float) -> list[Action]:
        found = self.connections.by_reqid(event.reqid)
        if found is None:
            return []
        connection, child = found
        try:
            packet = (event.local, event.remote) if event.local and event.remote else None
            return self.start(connection.name, now, children=[child.name], packet=packet)
        except InputError as exc:
            data = {"child": child.name, "reason": "waiting_for_peer", "story": str(exc)}
            return [Report("child_failed", connection.name, data=data)]

    def _owner(self, event: KernelEvent) -> tuple[AnySa, AnyChild] | None:
        """The child that an event is about, and its IKE SA."""
        registry = self.registry
        if isinstance(event, (Expire, Vanished)):
            return registry.owner(event.address, event.spi)
        if isinstance(event, Unanswered):
            return registry.by_child_spi.get((event.address, event.spi))
        if isinstance(event, InstallFailed):
            found = registry.by_child_spi.get((event.child.local_address, event.child.spi_in))
            return found if found is not None and found[1].number == event.child.number else None
        if isinstance(event, MappingChanged):
            return registry.receiving(event.spi)
        return None
