# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPComp in a child (RFC 7296 section 2.22): agreed by both ends or left out, through its whole life."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.proposals import ah_proposals, esp_proposals
from engine.errors import KernelError
from engine.ike.v2.features import ipcomp
from engine.selector import parse_selector
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.payloads import Payloads

from .mortal import Mortal
from .world import World, child, east_connection, mirror, pair, up


def both(world: World) -> list[Any]:
    return [host.kernel.sending(1) for host in (world.east, world.west)]


def nothing_is_left(world: World) -> None:
    for host in (world.east, world.west):
        assert not host.kernel.reserved and not host.kernel.faults
    assert [record for host in (world.east, world.west) for record in pending(host)] == []


def pending(host: Any) -> list[Any]:
    return [each for sa in host.engine.registry.of_tunnel("t") for each in ipcomp.RESERVED.of(sa).ipcomp]


@pytest.mark.parametrize("proposals", [esp_proposals("modern", "p"), ah_proposals("modern", "p")])
def test_both_ends_name_a_cpi_in_every_exchange(proposals: Any) -> None:
    lan = replace(child(ipcomp=True), proposals=proposals)
    voice = replace(
        child("voice", 2, start="manual", ipcomp=True), proposals=proposals,
        local=(parse_selector("10.3.0.0/16"),), remote=(parse_selector("10.4.0.0/16"),),
    )  # fmt: skip
    world = up(children=(lan, voice))
    seen = {sa.cpi_in for sa in both(world)}
    assert all(256 <= sa.cpi_in <= 61439 and 256 <= sa.cpi_out <= 61439 for sa in both(world)) and len(seen) == 2
    for host in (world.east, world.west):
        host.do(host.engine.rekey("t", world.now, ["lan"]))
        world.run(5.0)
        world.check()
        fresh = {sa.cpi_in for sa in both(world)}
        assert not fresh & seen and 0 not in fresh
        seen |= fresh
    world.west.do(world.west.engine.start("t", world.now, children=["voice"]))
    world.run(5.0)
    world.check(2)
    assert world.east.kernel.sending(2).cpi_in
    for host in (world.east, world.west):
        host.do(host.engine.rekey("t", world.now))
        world.run(5.0)
        world.check()
        assert both(world)[0].cpi_in in seen, "the children move along"
    nothing_is_left(world)
    world.east.stop()
    world.run(5.0)
    nothing_is_left(world)


@pytest.mark.parametrize("starts", ["east", "west"])
@pytest.mark.parametrize("without", ["east", "west"])
def test_a_peer_without_it_has_the_child_without(starts: str, without: str) -> None:
    world = World()
    connection = east_connection(children=(child(ipcomp=True),))
    plain = east_connection()
    world.east.engine.define(plain if without == "east" else connection)
    world.west.engine.define(mirror(plain if without == "west" else connection))
    getattr(world, starts).start()
    world.run(1.0)
    world.check()
    assert {(sa.cpi_in, sa.cpi_out) for sa in both(world)} == {(0, 0)}
    for host in (world.east, world.west):
        host.do(host.engine.rekey("t", world.now, ["lan"]))
        world.run(5.0)
        world.check()
    nothing_is_left(world)


def test_a_kernel_that_gives_no_cpi_has_the_child_without() -> None:
    world = pair(children=(child(ipcomp=True),))
    reserve = world.west.engine.spis

    def refuse(local: str, remote: str, protocol: int, reqid: int) -> int:
        if protocol == ipcomp.IPCOMP:
            raise KernelError("reserve an SPI", 93, "no IPComp in this kernel")
        return reserve(local, remote, protocol, reqid)

    world.west.engine.spis = refuse
    world.east.start()
    world.run(1.0)
    world.check()
    assert {(sa.cpi_in, sa.cpi_out) for sa in both(world)} == {(0, 0)}
    nothing_is_left(world)


def test_a_child_that_is_refused_gives_its_cpi_back() -> None:
    world = pair(children=(child(ipcomp=True),))
    world.west.engine.define(mirror(east_connection(children=(replace(child(), proposals=ah_proposals("sha256")),))))
    for host in (world.east, world.west):
        host.start()
        world.run(5.0)
    assert "no_proposal_chosen" in world.east.reasons("child_failed")
    assert both(world) == [None, None]
    world.east.stop()
    world.west.stop()
    world.run(5.0)
    nothing_is_left(world)


@pytest.mark.parametrize("ends", [["east"], ["west"], ["east", "west"]])
def test_killed_ends_go_on_with_it(ends: list[str]) -> None:
    world = up(children=(child(ipcomp=True),))
    mortals = [Mortal(getattr(world, name), {}) for name in ends]
    before = both(world)
    for mortal in mortals:
        mortal.kept.take(mortal.host.engine)
        mortal.die()
    world.run(5.0)
    world.check()
    assert both(world) == before
    for host in (world.east, world.west):
        host.do(host.engine.rekey("t", world.now, ["lan"]))
        world.run(5.0)
        world.check()
    assert both(world)[0].cpi_in != before[0].cpi_in


def test_killed_while_its_request_is_out() -> None:
    """The CPI that the request names is kept with it: the answer comes to another process."""
    world = up(children=(child(ipcomp=True),))
    mortal = Mortal(world.east, {})
    mortal.kept.take(world.east.engine)
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    assert len(pending(world.east)) == 1
    mortal.die()
    world.run(10.0)
    world.check()
    assert both(world)[0].cpi_in
    nothing_is_left(world)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x10\x00", b"\x10\x00\x03", b"\x00\x05\x02", b"\xf0\x00\x02", b"\x00\x00\x02", b"\x10"],
    ids=bytes.hex,
)
def test_what_no_compression_can_be_made_of_is_none(data: bytes) -> None:
    assert ipcomp._cpi(Payloads([Notify(int(NotifyType.IPCOMP_SUPPORTED), data)])) == 0


def test_of_several_the_one_is_taken_that_is_known() -> None:
    several = [Notify(int(NotifyType.IPCOMP_SUPPORTED), data) for data in (b"\x10\x00\x03", b"\x10\x01\x02")]
    assert ipcomp._cpi(Payloads(several)) == 0x1001
