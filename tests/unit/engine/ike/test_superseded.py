# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was agreed before a change gets fresh keys for as long as nothing has taken over from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from engine.crypto.proposals import esp_proposals
from engine.identity import Identity
from engine.ike.connection import Connection
from engine.selector import parse_selector

from .rekeys import watch
from .world import Host, World, child, mirror, up

OLD, NEW = "aes256gcm16", "aes128gcm16"


def identities(connection: Connection) -> Connection:
    """The IKE SA itself is to be another one."""
    return replace(connection, local_id=Identity.parse("e2.example"), remote_id=Identity.parse("w2.example"))


def encapsulation(connection: Connection) -> Connection:
    """Likewise; the peer takes it without a change of its own."""
    return replace(connection, encapsulation="force")


def algorithms(connection: Connection) -> Connection:
    """The child is to have a network more, and algorithms that the peer does not have."""
    (lan,) = connection.children
    lan = replace(lan, local=(*lan.local, parse_selector("10.9.0.0/16")), proposals=esp_proposals(NEW, "p"))
    return replace(connection, children=(lan,))


def key_exchange(connection: Connection) -> Connection:
    """Without the algorithms of before, but with key exchanges, one of which the peer may know."""
    (lan,) = algorithms(connection).children
    return replace(connection, children=(replace(lan, proposals=esp_proposals(f"{NEW}-x25519-ecp384", "p")),))


def name(connection: Connection) -> Connection:
    """The same packets are to be of a child of another name."""
    (lan,) = algorithms(connection).children
    return replace(connection, children=(replace(lan, name="new", reqid=2),))


CHANGES = [identities, algorithms, key_exchange, name]


def change(world: World, host: Host, how: Callable[[Connection], Connection], turn: Callable[..., Connection]) -> None:
    old = turn(host.engine.connections.get("t"))
    new = how(old)
    host.engine.define(turn(new))
    names = None if how in (identities, encapsulation) else [child.name for child in old.children]
    host.do(host.engine.supersede("t", world.now, names))


def attempt(world: World, host: Host) -> None:
    """What a manager does from time to time."""
    awaited = host.engine.awaited("t")
    if awaited and not host.engine.negotiates("t"):
        host.start(children=awaited)


@pytest.mark.parametrize("late", [False, True], ids=["young", "old"])
@pytest.mark.parametrize("spec", [OLD, f"{OLD}-ecp384"], ids=["plain", "pfs"])
@pytest.mark.parametrize("how", CHANGES)
def test_it_outlives_its_lifetime_until_the_peer_has_changed_too(
    how: Callable[[Connection], Connection], spec: str, late: bool
) -> None:
    lan = replace(child(lifetime=100.0), proposals=esp_proposals(spec, "p"))
    world = up(children=(lan,), lifetime=400.0, dpd_delay=0.0)
    if late:
        world.run(70.0)
    before = set(world.east.kernel.inbound)
    change(world, world.east, how, lambda one: one)
    for _unused in range(60):
        watch(world, 10.0, 0.5)
        attempt(world, world.east)
    assert before.isdisjoint(world.east.kernel.inbound), "rekeyed"
    assert world.east.engine.awaited("t")
    change(world, world.west, how, mirror)
    attempt(world, world.east)
    if how is name:
        world.run(60.0)
        world.check(2)
    else:
        watch(world, 60.0, 0.1)
    for host in (world.east, world.west):
        assert not host.engine.awaited("t") and not host.kernel.faults and not host.kernel.reserved
        assert how is name or "child_down" not in host.kinds()
        (sa,) = host.engine.registry.of_tunnel("t")
        (only,) = sa.children.values()
        assert not sa.superseded and not only.superseded


def test_it_does_so_where_both_ends_have_changed_to_different_things() -> None:
    world = up(children=(child(lifetime=100.0),), lifetime=300.0, dpd_delay=0.0)
    numbers = {sa.number for sa in world.east.sas()}
    for host, turn, end in ((world.east, lambda one: one, "e"), (world.west, mirror, "w")):
        old = turn(host.engine.connections.get("t"))
        host.engine.define(turn(replace(old, local_id=Identity.parse(f"{end}.example"))))
        host.do(host.engine.supersede("t", world.now))
    for _unused in range(100):
        watch(world, 10.0, 0.5)
        attempt(world, world.east)
    assert numbers.isdisjoint(sa.number for sa in world.east.sas()), "the IKE SA got fresh keys as well"
    world.east.stop()
    world.run(1.0)
    assert world.east.kernel.inbound == {} == world.west.kernel.inbound, "an operator ends it at once"


def test_an_end_that_begins_nothing_makes_new_children_in_what_the_peer_made_already() -> None:
    """The initiator changes first, and all that it makes anew fits what the responder had before, too."""
    world = up()
    world.west.engine.define(replace(world.west.engine.connections.get("t"), starts=False))
    for host, turn in ((world.east, lambda one: one), (world.west, mirror)):
        change(world, host, encapsulation, turn)
        for _unused in range(10):
            watch(world, 1.0, 0.1)
            attempt(world, world.east)
    (lan,) = world.east.engine.connections.get("t").children
    more = replace(lan, name="more", reqid=2, local=(parse_selector("10.7.0.0/16"),))
    for host, turn in ((world.east, lambda one: one), (world.west, mirror)):
        change(world, host, lambda one: replace(one, children=(lan, more)), turn)
    world.east.start(children=["more"])
    world.run(10.0)
    for host in (world.east, world.west):
        (sa,) = host.engine.registry.of_tunnel("t")
        assert sorted(each.config.name for each in sa.children.values()) == ["lan", "more"]
        assert "child_down" not in host.kinds()
