# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers who open IKE SAs, and what may be left of it: nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.ike.actions import Path
from engine.ike.settings import Settings

from .forge import (
    TO_WEST,
)
from .world import World, east_connection, mirror


def is_clean(world: World) -> None:
    """Nothing is left of a stranger."""
    registry = world.west.engine.registry
    assert not registry.by_spi and not registry.openings and not registry.by_tunnel
    assert not world.west.engine.half_open.total and not world.west.kernel.reserved


def spoofed(number: int) -> Path:
    return TO_WEST._replace(remote_address=f"203.0.{number // 250}.{number % 250 + 1}", remote_port=1024 + number)


def any_peer(settings: Settings | None = None, **more: Any) -> World:
    """West takes peers from everywhere."""
    world = World(settings=settings)
    connection = east_connection(**more)
    world.east.engine.define(connection)
    world.west.engine.define(replace(mirror(connection), remote_address=None))
    return world
