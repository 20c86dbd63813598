# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``ike`` at real managers with the real kernel: what it starts carries packets, what it ends does not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from manager_site import ENGINE, Manager, kernel, ping

pytestmark = pytest.mark.usefixtures("esp")
LIFETIME = 25  # seconds; a guest is slow


def command(manager: Manager, *words: str) -> list[str]:
    """The lines that ``ike`` prints."""
    line = [sys.executable, "-m", "engine.cli.ike", *words, "--control", manager.control]
    environment = os.environ | {"PYTHONPATH": str(ENGINE)}
    run = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0
    # What a removal opens is said.
    opened = [line for line in run.stderr.splitlines() if "have no policy" in line and "cmd=remove" in words]
    assert run.stderr.splitlines() == opened
    return run.stdout.splitlines()


def esp_spis(manager: Manager) -> set[str]:
    """SPIs in the kernel, larval ones aside."""
    return set(re.findall(r"proto esp spi (0x(?!00000000)[0-9a-f]{8})", manager.space.run("ip xfrm state")))


def two(manager: Manager) -> list[dict]:
    """A child for everything but SSH, and one for SSH alone."""
    us, them = manager.number, 3 - manager.number
    local, remote = f"10.{us}.0.0/24", f"10.{them}.0.0/24"
    return [
        {"name": "icmp", "local": [f"{local}[icmp]"], "remote": [f"{remote}[icmp]"], "lifetime": LIFETIME},
        {"name": "ssh", "local": [f"{local}[tcp/22]"], "remote": [f"{remote}[tcp/22]"], "start": "manual"},
    ]


def test_what_is_activated_is_in_the_kernel_and_what_is_removed_is_not(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    for manager in (b, a):
        manager.apply("present", children=two(manager))
    assert command(a, "cmd=activate", "phase=2", "namelist=icmp") == [
        "tunnel 1 (t) phase 2 icmp: negotiation has begun"
    ]
    a.established()
    assert ping(a.space, "10.2.0.1") == 3
    (sa,) = a.sas()
    assert sa["out"]["packets"] == 3 and {sa["spi_in"], sa["spi_out"]} == esp_spis(a)
    policies = a.space.run("ip xfrm policy list nosock")
    assert "proto icmp" in policies and "dport 22" not in policies and "sport 22" not in policies
    command(a, "cmd=activate", "phase=2", "namelist=ssh")
    a.established()
    assert len(esp_spis(a)) == 4 and "dport 22" in a.space.run("ip xfrm policy list nosock")
    command(a, "cmd=remove", "phase=2", "numlist=1")
    assert a.call("tunnels.wait", names=["t"], until="down", only_children=[{"name": "t", "children": ["icmp"]}])[
        "reached"
    ]
    assert len(esp_spis(a)) == 2
    policies = a.space.run("ip xfrm policy list nosock")
    # The tunnel is still wanted: what was ended of it is held, and not sent in clear.
    assert "proto icmp" in policies and "dport 22" in policies
    command(a, "cmd=remove")
    assert a.call("tunnels.wait", names=["t"], until="down")["reached"]
    assert esp_spis(a) == set() and "tmpl" not in kernel(a.space)


@pytest.mark.nightly
@pytest.mark.parametrize("crash", [False, True])
def test_a_removed_phase_1_leaves_packets_their_tunnel_until_its_lifetime_is_over(
    managers: tuple[Manager, Manager], crash: bool
) -> None:
    a, b = managers
    for manager in (b, a):
        manager.apply("present", children=two(manager))
    command(a, "cmd=activate", "autostart")
    a.established()
    began, spis = time.monotonic(), esp_spis(a)
    with a.space.entered():
        pings = subprocess.Popen(
            ["ping", "-n", "-c", "100", "-i", "0.1", "-W", "5", "10.2.0.1"], stdout=subprocess.PIPE, text=True
        )
    assert command(a, "cmd=remove", "phase=1", "numlist=1") == ["tunnel 1 (t) phase 1: ended"]
    if crash:
        a.end(signal.SIGKILL)
        a.start()
    assert "100 received" in pings.communicate(timeout=60)[0], "not a packet is lost"
    lines = [line.split()[:3] for line in command(a, "cmd=list")]
    assert lines[1:] == [["1", "1", "Expired"], ["2", "1", "Active"]]
    while time.monotonic() < began + LIFETIME - 2:
        assert esp_spis(a) == spis, "no fresh keys"
        time.sleep(0.5)
    deadline = time.monotonic() + 20
    while command(a, "cmd=list") != ["no tunnels"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert esp_spis(a) == set() and "tmpl" not in kernel(a.space)
    assert b.call("tunnels.wait", names=["t"], until="down", timeout=10)["reached"]
