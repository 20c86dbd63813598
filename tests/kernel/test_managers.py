# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two whole managers with the real kernel between two namespaces: real IKE, real ESP, real packets."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from keeper import Keeper
from manager_site import Manager, identity, in_clear, kernel, ping, watched

from tests.packet_watch import Flood

pytestmark = pytest.mark.usefixtures("esp")


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


ONE_END = ("initiator", "responder")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("ends", [*(pytest.param(one, marks=pytest.mark.nightly) for one in ONE_END), "both"])
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
