# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children with AH (RFC 4302): integrity without a cipher, through their whole life."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.proposals import ah_proposals, esp_proposals
from engine.ike.connection import ChildConfig

from .mortal import Mortal
from .world import World, child, east_connection, mirror, pair, up

AH, ESP = 51, 50


def authentic(spec: str = "modern", **more: Any) -> ChildConfig:
    return replace(child(**more), proposals=ah_proposals(spec, "p"))


def both(world: World) -> list[Any]:
    return [host.kernel.sending(1) for host in (world.east, world.west)]


@pytest.mark.parametrize(("spec", "name"), [("modern", "sha256"), ("sha512", "sha512"), ("sha1-sha256", "sha1")])
def test_it_is_negotiated_with_integrity_alone(spec: str, name: str) -> None:
    world = up(children=(authentic(spec),))
    for sa in both(world):
        assert (sa.protocol, sa.encryption, sa.integrity.name) == (AH, None, name)
        assert not len(sa.encryption_out) and len(sa.integrity_out) == sa.integrity.key_octets


@pytest.mark.parametrize("spec", ["sha256", "sha256-x25519"])
def test_either_end_rekeys_it_and_it_is_closed(spec: str) -> None:
    world = up(children=(authentic(spec),))
    for host in (world.east, world.west):
        before = both(world)
        host.do(host.engine.rekey("t", world.now, ["lan"]))
        world.run(5.0)
        world.check()
        assert all(sa.protocol == AH and sa.spi_out not in {old.spi_out for old in before} for sa in both(world))
    world.east.stop(children=["lan"])
    world.run(5.0)
    assert both(world) == [None, None] and not world.east.kernel.reserved and not world.west.kernel.reserved


def test_a_peer_that_has_esp_is_told_what_differs() -> None:
    world = pair(children=(authentic("sha256"),))
    world.west.engine.define(mirror(east_connection()))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("child_failed") == ["no_proposal_chosen"]
    (told,) = [report for report in world.west.reports if report.kind == "child_failed"]
    assert "AH is on offer, ESP is allowed" in told.data["story"]


@pytest.mark.parametrize("starts", ["east", "west"])
def test_across_a_nat_it_is_refused_with_the_reason(starts: str) -> None:
    world = pair(children=(authentic("sha256"),), encapsulation="force")
    getattr(world, starts).start()
    world.run(1.0)
    reasons = world.east.reasons("child_failed") + world.west.reasons("child_failed")
    assert "ah_behind_nat" in reasons, reasons
    assert both(world) == [None, None]
    assert not world.east.kernel.reserved and not world.west.kernel.reserved


def test_a_killed_end_goes_on_with_it() -> None:
    world = up(children=(authentic("sha256-x25519"),))
    mortal = Mortal(world.east, {})
    mortal.kept.take(world.east.engine)
    before = both(world)
    mortal.die()
    world.run(5.0)
    world.check()
    assert both(world) == before
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(5.0)
    world.check()
    assert both(world)[0].protocol == AH and both(world)[0].spi_out != before[0].spi_out


def test_a_definition_that_changes_its_protocol_closes_the_child_as_it_was_made() -> None:
    world = up(children=(authentic("sha256"),))
    fresh = east_connection(children=(replace(child(), proposals=esp_proposals("aes256gcm16", "p")),))
    for host, connection in ((world.west, mirror(fresh)), (world.east, fresh)):
        host.do(host.engine.define(connection) or [])
        host.do(host.engine.supersede("t", world.now, ["lan"]))
    world.run(60.0)
    world.check()
    assert {sa.protocol for sa in both(world)} == {ESP}
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1
