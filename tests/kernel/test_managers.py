# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two whole managers with the real kernel between two namespaces: real IKE, real ESP, real packets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Namespace
from engine.errors import MissingError
from engine.manager.client import Client
from keeper import Keeper

from tests.packet_watch import Flood, Watch

pytestmark = pytest.mark.usefixtures("esp")

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


@pytest.fixture
def managers(pair: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[tuple[Manager, Manager]]:
    a, b = (Manager(space, tmp_path / str(number), number) for number, space in enumerate(pair, 1))
    try:
        a.start()
        b.start()
        yield a, b
        for manager in (a, b):
            assert "internal error" not in (manager.folder / "log").read_text()
    finally:
        for manager in (a, b):
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


def test_tunnel_carries_packets_and_leaves_nothing(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present")
    a.apply("active")
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    (sa,) = a.sas()
    assert sa["in"]["packets"] == sa["out"]["packets"] == 6
    assert {sa["spi_in"], sa["spi_out"]} <= set(re.findall(r"spi (0x[0-9a-f]{8})", a.space.run("ip xfrm state")))
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert kernel(a.space) == ""
    assert b.call("tunnels.wait", names=["t"], until="down", timeout=5)["reached"]


def test_rekey_and_reestablishment_under_traffic(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", ike={"proposals": "compat"})
    a.apply("active")
    a.established()
    first = a.sas()
    with a.space.entered():
        command = ["ping", "-n", "-c", "60", "-i", "0.05", "-W", "2", "10.2.0.1"]
        pings = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert a.apply("active", ike={"proposals": "aes128gcm16-sha256-ecp256"})["impact"] == "rekey"
    assert "60 received" in pings.communicate(timeout=60)[0]
    assert a.call("tunnels.list", verbose=True)["tunnels"][0]["ike_sas"][0]["algorithms"][0] == "aes128gcm16"
    assert a.apply("active", encapsulation="force", ike={"proposals": "compat"})["impact"] == "re-establish"
    # What was negotiated before goes on until the new one is up.
    deadline = time.monotonic() + 30
    while a.sas()[0]["encapsulation"] != [4500, 4500] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert a.sas()[0]["encapsulation"] == [4500, 4500] and a.sas()[0]["spi_in"] != first[0]["spi_in"]
    assert ping(a.space, "10.2.0.1") == 3


def test_a_packet_starts_a_trapped_transport_child(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", mode="transport")
    a.apply("present", mode="transport", start="trap")
    assert ping(a.space, "192.0.2.2", 20, 0.2) >= 10, "IKE itself must pass by the trap"
    (sa,) = a.sas()
    assert sa["mode"] == "transport" and sa["out"]["packets"] >= 10


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("ends", ["initiator", "responder", "both"])
def test_a_restart_loses_no_packet_and_no_sa(managers: tuple[Manager, Manager], number: int, ends: str) -> None:
    a, b = managers
    b.apply("present")
    a.apply("active")
    a.established()
    before = identity(a), identity(b)
    a.space.run("ip xfrm policy list nosock > /tmp/policies; ip route > /tmp/routes")
    watches = watched(a, b)
    flood = Flood(a.space.entered, "10.1.0.1", "10.2.0.1")
    time.sleep(0.5)
    restarted = {"initiator": [a], "responder": [b], "both": [a, b]}[ends]
    for manager in restarted:
        assert manager.end(number) in (0, -signal.SIGKILL)
    for manager in restarted:
        manager.start()
    time.sleep(0.5)
    sent, lost = flood.end()
    assert in_clear(watches) == 0
    assert not lost and sent > 90
    assert (identity(a), identity(b)) == before
    a.space.run("ip xfrm policy list nosock | diff - /tmp/policies; ip route | diff - /tmp/routes")
    # And they go on: the old SAs can be rekeyed and closed by either end.
    proposals = ["aes128gcm16-sha256-ecp256", "aes256gcm16-sha384-x25519"]
    assert a.apply("active", ike={"proposals": proposals})["impact"] == "rekey"
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    b.call("manager.stop", keep=False)
    assert b.process.wait(20) == 0
    assert a.call("tunnels.wait", names=["t"], until="down", timeout=5)["reached"]
    assert "proto esp" not in b.space.run("ip xfrm state")


def test_esp_in_udp_goes_on_while_systemd_keeps_the_sockets(managers: tuple[Manager, Manager], tmp_path: Path) -> None:
    a, b = managers
    for manager in managers:
        manager.end(signal.SIGTERM)
        (manager.folder / "notify").mkdir()
        manager.keeper = Keeper(manager.folder / "notify")
        manager.start()
    b.apply("present", encapsulation="force")
    a.apply("active", encapsulation="force")
    a.established()
    before = identity(a), identity(b)
    watches = watched(a, b)
    flood = Flood(a.space.entered, "10.1.0.1", "10.2.0.1")
    time.sleep(0.5)
    for manager in managers:
        manager.end(signal.SIGKILL)
        time.sleep(0.3)
    for manager in managers:
        manager.start()
    sent, lost = flood.end()
    assert in_clear(watches) == 0
    assert not lost and sent > 50
    assert (identity(a), identity(b)) == before and a.sas()[0]["encapsulation"] == [4500, 4500]
    for manager in managers:
        manager.keeper.close()


def test_neighbours_on_one_link_find_each_other_behind_their_policies(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    for space in (a.space, b.space):
        assert space.run("ip xfrm policy list nosock").count("proto ipv6-icmp type 13") == 4
    ends = {
        manager: {
            "local": {"address": f"2001:db8::{manager.number}"},
            "remote": {"address": f"2001:db8::{3 - manager.number}"},
        }
        for manager in (a, b)
    }
    for manager in (a, b):
        manager.space.run("ip -6 neigh flush all")
    b.apply("present", mode="transport", **ends[b])
    a.apply("active", mode="transport", **ends[a])
    a.established()
    for manager in (a, b):
        manager.space.run("ip -6 neigh flush all")
    assert ping(a.space, "2001:db8::2") == 3
    assert a.sas()[0]["out"]["packets"] >= 3
