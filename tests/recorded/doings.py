# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What chance has an end of a simulation do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .chance import Chance
from .definitions import changed, mirror
from .engine_face import (
    Acquire,
    ChildSa,
    Connection,
    Expire,
    KernelEvent,
    MappingChanged,
    Selector,
    Unanswered,
    Vanished,
)
from .world import PUBLIC, Host, World

Doing = Callable[[World, Host], None]


def do_something(world: World, host: Host) -> None:
    """Any of what an end may do."""
    world.chance.one_of(DOINGS)(world, host)


def start(world: World, host: Host) -> None:
    """Start a tunnel, or some of its children."""
    connection = _any_tunnel(world.chance, host)
    if connection is None:
        return
    names = _some_children(world.chance, connection)
    host.call(f"start {connection.name} {names}", lambda now: host.engine.start(connection.name, now, children=names))


def stop(world: World, host: Host) -> None:
    """Stop a tunnel, or some of its children."""
    connection = _any_tunnel(world.chance, host)
    if connection is not None:
        names = _some_children(world.chance, connection)
        host.call(f"stop {connection.name} {names}", lambda now: host.engine.stop(connection.name, now, names))


def retire(world: World, host: Host) -> None:
    """Take an IKE SA down that its children may still use."""
    connection = _any_tunnel(world.chance, host)
    if connection is not None:
        host.call(f"retire {connection.name}", lambda now: host.engine.retire(connection.name, now))


def rekey(world: World, host: Host) -> None:
    """Ask for fresh keys."""
    connection = _any_tunnel(world.chance, host)
    if connection is not None:
        names = _some_children(world.chance, connection)
        host.call(f"rekey {connection.name} {names}", lambda now: host.engine.rekey(connection.name, now, names))


def redefine(world: World, host: Host) -> None:
    """Change a definition, mostly at both ends, and have what it brought about superseded."""
    chance = world.chance
    connection = _any_tunnel(chance, host)
    if connection is None:
        return
    new = changed(chance, connection)
    _take(world, host, new)
    other = world.west if host is world.east else world.east
    if chance.happens(0.7) and connection.name in other.defined:
        world.run(chance.one_of((0.0, 0.003, 0.5)))
        there = other.defined[connection.name]
        _take(world, other, replace(mirror(new), remote_address=there.remote_address))


def _take(world: World, host: Host, new: Connection) -> None:
    """Go over to a definition as the manager does: options of the IKE SA want another IKE SA, children others."""
    old = host.defined.get(new.name, new)
    host.define(new)
    if world.chance.happens(0.15):
        return
    engine, name = host.engine, new.name
    before = {child.name: child for child in old.children}
    names = [child.name for child in new.children if before.pop(child.name, child) != child]
    gone = list(before)
    if gone and world.chance.happens(0.5):
        host.call(f"stop {name} {gone}", lambda now: engine.stop(name, now, gone))
        gone = []
    if replace(old, children=new.children) != new:
        host.call(f"supersede {name}", lambda now: engine.supersede(name, now))
        awaited = engine.awaited(name)
        host.call(f"start {name} {awaited}", lambda now: engine.start(name, now, children=awaited))
    else:
        both = [*names, *gone]
        host.call(f"supersede {name} {both}", lambda now: engine.supersede(name, now, both))


def undefine(world: World, host: Host) -> None:
    """Stop a tunnel and forget it; it may come back."""
    connection = _any_tunnel(world.chance, host)
    if connection is not None:
        host.call(f"stop {connection.name}", lambda now: host.engine.stop(connection.name, now))
        host.undefine(connection.name)
        world.run(world.chance.one_of((0.0, 0.02, 5.0)))
        host.define(connection)


def rename(world: World, host: Host) -> None:
    """Give a tunnel another name."""
    connection = _any_tunnel(world.chance, host)
    if connection is not None:
        name = connection.name[1:] if connection.name.startswith("r") else f"r{connection.name}"
        host.rename(connection.name, replace(connection, name=name))


def acquire(world: World, host: Host) -> None:
    """A packet asks for a child."""
    chance = world.chance
    connection = _any_tunnel(chance, host)
    if connection is None or not connection.children:
        return
    child = chance.one_of(connection.children)
    packet: tuple[Selector | None, Selector | None] = (None, None)
    if chance.happens(0.7):
        packet = _packet(chance, child.local[0]), _packet(chance, child.remote[0])
    reqid = child.reqid if chance.happens(0.95) else 4711
    _tell(host, f"acquire {reqid} {packet[0]} {packet[1]}", Acquire(reqid, *packet))


def expire(world: World, host: Host) -> None:
    """An SA reaches a limit."""
    child = _any_installed(world.chance, host)
    if child is not None:
        address, spi = _side(world.chance, child)
        hard = world.chance.happens(0.3)
        _tell(host, f"expire {child.number} {hard}", Expire(address, child.protocol, spi, hard))


def vanish(world: World, host: Host) -> None:
    """Somebody deletes an SA."""
    child = _any_installed(world.chance, host)
    if child is not None:
        address, spi = _side(world.chance, child)
        _tell(host, f"vanished {child.number}", Vanished(address, child.protocol, spi))


def unanswered(world: World, host: Host) -> None:
    """Packets leave, and none come."""
    child = _any_installed(world.chance, host)
    if child is not None:
        _tell(host, f"unanswered {child.number}", Unanswered(child.local_address, child.spi_in))


def remap(world: World, _host: Host) -> None:
    """The NAT makes a new mapping, of which west may hear from ESP."""
    if world.nat is None:
        return
    world.nat.offset = 20000 + 10 * world.chance.below(500)
    child = _any_installed(world.chance, world.west)
    if child is not None and world.chance.happens(0.6):
        port = 4500 + world.nat.offset
        _tell(world.west, f"mapping {child.number} {port}", MappingChanged(child.spi_in, PUBLIC, port))


def die(world: World, host: Host) -> None:
    """Be killed, in between or before the last thing asked for is done; go on some time later."""
    chance = world.chance
    connection = _any_tunnel(chance, host)
    if connection is not None and chance.happens(0.5):
        host.ask(f"rekey {connection.name}", lambda now: host.engine.rekey(connection.name, now))
    host.asleep = True
    world.run(chance.one_of((0.0, 0.0, 0.02, 3.0, 40.0)))
    host.asleep = False
    host.rise()


def _tell(host: Host, what: str, event: KernelEvent) -> None:
    host.call(f"kernel {what}", lambda now: host.engine.kernel_event(event, now))


def _any_tunnel(chance: Chance, host: Host) -> Connection | None:
    return chance.one_of(list(host.defined.values())) if host.defined else None


def _some_children(chance: Chance, connection: Connection) -> list[str] | None:
    """Names of some, or None for the tunnel as such; rarely one that there is none of."""
    if chance.happens(0.5):
        return None
    if chance.happens(0.03):
        return ["nobody"]
    return chance.some_of([child.name for child in connection.children])


def _any_installed(chance: Chance, host: Host) -> ChildSa | None:
    return chance.one_of(list(host.installed.values())) if host.installed else None


def _side(chance: Chance, child: ChildSa) -> tuple[str, int]:
    """Destination and SPI of the SA that receives, or of the one that sends."""
    if chance.happens(0.5):
        return child.local_address, child.spi_in
    return child.remote_address, child.spi_out


def _packet(chance: Chance, selector: Selector) -> Selector:
    """A packet that a selector takes."""
    low, high = int.from_bytes(selector.first, "big"), int.from_bytes(selector.last, "big")
    address = (low + chance.below(min(high - low, 60000) + 1)).to_bytes(len(selector.first), "big")
    return replace(selector, first=address, last=address)


DOINGS: tuple[Doing, ...] = (
    *(start,) * 4,
    *(stop,) * 2,
    retire,
    *(rekey,) * 5,
    *(redefine,) * 4,
    undefine,
    rename,
    *(acquire,) * 2,
    *(expire,) * 2,
    vanish,
    unanswered,
    remap,
    *(die,) * 2,
)
