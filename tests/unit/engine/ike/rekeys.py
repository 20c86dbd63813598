# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ends may do with children and IKE SAs at any moment, and what has to be left of it."""

from __future__ import annotations

from dataclasses import replace

from engine.selector import parse_selector

from .world import World, child, up

# What an end may do, as (name, how).
DOINGS = {
    "rekey_child": lambda world, host: host.do(host.engine.rekey("t", world.now, ["lan"])),
    "rekey_ike": lambda world, host: host.do(host.engine.rekey("t", world.now)),
    "delete_child": lambda world, host: host.stop(children=["lan"]),
    "delete_ike": lambda world, host: host.stop(),
    "new_child": lambda world, host: host.start(children=["voice"]),
}


def two_children(**more: object) -> World:
    """Up with the child lan; a second one, voice, can be asked for."""
    voice = replace(
        child("voice", 2, start="manual"),
        local=(parse_selector("10.3.0.0/16"),),
        remote=(parse_selector("10.4.0.0/16"),),
    )
    return up(children=(child(), voice), **more)


def spis(world: World) -> set[int]:
    return set(world.east.kernel.inbound)


def settled(world: World, doings: set[str]) -> None:
    """Both ends agree on what is left, nothing is left over, and what should carry traffic does."""
    east, west = world.east, world.west
    assert not east.kernel.faults and not west.kernel.faults
    assert not east.kernel.reserved and not west.kernel.reserved
    assert {sa.spi_out for sa in east.kernel.outbound.values()} == set(west.kernel.inbound)
    assert {sa.spi_out for sa in west.kernel.outbound.values()} == set(east.kernel.inbound)
    assert [sa.state for sa in east.engine.sas()] == [sa.state for sa in west.engine.sas()]
    if doings == {"delete_ike", "new_child"} and east.sas():
        world.check(2)  # asked for after the end of the first IKE SA, it came up in a new one
        return
    if "delete_ike" in doings:
        assert not east.kernel.inbound
        return
    assert len(east.sas()) == len(west.sas()) == 1
    names = sorted(c.name for c in east.sas()[0].children)
    assert names == sorted(c.name for c in west.sas()[0].children)
    assert len(names) == len(set(names)), names
    if "delete_child" not in doings:
        world.check(1)
    if "new_child" in doings and doings <= {"new_child", "rekey_child", "rekey_ike"}:
        assert "voice" in names


def watch(world: World, seconds: float, step: float = 0.05) -> None:
    """Let the time pass and look at every moment: traffic flows both ways, in SAs that both ends have.

    What one end sends with, the other has to be able to receive; that may be another generation than its own newest.
    """
    end = world.now + seconds
    while world.now < end:
        world.run(step)
        for sender, receiver in ((world.east, world.west), (world.west, world.east)):
            out = sender.kernel.sending(1)
            assert out is not None, f"{sender.address} has nothing to send with at {world.now}"
            assert out.spi_out in receiver.kernel.inbound, f"{receiver.address} cannot receive at {world.now}"
