# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child is divided in two, or becomes wider, at one end and later at the other.

Each packet goes by an SA that the other end has.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.child_sa import ChildSa
from engine.ike.connection import Connection
from engine.selector import Selector, parse_selector

from .world import Host, Ranked, World, child, east_connection, mirror

NETWORKS = ("10.1.0.0/16", "10.11.0.0/16")
FAR = parse_selector("10.2.0.0/16")


class Places(Ranked):
    """Of all SAs that are for a packet, the one that it takes."""

    def way(self, local: Selector, remote: Selector) -> ChildSa | None:
        fitting = [
            spi
            for spi in self.ranks
            if any(one.contains(local) for one in self.outbound[spi].local_selectors)
            and any(one.contains(remote) for one in self.outbound[spi].remote_selectors)
        ]
        return self.outbound[max(fitting, key=self.ranks.__getitem__)] if fitting else None


class Specific(Places):
    """Where policies of different length lead to the SAs: the narrowest ones come first, unless they yield."""

    def way(self, local: Selector, remote: Selector) -> ChildSa | None:
        found = [
            (rank > 0, -_size(near) * _size(far), rank, spi)
            for spi, rank in self.ranks.items()
            for near in self.outbound[spi].local_selectors
            for far in self.outbound[spi].remote_selectors
            if near.contains(local) and far.contains(remote)
        ]
        return self.outbound[max(found)[-1]] if found else None


def _size(selector: Selector) -> int:
    return int.from_bytes(selector.last, "big") - int.from_bytes(selector.first, "big") + 1


class Ends(World):
    """Two ends whose one child becomes two."""

    kernel: type[Places] = Places
    networks = NETWORKS

    def __init__(self, chance: random.Random) -> None:
        jitter = chance.choice([0.002, 0.02, 0.1])
        super().__init__(lambda _number, _datagram: [chance.uniform(0.001, jitter)])
        self.gaps: list[str] = []
        for host in (self.east, self.west):
            host.kernel = self.kernel()
            host.engine.define(self.definition(host, False))

    def definition(self, host: Host, divided: bool) -> Connection:
        near = [parse_selector(text) for text in NETWORKS]
        lan = replace(child(), local=tuple(near))
        children = (replace(lan, local=(near[1],)), replace(lan, name="half", reqid=2, local=(near[0],)))
        connection = east_connection(children=children if divided else (lan,))
        return connection if host is self.east else mirror(connection)

    def divide(self, host: Host) -> None:
        host.engine.define(self.definition(host, True))
        host.do(host.engine.supersede("t", self.now, ["lan", "half"]))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            super().run(min(0.005, end - self.now))
            for text in self.networks:
                near = parse_selector(text)
                self.look(self.east, self.west, near, FAR)
                self.look(self.west, self.east, FAR, near)
            for host in (self.east, self.west):
                awaited = list(host.engine.awaited("t"))
                if awaited and not host.engine.negotiates("t"):
                    host.start(children=awaited)

    def look(self, host: Host, other: Host, local: Selector, remote: Selector) -> None:
        out = host.kernel.way(local, remote)
        if out is None or out.spi_out not in other.kernel.inbound:
            self.gaps.append(f"{self.now:.3f}: {other.address} cannot read what {host.address} sends from {local}")


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(8, 24))])
def test_nothing_is_lost_when_a_child_is_divided_at_one_end_and_then_at_the_other(seed: int) -> None:
    chance = random.Random(seed)
    world = Ends(chance)
    world.east.start()
    World.run(world, 1.0)
    first, second = chance.sample([world.east, world.west], 2)
    world.divide(first)
    world.run(chance.choice([0.02, 0.1, 0.5, 2.0]))
    world.divide(second)
    world.run(100.0)
    assert world.gaps == []
    assert sorted(name for (view,) in [list(first.engine.sas())] for name in [c.sa.child for c in view.children]) == [
        "half",
        "lan",
    ]


class Widening(Ends):
    """Two ends whose child is for a part of a network first, and then for all of it, under the same name or another."""

    kernel = Specific
    networks = ("10.1.0.0/17",)
    names = ("lan", "all")

    def definition(self, host: Host, divided: bool) -> Connection:
        lan = replace(child(), local=(parse_selector("10.1.0.0/16" if divided else self.networks[0]),))
        wide = replace(lan, name=self.names[1], reqid=lan.reqid if self.names[1] == lan.name else 2)
        connection = east_connection(children=(wide if divided else lan,))
        return connection if host is self.east else mirror(connection)

    def divide(self, host: Host) -> None:
        host.engine.define(self.definition(host, True))
        host.do(host.engine.supersede("t", self.now, list(dict.fromkeys(self.names))))


@pytest.mark.parametrize("name", ["lan", "all"])
@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(4, 12))])
def test_nothing_is_lost_when_a_child_becomes_wider_at_one_end_and_then_at_the_other(seed: int, name: str) -> None:
    chance = random.Random(seed)
    world = Widening(chance)
    world.names = ("lan", name)
    world.east.start()
    World.run(world, 1.0)
    first, second = chance.sample([world.east, world.west], 2)
    world.divide(first)
    world.run(chance.choice([0.02, 0.1, 0.5, 2.0]))
    world.divide(second)
    world.run(100.0)
    assert world.gaps == []
    assert [c.sa.child for view in first.engine.sas() for c in view.children] == [name]
