# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managers as processes in namespaces of their own, and what is seen of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import MissingError
from engine.manager.client import Client
from keeper import Keeper
from namespaces import Namespace

from tests.packet_watch import Watch

ENGINE = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"


class Manager:
    """One manager in one namespace."""

    def __init__(self, space: Namespace, folder: Path, number: int) -> None:
        self.space, self.folder, self.number = space, folder, number
        self.control = str(folder / "control.sock")
        self.keeper: Keeper | None = None
        self.more: list[str] = []
        self.engine = ENGINE
        folder.mkdir()

    def start(self) -> None:
        command = [sys.executable, "-m", "engine", "manager", "--database", str(self.folder / "definitions.sqlite")]
        command += ["--runtime-dir", str(self.folder), "--log-level", "debug", *self.more]
        environment = os.environ | {"PYTHONPATH": str(self.engine)}
        with self.space.entered(), (self.folder / "log").open("a") as log:
            if self.keeper is not None:
                self.process = self.keeper.run(command, log, environment)
            else:
                self.process = subprocess.Popen(command, env=environment, stderr=log)
        deadline = time.monotonic() + 180
        while True:
            try:
                self.call("log.level")
                return
            except MissingError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def call(self, method: str, **params: object) -> dict:
        with Client(self.control) as client:
            return client.call(method, params, 90)

    def apply(self, state: str, mode: str = "tunnel", **changes: object) -> dict:
        us, them = self.number, 3 - self.number
        child = {"name": "lan", "local": [f"10.{us}.0.0/24"], "remote": [f"10.{them}.0.0/24"]}
        if mode == "transport":
            child = {"name": "lan", "mode": mode}
        start = {"start": changes.pop("start")} if "start" in changes else {}
        tunnel = {
            "name": "t",
            "local": {"address": f"192.0.2.{us}"},
            "remote": {"address": f"192.0.2.{them}"},
            "auth": {"secret": "a secret of two managers in a test"},
            "children": [child | start],
        }
        return self.call("tunnels.apply", definitions=[tunnel | changes], state=state)["tunnels"][0]

    def established(self) -> None:
        outcome = self.call("tunnels.wait", names=["t"], timeout=30)
        assert outcome["reached"], f"{outcome} {(self.folder / 'log').read_text()}"

    def sas(self) -> list[dict]:
        (tunnel,) = self.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
        return tunnel["children"][0]["sas"]


@contextmanager
def running(*managers: Manager) -> Iterator[None]:
    """They run until the end of the block, and nothing happened in any of them that nobody had thought of."""
    try:
        for manager in managers:
            manager.start()
        yield
        for manager in managers:
            assert "internal error" not in (manager.folder / "log").read_text()
    finally:
        for manager in managers:
            if getattr(manager, "process", None) is not None and manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait(20)


def ping(space: Namespace, target: str, count: int = 3, wait: float = 0.05) -> int:
    """How many of ``count`` pings were answered."""
    with space.entered():
        command = ["ping", "-n", "-c", str(count), "-i", str(wait), "-W", "2", target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(re.search(r"(\d+) received", done.stdout)[1])


def kernel(space: Namespace) -> str:
    """SAs (but those that only hold a packet), policies and routes of ours."""
    states = [block for block in re.split(r"\n(?=src)", space.run("ip xfrm state")) if "spi 0x00000000" not in block]
    return "\n".join(states).strip() + space.run("ip xfrm policy list nosock; ip route show proto 166").strip()


def watched(a: Manager, b: Manager) -> list[Watch]:
    """A watch at either end of the wire."""
    return [Watch(manager.space.entered, device) for manager, device in ((a, "v0"), (b, "v1"))]


def in_clear(watches: list[Watch]) -> int:
    """End them; how many packets were in clear."""
    for watch in watches:
        watch.close()
    assert all(watch.packets for watch in watches)
    return sum(watch.count for watch in watches)


def identity(manager: Manager) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What a restart must not change: the SPIs of the SAs and of the IKE SA."""
    (tunnel,) = manager.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
    spis = {(sa["spi_in"], sa["spi_out"]) for sa in tunnel["children"][0]["sas"]}
    return sorted(spis), [(ike["initiator_spi"], ike["responder_spi"]) for ike in tunnel["ike_sas"]]
