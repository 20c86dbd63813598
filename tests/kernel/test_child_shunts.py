# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that let packets pass in clear, or drop them; on any kernel that has policies."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

from engine.classic.views import read_tables
from manager_site import Manager, ping

WIDE = {"name": "lan", "local": ["10.1.0.0/24"], "remote": ["10.0.0.0/8"], "start": "trap"}
PASS = {"name": "printers", "local": ["10.1.0.0/24"], "remote": ["10.2.0.0/24"], "mode": "pass", "start": "trap"}
DROP = {"name": "guests", "local": ["10.1.0.0/24"], "remote": ["10.2.0.1[icmp]"], "mode": "drop", "start": "trap"}


def eventually(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def states(manager: Manager) -> dict[str, str]:
    (tunnel,) = manager.call("tunnels.list", names=["t"])["tunnels"]
    return {child["name"]: child["state"] for child in tunnel["children"]}


def actions(manager: Manager) -> list[tuple[str, str]]:
    with manager.space.entered():
        found = read_tables(str(manager.folder)).eroutes
    return [(eroute.destination, eroute.action) for eroute in found if eroute.source.startswith("10.1.")]


def policies(manager: Manager) -> set[str]:
    found = re.split(r"\n(?=src)", manager.space.run("ip xfrm policy list nosock").strip())
    return {policy for policy in found if policy and "ipv6-icmp" not in policy}  # neighbours pass whatever is defined


def test_the_most_specific_of_them_wins(managers: tuple[Manager, Manager]) -> None:
    a, _b = managers
    a.apply("present", children=[WIDE])
    assert ping(a.space, "10.2.0.1", 2) == 0, "it waits for the tunnel"
    a.apply("present", children=[WIDE, PASS])
    assert states(a)["printers"] == "active"
    assert ping(a.space, "10.2.0.1") == 3, "in clear, both ways"
    a.apply("present", children=[WIDE, PASS, DROP])
    assert states(a)["printers"] == states(a)["guests"] == "active"
    assert ping(a.space, "10.2.0.1", 2) == 0
    table = [each for each in actions(a) if each[1] != "hold"]
    assert table == [("10.2.0.1/32", "drop"), ("10.2.0.0/24", "pass"), ("10.0.0.0/8", "trap")]
    a.apply("present", children=[WIDE, PASS])
    assert ping(a.space, "10.2.0.1") == 3
    a.apply("present", children=[WIDE | {"mode": "drop"}, PASS])
    assert ping(a.space, "10.2.0.1") == 3 and actions(a)[-1] == ("10.0.0.0/8", "drop")
    a.call("tunnels.apply", definitions=[{"name": "t"}], state="inactive")
    assert states(a) == {"lan": "dormant", "printers": "dormant"} and policies(a) == set()


def test_they_stand_through_a_restart_and_are_put_back(managers: tuple[Manager, Manager]) -> None:
    a, _b = managers
    a.apply("present", children=[WIDE, PASS, DROP])
    before = policies(a)
    assert len(before) == 9
    a.end(signal.SIGKILL)
    assert policies(a) == before
    a.start()
    assert policies(a) == before and states(a)["printers"] == states(a)["guests"] == "active"
    for selector in ("src 10.1.0.0/24 dst 10.2.0.0/24", "src 10.1.0.0/24 dst 10.2.0.1/32 proto icmp"):
        a.space.run(f"ip xfrm policy delete {selector} dir out")
        eventually(lambda: len(policies(a)) == 9)
    a.space.run("ip xfrm policy flush")
    eventually(lambda: len(policies(a)) >= 9)
    (tunnel,) = a.call("tunnels.list", names=["t"])["tunnels"]
    assert tunnel["repairs"]["count"]
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert policies(a) == set()


def test_a_tunnel_of_nothing_else_is_active_when_they_stand(managers: tuple[Manager, Manager]) -> None:
    a, _b = managers
    a.apply("present", children=[PASS])
    a.call("tunnels.apply", definitions=[{"name": "t"}], state="present")
    (tunnel,) = a.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
    assert tunnel["ike_sas"] == [] and states(a) == {"printers": "active"}
    assert a.call("tunnels.rekey", names=["t"], check=True)["tunnels"]
    six = {"local": ["fd00:1::/64"], "remote": ["fd00:2::/64"]}
    a.apply("present", children=[PASS | six, DROP | {"local": ["fd00:1::/64"], "remote": ["fd00:2::1"]}])
    assert "action block" in a.space.run("ip xfrm policy list src fd00:1::/64 dst fd00:2::1/128")
