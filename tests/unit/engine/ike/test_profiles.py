# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the profiles make two ends agree on, where both of them, one or none can compute ML-KEM."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.crypto.proposals import ike_proposals
from engine.wire.header import Header
from engine.wire.v2.numbers import ExchangeType

from .forge import ike_sa
from .hybrid import Wire, needs_ml_kem
from .world import CLASSIC, World, east_connection, mirror

INIT = int(ExchangeType.IKE_SA_INIT)
pytestmark = needs_ml_kem


def agreed(east: str, west: str) -> tuple[str, World]:
    """The key exchanges that they agree on, east having begun; empty for none."""
    world = World(Wire())
    world.east.engine.define(east_connection(proposals=ike_proposals(east), retransmit_timeout=5.0))
    world.west.engine.define(mirror(replace(east_connection(), proposals=ike_proposals(west))))
    world.east.start()
    world.run(10.0)
    if not world.east.sas():
        return "", world
    world.check()
    return ike_sa(world.east).protection.choice.key_exchanges, world


@pytest.mark.parametrize(
    ("east", "west", "expected"),
    [
        ("modern", "modern", "x25519-ke1_mlkem768"), ("modern", CLASSIC, "x25519"), (CLASSIC, "modern", "x25519"),
        ("pq", "modern", "x25519-ke1_mlkem768"), ("modern", "pq", "x25519-ke1_mlkem768"), ("pq", CLASSIC, ""),
        (CLASSIC, "pq", ""), ("compat", "modern", "x25519"),
    ],
)  # fmt: skip
def test_what_is_agreed_on(east: str, west: str, expected: str):
    assert agreed(east, west)[0] == expected


def test_the_first_message_is_one_packet_and_holds_no_value_of_ml_kem():
    _unused, world = agreed("modern", "modern")
    firsts = [datagram for datagram in world.fate.seen if Header.parse(datagram).exchange == INIT]
    assert firsts and all(len(datagram) < 600 for datagram in firsts)


def test_a_rekey_has_what_the_definition_says_by_then():
    _unused, world = agreed("modern", CLASSIC)
    world.west.engine.define(mirror(replace(east_connection(), proposals=ike_proposals("modern"))))
    world.east.do(world.east.engine.rekey("t", world.now))
    world.run(5.0)
    assert ike_sa(world.east).protection.choice.key_exchanges == "x25519-ke1_mlkem768"
    world.check()
