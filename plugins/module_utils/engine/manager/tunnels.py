# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnels that the manager runs: each row of the database put into the protocol engine and the kernel."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial

from ..definition.build import connection_of
from ..definition.difference import changes
from ..definition.interface import if_id_of
from ..errors import EngineError
from ..ike.actions import Acquire, Action, Path, Report
from ..ike.connection import Connection
from ..ike.endpoint import Endpoint
from ..ike.reasons import REASONS
from ..kernel.registry import Child
from ..selector import Selector
from .action_executor import claimant
from .desired_policies import DesiredPolicies
from .desired_state import answers_packets
from .found_places import FoundPlaces
from .host import KernelHost
from .log import Log
from .numbers import Numbers
from .peer_errors import PeerErrors
from .plan import Step
from .repairs import Record
from .retry import Retry
from .states import (
    UNKNOWN,
    Condition,
    Notice,
    condition,
    living,
    needed,
    of_unreadable,
    on_old_terms,
    starts_itself,
)
from .store import Stored
from .surroundings import KernelState, TunnelListener
from .trap_policies import TrapPolicies
from .tunnel_interfaces import TunnelInterfaces

# Reports after which a tunnel looks different.
_SETBACKS = ("ike_failed", "ike_down", "child_failed", "child_down", "setback", "rejected")
# Unanswered sendings of a request after which a waiting operator is told.
_TRIES_TO_TELL = 3
# For which one turn of the loop starts tunnels.
_STARTS_SECONDS = 0.01

Act = Callable[[Iterable[Action]], None]


class Tunnels:
    """Every defined tunnel, what is wanted of it and what became of it.

    :param act: performs the actions of the protocol engine.
    :param clock: the time in seconds, monotonic.
    :param listener: is told what becomes of them.
    :ivar numbers: the numbers of those that run.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host: KernelHost,
        policies: DesiredPolicies,
        log: Log,
        act: Act,
        clock: Callable[[], float],
        interfaces: TunnelInterfaces,
        kernel_state: KernelState,
        listener: TunnelListener,
    ) -> None:
        self.rows: dict[str, Stored] = {}
        self.retry = Retry(random.random)
        self.modes: dict[int, str] = {}
        self.traps = TrapPolicies(host, policies)
        self.found = FoundPlaces(policies)
        self.interfaces = interfaces
        self.numbers = Numbers(host.registry.directory)
        self._endpoint = endpoint
        self._host = host
        self._policies = policies
        self._log = log
        self._act = act
        self._clock = clock
        self._kernel_state = kernel_state
        self._listener = listener
        self._connections: dict[str, Connection] = {}
        self._notices: dict[str, Notice] = {}
        self._acquired: dict[str, float] = {}
        self._left_out: dict[str, Notice] = {}
        self._further: set[tuple[str, str]] = set()
        self._peers = PeerErrors()

    # What is wanted

    def adopt(self, row: Stored) -> None:
        """Put a row into operation, new or in the place of the one of that name."""
        self.rows[row.name] = row
        # It stands before a packet can come through it, and while nothing does.
        self._stand(row)
        if row.unreadable:
            self._end_unreadable(row)
            return
        if row.wanted == "inactive":
            self._retract(row.name)
            return
        self._define(row)
        self._lay_traps(row)
        self._let_go_found(row.name)
        if starts_itself(row):
            if row.name not in self.retry:
                self.retry.want(row.name, self._clock())
        else:
            self.retry.forget(row.name)

    def resume(self, row: Stored) -> None:
        """Know a row that was in operation when the process before ended: nothing is done about it yet."""
        self.rows[row.name] = row
        if row.wanted != "inactive":
            self._define(row)

    def _end_unreadable(self, row: Stored) -> None:
        """Run nothing of a tunnel whose definition cannot be read; unless it is stopped, let nothing out in clear."""
        claims = [
            self._policies.of(claimant(child.sa)) for sa in self._endpoint.of_tunnel(row.name) for child in sa.children
        ]
        if row.wanted != "inactive":
            self.found.keep(claim.child for claim in claims if claim is not None)
        self._act(self._endpoint.stop(row.name, self._clock()))
        if row.wanted == "inactive":
            self._retract(row.name)
            return
        self._endpoint.undefine(row.name)
        self.retry.forget(row.name)
        self._connect(row)
        self._lay_traps(row)

    def _let_go_found(self, name: str) -> None:
        """What was found of a tunnel is not needed: what holds its places now is known."""
        for refusal in self.found.let_go(name):
            self._log.error(str(refusal.problem), tunnel=name)

    def _define(self, row: Stored) -> None:
        self._endpoint.define(self._connect(row))

    def _connect(self, row: Stored) -> Connection:
        connection = connection_of(row.definition, self._reqids(row), if_id_of(row.definition.document, row.number))
        self._forget_peer(row.name)
        self._connections[row.name] = connection
        self._peers.enter(row.name, connection.remote_address)
        for child in connection.children:
            self.modes[child.reqid] = child.mode
        return connection

    def carry_out(self, step: Step, row: Stored | None) -> None:
        """Do one step of a plan; ``row`` is what the database now holds, None once it is removed."""
        with self._policies.together():
            self._carry_out(step, row)

    def _carry_out(self, step: Step, row: Stored | None) -> None:
        if step.stands:
            if step.nudges and row is not None and starts_itself(row):
                self._nudge(step.name)
            return
        self._notices.pop(step.name, None)
        self._left_out.pop(step.name, None)
        if row is None:
            self._remove(step.name)
        else:
            self._change(step, row)
        self._listener.tunnel_settled(step.name)
        self.settle_numbers(step.name)
        self._listener.tunnel_changed(step.name)

    def rename(self, old: str, step: Step, row: Stored) -> None:
        """Let a tunnel go on under the name of ``row``, which is new, and go over to what that says."""
        new, before = row.name, self.rows.pop(old)
        with self._policies.together():
            self._endpoint.rename(old, new)
            self.traps.rename(old, new)
            for child in self._endpoint.child_sas(new):
                self._policies.rename(claimant(child), new)
            self._forget_peer(old)
            if old in self._connections:
                self._connections[new] = self._connections.pop(old)
                self._peers.enter(new, self._connections[new].remote_address)
            self.retry.forget(old)
            self._notices.pop(old, None)
            self._acquired.pop(old, None)
            self.rows[new] = before
            running = self.condition(new).running()
            differences = tuple(changes(before.definition, row.definition, running.children))
            self._change(replace(step, changes=differences, phase=None, only=None), row)
            # Before the rows are noted: the SAs have to be the new one's when the old one is no more.
            self._act([])
        for name in (old, new):
            self._listener.tunnel_settled(name)
            self.settle_numbers(name)
            self._listener.tunnel_changed(name)

    def _nudge(self, name: str) -> None:
        """It is wanted once more: have the next attempt now, if none is under way."""
        if not self._under_way(name, self.condition(name)):
            self.retry.want(name, self._clock())

    def _change(self, step: Step, row: Stored) -> None:
        now = self._clock()
        before = self.condition(step.name).running()
        children = {child["name"] for child in row.definition.document["children"]}
        anew = {change.child for change in step.changes if change.replaces}
        gone = {change.child for change in step.changes if change.child} - children
        if any(change.path.startswith("interface.") for change in step.changes if change.replaces):
            # The interface itself is another one: its packets have nowhere to go meanwhile.
            self._act(self._endpoint.stop(step.name, now))
        if step.halts:
            self._halt(step, row)
        manual = {child["name"] for child in row.definition.document["children"] if child["start"] == "manual"}
        self.traps.leave(step.name, before.children - manual)
        self.adopt(row)
        if any(change.path == "bypass" for change in step.changes):
            self._policies.renew(step.name)
            for refusal in self._policies.settle():
                self._refused(step.name, refusal.problem)
        if step.halts and step.only is None:
            return
        if "" in anew:
            self._act(self._endpoint.supersede(step.name, now))
        elif anew | gone:
            self._act(self._endpoint.supersede(step.name, now, anew | gone))
        if (anew or gone) and row.wanted != "inactive":
            self._lay_traps(row)  # what takes over is asked for, whether a packet comes or not
        self._renew_keys(step)
        opens = row.wanted != "inactive" and row.definition.document["role"] != "responder"
        if starts_itself(row) or (opens and self._endpoint.awaited(step.name)):
            self.retry.want(step.name, now)
        elif anew and before.busy and opens:
            # Nobody asked for it to be up, but it was, so it is brought up again.
            self._start(step.name, None if "" in anew else before.children & anew)

    def _halt(self, step: Step, row: Stored) -> None:
        """End what a step ends: the IKE SA alone, which its children outlive, children alone, or everything."""
        now = self._clock()
        if step.phase == 1:
            self._act(self._endpoint.retire(step.name, now))
        elif step.phase == 2:
            self._act(self._endpoint.stop(step.name, now, row.children if step.only is None else step.only))
        else:
            self._act(self._endpoint.stop(step.name, now))

    def start_due(self) -> None:
        """Start what the retry clock says is due, while there is time: key exchanges of some groups are dear."""
        now = self._clock()
        for name in self.retry.due(now):
            self._start(name, dict.fromkeys([*needed(self.rows[name]), *self._endpoint.awaited(name)]))
            if self._clock() - now >= _STARTS_SECONDS:
                break

    def acquired(self, event: Acquire) -> None:
        """A packet wants a child: start it.

        Not where the peer has to start, and not more than once a second: a sender without patience or an
        acquire storm must not get around the back-off.
        """
        names = self._host.registry.names(event.reqid)
        row = self.rows.get(names.tunnel) if names else None
        if names is None or row is None or row.name not in self._connections:
            return
        if row.wanted == "inactive" or row.unreadable or not _answers(row, names.child):
            return
        # Only a further child in the IKE SA that there is may be asked for by whoever waits for the peer otherwise.
        if row.definition.document["role"] == "responder" and names.child not in self.condition(row.name).up:
            return
        now = self._clock()
        if now - self._acquired.get(row.name, now - 1.0) < 1.0:
            return
        self._acquired[row.name] = now
        self._further.add((row.name, names.child))
        packet = (event.local, event.remote) if event.local and event.remote else None
        self._start(row.name, [names.child], packet)

    def withdraw_all(self) -> None:
        """Close every tunnel, telling the peers, and take all policies and interfaces back; the rows stay."""
        for name in list(self.rows):
            self._withdraw(name)
            self._take_interface(name)

    # What became of it

    def condition(self, name: str) -> Condition:
        """How a tunnel is."""
        row = self.rows.get(name)
        if row is None:
            return UNKNOWN
        if row.unreadable:
            return of_unreadable(row)
        sas, notice = self._endpoint.of_tunnel(name), self._notices.get(name)
        how = condition(row, sas, self.traps.of(name), notice, self._kernel_state.disturbance(name))
        how = on_old_terms(row, how, bool(self._endpoint.awaited(name)), notice)
        left_out = self._left_out.get(name)
        if how.state != "active" or how.reason or left_out is None:
            return how
        reason = left_out.reason if left_out.reason in REASONS else "protocol_error"
        return how._replace(reason=reason, story=left_out.story, remedy=REASONS[reason].remedy)

    def record(self, name: str) -> Record:
        """What was put back of a tunnel."""
        return self._kernel_state.record(name)

    def note(self, report: Report) -> None:
        """Take in what the protocol engine reports of one tunnel."""
        name = report.tunnel
        row = self.rows.get(name)
        if row is None:
            return
        self._remember(report)
        if report.kind in ("child_up", "child_failed"):
            self._forget_hold(name, report.data.get("child", ""))
        how = self._go_on(row, report) if self._endpoint.connections.get(name) is not None else self.condition(name)
        self.settle_numbers(name, how)
        self._listener.tunnel_changed(name)

    @property
    def rekey_overlap(self) -> tuple[int, int]:
        """Percent of a lifetime that are left when a rekey begins: least and most."""
        settings = self._endpoint.settings
        return round(100 * settings.rekey_margin), round(100 * (settings.rekey_margin + settings.rekey_fuzz))

    def settle_numbers(self, name: str, now: Condition | None = None) -> None:
        """Give numbers to what the manager runs of a tunnel from now on, and end those of what it runs no more.

        :param now: how it is, if that is known already.
        """
        row = self.rows.get(name)
        children = living(row, now or self.condition(name)) if row is not None else None
        if children is None:
            self.numbers.end(name)
        else:
            self.numbers.settle(name, children)

    def _go_on(self, row: Stored, report: Report) -> Condition:
        """Hold the place of what went, and see to it that what is wanted is tried again; how the tunnel is now."""
        name, now = row.name, self._clock()
        if report.kind == "child_down":
            self._lay_traps(row)
        how = self.condition(name)
        if how.state == "active" and not self._endpoint.awaited(name):
            self._notices.pop(name, None)
            self.retry.succeeded(name)
            if not starts_itself(row):
                self.retry.forget(name)
        elif self._under_way(name, how):
            self.retry.started(name)
        elif report.data.get("reason") == "stopped" and starts_itself(row):
            self.retry.want(name, now)
        else:
            self.retry.failed(name, now)
        return how

    def hindrance(self, address: str, reason: str, story: str, local: str | None = None) -> None:
        """A datagram to ``address`` could not be sent or was refused: that may be why tunnels to it are not up.

        Anybody can forge an ICMP error, so it explains a tunnel that is down and takes none down.

        :param local: our address, where it is about those tunnels only that are to leave from it.
        """
        notice = Notice(reason, story)
        for name in self._peers.to_tell(address, reason, local, self._clock()):
            if local is not None and self._connections[name].local_address != local:
                continue
            if self._notices.get(name) != notice and self.condition(name).phase1 != "active":
                self._notices[name] = notice
                self._listener.tunnel_changed(name)

    # Parts

    def _under_way(self, name: str, how: Condition) -> bool:
        """Whether we negotiate what is missing.

        A peer's attempt does not count before it is authenticated: anybody could keep us from starting with those.
        """
        if how.phase1 == "active" and how.state != "active":
            return how.state == "negotiating"
        # Beside one that is up another may be under way, with what takes its place.
        return self._endpoint.negotiates(name) or any(sa.begun for sa in self._endpoint.of_tunnel(name))

    def _reqids(self, row: Stored) -> dict[str, int]:
        """Request IDs of the children; they stay the same when a tunnel changes its owner."""
        found = {}
        before = self._connections.get(row.name)
        old = {child.name: child.reqid for child in before.children} if before else {}
        for child in row.children:
            if child in old:
                self._host.registry.record(old[child], Child(row.owner, row.name, child))
                found[child] = old[child]
            else:
                found[child] = self._host.registry.allocate(row.owner, row.name, child)
        return found

    def _forget_hold(self, name: str, child: str) -> None:
        """What packets asked for is decided; others that no Child SA takes may ask now."""
        if (name, child) not in self._further:
            return
        self._further.discard((name, child))
        living = self._endpoint.child_sas(name)
        for sa in [sa for sa in living if sa.child == child and sa.defined is not None][:1]:
            ends = sa.local_address, sa.remote_address
            try:
                self._host.gateway.forget_hold(*ends, sa.protocol, sa.mode, sa.reqid)
            except EngineError as exc:
                self._log.debug(f"what waits for an SA stays until it expires: {exc}", tunnel=name)

    def _remember(self, report: Report) -> None:
        name, kind, data = report.tunnel, report.kind, report.data
        if kind == "child_failed" and "packet" in data:
            self._left_out[name] = Notice(data["reason"], data["story"], data["child"])
        elif kind in _SETBACKS:
            if kind in ("ike_down", "child_down"):
                self._left_out.pop(name, None)
            if data.get("reason") not in ("replaced", "stopped"):
                child = data.get("child", "")
                if data.get("reason") == "no_answer" and self._unsendable(name):
                    return
                self._notices[name] = Notice(data.get("reason", "protocol_error"), data.get("story", ""), child)
        elif kind == "retransmit":
            if data["tries"] >= _TRIES_TO_TELL and name not in self._notices:
                story = f"{data['exchange']} was sent {data['tries']} times without an answer"
                self._notices[name] = Notice("no_answer", story)
        elif kind in ("ike_established", "child_up"):
            notice = self._notices.get(name)
            if notice is not None and notice.child == data.get("child", ""):
                del self._notices[name]

    def _unsendable(self, name: str) -> bool:
        """Whether the peer never heard of us, so that its silence is not the reason."""
        notice = self._notices.get(name)
        return notice is not None and notice.reason == "no_local_address"

    def _start(
        self, name: str, children: Iterable[str] | None, packet: tuple[Selector, Selector] | None = None
    ) -> None:
        connection = self._connections[name]
        self._stand(self.rows[name])
        path = None
        if connection.local_address is None and connection.remote_address is not None:
            source = self._host.source_address(connection.remote_address)
            if source is None:
                self._notices[name] = Notice("no_answer", f"this host has no route to {connection.remote_address}")
                self.retry.failed(name, self._clock())
                return
            ports = self._endpoint.settings
            path = Path(source, ports.ike_port, connection.remote_address, connection.remote_port)
            self._lay_traps(self.rows[name])
        self._act(self._endpoint.start(name, self._clock(), path, children, packet))

    def _renew_keys(self, step: Step) -> None:
        """Have what was negotiated before agree with new options, where that loses nothing."""
        renewed = {
            change.child
            for change in step.changes
            if change.impact == "rekey" and not change.replaces and (change.option or not change.child)
        }
        if "" in renewed:
            self._act(self._endpoint.rekey(step.name, self._clock()))
        if renewed - {""}:
            self._act(self._endpoint.rekey(step.name, self._clock(), renewed - {""}))

    def _remove(self, name: str) -> None:
        self._withdraw(name)
        self._take_interface(name)
        del self.rows[name]
        self._acquired.pop(name, None)
        self._left_out.pop(name, None)
        self._forget_peer(name)
        connection = self._connections.pop(name, None)
        for child in connection.children if connection else ():
            self.modes.pop(child.reqid, None)
            # As long as there is a policy of it, it has to be known for ours.
            self._policies.afterwards(partial(self._forget, name, child.name, child.reqid))

    def _forget(self, tunnel: str, child: str, reqid: int) -> None:
        names = self._host.registry.names(reqid)
        if names is not None and names[1:] == (tunnel, child) and tunnel not in self.rows:
            self._host.registry.forget(reqid)

    def _forget_peer(self, name: str) -> None:
        before = self._connections.get(name)
        if before is not None:
            self._peers.leave(name, before.remote_address)

    def _withdraw(self, name: str) -> None:
        """Take a tunnel out of operation: SAs, policies, and the definition that peers could use."""
        self._act(self._endpoint.stop(name, self._clock()))
        self._retract(name)

    def _retract(self, name: str) -> None:
        """Let nobody start a tunnel; a retired IKE SA stays with its children."""
        self._endpoint.undefine(name)
        self._let_go_found(name)
        self.retry.forget(name)
        self._notices.pop(name, None)
        try:
            self.traps.take(name)
        except EngineError as exc:
            self._log.error(str(exc), tunnel=name)

    def _stand(self, row: Stored) -> None:
        """Have the tunnel's interface stand, if it is to have one."""
        try:
            self.interfaces.stand(row)
        except EngineError as exc:
            self._refused(row.name, exc)

    def _take_interface(self, name: str) -> None:
        try:
            self.interfaces.take(name)
        except EngineError as exc:
            self._log.error(str(exc), tunnel=name)

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

    def _refused(self, name: str, problem: EngineError) -> None:
        self._notices[name] = Notice("kernel_refused", str(problem))
        self._log.error(str(problem), tunnel=name)

    def _lay_traps(self, row: Stored) -> None:
        connection = self._connections[row.name]
        local = connection.local_address
        if local is None and connection.remote_address is not None:
            local = self._host.source_address(connection.remote_address)
        try:
            self.traps.lay(row, connection, local, self._coming(row, connection))
        except EngineError as exc:
            self._refused(row.name, exc)


def _answers(row: Stored, child: str) -> bool:
    """Whether a packet may start a child of a tunnel, and not only wait for it."""
    children = row.definition.document["children"]
    return any(each["name"] == child and answers_packets(row.wanted, row.asked, each) for each in children)
