# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manager's tests share: definitions, and managers as processes over loopback addresses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.errors import MissingError
from engine.manager.client import Client

HERE = Path(__file__).resolve().parent
SECRET = "correct horse battery staple, at length"


def definition(name: str = "hq-b1", number: int = 9, **changes: object) -> dict:
    """A tunnel as an operator writes it."""
    return {
        "name": name,
        "local": {"address": "203.0.113.1", "id": "hq.example.net"},
        "remote": {"address": f"203.0.{number // 250}.{number % 250 + 2}", "id": f"b{number}.example.net"},
        "auth": {"secret": SECRET},
        "children": [
            {"name": "lan", "local": ["10.1.0.0/16"], "remote": [f"10.{number // 250 + 9}.{number % 250}.0/24"]}
        ],
    } | changes


class Process:
    """One manager with a kernel that only records, listening at one loopback address."""

    def __init__(self, root: Path, address: str, ike_port: int, natt_port: int) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.address = address
        self.ports = (ike_port, natt_port)
        self.control = str(root / "control.sock")
        self.log = root / "log"
        self.arguments = [
            *("--database", str(root / "definitions.sqlite"), "--runtime-dir", str(root), "--control", self.control),
            *("--ike-port", str(ike_port), "--natt-port", str(natt_port), "--listen", address, "--log-level", "debug"),
        ]
        self.process: subprocess.Popen | None = None

    def start(self, *more: str) -> None:
        with self.log.open("a") as stream:
            command = [sys.executable, str(HERE / "fake_kernel.py"), *self.arguments, *more]
            self.process = subprocess.Popen(command, stderr=stream, stdout=stream)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.call("manager.info")
                return
            except MissingError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"the manager does not start: {self.log.read_text()}") from None
                time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)

    def call(self, method: str, patience: float = 30, **params: object) -> dict:
        with Client(self.control) as client:
            return client.call(method, params, patience)

    def apply(self, *definitions: dict, **params: object) -> dict:
        return self.call("tunnels.apply", definitions=list(definitions), **params)

    def wait(self, *names: str, until: str = "established", timeout: float = 10) -> dict:
        return self.call("tunnels.wait", timeout + 5, names=list(names), until=until, timeout=timeout)

    def kernel(self) -> dict:
        """The last state that the kernel recorded."""
        return json.loads((self.root / "kernel.jsonl").read_text().splitlines()[-1])


def ends(left: Process, right: Process, secret: str = SECRET, **changes: object) -> tuple[dict, dict]:
    """The same tunnel as its two ends define it."""

    def one(us: Process, them: Process, ours: str, theirs: str, networks: tuple[str, str]) -> dict:
        return {
            "name": f"to-{theirs}",
            "local": {"address": us.address, "id": f"{ours}.example.net"},
            "remote": {
                "address": them.address,
                "id": f"{theirs}.example.net",
                "port": them.ports[0],
                "natt_port": them.ports[1],
            },
            "auth": {"secret": secret},
            "children": [{"name": "lan", "local": [networks[0]], "remote": [networks[1]]}],
        } | changes

    return (
        one(left, right, "left", "right", ("10.1.0.0/16", "10.2.0.0/16")),
        one(right, left, "right", "left", ("10.2.0.0/16", "10.1.0.0/16")),
    )
