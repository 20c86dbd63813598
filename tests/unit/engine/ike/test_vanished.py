# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs that somebody else deletes from the kernel: fresh ones take their place, the same ones never come back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.ike.actions import InstallInbound, InstallOutbound, RemovePolicies, ResetPolicies, Vanished
from engine.ike.v2.tasks import Kind
from engine.selector import parse_selector

from .world import EAST, WEST, Host, World, child, east_connection, mirror, pair, up


def vanish(world: World, host: Host, *spis: tuple[str, int]) -> list[object]:
    """The kernel has these SAs no more; what the engine does about it at once."""
    for _address, spi in spis:
        host.kernel.outbound.pop(spi, None)
    done = []
    for address, spi in spis:
        actions = host.engine.kernel_event(Vanished(address, 50, spi), world.now)
        done += actions
        host.do(actions)
    return done


def both(host: Host) -> list[tuple[str, int]]:
    sa = host.kernel.sending(1)
    return [(sa.local_address, sa.spi_in), (sa.remote_address, sa.spi_out)]


@pytest.mark.parametrize("start", ["auto", "trap", "manual"])
@pytest.mark.parametrize("end", [EAST, WEST])
@pytest.mark.parametrize("which", [slice(1), slice(1, 2), slice(2)])
def test_a_child_whose_sas_vanished_is_negotiated_anew_in_the_same_ike_sa(start: str, end: str, which: slice) -> None:
    world = pair(children=(child(start=start),))
    world.east.start(children=["lan"])
    world.run(1.0)
    host = world.host(end)
    ike = [sa.number for sa in host.sas()]
    before = both(host)
    done = vanish(world, host, *before[which])
    assert not [each for each in done if isinstance(each, (InstallInbound, InstallOutbound, RemovePolicies))]
    assert [each for each in done if isinstance(each, ResetPolicies)], "nothing leaves in clear"
    assert host.reasons("child_down") == ["kernel_disturbed"]
    world.run(1.0)
    world.check()
    assert [sa.number for sa in host.sas()] == ike
    assert not set(both(host)) & set(before)
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1
    assert len(world.east.kernel.outbound) == len(world.west.kernel.outbound) == 1


def test_both_ends_may_lose_them_at_once() -> None:
    world = up()
    for host in (world.east, world.west):
        vanish(world, host, *both(host))
    world.run(5.0)
    world.check()
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


@pytest.mark.parametrize("end", [EAST, WEST])
@pytest.mark.parametrize("pause", [0.0, 0.005, 0.015, 0.025, 0.035])
def test_they_may_vanish_at_any_moment_of_a_rekey(end: str, pause: float) -> None:
    world = up()
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(pause)
    host = world.host(end)
    held = [(sa.local_address, spi) for spi, sa in host.kernel.inbound.items()]
    held += [(sa.remote_address, spi) for spi, sa in host.kernel.outbound.items()]
    vanish(world, host, *held)
    world.run(5.0)
    world.check()
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1
    assert not {spi for _address, spi in held} & {*host.kernel.inbound, *host.kernel.outbound}


def test_what_is_being_closed_is_not_made_anew_and_strange_sas_are_nobodys() -> None:
    world = up()
    held = both(world.east)
    world.east.stop(children=["lan"])
    vanish(world, world.east, *held, (EAST, 4711))
    world.run(1.0)
    assert not world.east.kernel.inbound and not world.west.kernel.inbound


def test_a_retired_ike_sa_makes_nothing_anew_and_ends() -> None:
    world = up()
    world.east.do(world.east.engine.retire("t", world.now))
    vanish(world, world.east, *both(world.east))
    world.run(1.0)
    assert not world.east.sas() and not world.west.kernel.inbound


def test_what_was_to_be_closed_stays_while_what_replaces_it_is_made_anew() -> None:
    first, second = parse_selector("10.1.0.0/16"), parse_selector("10.9.0.0/16")
    world = up(children=(child("a", 1), replace(child("b", 2), local=(second,))))
    new = east_connection(children=(replace(child("lan", 3), local=(first, second)),))
    for host, connection in ((world.west, mirror(new)), (world.east, new)):
        host.engine.define(connection)
        host.do(host.engine.supersede("t", world.now, ["a", "b"]))
    while world.east.kernel.sending(3) is None:
        world.run(0.001)
    (sa,) = world.east.engine.registry.of_tunnel("t")
    assert {task.kind for task in (sa.request.task, *sa.queue)} == {Kind.DELETE_CHILD} and sa.queue
    lan = world.east.kernel.sending(3)
    vanish(world, world.east, (lan.local_address, lan.spi_in), (lan.remote_address, lan.spi_out))
    while world.east.kernel.sending(3) is None:
        for host in (world.east, world.west):
            assert host.kernel.sending(2) is not None, "it carries its packets until then"
        world.run(0.001)
    world.run(1.0)
    world.check(3)
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


def test_a_child_that_was_rekeyed_stays_while_its_successor_is_made_anew() -> None:
    world = up()
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.east.do(world.east.engine.rekey("t", world.now))  # its Delete has to wait for this
    while len(world.east.kernel.outbound) == 1:
        world.run(0.001)
    lan = world.east.kernel.sending(1)
    vanish(world, world.east, (lan.local_address, lan.spi_in), (lan.remote_address, lan.spi_out))
    for _unused in range(500):
        assert world.east.kernel.sending(1) is not None, "it carries its packets until then"
        world.run(0.001)
    world.check()
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1
