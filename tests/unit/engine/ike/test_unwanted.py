# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody wants any more when a busy peer has put it off, or has lost it, is not asked for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from engine.identity import Identity
from engine.ike.actions import Vanished

from .rekeys import two_children
from .world import EAST, World, east_connection, mirror


def names(world: World) -> list[str]:
    return sorted(sa.sa.child for view in world.east.engine.sas() for sa in view.children)


def stopped(world: World) -> None:
    world.east.stop(children=["voice"])


def taken_out(world: World) -> None:
    (lan, _voice) = world.east.engine.connections.get("t").children
    world.east.engine.define(east_connection(children=(lan,)))
    world.east.do(world.east.engine.supersede("t", world.now, ["voice"]))


def renamed(world: World) -> None:
    lan, voice = world.east.engine.connections.get("t").children
    world.east.engine.define(east_connection(children=(lan, replace(voice, name="other", reqid=3))))
    world.east.do(world.east.engine.supersede("t", world.now, ["voice"]))


def kept(world: World) -> None:
    """It is wanted all the time, for comparison."""


def busy_peer() -> World:
    """West rekeys the IKE SA just when east asks for voice: that is put off."""
    world = two_children()
    world.west.do(world.west.engine.rekey("t", world.now))
    world.east.start(children=["voice"])
    return world


@pytest.mark.parametrize(
    "change, left",
    [(kept, ["lan", "voice"]), (stopped, ["lan"]), (taken_out, ["lan"]), (renamed, ["lan"])],
)
def test_a_child_that_was_put_off_comes_up_only_if_it_is_wanted_yet(
    change: Callable[[World], None], left: list[str]
) -> None:
    world = busy_peer()
    change(world)
    world.run(60.0)
    assert "child_failed" not in world.east.kinds()
    assert names(world) == left and not world.east.engine.negotiates("t")
    world.check()
    world.run(7200.0)
    assert names(world) == left and not world.east.kernel.reserved


def test_one_that_was_stopped_and_started_again_comes_up() -> None:
    world = busy_peer()
    world.east.stop(children=["voice"])
    world.east.start(children=["voice"])
    world.run(60.0)
    assert names(world) == ["lan", "voice"]


def test_a_superseded_ike_sa_does_not_ask_for_what_was_put_off() -> None:
    world = busy_peer()
    before = world.east.engine.connections.get("t")
    after = replace(before, local_id=Identity.parse("e2.example"), remote_id=Identity.parse("w2.example"))
    world.east.engine.define(after)
    world.east.do(world.east.engine.supersede("t", world.now))
    world.run(60.0)
    assert names(world) == ["lan"] and not world.east.engine.negotiates("t")
    world.west.engine.define(mirror(after))
    world.east.start(children=["lan", "voice"])
    world.run(60.0)
    assert names(world) == ["lan", "voice"] and len(world.east.sas()) == 1
    world.check()


def test_a_child_that_the_peer_has_lost_is_not_made_anew_after_a_stop() -> None:
    world = two_children()
    world.west.engine.registry.of_tunnel("t")[0].children.clear()
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.east.stop(children=["lan"])
    world.run(30.0)
    assert names(world) == [] and not world.east.kernel.reserved


def test_a_child_that_vanished_is_not_made_anew_after_a_stop() -> None:
    world = two_children()
    (spi,) = list(world.east.kernel.inbound)
    world.east.do(world.east.engine.rekey("t", world.now))
    world.east.stop(children=["lan"])
    world.east.do(world.east.engine.kernel_event(Vanished(EAST, 50, spi), world.now))
    world.run(30.0)
    assert names(world) == [] and not world.east.kernel.outbound
