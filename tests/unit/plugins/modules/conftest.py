# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnel managers for the tests of modules: real ones, over loopback sockets, with a kernel that only records."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MANAGER = Path(__file__).parents[2] / "engine" / "manager" / "fake_kernel.py"
SECRET = "correct horse battery staple, at length"


def free_ports(address: str) -> tuple[int, int]:
    """Two UDP ports that are free just now."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind((address, 0))
        two.bind((address, 0))
        return one.getsockname()[1], two.getsockname()[1]


class RunningManager:
    """One manager, at an address of the loopback."""

    def __init__(self, root: Path, address: str) -> None:
        root.mkdir()
        self.address = address
        self.ports = free_ports(address)
        self.control = str(root / "control.sock")
        arguments = ["--database", str(root / "d.sqlite"), "--runtime-dir", str(root), "--control", self.control]
        arguments += ["--listen", address, "--ike-port", str(self.ports[0]), "--natt-port", str(self.ports[1])]
        self._log = (root / "log").open("w")
        self.process = subprocess.Popen([sys.executable, str(MANAGER), *arguments], stderr=self._log, stdout=self._log)
        deadline = time.monotonic() + 15
        while not Path(self.control).exists():
            assert self.process.poll() is None and time.monotonic() < deadline, (root / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        self._log.close()


Pair = tuple[RunningManager, RunningManager]


@contextlib.contextmanager
def two_managers(root: Path) -> Iterator[Pair]:
    """Two managers that can reach each other."""
    pair = RunningManager(root / "left", "127.0.0.81"), RunningManager(root / "right", "127.0.0.82")
    try:
        yield pair
    finally:
        for manager in pair:
            manager.stop()


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[Pair]:
    """Two managers of the test's own."""
    with two_managers(tmp_path) as pair:
        yield pair


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two managers for tests after which nothing is defined."""
    with two_managers(tmp_path_factory.mktemp("untouched")) as pair:
        yield pair


def tunnel(us: RunningManager, them: RunningManager, **changes: Any) -> dict[str, Any]:
    """A tunnel between the two, as options of the module."""
    networks = sorted([us.address, them.address])
    ours, theirs = (f"10.{networks.index(each.address)}.0.0/16" for each in (us, them))
    return {
        "name": "pair",
        "local": {"address": us.address, "id": f"{us.address}.example"},
        "remote": {
            "address": them.address,
            "id": f"{them.address}.example",
            "port": them.ports[0],
            "natt_port": them.ports[1],
        },
        "auth": {"method": "psk", "secret": SECRET},
        "children": [{"name": "lan", "local": [ours], "remote": [theirs]}],
        "control_socket": us.control,
        **changes,
    }
