# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manager's heart: what comes in from sockets, kernel and clock goes to the protocol engine, what it asks is done.

Knows no event loop: ``service.py`` calls it when a descriptor is readable or a deadline has come.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..bucket import Bucket
from ..child_sa import ChildSa
from ..crypto.entropy import SystemEntropy
from ..definition.bypass import DEFAULT, NONE
from ..errors import KernelError
from ..ike.actions import Acquire, Action, KernelEvent, Path, Report
from ..ike.endpoint import Endpoint
from ..ike.instances import definition_of, is_instance
from ..ike.settings import Settings
from ..kernel.changes import LINKS, POLICIES, ROUTES, RULES, SAS
from ..ping.responder import answer
from . import menders
from .action_executor import ActionExecutor
from .adoption import Successor, adopt
from .desired_policies import DesiredPolicies
from .host import KernelHost, event_of
from .journal import Journal, boot_id
from .link_bypass import LinkBypass
from .log import BURST, BURST_OF_CHILDREN, Log
from .repairs import Mender, Repairs
from .repetition import Repetition
from .resolver import NoResolver, Resolver
from .silence import Silence
from .sockets import Ports
from .store import Store
from .surroundings import Loop, NoLoop
from .traffic import Counters, Traffic
from .tunnel_interfaces import TunnelInterfaces
from .tunnels import Tunnels
from .unknown_peers import UnknownPeers

NEVER = float("inf")
LINKS_SECONDS = 0.05  # from a change of a link until it is looked at, with all that changed meanwhile
KEEPALIVE_SECONDS = 20.0  # RFC 3948 section 4
FILES_SECONDS = 10.0  # within which a renewed key or certificate is noticed
ECHO_RATE, ECHO_BURST = 200.0, 400
TOLD_RATE, TOLD_BURST = 10.0, 100  # events of refused messages; strangers are not to make subscribers lag behind
_VERSION_AT = 17
_IKEV2 = 0x20


class _Logged(NamedTuple):
    """How reports of a kind are logged.

    :ivar strangers: whether they can cause them; ``burst``: how many lines may come of one cause at once.
    """

    level: str
    strangers: bool = False
    burst: int = BURST


_LOGGED = {
    "ike_connecting": _Logged("debug", True),
    "ike_established": _Logged("info"),
    "ike_rekeyed": _Logged("info"),
    "ike_failed": _Logged("warning", True),
    "ike_down": _Logged("warning"),
    "child_up": _Logged("info", burst=BURST_OF_CHILDREN),
    "child_rekeyed": _Logged("info", burst=BURST_OF_CHILDREN),
    "child_failed": _Logged("warning", True),
    "child_down": _Logged("warning", burst=BURST_OF_CHILDREN),
    "retransmit": _Logged("debug", True),
    "rekey_refused": _Logged("warning", burst=BURST_OF_CHILDREN),
    "setback": _Logged("warning", True),
    "moved": _Logged("info", True),
    "rejected": _Logged("info", True),
}

Subscriber = Callable[[dict[str, Any]], None]


class Runtime:
    """A running manager without its event loop.

    :param clock: the time in seconds, monotonic.
    :param resolver: who looks up host names of peers; None for nobody.
    :ivar loop: is told when something was done, after which :meth:`next_deadline` may be nearer.
    :ivar watchers: are called with the name of a tunnel of which something changed.
    """

    def __init__(
        self,
        store: Store,
        host: KernelHost,
        ports: Ports,
        log: Log,
        settings: Settings,
        clock: Callable[[], float],
        resolver: Resolver | None = None,
    ) -> None:
        self.store = store
        self.host = host
        self.ports = ports
        self.log = log
        self.clock = clock
        self.loop: Loop = NoLoop()
        self.watchers: set[Callable[[str], None]] = set()
        self.counts: Counter[str] = Counter()
        self.subscribers: set[Subscriber] = set()
        self.endpoint = Endpoint(SystemEntropy(), self._reserve, settings, reqids=self._instance_reqid)
        self.journal = Journal(host.registry.directory, log, boot_id())
        self.bypass = LinkBypass(host, self._bypass_of, log)
        self.policies = DesiredPolicies(host, log, self.bypass.passing)
        self.interfaces = TunnelInterfaces(host)
        self.repairs = Repairs(self._menders(), log, clock, self.tunnel_changed)
        around = self.interfaces, self.repairs, self, resolver or NoResolver()
        self.tunnels = Tunnels(self.endpoint, host, self.policies, log, self.act, clock, *around)
        told = self._owner_of, self._report, self._unsent, self._undone
        self.executor = ActionExecutor(host, ports, self.policies, self.tunnels.places.traps, log, *told)
        self._echoes = Bucket(ECHO_RATE, ECHO_BURST)
        self._told = Bucket(TOLD_RATE, TOLD_BURST)
        self._keepalive_at = clock() + KEEPALIVE_SECONDS
        self._files_at = clock() + FILES_SECONDS
        self._silence = Silence(clock())
        self.traffic = Traffic()
        self.unknown_peers = UnknownPeers(log)
        self._repetition = Repetition()
        self._links_at = NEVER
        self._busy = False
        self._pending: list[Action] = []

    def begin(self) -> None:
        """Put every stored tunnel into operation; those that an earlier run had up go on as they are.

        :raises EngineError: the database or the kernel cannot be used.
        """
        rows = self.store.load()
        for row in rows.values():
            if row.unreadable:
                self.log.error("its stored definition cannot be read", tunnel=row.name, problem=row.unreadable)
        self._tell_time()
        kept = self.journal.load(rows)
        self.host.prepare()
        self.bypass.look()
        self.interfaces.sweep(rows.values())
        adopt(self._successor(), rows, kept)
        self.act(self.endpoint.tick(self.clock()))
        self.repairs.audit()

    def end(self) -> None:
        """Remove from the kernel whatever this manager installed."""
        self.tunnels.withdraw_all()
        self.host.cleanup()

    @property
    def quiet(self) -> bool:
        """Whether no peer is still to confirm that a tunnel is closed."""
        return self.endpoint.idle

    # What comes in

    def datagram(self, octets: bytes, path: Path) -> None:
        """An IKE message or an echo request."""
        self.counts["datagrams"] += 1
        # IKEv2 is most of the traffic; an echo request never carries its version.
        if len(octets) > _VERSION_AT and octets[_VERSION_AT] != _IKEV2:
            reply = answer(octets)
            if reply is not None:
                self._echo(reply, path)
                return
        self._tell_time()
        self.act(self.endpoint.receive(octets, path, self.clock()))

    def refused(self, address: str, port: int, number: int) -> None:
        """An ICMP error came back for a datagram to ``address``."""
        self.counts["icmp_errors"] += 1
        closed = number == errno.ECONNREFUSED
        reason = "port_closed" if closed else "no_answer"
        story = f"UDP port {port} of {address} is closed" if closed else f"{address}: {os.strerror(number)}"
        self.tunnels.hindrance(address, reason, story)

    def kernel(self) -> None:
        """The kernel has events."""
        for event in self.host.gateway.events():
            self.counts["kernel_events"] += 1
            told = event_of(event)
            if isinstance(told, Acquire):
                self.tunnels.acquired(told)
            else:
                self.kernel_event(told)

    def kernel_event(self, event: KernelEvent) -> None:
        """Have the protocol take what the kernel tells."""
        self.act(self.endpoint.kernel_event(event, self.clock()))

    def changes(self) -> None:
        """Others changed the kernel's tables."""
        events = self.host.changes.read()
        if any(event.kind == LINKS for event in events):
            self._links_at = min(self._links_at, self.clock() + LINKS_SECONDS)
        self.repairs.heard(events)
        self.loop.turned()

    def _follow_links(self) -> None:
        """Let pass by the tunnels what the links are now."""
        if self.bypass.look():
            self.policies.renew()
            for refusal in self.policies.settle():
                self.log.error(str(refusal.problem), claimant=" ".join(map(str, refusal.claimant)))

    def next_deadline(self) -> float:
        """When :meth:`wake` has something to do."""
        tunnels = self.tunnels
        asked = [tunnels.retry.next_deadline(), tunnels.names.next_deadline()]
        asked += [self.endpoint.next_deadline(), self.repairs.next_deadline()]
        own = self._keepalive_at, self._links_at, self._silence.due, self._files_due
        return min(*own, *(when for when in asked if when is not None))

    @property
    def _files_due(self) -> float:
        """When to look whether keys and certificates were renewed."""
        return self._files_at if self.tunnels.connections.watches_files else NEVER

    def _tell_time(self) -> None:
        """Certificates are valid by the calendar, and somebody may have set the clock."""
        self.endpoint.unix_at_zero = time.time() - self.clock()

    def wake(self) -> None:
        """Do what is due."""
        now = self.clock()
        self._tell_time()
        self.act(self.endpoint.tick(now))
        self.tunnels.look_up()
        self.tunnels.start_due()
        if now >= self._links_at:
            self._links_at = NEVER
            self._follow_links()
        self.repairs.wake(now)
        if now >= self._keepalive_at:
            self._keepalive_at = now + KEEPALIVE_SECONDS
            self._send_keepalives()
            self.log.settle(now)
        if now >= self._files_due:
            self._files_at = now + FILES_SECONDS
            self.tunnels.renew_credentials()
        if now >= self._silence.due:
            self._listen_to_silence(now)

    # What goes out

    def act(self, actions: Iterable[Action]) -> None:
        """Perform actions, and those that come of failures and reports, one after the other."""
        self._pending.extend(actions)
        if self._busy:
            return  # called while performing: they come after what is being done
        self._busy = True
        try:
            while self._pending or self.endpoint.changed:
                batch, self._pending = self._pending, []
                # Before a peer or the kernel sees anything of it: see journal.py.
                self.journal.keep(self.endpoint.changes(), batch)
                for failure in self.executor.perform(batch):
                    self._pending.extend(self.endpoint.kernel_event(failure, self.clock()))
            self.journal.done()
            for name in self.tunnels.end_instances():
                self.repairs.forget(name)
        finally:
            self._busy = False
        self.loop.turned()

    def tunnel_settled(self, name: str) -> None:
        """See :class:`.surroundings.TunnelListener`."""
        if name not in self.tunnels.rows:
            self.repairs.forget(name)
        self.journal.keep_rows({name: self.tunnels.rows.get(name)})

    def _menders(self) -> dict[str, Mender]:
        """By kind, in the order in which they have to work: what SAs need stands before them."""
        return {
            LINKS: menders.Links(self.interfaces, self.log),
            ROUTES: menders.Routes(self.host, self.log),
            POLICIES: menders.Policies(self.host, self.policies),
            SAS: menders.Sas(self.host, self.endpoint, self.kernel, self.kernel_event),
            RULES: menders.Rules(self.host),
        }

    def _successor(self) -> Successor:
        parts = self.endpoint, self.tunnels, self.policies, self.repairs, self.executor
        return Successor(*parts, self.host, self.journal, self.log, self.act, self.clock)

    def _reserve(self, local: str, remote: str, protocol: int, reqid: int) -> int:
        try:
            return self.host.gateway.reserve(local, remote, protocol, self.tunnels.connections.modes[reqid], reqid)
        except KernelError as exc:
            self.log.peer("error", "reserve", f"cannot reserve an SPI: {exc}", {}, self.clock())
            raise

    def _instance_reqid(self, definition: str, instance: str, child: str) -> int:
        return self.tunnels.instance_reqid(definition, instance, child)

    def tunnel_changed(self, name: str) -> None:
        """See :class:`.surroundings.TunnelListener`."""
        for watcher in self.watchers:
            watcher(name)

    def _bypass_of(self, tunnel: str) -> list[str]:
        if is_instance(tunnel):
            return [NONE]  # what passes by its definition passes by it
        row = self.tunnels.rows.get(tunnel)
        return row.definition.document["bypass"] if row else DEFAULT

    def _owner_of(self, tunnel: str) -> str:
        row = self.tunnels.rows.get(definition_of(tunnel))
        return row.owner if row else ""

    def _report(self, report: Report) -> None:
        self.counts[report.kind] += 1
        logged = _LOGGED[report.kind]
        level = "info" if report.data.get("reason") in ("stopped", "replaced") else logged.level
        fields = {"tunnel": report.tunnel, "ike": report.ike or None} | report.data
        if self.unknown_peers.take(report, self.clock()) or self._repetition.is_one(report, self.clock()):
            level = "debug"
        if report.kind == "ike_established":
            for sa in self.endpoint.of_tunnel(report.tunnel):
                self.unknown_peers.met(sa.path.remote_address)
        message, whose = report.kind.replace("_", " "), "" if logged.strangers else report.tunnel
        self.log.peer(level, report.kind, message, fields, self.clock(), whose, logged.burst)
        self.tunnels.note(report)
        if self.subscribers and (report.kind != "rejected" or self._told.take(self.clock())):
            event = {
                "event": report.kind,
                "tunnel": report.tunnel,
                "ike": report.ike,
                "child": report.child,
                "data": report.data,
            }
            for subscriber in list(self.subscribers):
                subscriber(event)

    def _unsent(self, path: Path, problem: OSError) -> None:
        self.counts["unsent"] += 1
        story = f"cannot send from {path.local_address} to {path.remote_address}: {problem.strerror or problem}"
        self.log.peer("warning", "unsent", story, {}, self.clock())
        if problem.errno == errno.EADDRNOTAVAIL:
            self.tunnels.hindrance(path.remote_address, "no_local_address", story, path.local_address)
        else:
            self.tunnels.hindrance(path.remote_address, "no_answer", story)

    def _undone(self, level: str, story: str, child: ChildSa) -> None:
        self.log.peer(level, "kernel", story, {"tunnel": child.tunnel}, self.clock(), child.tunnel)

    def _echo(self, reply: bytes, path: Path) -> None:
        port = self.ports.for_path(path)
        if port is None or not path.remote_port or not self._echoes.take(self.clock()):
            self.counts["echoes_dropped"] += 1
            return
        try:
            port.send(reply, path)
        except OSError:
            self.counts["echoes_dropped"] += 1
            return
        self.counts["echoes"] += 1

    def _listen_to_silence(self, now: float) -> None:
        """Have peers asked to whom packets leave, and from whom none come."""
        try:
            counters = self.look_at_traffic()
        except KernelError as exc:
            self.log.debug(f"cannot read the counters of the SAs: {exc}")
            counters = {}
        self.tunnels.close_idle(self.traffic)
        for event in self._silence.look(self.endpoint.checked(), counters, now):
            self.act(self.endpoint.kernel_event(event, now))

    def look_at_traffic(self) -> Counters:
        """What the SAs of all children have carried.

        :raises KernelError: the kernel does not tell.
        """
        children = self.endpoint.child_sas()
        counters = self.host.gateway.usage_all() if children else {}
        self.traffic.look(children, counters, self.clock(), time.time())
        return counters

    def _send_keepalives(self) -> None:
        """RFC 3948 section 4: a NAT forgets a mapping that is not used."""
        for path in self.endpoint.translated():
            port = self.ports.for_path(path)
            if port is not None:
                try:
                    port.send_keepalive(path)
                except OSError as exc:
                    self._unsent(path, exc)
