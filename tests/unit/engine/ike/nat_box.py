# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A NAT between the two ends of the world."""

from __future__ import annotations

from dataclasses import replace

from engine.ike.actions import Path
from engine.ike.connection import ChildConfig
from engine.selector import parse_selector

from .world import EAST, WEST, World, child, east_connection, mirror

PUBLIC = "198.51.100.7"


class Nat:
    """In front of east: its packets come from ``PUBLIC`` and another port; the mapping can change."""

    def __init__(self, world: World) -> None:
        self.offset = 20000
        world.translate = self.translate
        world.host = lambda address: world.west if address == WEST else world.east

    def translate(self, path: Path) -> Path | None:
        if path.remote_address == EAST:
            return path._replace(remote_address=PUBLIC, remote_port=path.remote_port + self.offset)
        if path.local_address == PUBLIC:
            if path.local_port - self.offset not in (500, 4500):
                return None  # the mapping is gone
            return path._replace(local_address=EAST, local_port=path.local_port - self.offset)
        return path


def behind_nat(*children: ChildConfig, **more: object) -> tuple[World, Nat]:
    """East behind a NAT, up."""
    world = World()
    east = east_connection(children=children or (child(),), **more)
    world.east.engine.define(east)
    west = replace(mirror(east), remote_address=None)
    west = replace(west, children=tuple(transported(config) for config in west.children))
    world.west.engine.define(west)
    nat = Nat(world)
    world.east.start()
    world.run(1.0)
    return world, nat


def transported(config: ChildConfig) -> ChildConfig:
    """West sees east at its public address."""
    if config.mode == "tunnel":
        return config
    ports = [(s.protocol, s.first_port, s.last_port) for s in config.remote]
    public = parse_selector(f"{PUBLIC}/32")
    remote = tuple(replace(public, protocol=p, first_port=a, last_port=b) for p, a, b in ports)
    return replace(config, remote=remote)
