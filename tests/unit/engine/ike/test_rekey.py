# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeying and closing: alone, at both ends at once, with losses and in every order."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.actions import Acquire, Expire, InstallFailed, InstallInbound, InstallOutbound, RemoveSas

from .rekeys import DOINGS, settled, spis, two_children
from .world import EAST, LATENCY, WEST, World, child, east_connection, mirror, pair, straight, up


def test_a_child_is_rekeyed_in_time_and_the_old_one_goes() -> None:
    world = up(children=(child(lifetime=100.0),), dpd_delay=0.0)
    before = spis(world)
    world.run(95.0)
    world.check()
    assert not before & spis(world) and len(spis(world)) == 1
    assert len(world.west.kernel.inbound) == 1
    assert "child_rekeyed" in world.east.kinds() + world.west.kinds()
    assert "child_down" not in world.east.kinds() + world.west.kinds()


def test_an_ike_sa_is_rekeyed_in_time_and_keeps_its_children() -> None:
    world = up(lifetime=100.0, dpd_delay=0.0)
    before, number = spis(world), world.east.sas()[0].number
    world.run(97.0)
    world.check()
    assert spis(world) == before
    assert [sa.number for sa in world.east.sas()] != [number]
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1
    assert "ike_down" not in world.east.kinds() + world.west.kinds()


def test_the_tunnel_lives_for_days() -> None:
    world = up(lifetime=4000.0, children=(child(lifetime=900.0),))
    for _unused in range(100):
        world.run(1800.0)
        world.check()
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    assert len(spis(world)) == len(world.west.kernel.inbound) == 1
    assert not {"child_down", "ike_down", "setback"} & set(world.east.kinds() + world.west.kinds())


def test_installing_and_removing_is_ordered() -> None:
    world = up()
    seen: list[object] = []
    for host in (world.east, world.west):
        host.do = lambda actions, host=host: (seen.extend(actions), type(host).do(host, actions))[1]
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    world.check()
    kinds = [type(a) for a in seen if isinstance(a, (InstallInbound, InstallOutbound, RemoveSas))]
    # west receives on the new one, then east does both, then west sends on it and only then drops the old.
    assert kinds == [InstallInbound, InstallInbound, InstallOutbound, InstallOutbound, RemoveSas, RemoveSas]


def test_pfs_uses_a_fresh_key_exchange() -> None:
    strict = replace(child(), proposals=esp_proposals("aes256gcm16-x25519", "p"))
    world = up(children=(strict,))
    old = world.east.kernel.sending(1).encryption_out
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    world.check()
    assert world.east.kernel.sending(1).encryption_out != old


@pytest.mark.parametrize("starter", ["east", "west"])
def test_a_peer_may_choose_the_proposal_without_a_key_exchange(starter: str) -> None:
    either = replace(child(), proposals=esp_proposals(["aes256gcm16-x25519", "aes256gcm16"], "p"))
    world = pair(children=(either,))
    plain = replace(child(), proposals=esp_proposals("aes256gcm16", "p"))
    world.west.engine.define(mirror(east_connection(children=(plain,))))
    world.east.start()
    world.run(1.0)
    old = spis(world)
    host = getattr(world, starter)
    host.do(host.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    world.check()
    assert len(spis(world)) == 1 and not old & spis(world)
    assert "setback" not in host.kinds()


@pytest.mark.parametrize("first, second", list(itertools.product(DOINGS, DOINGS)))
@pytest.mark.parametrize("gap", [0.0, 0.005, 0.012, 0.025])
def test_every_collision_ends_well(first: str, second: str, gap: float) -> None:
    world = two_children()
    DOINGS[first](world, world.east)
    world.run(gap)
    DOINGS[second](world, world.west)
    world.run(200.0)
    settled(world, {first, second})


@pytest.mark.nightly
def test_ever_more_collisions_with_loss_and_reordering_end_well() -> None:
    for seed in range(1000, 51_000):
        try:
            test_collisions_with_loss_and_reordering_end_well(seed)
        except AssertionError as exc:
            exc.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("seed", range(80))
def test_collisions_with_loss_and_reordering_end_well(seed: int) -> None:
    chance = random.Random(seed)

    def fate(number: int, _datagram: bytes) -> list[float]:
        if number < 4 or world.now > 1020.0:
            return straight(number, _datagram)
        copies = chance.choices([0, 1, 2], [0.25, 0.65, 0.1])[0]
        return [chance.uniform(0.001, 0.8) for _unused in range(copies)]

    world = two_children()
    world.fate = fate
    doings: set[str] = set()
    for _unused in range(4):
        name = chance.choice(list(DOINGS)[:3] + ["new_child"])
        doings.add(name)
        DOINGS[name](world, chance.choice([world.east, world.west]))
        world.run(chance.uniform(0.0, 0.1))
    world.run(400.0)
    settled(world, doings)


def test_a_stopped_tunnel_leaves_nothing() -> None:
    world = up()
    world.east.stop()
    world.run(1.0)
    for host in (world.east, world.west):
        assert not list(host.engine.sas()) and not host.kernel.inbound and not host.kernel.outbound
    assert not world.east.kernel.policies
    # West did not ask for it: its policies stay, so that nothing leaves in clear.
    assert world.west.kernel.policies.keys() == {1}
    assert world.west.reasons("ike_down") == ["peer_deleted"]


def test_a_dead_peer_is_noticed() -> None:
    world = up(dpd_delay=10.0)
    world.fate = lambda _n, _d: []
    world.run(100.0)
    assert world.east.reasons("ike_down") == ["peer_unreachable"]
    assert not world.east.kernel.inbound and world.east.kernel.policies.keys() == {1}


def test_a_living_but_silent_peer_is_only_asked() -> None:
    world = up(dpd_delay=10.0)
    count = world.count
    world.run(100.0)
    assert 0 < world.count - count <= 2 * 2 * 10
    assert len(world.east.sas()) == 1


def test_a_kernel_limit_starts_a_rekey_and_a_hard_one_ends_the_child() -> None:
    world = up()
    sa = world.east.kernel.sending(1)
    world.east.do(world.east.engine.kernel_event(Expire(WEST, 50, sa.spi_out, False), world.now))
    world.run(1.0)
    world.check()
    assert world.east.kernel.sending(1).spi_out != sa.spi_out
    sa = world.east.kernel.sending(1)
    world.east.do(world.east.engine.kernel_event(Expire(EAST, 50, sa.spi_in, True), world.now))
    world.run(1.0)
    assert world.east.reasons("child_down") == ["expired"]
    assert not world.east.kernel.inbound and not world.west.kernel.inbound


def test_an_acquire_starts_what_it_needs() -> None:
    world = pair(children=(child(start="trap"),))
    world.east.do(world.east.engine.kernel_event(Acquire(1), world.now))
    world.run(1.0)
    world.check()
    world.east.stop(children=["lan"])
    world.run(1.0)
    assert not world.east.kernel.inbound
    world.east.do(world.east.engine.kernel_event(Acquire(1), world.now))
    world.run(1.0)
    world.check()
    world.east.do(world.east.engine.kernel_event(Acquire(99), world.now))


def test_a_kernel_that_refuses_has_the_peer_told() -> None:
    world = pair()
    plain = world.east.do

    def refuse(actions: list[object]) -> None:
        refused = [a for a in actions if isinstance(a, InstallInbound)]
        plain([a for a in actions if not isinstance(a, (InstallInbound, InstallOutbound))])
        for action in refused:
            world.east.kernel.reserved.discard(action.child.spi_in)
            plain(world.east.engine.kernel_event(InstallFailed(action.child, "no ESP"), world.now))

    world.east.do = refuse
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("child_failed") == ["kernel_refused"]
    assert not world.west.kernel.inbound and len(world.west.sas()) == 1


GROUPS = [
    ike_proposals(["aes256gcm16-sha384-x25519", "aes256gcm16-sha384-ecp256"], "proposals"),
    ike_proposals(["aes256gcm16-sha384-ecp256", "aes256gcm16-sha384-x25519"], "proposals"),
]


def test_the_peers_own_rekey_counts_where_ours_is_to_be_of_another_group() -> None:
    """East prefers another group than west: it refuses west's guess, while west takes its request."""
    world = pair(proposals=GROUPS[0])
    world.west.engine.define(mirror(east_connection(proposals=GROUPS[1])))
    world.east.start()
    world.run(1.0)
    before = spis(world)
    for host in (world.east, world.west):
        DOINGS["rekey_ike"](world, host)
    world.run(1.0)
    world.check()
    assert "invalid_key_exchange" in world.east.reasons("rejected") and spis(world) == before
    assert "child_down" not in world.east.kinds() + world.west.kinds()
    assert len(list(world.east.engine.sas())) == len(list(world.west.engine.sas())) == 1


def prefer(world: World, groups: int) -> None:
    world.west.engine.define(mirror(east_connection(proposals=GROUPS[groups])))


@pytest.mark.parametrize(("turns", "refused"), [(1, False), (2, False), (4, False), (5, True)])
def test_a_peer_may_want_another_group_again_and_again_but_not_for_ever(turns: int, refused: bool) -> None:
    """Its definition changes while the request with the group that it wanted is on its way."""
    world = pair(proposals=GROUPS[0])
    world.east.start()
    world.run(1.0)
    numbers = [sa.number for sa in world.east.sas()]
    DOINGS["rekey_ike"](world, world.east)
    for turn in range(turns):
        prefer(world, 1 - turn % 2)
        world.run(2 * LATENCY)
    world.run(1.0)
    world.check()
    assert world.west.reasons("rejected") == ["invalid_key_exchange"] * turns
    assert ("rekey_refused" in world.east.kinds()) is refused
    assert [sa.number for sa in world.east.sas()] != numbers
    assert world.east.kinds().count("ike_established") == 1 + refused
    assert not world.east.kernel.faults and "child_failed" not in world.east.kinds()
