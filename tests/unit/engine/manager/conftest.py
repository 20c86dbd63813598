# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two running managers, for the tests of this folder."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from manager_lab import Process
from runtime_world import World


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two UDP ports that are free at every loopback address of the tests."""
    with contextlib.ExitStack() as stack:
        found = []
        for _unused in range(2):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            probe.bind(("0.0.0.0", 0))
            found.append(probe.getsockname()[1])
    return found[0], found[1]


@pytest.fixture
def pair(tmp_path: Path, free_ports: tuple[int, int]) -> Iterator[tuple[Process, Process]]:
    """Two running managers at 127.0.0.2 and 127.0.0.3."""
    left = Process(tmp_path / "left", "127.0.0.2", *free_ports)
    right = Process(tmp_path / "right", "127.0.0.3", *free_ports)
    try:
        left.start()
        right.start()
        yield left, right
        for manager in (left, right):
            assert "internal error" not in manager.log.read_text()
    finally:
        for manager in (left, right):
            if manager.process is not None and manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait(10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two runtimes with a wire between them."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def two_ways(world: World) -> World:
    """The right end has two addresses, and awaits the left one."""
    world.wire.at["10.0.0.3"] = world.right
    there = {"local": {"id": "right.example.net"}, "remote": {"address": "10.0.0.1"}}
    world.define(world.right, "present", role="responder", **there)
    return world
