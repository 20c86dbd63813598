# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnels that the manager runs: each row of the database put into the protocol engine and the kernel."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ..crypto.auth import Unusable
from ..definition.difference import changes
from ..errors import a_few
from ..ike.actions import Acquire, Action, Report
from ..ike.connection import ChildConfig
from ..ike.endpoint import Endpoint
from ..ike.instances import definition_of, is_instance
from ..selector import Selector
from . import resting
from .action_executor import claimant
from .desired_policies import DesiredPolicies
from .expirations import Expirations, expiring
from .hindrances import Hindrances
from .host import KernelHost
from .instances import instance_row, of_instance, of_many
from .log import Log
from .numbers import Numbers
from .packet_requests import PacketRequests
from .peer_names import PeerNames
from .plan import Step
from .repairs import Record
from .resolver import Resolver
from .resting import Idleness
from .retry import FIRST_PAUSE, Retry
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
from .traffic import Traffic
from .tunnel_connections import TunnelConnections
from .tunnel_interfaces import TunnelInterfaces
from .tunnel_places import TunnelPlaces
from .tunnel_starts import TunnelStarts
from .uptimes import Uptimes

# For which one turn of the loop starts tunnels.
_STARTS_SECONDS = 0.01

Act = Callable[[Iterable[Action]], None]


class Tunnels:
    """Every defined tunnel, what is wanted of it and what became of it.

    :param act: performs the actions of the protocol engine.
    :param clock: the time in seconds, monotonic.
    :param listener: is told what becomes of them.
    :ivar connections: what the protocol engine has of each; ``places``: what the kernel has of it, up or not.
    :ivar names: the host names that some have for their peers.
    :ivar numbers: the numbers of those that run; ``uptimes``: since when they are up.
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
        resolver: Resolver,
    ) -> None:
        self.rows: dict[str, Stored] = {}
        self.retry = Retry(random.random)
        self.names = PeerNames(resolver, log)
        self.connections = TunnelConnections(host.registry, self.names)
        self.numbers = Numbers(host.registry.directory)
        self.uptimes = Uptimes()
        self._endpoint = endpoint
        self._host = host
        self._policies = policies
        self._log = log
        self._act = act
        self._clock = clock
        self._kernel_state = kernel_state
        self._listener = listener
        self._hindrances = Hindrances()
        self._expirations = Expirations(log)
        self._idleness = Idleness()
        self._packets = PacketRequests(endpoint, host.gateway, log)
        known = self.connections, self.names, self._hindrances
        self.places = TunnelPlaces(endpoint, host, policies, interfaces, *known, log)
        self._starts = TunnelStarts(endpoint, host, *known, self.retry, act, clock)

    # What is wanted

    def row(self, name: str) -> Stored | None:
        """The row of a tunnel; of an instance of a definition for many peers, what that would be."""
        if not is_instance(name):
            return self.rows.get(name)
        definition, sas = self.rows.get(definition_of(name)), self._endpoint.of_tunnel(name)
        return instance_row(definition, name, sas) if definition is not None and sas else None

    def instances(self, name: str) -> list[Stored]:
        """The instances of a definition for many peers, those that are there longest first."""
        found = (self.row(each) for each in self._endpoint.instances.of(name))
        return [row for row in found if row is not None]

    def count_instances(self, name: str) -> int:
        """How many there are."""
        return len(self._endpoint.instances.of(name))

    def negotiated(self, name: str) -> tuple[ChildConfig, ...]:
        """The children of a tunnel or of an instance as the protocol has them, none where it is not in operation."""
        connection = self._endpoint.connections.get(name)
        return () if connection is None else connection.children

    def instance_reqid(self, definition: str, instance: str, child: str) -> int:
        """The request ID of a child of an instance, which the protocol is about to make or goes on with.

        :raises KernelError: there is none left.
        """
        return self.connections.instance_reqid(self.rows[definition].owner, definition, instance, child)

    def adopt(self, row: Stored) -> None:
        """Put a row into operation, new or in the place of the one of that name."""
        self.rows[row.name] = row
        # It stands before a packet can come through it, and while nothing does.
        self.places.stand(row)
        if row.unreadable:
            self._end_unreadable(row)
            return
        if row.wanted == "inactive":
            self._retract(row.name)
            return
        self._define(row)
        self._act(self._endpoint.vet(row.name, self._clock()))
        self.places.hold(row)
        self.places.let_go_found(row.name)
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
            self.places.found.keep(claim.child for claim in claims if claim is not None)
        self._act(self._endpoint.stop(row.name, self._clock()))
        if row.wanted == "inactive":
            self._retract(row.name)
            return
        self._endpoint.undefine(row.name)
        self.retry.forget(row.name)
        self.connections.make(row)
        self.places.hold(row)

    def _define(self, row: Stored) -> None:
        before = self.connections.problems.get(row.name)
        self._endpoint.define(self.connections.make(row))
        self._idleness.define(row)
        problem = self.connections.problems.get(row.name)
        if problem not in (None, before):
            self._log.error("its key or certificates cannot be used", tunnel=row.name, problem=problem)

    def renew_credentials(self) -> None:
        """Read the keys and certificates again whose files have changed: the next authentication uses them.

        What of them ends soon is told.
        """
        running = [(name, self.connections[name].auth) for name in self.rows if name in self.connections]
        endings = [(name, ending) for name, auth in running for ending in auth.endings]
        self._expirations.look(endings, time.time())
        for name in self.connections.renewed():
            row = self.rows[name]
            if row.wanted == "inactive" or row.unreadable:
                continue
            self._define(row)
            self._act(self._endpoint.vet(name, self._clock()))
            if name not in self.connections.problems:
                self._log.info("its key and certificates were read again", tunnel=name)
                if starts_itself(row) and self.condition(name).state != "active":
                    self._nudge(name)
            self._listener.tunnel_changed(name)

    def carry_out(self, step: Step, row: Stored | None) -> None:
        """Do one step of a plan; ``row`` is what the database now holds, None once it is removed."""
        with self._policies.together():
            self._carry_out(step, row)

    def _carry_out(self, step: Step, row: Stored | None) -> None:
        if step.stands:
            if step.nudges and row is not None and starts_itself(row):
                self._rest(self.rows[step.name], row)  # what rests is wanted once more
                self._nudge(step.name)
            return
        self._hindrances.forget(step.name)
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
            self.places.traps.rename(old, new)
            self.places.shunts.rename(old, new)
            for child in self._endpoint.child_sas(new):
                self._policies.rename(claimant(child), new)
            self.connections.rename(old, new)
            self.uptimes.rename(old, new)
            self._idleness.forget(old)
            self._starts.forget(old)
            self.names.forget(old)
            self.retry.forget(old)
            self._hindrances.forget(old)
            self._packets.forget(old)
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
        self.places.traps.leave(step.name, before.children - manual)
        self.adopt(row)
        if any(change.path == "bypass" for change in step.changes):
            self._policies.renew(step.name)
            for refusal in self._policies.settle():
                self.places.refused(step.name, refusal.problem)
        if step.halts and step.only is None:
            return
        self._starts.forget(step.name)
        if "" in anew:
            self._act(self._endpoint.supersede(step.name, now))
        elif anew | gone:
            self._act(self._endpoint.supersede(step.name, now, anew | gone))
        if (anew or gone) and row.wanted != "inactive":
            self.places.hold(row)  # what takes over is asked for, whether a packet comes or not
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

    def look_up(self) -> None:
        """Take in what the names of peers stand for, and go on with what waits for that."""
        for name in self.names.take():
            row = self.rows[name]
            if self.connections.addresses(row) == self.connections[name].remote_addresses:
                continue
            if self._endpoint.connections.get(name) is not None:
                self._define(row)
                self.places.hold(row)
        for name in self._starts.go_on():
            self._listener.tunnel_changed(name)
        for name in self.names.due(self._clock()):
            if not self._endpoint.of_tunnel(name):
                self.names.ask(name)

    def acquired(self, event: Acquire) -> None:
        """A packet wants a child: start it.

        Not where the peer has to start, and not more than once a second.
        """
        names = self._host.registry.names(event.reqid)
        row = self.rows.get(names.tunnel) if names else None
        if names is None or row is None or row.name not in self.connections:
            return
        if row.wanted == "inactive" or row.unreadable or not _answers(row, names.child):
            return
        # Only a further child in the IKE SA that there is may be asked for by whoever waits for the peer otherwise.
        if row.definition.document["role"] == "responder" and names.child not in self.condition(row.name).up:
            return
        if self._packets.hear(row.name, names.child, self._clock()):
            packet = (event.local, event.remote) if event.local and event.remote else None
            self._start(row.name, [names.child], packet)

    def withdraw_all(self) -> None:
        """Close every tunnel, telling the peers, and take all policies and interfaces back; the rows stay."""
        for name in list(self.rows):
            self._withdraw(name)
            self.places.take_interface(name)

    # What became of it

    def condition(self, name: str) -> Condition:
        """How a tunnel is."""
        row = self.row(name)
        if row is None:
            return UNKNOWN
        if row.unreadable:
            return of_unreadable(row)
        places, notice = self.places, self._hindrances.of(name)
        if row.definition.pattern is not None and not is_instance(name):
            return of_many(row, self._endpoint.instances.crowd(name), notice, places.shunts.of(name))
        sas = self._endpoint.of_tunnel(name)
        disturbance, shunted = self._kernel_state.disturbance(name), places.shunts.of(name)
        how = condition(row, sas, places.traps.of(name), notice, disturbance, shunted)
        if is_instance(name):
            return of_instance(how, row, notice)
        how = on_old_terms(row, how, bool(self._endpoint.awaited(name)), notice)
        return self._hindrances.explain(name, how)

    def expiring(self, name: str) -> list[str]:
        """What of its certificates and revocation lists ends soon, or has."""
        name = definition_of(name)
        auth = self.connections[name].auth if name in self.connections else None
        return expiring(auth.endings, time.time()) if auth is not None else []

    def record(self, name: str) -> Record:
        """What was put back of a tunnel."""
        return self._kernel_state.record(name)

    def note(self, report: Report) -> None:
        """Take in what the protocol engine reports of one tunnel, or of each that it may be about."""
        for name in report.data.get("may_be", ()):
            self._note(replace(report, tunnel=name, data=_of_several(report.data)))
        if is_instance(report.tunnel):
            self._note_instance(report)
        elif report.tunnel:
            self._note(report)

    def _note_instance(self, report: Report) -> None:
        """An instance is begun and kept up by its peer alone: nothing is tried again, and no place is held for it."""
        name = report.tunnel
        self._hindrances.take(report)
        how = self.condition(name)
        if how.up:
            self._hindrances.clear(name)
        if how.state != "unknown":
            self.settle_numbers(name, how)
        for each in (name, definition_of(name)):
            self._listener.tunnel_changed(each)

    def end_instances(self) -> list[str]:
        """Forget the instances whose peers are gone; which those are."""
        ended = self._endpoint.instances.ended()
        for name in ended:
            self.numbers.end(name)
            self.uptimes.forget(name)
            self._hindrances.forget(name)
            for child, reqid in self.connections.drop_instance(name).items():
                self._policies.afterwards(partial(self._forget, name, child, reqid))
            self._listener.tunnel_changed(name)
        for refusal in self._policies.settle() if ended else ():
            self._log.error(str(refusal.problem))
        return ended

    def settle_instances(self) -> None:
        """Give numbers to the instances that an earlier manager had up, and end those of the ones that it lost."""
        there = [each.name for row in self.rows.values() for each in self.instances(row.name)]
        for name in there:
            self.settle_numbers(name)
        for name in self.numbers.tunnels() - set(there):
            if is_instance(name):
                self.numbers.end(name)

    def _note(self, report: Report) -> None:
        name = report.tunnel
        row = self.rows.get(name)
        if row is None:
            return
        row = self._rest(row, resting.after(row, report))
        if row.definition.pattern is not None:
            self._hindrances.take(report)
            self._listener.tunnel_changed(name)
            return
        self._hindrances.take(report, self._starts.take(report))
        if report.kind == "ike_down":
            self.names.ask(name)  # it may be somewhere else by now
        if report.kind in ("child_up", "child_failed"):
            self._packets.decided(name, report.data.get("child", ""))
        how = self._go_on(row, report) if self._endpoint.connections.get(name) is not None else self.condition(name)
        self.settle_numbers(name, how)
        self._listener.tunnel_changed(name)

    def _rest(self, before: Stored, after: Stored) -> Stored:
        """Go over to what brings children back from now on."""
        if after is not before:
            self.rows[after.name] = after
            if not starts_itself(after):
                self.retry.forget(after.name)
            elif after.name not in self.retry:
                self.retry.want(after.name, self._clock() + FIRST_PAUSE)  # a peer that closes at once has a pause
            self.places.hold(after)
        return after

    def close_idle(self, traffic: Traffic) -> None:
        """Close the children through which no packet has passed for so long as they want."""
        now = self._clock()
        found = self._idleness.found(self._endpoint, traffic, self.uptimes, now)
        for name, children in found.items():
            row = self.row(name)
            if row is not None:
                self._log.info(f"no packet passed through {', '.join(sorted(children))}: closed", tunnel=name)
                if not is_instance(name):
                    self._rest(row, resting.idle(row, sorted(children)))
                self._act(self._endpoint.stop(name, now, children))

    @property
    def rekey_overlap(self) -> tuple[int, int]:
        """Percent of a lifetime that are left when a rekey begins: least and most."""
        settings = self._endpoint.settings
        return round(100 * settings.rekey_margin), round(100 * (settings.rekey_margin + settings.rekey_fuzz))

    def settle_numbers(self, name: str, now: Condition | None = None) -> None:
        """Give numbers to what the manager runs of a tunnel from now on, and end those of what it runs no more.

        What is up has its age from then on, too.

        :param now: how it is, if that is known already.
        """
        row = self.row(name)
        now = now or self.condition(name)
        self.uptimes.see(name, now, lambda: self._endpoint.of_tunnel(name))
        children = living(row, now) if row is not None else None
        if children is None:
            self.numbers.end(name)
        else:
            self.numbers.settle(name, children)

    def _go_on(self, row: Stored, report: Report) -> Condition:
        """Hold the place of what went, and see to it that what is wanted is tried again; how the tunnel is now."""
        name, now = row.name, self._clock()
        if report.kind == "child_down":
            self.places.hold(row)
        how = self.condition(name)
        if how.state == "active" and not self._endpoint.awaited(name):
            self._hindrances.clear(name)
            self.retry.succeeded(name)
            if not starts_itself(row):
                self.retry.forget(name)
        elif self._under_way(name, how):
            self.retry.started(name)
        elif report.data.get("reason") == "stopped" and starts_itself(row):
            self.retry.want(name, now)
        else:
            self._starts.failed(name)
        return how

    def hindrance(self, address: str, reason: str, story: str, local: str | None = None) -> None:
        """A datagram to ``address`` could not be sent or was refused: that may be why tunnels to it are not up.

        Anybody can forge an ICMP error, so it explains a tunnel that is down and takes none down.

        :param local: our address, where it is about those tunnels only that are to leave from it.
        """
        notice = Notice(reason, story)
        for name in self.connections.peers.to_tell(address, reason, local, self._clock()):
            if local is not None and self.connections[name].local_address != local:
                continue
            if self._hindrances.of(name) != notice and self.condition(name).phase1 != "active":
                self._hindrances.note(name, notice)
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

    def _start(
        self, name: str, children: Iterable[str] | None, packet: tuple[Selector, Selector] | None = None
    ) -> None:
        connection = self.connections[name]
        self.places.stand(self.rows[name])
        if isinstance(connection.auth, Unusable):
            self._define(self.rows[name])
            connection = self.connections[name]
        if isinstance(connection.auth, Unusable):
            self._hindrances.note(name, Notice("credentials_unusable", connection.auth.story))
            self.retry.failed(name, self._clock())
            return
        if connection.local_address is None:
            self.places.hold(self.rows[name])  # what is the way to the peer may be another one by now
        self._starts.start(name, children, packet)

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
        self.places.take_interface(name)
        del self.rows[name]
        self._packets.forget(name)
        self._hindrances.forget(name)
        for child, reqid in self.connections.drop(name).items():
            # As long as there is a policy of it, it has to be known for ours.
            self._policies.afterwards(partial(self._forget, name, child, reqid))

    def _forget(self, tunnel: str, child: str, reqid: int) -> None:
        names = self._host.registry.names(reqid)
        there = tunnel in self.rows or self._endpoint.connections.get(tunnel) is not None
        if names is not None and names[1:] == (tunnel, child) and not there:
            self._host.registry.forget(reqid)

    def _withdraw(self, name: str) -> None:
        """Take a tunnel out of operation: SAs, policies, and the definition that peers could use."""
        self._act(self._endpoint.stop(name, self._clock()))
        self._retract(name)

    def _retract(self, name: str) -> None:
        """Let nobody start a tunnel; a retired IKE SA stays with its children."""
        self._endpoint.undefine(name)
        self._idleness.forget(name)
        self._starts.forget(name)
        self.names.forget(name)
        self.retry.forget(name)
        self._hindrances.clear(name)
        self.places.let_go(name)


def _of_several(data: dict[str, Any]) -> dict[str, Any]:
    """What is told of a peer that means one of several tunnels, as one of these has it."""
    return data | {"story": f"{data['story']} (the peer means one of {a_few(data['may_be'])})"}


def _answers(row: Stored, child: str) -> bool:
    """Whether a packet may start a child of a tunnel, and not only wait for it."""
    children = row.definition.document["children"]
    return any(each["name"] == child and row.answers(each) for each in children)
