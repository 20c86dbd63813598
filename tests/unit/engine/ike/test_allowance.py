# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much an authenticated peer can have this end make: bursts pass, a flood is told to come again later."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.crypto.proposals import esp_proposals
from engine.ike.actions import Action, InstallInbound
from engine.ike.allowance import Allowances
from engine.ike.settings import Settings
from engine.selector import parse_selector

from .world import World, child, pair

SMALL = Settings(sas_at_once=20, sas_per_second=2.0)


def counted(world: World) -> list[Action]:
    """What west installs and makes from now on."""
    made: list[Action] = []
    plain, keys = world.west.do, world.west.engine.entropy.key_exchange

    def do(actions: list[Action]) -> None:
        made.extend(action for action in actions if isinstance(action, InstallInbound))
        plain(actions)

    world.west.do = do
    world.west.engine.entropy.key_exchange = lambda *which: made.append(which) or keys(*which)
    return made


@pytest.mark.parametrize("what", [["lan"], None], ids=["children", "IKE SAs"])
def test_a_peer_that_rekeys_all_the_time_has_little_made_and_loses_nothing(what: list[str] | None) -> None:
    plain = replace(child(), proposals=esp_proposals("aes256gcm16", "p"))
    world = pair(settings=SMALL, children=(plain,), dpd_delay=0.0)
    world.east.start()
    world.run(1.0)
    made = counted(world)
    began = world.now
    while world.now < began + 60.0:
        world.east.do(world.east.engine.rekey("t", world.now, what))
        world.run(0.1)
    assert 20 <= len(made) <= 20 + 2 * 60, "of six hundred"
    assert "too_many_requests" in world.west.reasons("rejected")
    assert "child_down" not in world.east.kinds() + world.west.kinds()
    world.run(120.0)
    world.check()
    for host in (world.east, world.west):
        assert len(list(host.engine.sas())) == len(host.kernel.inbound) == 1


def test_a_hundred_children_come_up_at_once() -> None:
    networks = [(f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(100)]
    proposals = esp_proposals("aes256gcm16", "p")
    children = tuple(
        replace(
            child(f"c{number}", 1 + number),
            local=(parse_selector(near),),
            remote=(parse_selector(far),),
            proposals=proposals,
        )
        for number, (near, far) in enumerate(networks)
    )
    world = pair(children=children, dpd_delay=0.0)
    world.east.start()
    world.run(5.0)
    assert len(world.west.kernel.inbound) == 100
    world.east.do(world.east.engine.rekey("t", world.now, [one.name for one in children]))
    world.run(10.0)
    assert len(world.west.kernel.inbound) == 100
    assert not world.west.reasons("rejected") and "setback" not in world.east.kinds()


def test_what_is_left_to_one_tunnel_is_not_another_ones() -> None:
    allowances = Allowances(3, 1.0)
    assert [allowances.take("a", 0.0) for _unused in range(4)] == [True, True, True, False]
    assert allowances.take("b", 0.0) and not allowances.take("a", 0.5) and allowances.take("a", 1.5)
    assert [allowances.take("a", 100.0) for _unused in range(4)] == [True, True, True, False]
    allowances.forget("a")
    assert allowances.take("a", 100.0)
