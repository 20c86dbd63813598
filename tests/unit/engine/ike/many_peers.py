# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A world where east has one definition for many peers, and west is all of them, each with an address of its own.

Each proves itself by a pre-shared key here, which the protocol does not care about: options allow certificates alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.crypto.proposals import esp_proposals
from engine.identity import Identity
from engine.identity_pattern import IdentityPattern
from engine.ike.connection import ChildConfig, Connection
from engine.ike.endpoint import Endpoint
from engine.selector import parse_selector

from tests.seeded_entropy import SeededEntropy

from .world import EAST, World, east_connection

NAME = "branches"
PATTERN = "*.branch.example"


class Reqids:
    """Request IDs of the children of instances, the same each time."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, str], int] = {}

    def __call__(self, definition: str, instance: str, child: str) -> int:
        return self.given.setdefault((instance, child), 1000 + len(self.given))


def lan(local: str, remote: str, **more: Any) -> ChildConfig:
    """A child named lan."""
    sides = (parse_selector(local),), (parse_selector(remote),)
    return ChildConfig("lan", 1, *sides, esp_proposals("modern", "proposals"), **more)


def for_many(pattern: str = PATTERN, **more: Any) -> Connection:
    """East's definition: branches have parts of 10.0.0.0/8."""
    options: dict[str, Any] = {
        "name": NAME,
        "remote_id": None,
        "remote_address": None,
        "pattern": IdentityPattern.parse(pattern),
        "max_instances": 1000,
        "starts": False,
        "children": (lan("10.0.0.0/16", "10.0.0.0/8"),),
    }
    return east_connection(**(options | more))


def address(number: int) -> str:
    """Where the peer of a number comes from."""
    return f"198.51.{100 + number // 250}.{1 + number % 250}"


def peer(number: int, identity: str = "", net: str = "", at: int | None = None, **more: Any) -> Connection:
    """West's definition as one of the peers: branch NUMBER with a network of its own."""
    options: dict[str, Any] = {
        "name": f"as-{number}",
        "local_id": Identity.parse(identity or f"b{number}.branch.example"),
        "remote_id": Identity.parse("east.example"),
        "local_address": address(number if at is None else at),
        "remote_address": EAST,
        "children": (replace(lan(net or f"10.{1 + number // 250}.{number % 250}.0/24", "10.0.0.0/16"), reqid=number),),
    }
    return east_connection(**(options | more))


def world_for_many(pattern: str = PATTERN, **more: Any) -> World:
    """East has its definition, and nobody has come yet."""
    world = World()
    world.east.engine = Endpoint(SeededEntropy(1), world.east._reserve, world.east.engine.settings, reqids=Reqids())
    world.east.engine.define(for_many(pattern, **more))
    return world


def come(world: World, connection: Connection, seconds: float = 1.0) -> None:
    """A peer comes."""
    world.west.engine.define(connection)
    world.west.start(connection.name)
    world.run(seconds)


def instances(world: World) -> list[str]:
    """The instances that east has."""
    return world.east.engine.instances.of(NAME)
