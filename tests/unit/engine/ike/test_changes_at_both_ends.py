# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions change at both ends, and keys at either, over a bad wire: whatever is sent can be read at any moment."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.ike.connection import Connection
from engine.ike.v2.sa import OpeningSa
from engine.selector import parse_selector

from .world import Host, Ranked, World, child, east_connection, mirror, straight

CALM = 1120.0


class Ends(World):
    """Two ends of one tunnel, whose networks and lifetime change; what is awaited is started, as a manager does."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(self.bad)
        self.chance = chance
        self.loss, self.jitter = chance.choice([0.0, 0.1, 0.2]), chance.choice([0.02, 0.3, 0.8])
        self.wide = {self.east.address: False, self.west.address: False}
        self.lifetime = 5000.0
        self.gaps: list[str] = []
        for host in (self.east, self.west):
            host.kernel = Ranked()
            host.engine.define(self.definition(host))

    def bad(self, number: int, datagram: bytes) -> list[float]:
        if self.now < 1002.0 or self.now > CALM:
            return straight(number, datagram)
        copies = self.chance.choices([0, 1, 2], [self.loss, 0.95 - self.loss, 0.05])[0]
        return [self.chance.uniform(0.001, self.jitter) for _unused in range(copies)]

    def definition(self, host: Host) -> Connection:
        networks = ["10.1.0.0/16", *(["10.11.0.0/16"] if self.wide[host.address] else [])]
        lan = replace(child(), local=tuple(map(parse_selector, networks)))
        connection = east_connection(children=(lan,), dpd_delay=10.0, lifetime=self.lifetime)
        return connection if host is self.east else mirror(connection)

    def run(self, seconds: float) -> None:
        """In small steps, looking at each of them whether each end can read what the other one sends."""
        end = self.now + seconds
        while self.now < end:
            super().run(min(0.02, end - self.now))
            for host, other in ((self.east, self.west), (self.west, self.east)):
                out = host.kernel.sending(1)
                if out is None or out.spi_out not in other.kernel.inbound:
                    self.gaps.append(f"{self.now:.2f}: {other.address} cannot read {host.address}")
                engine = host.engine
                rising = any(sa.initiator and isinstance(sa, OpeningSa) for sa in engine.registry.of_tunnel("t"))
                if engine.awaited("t") and not engine.negotiates("t") and not rising:
                    host.start(children=["lan"])

    def change(self, what: str) -> None:
        """Something happens at one end, or at both, one after the other."""
        ends = [self.east, self.west]
        self.chance.shuffle(ends)
        if what == "rekey child":
            ends[0].do(ends[0].engine.rekey("t", self.now, ["lan"]))
        elif what == "rekey ike":
            ends[0].do(ends[0].engine.rekey("t", self.now))
        else:
            self.lifetime += 1.0
            for end in ends:
                self.wide[end.address] ^= what == "networks"
                end.engine.define(self.definition(end))
                end.do(end.engine.supersede("t", self.now, ["lan"] if what == "networks" else None))
                self.run(self.chance.choice([0.02, 0.1, 1.0, 3.0]))


@pytest.mark.parametrize("seed", range(24))
def test_nothing_is_lost_whatever_changes_meanwhile(seed: int) -> None:
    world = Ends(random.Random(seed))
    world.east.start()
    World.run(world, 1.0)
    for _unused in range(8):
        world.change(world.chance.choice(["rekey child", "rekey ike", "networks", "ike", "ike"]))
        world.run(world.chance.choice([0.02, 0.3, 3.0, 15.0]))
    world.run(max(0.0, CALM - world.now))
    World.run(world, 300.0)
    for host in (world.east, world.west):
        assert not host.kernel.faults and not host.kernel.reserved
        assert "child_down" not in host.kinds()
        assert len(list(host.engine.sas())) == 1
    assert world.gaps == []
