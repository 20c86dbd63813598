# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes stay wanted while addresses come and go, and what is said of them is what the kernel has."""

from __future__ import annotations

import errno
import io
from types import SimpleNamespace

import pytest
from engine.child_sa import ChildSa
from engine.errors import KernelError
from engine.kernel.routes import Route, sources_of
from engine.manager.child_routes import ChildRoutes
from engine.manager.log import Log
from engine.manager.menders import Routes as Mender
from engine.selector import parse_selector


def spec(number: int = 1, remote: tuple[str, ...] = ("10.1.0.0/24",), **words) -> ChildSa:
    return ChildSa(
        f"t{number}", "lan", 0, 0x66000000 + number, "192.0.2.2", "192.0.2.1", 50, words.pop("mode", "tunnel"), 0, 0,
        (parse_selector("10.2.0.0/24"),), tuple(map(parse_selector, remote)), None, None, **words,
    )  # fmt: skip


class Kernel:
    """Addresses and routes, as the kernel keeps them: a route goes with its source address."""

    def __init__(self) -> None:
        self.addresses = ["192.0.2.2", "10.2.0.1"]
        self.routes: dict[str, Route] = {}
        self.others: set[str] = set()
        self.reachable = True

    def local_addresses(self) -> list[str]:
        return self.addresses

    def routes_for(self, spec: ChildSa) -> list[Route]:
        if not self.reachable:
            raise KernelError("find the way", errno.ENETUNREACH, "no route")
        found = sources_of(spec, self.addresses) if spec.mode == "tunnel" else {}
        return [Route(str(net), source, 2) for selector, source in found.items() for net in selector.networks()]

    def add(self, route: Route) -> None:
        if route.destination in self.others:
            raise KernelError("add", errno.EEXIST, "another has it")
        self.routes[route.destination] = route

    def remove(self, route: Route) -> bool:
        return self.routes.pop(route.destination, None) is not None

    def ours(self) -> list[Route]:
        return list(self.routes.values())

    def lose(self, address: str) -> None:
        self.addresses.remove(address)
        self.routes = {net: route for net, route in self.routes.items() if route.source != address}


class World:
    def __init__(self) -> None:
        self.kernel = Kernel()
        self.ways = ChildRoutes(self.kernel)
        self.stream = io.StringIO()
        host = SimpleNamespace(lost_ways=self.ways.lost, mend_way=self.ways.mend, open_late_ways=self.ways.open_late)
        self.mender = Mender(host, Log("info", False, self.stream))


def test_a_route_whose_source_went_stays_wanted_is_said_and_is_back_with_the_address() -> None:
    world = World()
    world.ways.open(spec())
    before = dict(world.kernel.routes)
    assert before
    world.kernel.lose("10.2.0.1")
    for _unused in range(3):
        outcome = world.mender.mend(None)
        assert not outcome.mended
        (refused,) = outcome.refused
        assert refused.tunnel == "t1"
        assert "10.1.0.0/24" in refused.what and "no address of this host lies inside 10.2.0.0/24" in refused.what
        assert [loss.what for loss in world.mender.lacking({"t1"})] == ["the route to 10.1.0.0/24"]
    world.kernel.addresses.append("10.2.0.1")
    assert [loss.what for loss in world.mender.mend(None).mended] == ["the route to 10.1.0.0/24"]
    assert world.kernel.routes == before and not world.mender.lacking(None)
    world.ways.shut(spec())
    assert not world.kernel.routes and not world.mender.lacking(None)


def test_another_address_takes_over_from_the_one_that_went() -> None:
    world = World()
    world.kernel.addresses.append("10.2.0.9")
    world.ways.open(spec())
    world.kernel.lose("10.2.0.1")
    assert len(world.mender.mend(None).mended) == 1
    assert world.kernel.routes["10.1.0.0/24"].source == "10.2.0.9"
    world.ways.shut(spec())
    assert not world.kernel.routes


def test_an_address_that_comes_after_the_child_makes_its_route_and_is_no_repair() -> None:
    world = World()
    world.kernel.lose("10.2.0.1")
    world.ways.open(spec())
    assert not world.kernel.routes
    outcome = world.mender.mend(None)
    assert not outcome.mended and not outcome.refused and not world.mender.lacking(None), "nobody took anything"
    world.kernel.addresses.append("10.2.0.1")
    outcome = world.mender.mend(None)
    assert world.kernel.routes and not outcome.mended and not outcome.refused
    assert "10.1.0.0/24 became possible" in world.stream.getvalue()
    said = world.stream.getvalue()
    world.mender.mend(None)
    assert world.stream.getvalue() == said, "once"
    world.kernel.routes.clear()
    assert len(world.mender.mend(None).mended) == 1, "from now on it is one that can be lost"


def test_a_child_that_came_up_without_a_way_to_its_peer_gets_its_route_later() -> None:
    world = World()
    world.kernel.reachable = False
    with pytest.raises(KernelError):
        world.ways.open(spec())
    world.mender.mend(None)
    assert not world.kernel.routes
    world.kernel.reachable = True
    world.mender.mend(None)
    assert world.kernel.routes


def test_while_there_is_no_way_to_the_peer_a_lost_route_stays_wanted() -> None:
    world = World()
    world.ways.open(spec())
    world.kernel.routes.clear()
    world.kernel.reachable = False
    assert len(world.mender.mend(None).refused) == 1
    world.kernel.reachable = True
    assert len(world.mender.mend(None).mended) == 1 and world.kernel.routes


def test_somebody_elses_route_does_as_well_and_ours_comes_when_it_goes() -> None:
    world = World()
    world.ways.open(spec(remote=("10.1.0.0/24", "10.3.0.0/24")))
    world.kernel.routes.pop("10.3.0.0/24")
    world.kernel.others = {"10.3.0.0/24"}
    assert not world.mender.mend(None).refused
    assert list(world.kernel.routes) == ["10.1.0.0/24"] and not world.mender.lacking(None)
    world.kernel.others.clear()
    world.mender.mend(None)
    assert sorted(world.kernel.routes) == ["10.1.0.0/24", "10.3.0.0/24"]


def test_a_route_that_two_children_use_is_lost_and_kept_for_both() -> None:
    world = World()
    one, two = spec(1), spec(2)
    world.ways.open(one)
    world.ways.open(two)
    world.kernel.lose("10.2.0.1")
    assert {loss.tunnel for loss in world.mender.mend(None).refused} == {"t1", "t2"}
    assert {loss.tunnel for loss in world.mender.mend({"t2"}).refused} == {"t2"}
    world.kernel.addresses.append("10.2.0.1")
    assert {loss.tunnel for loss in world.mender.mend(None).mended} == {"t1", "t2"}
    world.ways.shut(one)
    assert world.kernel.routes
    world.ways.shut(two)
    assert not world.kernel.routes


def test_no_route_is_looked_for_where_none_is_due() -> None:
    world = World()
    world.ways.open(spec(1, mode="transport"))
    world.ways.open(spec(2, if_id=7))
    world.ways.open(spec(3, remote=("0.0.0.0/0",)))  # holds the peer
    assert not world.ways.open_late() and not world.kernel.routes and not world.ways.lost()
