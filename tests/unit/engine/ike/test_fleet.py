# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub with its spokes in virtual time: all come up at once, rekey, lose datagrams, go and come back."""

from __future__ import annotations

import gc
import heapq
import ipaddress
import random
import tracemalloc
from dataclasses import replace

import pytest
from engine.child_sa import ChildSa
from engine.crypto.auth import PresharedKey
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.identity import Identity
from engine.ike.actions import Action, Path, Send
from engine.ike.connection import ChildConfig, Connection
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.secret import Secret
from engine.selector import Selector

from .world import Host, World

HUB = "198.51.100.1"
IKE, ESP = ike_proposals("aes256gcm16-sha384-x25519", "p"), esp_proposals("aes256gcm16", "p")


class Fleet(World):
    """One hub and any number of spokes.

    :param loss: the fraction of datagrams that get lost while ``lossy`` is set.
    """

    def __init__(self, spokes: int, loss: float = 0.1, **more: object) -> None:
        super().__init__()
        self.lossy = False
        self._chance = random.Random(spokes)
        self._loss = loss
        self._due: list[tuple[float, str]] = []
        self._planned: dict[str, float] = {}
        self.watched = False
        self.gaps: list[str] = []  # while ``watched``: what one end sent that the other one could not read
        self.hub = Host(self, HUB, 1, Settings())
        self.hosts = {HUB: self.hub}
        for number in range(spokes):
            address = str(ipaddress.IPv4Address("10.200.0.1") + number)
            spoke = self.spoke(number, address)
            self.hosts[address] = spoke
            connection = spoke_connection(number, address, **more)
            spoke.engine.define(connection)
            self.hub.engine.define(mirrored(connection))
        self.spokes = [host for address, host in self.hosts.items() if address != HUB]

    def spoke(self, number: int, address: str, life: int = 0) -> Host:
        """A spoke just switched on, for the ``life``-th time; its SPIs are no other's."""
        host = Host(self, address, 2 + number + 100_000 * life, Settings())
        host._spi = 0x10000000 + 20_000 * number + 5_000 * life
        return host

    def name(self, spoke: Host) -> str:
        return f"to-{spoke.address}"

    def send(self, action: Send) -> None:
        path = action.path
        there = Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
        self.count += 1
        if not self.lossy or self._chance.random() >= self._loss:
            delay = 0.005 + self._chance.random() * 0.05
            heapq.heappush(self.wire, (self.now + delay, self.count, action.datagram, there))

    def does(self, host: Host, actions: list[Action]) -> None:
        """Have a host perform actions, and look at it again when its next deadline comes."""
        host.do(actions)
        when = host.engine.next_deadline()
        if when is not None and self._planned.get(host.address) != when:
            self._planned[host.address] = when
            heapq.heappush(self._due, (when, host.address))
        if self.watched:
            names = {child.tunnel for child in _children_of(actions)}
            self.gaps += [gap for name in sorted(names) for gap in self.unread(name.removeprefix("to-"))]

    def unread(self, address: str) -> list[str]:
        """What a spoke and the hub send each other at this moment that the other end has no SA for."""
        spoke = self.hosts[address]
        reqid = 1 + int(ipaddress.IPv4Address(address)) - int(ipaddress.IPv4Address("10.200.0.1"))
        found = []
        for sender, receiver in ((spoke, self.hub), (self.hub, spoke)):
            out = sender.kernel.sending(reqid)
            if out is None or out.spi_out not in receiver.kernel.inbound:
                found.append(f"{self.now:.2f}: {receiver.address} cannot read {sender.address}")
        return found

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            wire = self.wire[0][0] if self.wire else end + 1
            due = self._due[0][0] if self._due else end + 1
            if min(wire, due) > end:
                break
            self.now = max(self.now, min(wire, due))
            if wire <= due:
                _unused, _unused, datagram, path = heapq.heappop(self.wire)
                host = self.hosts[path.local_address]
                self.does(host, host.engine.receive(datagram, path, self.now))
            else:
                when, address = heapq.heappop(self._due)
                if self._planned.get(address) != when:
                    continue  # planned anew since
                del self._planned[address]
                self.does(self.hosts[address], self.hosts[address].engine.tick(self.now))
        self.now = end

    def start(self, spokes: list[Host]) -> None:
        for spoke in spokes:
            self.does(spoke, spoke.engine.start(self.name(spoke), self.now))

    def rekeying(self) -> bool:
        """Whether at this moment some tunnel has two generations."""
        return bool(self.wire) or max(len(list(self.hub.engine.sas())), len(self.hub.kernel.inbound)) > len(self.spokes)

    def all_up(self) -> None:
        """Every spoke has one IKE SA with one child, and the hub can read what each sends."""
        for _unused in range(100):
            if not self.rekeying():
                break
            self.run(0.2)
        assert not self.hub.kernel.faults and not self.hub.kernel.reserved
        hub = self.hub.kernel
        assert len(self.hub.sas()) == len(self.spokes) == len(hub.inbound) == len(hub.outbound)
        assert not self.hub.engine.half_open.total and not self.hub.engine.registry.openings
        for spoke in self.spokes:
            assert not spoke.kernel.faults
            (out,) = spoke.kernel.outbound.values()
            assert hub.inbound[out.spi_out].encryption_in == out.encryption_out
            assert set(spoke.kernel.inbound) <= {sa.spi_out for sa in hub.outbound.values()}


def _children_of(actions: list[Action]) -> list[ChildSa]:
    return [action.child for action in actions if isinstance(getattr(action, "child", None), ChildSa)]


def spoke_connection(number: int, address: str, **more: object) -> Connection:
    packed = (0x0A010000 + 256 * number).to_bytes(4, "big")
    network = Selector(packed, packed[:3] + b"\xff")
    everything = Selector(bytes(4), b"\xff" * 4)
    plan = ChildConfig("lan", number + 1, (network,), (everything,), ESP, lifetime=1800.0)
    base = Connection(
        f"to-{address}", Identity.parse(f"spoke{number}.example"), PresharedKey(Secret(b"secret %d" % number)),
        IKE, (plan,),
        local_address=address, remote_address=HUB, remote_id=Identity.parse("hub.example"), lifetime=7200.0,
    )  # fmt: skip
    return replace(base, **more)


def mirrored(connection: Connection) -> Connection:
    (plan,) = connection.children
    return replace(
        connection, local_id=connection.remote_id, remote_id=connection.local_id, local_address=HUB,
        remote_address=connection.local_address, children=(replace(plan, local=plan.remote, remote=plan.local),),
    )  # fmt: skip


def live(spokes: int, hours: int) -> Fleet:
    """Up all at once with a tenth of the datagrams lost, then a life of some hours, and everybody home in the end."""
    fleet = Fleet(spokes, dpd_delay=600.0)
    fleet.lossy = True
    fleet.start(fleet.spokes)
    fleet.run(120.0)
    fleet.start([spoke for spoke in fleet.spokes if not spoke.sas()])  # as a manager does after all retransmissions
    fleet.run(120.0)
    fleet.all_up()
    before = {sa.number for sa in fleet.hub.sas()}
    begun = [host.kinds().count("ike_connecting") for host in fleet.hosts.values()]
    fleet.watched = True
    fleet.run(hours * 3600.0)
    fleet.lossy = False
    fleet.run(900.0)  # long enough for a liveness check, should one end have given up
    fleet.start([spoke for spoke in fleet.spokes if not spoke.sas()])
    fleet.run(60.0)
    fleet.all_up()
    kinds = fleet.hub.kinds()
    assert kinds.count("child_rekeyed") >= spokes * (hours * 2 - 1)
    assert hours < 2 or not before & {sa.number for sa in fleet.hub.sas()}
    assert "child_failed" not in kinds
    assert fleet.gaps == [] and "child_down" not in kinds
    # With a tenth lost, one exchange in some hundred thousand is lost seven times in a row: then another IKE SA takes
    # over beside. None ends of it without one.
    assert set(fleet.hub.reasons("ike_down")) <= {"replaced"}
    begun_since = sum(host.kinds().count("ike_connecting") for host in fleet.hosts.values()) - sum(begun)
    assert begun_since <= spokes * hours // 1000
    assert kinds.count("ike_failed") <= spokes // 100
    return fleet


def test_a_thousand_spokes_come_up_at_once_and_rekey_through_loss() -> None:
    fleet = live(1000, 1)
    # Half-open IKE SAs stayed few: the rest was asked for cookies.
    assert sum(report.kind == "rejected" for report in fleet.hub.reports) == 0


def test_spokes_that_restart_find_their_way_back() -> None:
    fleet = Fleet(100)
    fleet.start(fleet.spokes)
    fleet.run(60.0)
    fleet.all_up()
    for number, spoke in enumerate(fleet.spokes[:50]):
        config = next(iter(spoke.engine.connections))
        fresh = fleet.spoke(number, spoke.address, 1)
        fresh.engine.define(config)
        fleet.hosts[spoke.address] = fresh
        fleet._planned.pop(spoke.address, None)
    fleet.spokes = [host for address, host in fleet.hosts.items() if address != HUB]
    fleet.start(fleet.spokes[:50])
    fleet.run(60.0)
    fleet.all_up()


def test_a_tunnel_takes_little_memory() -> None:
    """Both ends' state of 200 tunnels with one child each, the definitions not counted."""
    fleet = Fleet(200)
    fleet.start(fleet.spokes[:20])
    fleet.run(60.0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for spoke in fleet.spokes[20:]:
            spoke.reports = fleet.hub.reports = _Nothing()
            fleet.start([spoke])
        fleet.run(60.0)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    fleet.all_up()
    each = used / 180 / 2
    print(f"{each:.0f} octets for each end of a tunnel")
    assert each < 8 * 1024


class _Nothing(list):
    def append(self, _item: object) -> None:
        """Reports are not kept here."""


@pytest.mark.nightly
def test_two_thousand_spokes_live_for_half_a_day() -> None:
    live(2000, 12)


def test_a_hub_looks_up_its_peers_without_looking_at_all_of_them() -> None:
    """What a thousand more peers cost for one more handshake: next to nothing."""
    fleet = Fleet(2)
    engine: Endpoint = fleet.hub.engine
    for number in range(2, 1000):
        engine.define(mirrored(spoke_connection(number, f"10.201.{number // 250}.{number % 250}")))
    path = Path(HUB, 500, fleet.spokes[0].address, 500)
    assert engine.connections.for_path(path).name == fleet.name(fleet.spokes[0])
    fleet.start(fleet.spokes)
    fleet.run(60.0)
    fleet.all_up()


def test_what_somebody_else_flushes_is_found_without_looking_at_all_of_it(calls) -> None:
    """What one SA costs, of either direction, whose peers are few or many."""
    costs = []
    for spokes in (2, 40):
        fleet = Fleet(spokes)
        fleet.start(fleet.spokes)
        fleet.run(10.0)
        registry = fleet.hub.engine.registry
        children = [child.sa for _sa, child in registry.by_child_spi.values()]
        assert len(children) == spokes
        for child in children:
            for address, spi in ((child.local_address, child.spi_in), (child.remote_address, child.spi_out)):
                assert registry.owner(address, spi)[1].sa is child
        costs.append(calls(registry.owner, children[-1].remote_address, children[-1].spi_out))
        for spoke in fleet.spokes:
            spoke.stop(fleet.name(spoke))
        fleet.run(10.0)
        assert not registry.by_child_spi and not registry._by_outbound_spi
    assert costs[0] == costs[1]
