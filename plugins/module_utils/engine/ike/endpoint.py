# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's public face: an IKE endpoint with all its SAs, without a socket, a clock or a kernel.

Every verb takes the time (seconds, any monotonic origin) and returns the list of
:mod:`.actions` the caller has to perform, in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ..crypto.entropy import Entropy
from ..errors import IkeError, InputError
from ..selector import Selector
from ..wire.header import Header
from ..wire.v2.notify import Notify
from ..wire.v2.numbers import ExchangeType, NotifyType
from .actions import (
    Acquire,
    Action,
    ChildSa,
    Expire,
    InstallFailed,
    KernelEvent,
    MappingChanged,
    Path,
    Report,
    Unanswered,
    Vanished,
)
from .connection import ChildConfig, Connection
from .connections import Connections
from .records import Changes, Records
from .settings import Settings
from .v2 import children, handover, init, lifecycle, stop, supersede, timers
from .v2.allowance import Allowances
from .v2.children import serves, takes
from .v2.context import Context, Registry
from .v2.cookie import Cookies, HalfOpen, Refusals
from .v2.dispatch import new_peer, pump, receive
from .v2.exchange import unprotected
from .v2.record_changes import RecordChanges
from .v2.sa import AUTHENTICATED, ChildState, IkeSa, Kind, State, Task
from .v2.snapshot import thaw
from .v2.view import view
from .views import IkeView

# (local address, remote address, IP protocol, reqid) -> SPI; raises KernelError.
SpiSource = Callable[[str, str, int, int], int]


class Counts(NamedTuple):
    """How many SAs there are.

    :ivar ike: IKE SAs, in whatever state; ``up``: those of tunnels that are established.
    """

    ike: int
    up: int
    children: int


class Endpoint:
    """IKE for one host.

    :param entropy: source of random octets and key exchanges.
    :param spis: called for each SPI of an inbound SA.
    """

    def __init__(self, entropy: Entropy, spis: SpiSource, settings: Settings | None = None) -> None:
        self.entropy = entropy
        self.spis = spis
        self.settings = settings or Settings()
        self.connections = Connections()
        self.registry = Registry()
        self.cookies = Cookies(entropy)
        self.half_open = HalfOpen()
        self.refusals = Refusals(self.settings.half_open_lifetime)
        self.allowances = Allowances(self.settings.sas_at_once, self.settings.sas_per_second)
        self._heap: list[tuple[float, int]] = []
        self._waiting: dict[int, IkeSa] = {}
        self._records = RecordChanges()

    # Definitions

    def define(self, connection: Connection) -> None:
        """Add a definition, or replace the one of that name; living SAs go on and use it from their next exchange.

        What is under way ends as it began. A living child that is not defined any more keeps its old definition
        until it is stopped; one that is only wanted so far is wanted no more.
        """
        self.connections.put(connection)
        configs = {child.name: child for child in connection.children}
        for sa in self.registry.half_open(connection.name):
            sa.connection = connection
        for sa in self.registry.of_tunnel(connection.name):
            sa.connection = connection
            self._records.touch(sa)
            for child in sa.children.values():
                supersede.redefine(child, configs.get(child.config.name, child.config))
            if sa.handshake is not None:
                wanted = sa.handshake.wanted
                sa.handshake.wanted = tuple(configs[child.name] for child in wanted if child.name in configs)
            for task in [task for task in sa.queue if task.kind is Kind.NEW_CHILD]:
                if task.config.name in configs:
                    if task.config != configs[task.config.name]:
                        task.not_before, task.times = 0.0, 0  # what was refused was another one
                    task.config = configs[task.config.name]
                else:
                    sa.queue.remove(task)

    def undefine(self, name: str) -> None:
        """Forget a definition; stop its SAs first."""
        self.connections.remove(name)
        self.allowances.forget(name)

    # Verbs

    def start(
        self,
        name: str,
        now: float,
        path: Path | None = None,
        children: Iterable[str] | None = None,
        packet: tuple[Selector, Selector] | None = None,
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
        wanted = init.auto_children(connection) if children is None else self._named(connection, children)
        context = Context(self, now)
        sa = self._current(name)
        if sa is None:
            sa = init.new_initiator(context, connection, path or self._default_path(connection))
            sa.handshake.wanted = tuple(wanted)
        else:
            sa.retired = False
            known = wanted
            wanted = self._want(context, sa, wanted)
            if packet is not None and not wanted:
                self._want_more(context, sa, known, packet)
        if packet is not None:
            sa.packets = (sa.packets or {}) | {child.name: packet for child in wanted}
        return self._finish(context)

    def stop(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Take a tunnel down, or only the children named; the peer is told."""
        context = Context(self, now)
        if children is not None:
            names = set(children)
            for sa in self.registry.of_tunnel(name):
                stop.stop_children(context, sa, names)
            return self._finish(context)
        for sa in [*self.registry.of_tunnel(name), *self.registry.half_open(name)]:
            stop.stop_sa(context, sa)
        return self._finish(context)

    def retire(self, name: str, now: float) -> list[Action]:
        """Take the IKE SA of a tunnel down without taking its children from whoever uses them.

        Deleting an IKE SA closes its children (RFC 7296 section 1.4.1), so it stays as long as they do: it makes and
        rekeys none, neither for us nor for the peer, and is deleted when the last one is gone. :meth:`start` has it
        go on as before.
        """
        context = Context(self, now)
        for sa in [*self.registry.of_tunnel(name), *self.registry.half_open(name)]:
            if sa.alive:
                lifecycle.retire(context, sa)
            elif sa.state not in AUTHENTICATED:
                stop.stop_sa(context, sa)
        return self._finish(context)

    def rekey(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Replace the keys of the IKE SA of a tunnel, or those of the children named, now."""
        context = Context(self, now)
        sa = self._current(name)
        if sa is not None and sa.alive:
            if children is None:
                sa.queue.append(Task(Kind.REKEY_IKE))
            else:
                names = set(children)
                for child in sa.children.values():
                    if child.config.name in names and child.state is ChildState.INSTALLED and not child.superseded:
                        timers.start_rekey(sa, child)
            context.touch(sa)
        return self._finish(context)

    def supersede(self, name: str, now: float, children: Iterable[str] | None = None) -> list[Action]:
        """Replace, after :meth:`define`, what a definition of before brought about, without a moment in between.

        It goes on until what takes its place is up. Children are negotiated anew in the same IKE SA; where an
        option of the IKE SA changed (``children`` is None) another one has to be started: :meth:`awaited` tells
        which children it is to have.
        """
        context = Context(self, now)
        names = None if children is None else set(children)
        for sa in self.registry.of_tunnel(name):
            if names is not None:
                supersede.supersede_children(context, sa, names)
            elif sa.alive and sa.children:
                supersede.supersede_sa(context, sa)
            elif sa.claims is None and sa.state not in (State.REKEYED, State.DELETING):
                # Whoever takes over from another one has its children soon; who is on the way out may have some yet.
                stop.stop_sa(context, sa)
        current = self._current(name)
        if names is not None and current is not None:
            self._want(context, current, supersede.awaited(context, name))
        return self._finish(context)

    def awaited(self, name: str) -> list[str]:
        """The children of a tunnel that are to take over from superseded ones and are not up yet."""
        return [config.name for config in supersede.awaited(Context(self, 0.0), name)]

    def negotiates(self, name: str) -> bool:
        """Whether we have asked for a child of a tunnel, or are about to."""
        asked = [task for sa in self.registry.of_tunnel(name) for task in (sa.request and sa.request.task, *sa.queue)]
        return any(task is not None and task.kind is Kind.NEW_CHILD for task in asked)

    def rename(self, old: str, new: str) -> None:
        """Let the IKE SAs of a tunnel be those of another name, which is then to be defined; nothing on the wire."""
        self.connections.remove(old)
        for sa in self.registry.of_tunnel(old):
            self.registry.rename(sa, replace(sa.connection, name=new))
            for child in sa.children.values():
                child.sa = replace(child.sa, tunnel=new)
            self._records.touch(sa)

    def receive(self, datagram: bytes, path: Path, now: float) -> list[Action]:
        """Take an IKE message (without the non-ESP marker) that came along ``path``."""
        context = Context(self, now)
        try:
            header = Header.parse(datagram)
        except IkeError as exc:
            context.reject(path, exc.reason, exc.story)
            return context.actions
        if header.major != 2:
            self._other_version(context, header, path)
            return context.actions
        sa = self._addressee(header, datagram, path)
        if sa is not None:
            receive(context, sa, header, datagram, path)
        elif self._opens(header):
            new_peer(context, header, datagram, path)
        return self._finish(context)

    def kernel_event(self, event: KernelEvent, now: float) -> list[Action]:
        """Take what the kernel tells."""
        context = Context(self, now)
        if isinstance(event, Acquire):
            return self._acquire(event, now)
        if isinstance(event, Expire):
            self._expire(context, event)
        elif isinstance(event, Vanished):
            self._vanished(context, event)
        elif isinstance(event, Unanswered):
            self._unanswered(context, event)
        elif isinstance(event, InstallFailed):
            self._install_failed(context, event)
        elif isinstance(event, MappingChanged):
            self._mapping_changed(context, event)
        return self._finish(context)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has to be called next, None for never."""
        while self._heap:
            when, number = self._heap[0]
            sa = self._waiting.get(number)
            if sa is not None and sa.wake == when:
                return when
            heapq.heappop(self._heap)
        return None

    def tick(self, now: float) -> list[Action]:
        """Do what is due, of ``settings.due_at_once`` IKE SAs at most; :meth:`next_deadline` tells whether more is."""
        context = Context(self, now)
        for _unused in range(self.settings.due_at_once):
            when = self.next_deadline()
            if when is None or when > now:
                break
            number = heapq.heappop(self._heap)[1]
            sa = self._waiting.pop(number)
            sa.wake = 0.0
            timers.wake(context, sa)
        return self._finish(context)

    # Going on in another process

    @property
    def changed(self) -> bool:
        """Whether :meth:`changes` has something to tell."""
        return bool(self._records)

    def changes(self) -> Changes:
        """The records of IKE SAs that the verbs since the last call changed; None for one not to be kept any more.

        Kept are those whose peer is authenticated: a stranger cannot make anybody keep something. To be asked after
        each verb and stored before its actions are performed: what was stored is then never behind what a peer has
        seen, and :meth:`resume` uses no Message ID and no IV twice.
        """
        return self._records.take()

    def resume(self, records: Records, now: float) -> tuple[list[Action], dict[str, str]]:
        """Go on with IKE SAs that another endpoint, of which nothing runs any more, had; first define their tunnels.

        Requests without an answer are due at once, and have all their tries again.

        :param records: of :meth:`changes`, the latest of each.
        :returns: what to do, and by tunnel why its records cannot be used: it has no IKE SA then.
        """
        thawed = thaw(records, self.connections.get, now)
        self._records.replace(records)
        context = Context(self, now)
        for sa in thawed.sas:
            self.registry.resume(sa)
            context.touch(sa)
        return self._finish(context), thawed.problems

    # Views

    def sas(self) -> Iterator[IkeView]:
        """All IKE SAs with their children, oldest first; last those that strangers opened."""
        sas = [sa for sas in self.registry.by_tunnel.values() for sa in sas]
        for sa in [*sas, *self.registry.strangers()]:
            yield view(sa)

    def of_tunnel(self, name: str) -> list[IkeView]:
        """The IKE SAs of a tunnel, oldest first: those that we began, and those whose peer is authenticated."""
        return [view(sa) for sa in self.registry.by_tunnel.get(name, ())]

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
            self._records.touch(sa)
            supersede.settle(context, sa.connection.name)
            lifecycle.end_retirement(sa)
            handover.settle(context, sa)
            pump(context, sa)
            context.touched.pop(sa.number, None)
            if sa.state is State.GONE:
                self._waiting.pop(sa.number, None)
                continue
            # A later deadline than the one entered is found when that one wakes us: no heap entry per packet.
            when = timers.deadline(context, sa)
            if when != timers.NEVER and (not sa.wake or when < sa.wake):
                sa.wake = when
                self._waiting[sa.number] = sa
                heapq.heappush(self._heap, (when, sa.number))
        return context.actions

    def _current(self, name: str) -> IkeSa | None:
        """The IKE SA of a tunnel to work with: an established one first, else one being set up."""
        sas = self.registry.of_tunnel(name)
        # While a collision is open the children, and the work on them, are with the one that is being replaced.
        alive = [sa for sa in sas if sa.alive and not sa.closing and sa.claims is None and not sa.superseded]
        rising = [sa for sa in sas if sa.state in (State.START, State.INIT_SENT, State.AUTH_SENT)]
        return (alive or rising or [None])[-1]

    def _named(self, connection: Connection, names: Iterable[str]) -> list[ChildConfig]:
        by_name = {child.name: child for child in connection.children}
        for name in names:
            if name not in by_name:
                known = ", ".join(by_name)
                raise InputError("children", name, f"tunnel {connection.name} has no such child", f"it has {known}")
        return [by_name[name] for name in names]

    def _default_path(self, connection: Connection) -> Path:
        local, remote = connection.local_address, connection.remote_address
        if remote is None:
            raise InputError("remote.address", None, f"{connection.name} has no peer address", "let the peer start")
        if local is None:
            raise InputError("local.address", None, f"{connection.name} has no local address", "set local.address")
        return Path(local, self.settings.ike_port, remote, connection.remote_port)

    def _want(self, context: Context, sa: IkeSa, wanted: Iterable[ChildConfig]) -> list[ChildConfig]:
        """Have children negotiated; those that are neither up nor asked for already."""
        known = {child.config.name for child in sa.children.values() if serves(child)}
        asked = [*sa.queue, sa.request.task] if sa.request else sa.queue
        known |= {task.config.name for task in asked if task.kind is Kind.NEW_CHILD and not task.reason}
        if sa.handshake is not None:
            known |= {config.name for config in sa.handshake.wanted}
        missing = [config for config in wanted if config.name not in known]
        if sa.handshake is not None:
            sa.handshake.wanted += tuple(missing)
        else:
            sa.queue.extend(Task(Kind.NEW_CHILD, config=config) for config in missing)
        context.touch(sa)
        return missing

    def _want_more(
        self, context: Context, sa: IkeSa, configs: Iterable[ChildConfig], packet: tuple[Selector, Selector]
    ) -> None:
        """Have a further child negotiated for a packet that the peer did not let into those that are up."""
        asked = [*sa.queue, sa.request.task] if sa.request else sa.queue
        for config in configs:
            living = [child for child in sa.children.values() if child.config.name == config.name and serves(child)]
            pending = any(task.kind is Kind.NEW_CHILD and task.config.name == config.name for task in asked)
            if living and not pending and not any(takes(child, packet) for child in living):
                sa.queue.append(Task(Kind.NEW_CHILD, config=config, packet=packet))

    def _addressee(self, header: Header, datagram: bytes, path: Path) -> IkeSa | None:
        """The IKE SA that a message is for: its initiator's SPI is ours, or its responder's."""
        if header.from_initiator:
            if header.responder_spi == bytes(8):
                return self.registry.opened_by(path, datagram)
            return self.registry.by_spi.get(header.responder_spi)
        return self.registry.by_spi.get(header.initiator_spi)

    def _opens(self, header: Header) -> bool:
        return (
            header.exchange == ExchangeType.IKE_SA_INIT
            and header.from_initiator
            and not header.is_response
            and header.message_id == 0
            and header.responder_spi == bytes(8)
            and header.initiator_spi != bytes(8)
        )

    def _other_version(self, context: Context, header: Header, path: Path) -> None:
        """RFC 7296 section 2.5: a higher major version is told that ours is 2."""
        if header.major > 2 and not header.is_response and header.initiator_spi != bytes(8):
            unprotected(context, header, path, [Notify(NotifyType.INVALID_MAJOR_VERSION)])

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

    def _vanished(self, context: Context, event: Vanished) -> None:
        found = self.registry.owner(event.address, event.spi)
        if found is not None:
            context.touch(found[0])
            children.make_anew(context, *found)

    def _unanswered(self, context: Context, event: Unanswered) -> None:
        found = self.registry.by_child_spi.get((event.address, event.spi))
        if found is not None:
            timers.suspect(context, found[0])

    def _expire(self, context: Context, event: Expire) -> None:
        found = self.registry.owner(event.address, event.spi)
        if found is None:
            return
        sa, child = found
        context.touch(sa)
        if event.hard:
            children.remove(context, sa, child, "expired", "the kernel ended it: a hard limit was reached")
            sa.queue.append(Task(Kind.DELETE_CHILD, config=child.config, spi=child.sa.spi_in.to_bytes(4, "big")))
        elif child.state is ChildState.INSTALLED:
            timers.start_rekey(sa, child)

    def _install_failed(self, context: Context, event: InstallFailed) -> None:
        found = self.registry.by_child_spi.get((event.child.local_address, event.child.spi_in))
        if found is None or found[1].number != event.child.number:
            return
        children.not_installed(context, *found, event.problem)

    def _mapping_changed(self, context: Context, event: MappingChanged) -> None:
        """ESP that passed its integrity check came from another address or port: the peer is there now."""
        found = self.registry.receiving(event.spi)
        if found is not None and found[0].alive:
            sa = found[0]
            moved = sa.path._replace(remote_address=event.address, remote_port=event.port)
            lifecycle.follow_path(context, sa, moved)
            context.touch(sa)
