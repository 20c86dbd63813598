# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulation: everything in it follows from its seed."""

from __future__ import annotations

from dataclasses import replace

from .chance import Chance
from .definitions import EAST, IKE_WORDS, WEST, both_ends, mirror
from .doings import do_something
from .engine_face import Connection, Identity, PresharedKey, Secret, Settings, ike_proposals
from .trace import Trace
from .world import Host, Nat, Weather, World

PAUSES = (0.0, 0.005, 0.013, 0.03, 0.03, 0.3, 1.0, 1.0, 5.0, 30.0, 100.0)


def simulate(seed: int) -> Trace:
    """What happens in the simulation of this seed."""
    chance = Chance(seed)
    world = World(chance, seed, _weather(chance), _settings(chance))
    if chance.happens(0.25):
        world.nat = Nat()
    for number in range(chance.one_of((1, 1, 2, 3))):
        east, west = both_ends(chance, number)
        world.east.define(east)
        world.west.define(west if world.nat is None else replace(west, remote_address=None))
    flooded = chance.happens(0.15)
    if flooded:
        _open_to_all(world)
    for host in chance.one_of(((world.east,), (world.west,), (world.east, world.west))):
        for name in list(host.defined):
            host.call(f"start {name}", lambda now, n=name, h=host: h.engine.start(n, now))
    world.run(chance.one_of((0.0, 0.02, 1.0)))
    for _step in range(6 + chance.below(8)):
        if flooded and chance.happens(0.3):
            _flood(world)
        _step_of(world)
    world.run(70.0)
    _note(world)
    return world.trace


def _step_of(world: World) -> None:
    """One end does something, or both at nearly the same moment; then time passes."""
    chance = world.chance
    first, second = (world.east, world.west) if chance.happens(0.5) else (world.west, world.east)
    do_something(world, first)
    if chance.happens(0.4):
        world.run(chance.one_of((0.0, 0.0, 0.003, 0.012)))
        do_something(world, second)
    world.run(chance.one_of(PAUSES))
    _note(world)


def _note(world: World) -> None:
    for host in (world.east, world.west):
        world.trace.say(world.now, host.name, "has")
        world.trace.stands(host.engine)
        for name in host.defined:
            awaited, asked = host.engine.awaited(name), host.engine.negotiates(name)
            world.trace.say(world.now, host.name, f"awaits of {name} {awaited} asked={asked}")


def _weather(chance: Chance) -> Weather:
    return Weather(
        loss=chance.one_of((0.0, 0.0, 0.05, 0.3)),
        doubling=chance.one_of((0.0, 0.0, 0.2)),
        slowest=chance.one_of((0.006, 0.02, 0.02, 0.8)),
        hostile=chance.one_of((0.0, 0.0, 0.0, 0.3)),
        refusing=chance.one_of((0.0, 0.0, 0.0, 0.08)),
    )


def _settings(chance: Chance) -> Settings:
    if chance.happens(0.4):
        return Settings()
    return Settings(
        cookie_threshold=chance.one_of((0, 4, 100)),
        cookie_threshold_per_peer=chance.one_of((1, 3, 20)),
        half_open_limit=chance.one_of((12, 2000)),
        half_open_per_peer=chance.one_of((5, 200)),
        half_open_lifetime=chance.one_of((5.0, 30.0)),
        max_children=chance.one_of((2, 256)),
        due_at_once=chance.one_of((1, 64)),
    )


def _open_to_all(world: World) -> None:
    """West takes peers from anywhere, which the strangers of a flood know."""
    east, west = both_ends(world.chance, 7)
    world.west.define(replace(west, name="t7", remote_address=None, remote_id=None, answers=True, local_address=WEST))
    if world.chance.happens(0.5):
        world.east.define(replace(mirror(west), name="t7", local_address=EAST, remote_address=WEST))


def _flood(world: World) -> None:
    """Strangers send first messages from addresses that may be forged; few of them have a secret."""
    chance, strangers = world.chance, world.strangers
    for _unused in range(4 + chance.below(12)):
        number = chance.below(250)
        name = f"s{number}"
        strangers.define(_stranger(chance, name, f"203.0.113.{1 + chance.below(3) if number < 150 else number}"))
        _begin(strangers, name)


def _begin(strangers: Host, name: str) -> None:
    strangers.call(f"start {name}", lambda now: strangers.engine.start(name, now))


def _stranger(chance: Chance, name: str, address: str) -> Connection:
    secret = b"a secret of some length" if chance.happens(0.2) else b"not the secret"
    return Connection(
        name,
        Identity.parse(f"{name}.example"),
        PresharedKey(Secret(secret)),
        ike_proposals(chance.one_of(IKE_WORDS)),
        (),
        local_address=address,
        remote_address=WEST,
        remote_id=None,
        retransmit_timeout=3.0,
        fragment_size=0,
    )
