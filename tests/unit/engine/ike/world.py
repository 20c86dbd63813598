# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two engines against each other in virtual time: a wire that loses and reorders, and a kernel that only records."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.child_sa import ChildSa
from engine.crypto.auth import PresharedKey
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.identity import Identity
from engine.ike.actions import (
    Action,
    InstallInbound,
    InstallOutbound,
    Path,
    PointPolicies,
    ReleaseSpi,
    RemovePolicies,
    RemoveSas,
    Report,
    ResetPolicies,
    Send,
    YieldPolicies,
)
from engine.ike.connection import ChildConfig, Connection
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.ike.v2.features.ipcomp import IPCOMP
from engine.secret import Secret
from engine.selector import parse_selector

from tests.seeded_entropy import SeededEntropy

EAST, WEST = "192.0.2.1", "192.0.2.2"
LATENCY = 0.01  # seconds
# What profile modern is without additional key exchanges, which have tests of their own.
CLASSIC = "aes256gcm16-chacha20poly1305-prfsha384-prfsha512-x25519-ecp384"

# What the wire does with the n-th datagram: a list of delays, one for each copy that arrives; empty: lost.
Fate = Callable[[int, bytes], list[float]]


def straight(_number: int, _datagram: bytes) -> list[float]:
    """Nothing is lost."""
    return [LATENCY]


@dataclass
class Kernel:
    """Records SAs and policies, and that nothing is installed or removed twice."""

    inbound: dict[int, ChildSa] = field(default_factory=dict)
    outbound: dict[int, ChildSa] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    policies: dict[int, int] = field(default_factory=dict)  # reqid -> SPI they send with, 0 for none
    reserved: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def perform(self, action: Action) -> None:
        """Do what one action asks."""
        if isinstance(action, InstallInbound):
            spi = action.child.spi_in
            if spi in self.inbound or spi not in self.reserved:
                self.faults.append(f"inbound {spi} twice or not reserved")
            if action.child.cpi_in and action.child.cpi_in not in self.reserved:
                self.faults.append(f"CPI {action.child.cpi_in} was not reserved")
            self.reserved -= {spi, action.child.cpi_in}
            self.inbound[spi] = action.child
        elif isinstance(action, InstallOutbound):
            if action.child.spi_out in self.outbound:
                self.faults.append(f"outbound {action.child.spi_out} twice")
            self.outbound[action.child.spi_out] = action.child
            self.order.append(action.child.spi_out)
            self.policies[action.child.reqid] = action.child.spi_out
        elif isinstance(action, PointPolicies):
            if action.child.spi_out not in self.outbound:
                self.faults.append(f"policies pointed to {action.child.spi_out}, which is not there")
            self.policies[action.child.reqid] = action.child.spi_out
        elif isinstance(action, YieldPolicies):
            if action.child.spi_out not in self.outbound:
                self.faults.append(f"policies yielded by {action.child.spi_out}, which is not there")
        elif isinstance(action, RemoveSas):
            if self.inbound.pop(action.child.spi_in, None) is None:
                self.faults.append(f"inbound {action.child.spi_in} was not there")
            if self.outbound.pop(action.child.spi_out, None) is not None:
                self.order.remove(action.child.spi_out)
        elif isinstance(action, RemovePolicies):
            holder = self.sending(action.child.reqid)
            # Those of another generation with other selectors are other policies.
            if holder is None or selectors(holder) == selectors(action.child):
                self.policies.pop(action.child.reqid, None)
        elif isinstance(action, ResetPolicies):
            self.policies[action.child.reqid] = 0
        elif isinstance(action, ReleaseSpi):
            if action.spi not in self.reserved:
                self.faults.append(f"spi {action.spi} was not reserved")
            self.reserved.discard(action.spi)
        elif not isinstance(action, (Send, Report)):
            self.faults.append(f"unknown action {action}")

    def sending(self, reqid: int) -> ChildSa | None:
        """The SA that the kernel would use: the one the policies name."""
        return self.outbound.get(self.policies.get(reqid, 0))


class Ranked(Kernel):
    """As the manager has it: of what sends the newest of a child stands, unless an older one is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ranks: dict[int, int] = {}

    def perform(self, action: Action) -> None:
        super().perform(action)
        if isinstance(action, InstallOutbound):
            self.ranks[action.child.spi_out] = 1000 * action.child.number
        elif isinstance(action, PointPolicies):
            self.ranks[action.child.spi_out] = max(self.ranks.values(), default=0) + 1
        elif isinstance(action, YieldPolicies):
            self.ranks[action.child.spi_out] = 0
        elif isinstance(action, RemoveSas):
            self.ranks.pop(action.child.spi_out, None)

    def sending(self, reqid: int) -> ChildSa | None:
        ranks = {spi: rank for spi, rank in self.ranks.items() if self.outbound[spi].reqid == reqid}
        return self.outbound[max(ranks, key=ranks.__getitem__)] if ranks else None


def selectors(sa: ChildSa) -> tuple[object, object]:
    """What an SA protects."""
    return sa.local_selectors, sa.remote_selectors


class Host:
    """One end: an engine, a recording kernel and all reports."""

    def __init__(self, world: World, address: str, seed: int, settings: Settings) -> None:
        self.world, self.address = world, address
        self.kernel = Kernel()
        self.reports: list[Report] = []
        self._spi, self._cpi = seed << 24, seed << 12
        self.engine = Endpoint(SeededEntropy(seed), self._reserve, settings)

    def _reserve(self, local: str, remote: str, protocol: int, reqid: int) -> int:
        if protocol == IPCOMP:
            self._cpi += 1
            self.kernel.reserved.add(self._cpi)
            return self._cpi
        self._spi += 1
        self.kernel.reserved.add(self._spi)
        return self._spi

    def do(self, actions: list[Action]) -> None:
        """Perform actions in order."""
        for action in actions:
            if isinstance(action, Send):
                self.world.send(action)
            elif isinstance(action, Report):
                self.reports.append(action)
            self.kernel.perform(action)

    def start(self, name: str = "t", **more: object) -> None:
        """Start a tunnel now."""
        self.do(self.engine.start(name, self.world.now, **more))

    def stop(self, name: str = "t", **more: object) -> None:
        """Stop a tunnel now."""
        self.do(self.engine.stop(name, self.world.now, **more))

    def kinds(self) -> list[str]:
        """The kinds of all reports, in order."""
        return [report.kind for report in self.reports]

    def reasons(self, kind: str) -> list[str]:
        """The reasons given in reports of a kind."""
        return [report.data.get("reason", "") for report in self.reports if report.kind == kind]

    def sas(self, state: str = "established") -> list[object]:
        """The IKE SAs in a state."""
        return [view for view in self.engine.sas() if view.state == state]


class World:
    """Both hosts, the wire between them and the time."""

    def __init__(self, fate: Fate = straight, settings: Settings | None = None) -> None:
        self.now = 1000.0
        self.fate = fate
        self.count = 0
        self._copies = 0
        self.wire: list[tuple[float, int, bytes, Path]] = []
        settings = settings or Settings()
        self.east = Host(self, EAST, 1, settings)
        self.west = Host(self, WEST, 2, settings)
        self.translate: Callable[[Path], Path | None] | None = None  # None: there is no way

    def send(self, action: Send) -> None:
        """Put a datagram on the wire."""
        path = action.path
        there = Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
        if self.translate is not None:
            there = self.translate(there)
            if there is None:
                return
        for delay in self.fate(self.count, action.datagram):
            self._copies += 1
            heapq.heappush(self.wire, (self.now + delay, self._copies, action.datagram, there))
        self.count += 1

    def host(self, address: str) -> Host:
        """The host with this address; a translated address is west's."""
        return self.east if address == EAST else self.west

    def run(self, seconds: float) -> None:
        """Let the time pass."""
        end = self.now + seconds
        while True:
            due = [d for d in (self.east.engine.next_deadline(), self.west.engine.next_deadline()) if d is not None]
            if self.wire:
                due.append(self.wire[0][0])
            if not due or min(due) > end:
                break
            when = min(due)
            self.now = max(self.now, when)
            while self.wire and self.wire[0][0] <= self.now:
                _unused, _unused, datagram, path = heapq.heappop(self.wire)
                host = self.host(path.local_address)
                host.do(host.engine.receive(datagram, path, self.now))
            for host in (self.east, self.west):
                host.do(host.engine.tick(self.now))
        self.now = end

    def check(self, reqid: int = 1) -> None:
        """Traffic flows both ways: what either end sends with, the other receives with, with the same keys."""
        if self.east.kernel.faults or self.west.kernel.faults:
            raise AssertionError(f"east {self.east.kernel.faults} west {self.west.kernel.faults}")
        for sender, receiver in ((self.east, self.west), (self.west, self.east)):
            out = sender.kernel.sending(reqid)
            if out is None:
                raise AssertionError(f"{sender.address} has nothing to send with")
            into = receiver.kernel.inbound.get(out.spi_out)
            if into is None:
                raise AssertionError(f"{receiver.address} cannot receive {out.spi_out:#x}")
            if (into.encryption_in, into.integrity_in) != (out.encryption_out, out.integrity_out):
                raise AssertionError("the keys differ")
            if (into.cpi_in, into.cpi_out) != (out.cpi_out, out.cpi_in):
                raise AssertionError("the CPIs differ")
            if into.local_selectors != out.remote_selectors or into.remote_selectors != out.local_selectors:
                raise AssertionError("the selectors differ")


def child(name: str = "lan", reqid: int = 1, **more: object) -> ChildConfig:
    """A child of east: 10.1.0.0/16 to 10.2.0.0/16."""
    return ChildConfig(
        name,
        reqid,
        (parse_selector("10.1.0.0/16"),),
        (parse_selector("10.2.0.0/16"),),
        esp_proposals("modern", "proposals"),
        **more,
    )


def east_connection(**more: object) -> Connection:
    """East's view of the tunnel ``t``; fields may be replaced."""
    base = Connection(
        "t",
        Identity.parse("east.example"),
        PresharedKey(Secret(b"a secret of some length")),
        ike_proposals(CLASSIC),
        (child(),),
        local_address=EAST,
        remote_address=WEST,
        remote_id=Identity.parse("west.example"),
    )
    return replace(base, **more)


def mirror(connection: Connection) -> Connection:
    """The other end's view of the same tunnel."""
    return replace(
        connection,
        local_id=connection.remote_id,
        remote_id=connection.local_id,
        local_address=connection.remote_address,
        remote_address=connection.local_address,
        children=tuple(replace(c, local=c.remote, remote=c.local) for c in connection.children),
    )


def pair(fate: Fate = straight, settings: Settings | None = None, **more: object) -> World:
    """A world in which both ends define the same tunnel."""
    world = World(fate, settings)
    connection = east_connection(**more)
    world.east.engine.define(connection)
    world.west.engine.define(mirror(connection))
    return world


def up(**more: object) -> World:
    """A world with the tunnel established."""
    world = pair(**more)
    world.east.start()
    world.run(1.0)
    world.check()
    return world
