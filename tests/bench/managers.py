# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of managers on loopback addresses, with as many tunnels between them as wanted."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import MissingError
from engine.manager.client import Client

from . import ROOT
from .measure import cores

IKE, ESP = "aes256gcm16-sha384-x25519", "aes256gcm16"
WINDOW = 16  # handshakes under way at a time: enough to keep both busy, too few for cookies
PATIENCE = 120.0  # seconds for anything that a manager is waited for
RESPONDER = "127.0.0.3"

# The initiator's address of each tunnel, by its number: what the responder's tunnels are told apart by at first.
AddressOf = Callable[[int], str]


def own_address(number: int) -> str:
    """Each peer has an address, as gateways do."""
    return f"127.1.{number >> 8}.{number & 255}"


def one_address(number: int) -> str:
    """All peers have one address, as behind one NAT."""
    return "127.0.0.2"


class Manager:
    """One manager, its files and, while it runs, its process.

    :param batches: how many tunnels each :meth:`go` brings up, for the initiator.
    :param profile: file that gets cProfile's figures when it ends, or empty.
    """

    def __init__(
        self,
        python: str,
        listen: str,
        ports: list[int],
        cpu: int | None,
        batches: list[int] | None = None,
        profile: str = "",
    ) -> None:
        self.ports = ports
        self._python = python
        self._directory = tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-")
        root = Path(self._directory.name)
        self.control = str(root / "control.sock")
        self.log = root / "log"
        options = ["--database", str(root / "definitions.sqlite"), "--runtime-dir", str(root)]
        options += ["--control", self.control, "--ike-port", str(ports[0]), "--natt-port", str(ports[1])]
        self._order: dict[str, Any] = {
            "options": [*options, "--listen", listen],
            "cpu": cpu,
            "window": WINDOW,
            "batches": batches or [],
            "profile": profile,
        }

    def start(self) -> None:
        """Start the process and wait until it serves."""
        read, self._orders = os.pipe()
        self._told, told = os.pipe()
        order = json.dumps(self._order | {"pipe": [read, self._orders], "told": told})
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [self._python, "-m", "tests.bench.manager_process", order],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                pass_fds=(read, self._orders, told),
            )
        os.close(read)
        os.close(told)
        self._await_start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def call(self, method: str, **params: Any) -> Any:
        """Call one of the manager's methods."""
        with Client(self.control) as client:
            return client.call(method, params, PATIENCE)

    def go(self) -> None:
        """Have packets for the next batch of tunnels, and wait until all of it are up.

        :raises RuntimeError: they do not come up.
        """
        os.write(self._orders, b"g")
        if not select.select([self._told], [], [], PATIENCE)[0] or not os.read(self._told, 64):
            raise RuntimeError(f"the tunnels do not come up; the end of the log: {self.log.read_text()[-2000:]}")

    def profile(self, order: str) -> None:
        """Begin (``p``) or end (``e``) to note where the time goes."""
        os.write(self._orders, order.encode())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._orders)
            os.close(self._told)

    def cleanup(self) -> None:
        """Remove its files."""
        self._directory.cleanup()

    def _await_start(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.call("manager.info")
                return
            except MissingError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"the manager does not start: {self.log.read_text()}") from None
                time.sleep(0.05)


@contextlib.contextmanager
def running(manager: Manager) -> Iterator[Manager]:
    """The manager, started; ended afterwards."""
    manager.start()
    try:
        yield manager
    finally:
        manager.stop()


@contextlib.contextmanager
def pair(
    python: str, batches: list[int], address_of: AddressOf = own_address, profiles: tuple[str, str] = ("", "")
) -> Iterator[tuple[Manager, Manager]]:
    """An initiator and a responder, a core each, with ``sum(batches)`` tunnels defined and none up.

    Both were started anew after the tunnels were defined: the memory that defining them took and gave back would
    else be what the SAs fill.
    """
    ports = free_ports(4)
    first, second = cores()
    initiator = Manager(python, "0.0.0.0", ports[:2], second, batches, profiles[0])
    responder = Manager(python, RESPONDER, ports[2:], first, None, profiles[1])
    try:
        numbers = range(sum(batches))
        _define(initiator, [initiating(address_of(number), responder.ports, number) for number in numbers])
        _define(responder, [responding(address_of(number), initiator.ports, number) for number in numbers])
        with running(responder), running(initiator):
            yield initiator, responder
    finally:
        initiator.cleanup()
        responder.cleanup()


def _define(manager: Manager, tunnels: list[dict[str, Any]]) -> None:
    with running(manager):
        manager.call("tunnels.apply", definitions=tunnels, state="present", owner="bench")


def initiating(address: str, ports: list[int], number: int) -> dict[str, Any]:
    """Definition of tunnel ``number`` for the side that starts it, at its first packet."""
    child = {"name": "lan", "local": [_network(10, number)], "remote": [_network(11, number)], "start": "trap"}
    return {
        "name": f"t{number:05}",
        "local": {"address": address, "id": f"i{number:05}.example.net"},
        "remote": {"address": RESPONDER, "id": f"r{number:05}.example.net", "port": ports[0], "natt_port": ports[1]},
        "auth": {"secret": _secret(number)},
        "ike": {"proposals": IKE},
        "children": [child | {"proposals": ESP}],
    }


def responding(address: str, ports: list[int], number: int) -> dict[str, Any]:
    """The same for the side that waits for its peer."""
    child = {"name": "lan", "local": [_network(11, number)], "remote": [_network(10, number)]}
    return {
        "name": f"t{number:05}",
        "local": {"address": RESPONDER, "id": f"r{number:05}.example.net"},
        "remote": {"address": address, "id": f"i{number:05}.example.net", "port": ports[0], "natt_port": ports[1]},
        "auth": {"secret": _secret(number)},
        "role": "responder",
        "ike": {"proposals": IKE},
        "children": [child | {"proposals": ESP}],
    }


def _secret(number: int) -> str:
    return f"a shared secret of the benchmark, number {number:05}"


def _network(first: int, number: int) -> str:
    return f"{first}.{number >> 8}.{number & 255}.0/24"


def free_ports(count: int) -> list[int]:
    """UDP ports that are free at every loopback address."""
    with contextlib.ExitStack() as stack:
        found = []
        for _unused in range(count):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            probe.bind(("0.0.0.0", 0))
            found.append(probe.getsockname()[1])
    return found
