# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel to everywhere leaves the hosts on this host's own links alone: two managers, a LAN, real packets."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from engine.classic.views import read_tables
from manager_site import Manager, kernel, ping
from namespaces import Namespace, connect

from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("esp")


@pytest.fixture
def lan(managers: tuple[Manager, Manager]) -> Iterator[Namespace]:
    """A host on a link of the first gateway: 10.9.0.2/24 and fd09::2/64, the gateway has .1 and ::1."""
    gateway, host = managers[0].space, Namespace()
    connect(gateway, host, "lan", "v1")
    gateway.run(
        "ip addr add 10.9.0.1/24 dev lan; ip addr add fd09::1/64 dev lan nodad;"
        "ip link set lan up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1;"
        "ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8::2;"
        "ip route add 10.2.0.0/24 via 192.0.2.2 2>/dev/null || true"
    )
    host.run(
        "ip addr add 10.9.0.2/24 dev v1; ip addr add fd09::2/64 dev v1 nodad; ip link set v1 up;"
        "ip route add default via 10.9.0.1; ip -6 route add default via fd09::1"
    )
    managers[1].space.run("ip route add 10.8.0.0/15 via 192.0.2.1; ip -6 route add fd09::/64 via 2001:db8::1")
    yield host
    host.close()


def everywhere(manager: Manager, state: str, **changes: object) -> dict:
    """The tunnel of the first manager to everywhere, and its mirror at the other one."""
    children = [
        {"name": f"all{version}", "local": [network], "remote": [whole]}
        for version, network, whole in ((4, "10.8.0.0/15", "0.0.0.0/0"), (6, "fd09::/64", "::/0"))
    ]
    if manager.number == 2:
        children = [child | {"local": child["remote"], "remote": child["local"]} for child in children]
    return manager.apply(state, children=children, **changes)


def passing(manager: Manager) -> set[tuple[str, str, str | None]]:
    """Source, destination and tunnel of what the eroutes let pass."""
    with manager.space.entered():
        eroutes = read_tables(str(manager.folder)).eroutes
    # Neighbour discovery of IPv6 passes by everything, and is no tunnel's.
    found = [each for each in eroutes if each.said.startswith("%pass") and each.protocol != 58]
    return {(each.source, each.destination, each.tunnel) for each in found}


def reach_each_other(gateway: Namespace, lan: Namespace, network: str = "10.9.0") -> bool:
    pings = [ping(lan, f"{network}.1"), ping(gateway, f"{network}.2")]
    return pings == [3, 3]


def test_own_links_pass_by_a_tunnel_to_everywhere(managers: tuple[Manager, Manager], lan: Namespace) -> None:
    a, b = managers
    assert reach_each_other(a.space, lan) and ping(lan, "fd09::1") == 3
    everywhere(b, "present")
    everywhere(a, "active")
    a.established()
    assert reach_each_other(a.space, lan) and ping(lan, "fd09::1") == 3 and ping(a.space, "fd09::2") == 3
    assert ping(lan, "10.2.0.1") == 3 and ping(lan, "fd00:2::1") == 3
    (tunnel,) = a.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
    # All of that, and nothing of the rest, went through the tunnel.
    assert [child["sas"][0]["out"]["packets"] for child in tunnel["children"]] == [3, 3]
    assert ("10.9.0.0/24", "10.9.0.0/24", "t") in passing(a) and ("fd09::/64", "fd09::/64", "t") in passing(a)
    # What the LAN sends to others on the way to the peer goes to the peer, too.
    assert not any(source.startswith("10.9") and to.startswith("192.0.2") for source, to, _tunnel in passing(a))
    before = kernel(a.space)
    a.end(signal.SIGKILL)
    a.start()
    assert kernel(a.space) == before
    assert reach_each_other(a.space, lan) and ping(lan, "10.2.0.1") == 3
    # The link gets another network.
    a.space.run("ip addr add 10.8.0.1/24 dev lan; ip addr del 10.9.0.1/24 dev lan")
    lan.run("ip addr add 10.8.0.2/24 dev v1")
    assert eventually(lambda: ("10.8.0.0/24", "10.8.0.0/24", "t") in passing(a))
    assert ("10.9.0.0/24", "10.9.0.0/24", "t") not in passing(a)
    assert reach_each_other(a.space, lan, "10.8.0")
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert kernel(a.space) == ""


def test_none_takes_the_links_too_and_says_so(managers: tuple[Manager, Manager], lan: Namespace) -> None:
    a, b = managers
    everywhere(b, "present")
    everywhere(a, "active")
    a.established()
    definition = {"name": "t"} | a.call("tunnels.list", names=["t"], verbose=True)["tunnels"][0]["definition"]
    definition["auth"] = {"secret": "a secret of two managers in a test"}
    done = a.call("tunnels.apply", definitions=[definition | {"bypass": "none"}], state="active")
    assert [change for tunnel in done["tunnels"] for change in tunnel["changes"]] == ["bypass"]
    assert "lan (10.9.0.0/24)" in done["warnings"][0] and "bypass: local_links" in done["warnings"][0]
    assert not passing(a) and ping(lan, "10.9.0.1", 1) == 0 and ping(lan, "10.2.0.1") == 3
    a.call("tunnels.apply", definitions=[definition | {"bypass": ["10.9.0.0/25"]}], state="active")
    assert reach_each_other(a.space, lan)
    assert passing(a) == {("10.8.0.0/15", "10.9.0.0/25", "t")}
    a.call("tunnels.apply", definitions=[definition], state="active")
    assert reach_each_other(a.space, lan) and ping(lan, "fd09::1") == 3


def test_what_a_definition_names_does_not_pass(managers: tuple[Manager, Manager], lan: Namespace) -> None:
    """Another tunnel is for a part of a link's network by its own definition: that part stays in it."""
    a, b = managers
    everywhere(b, "present")
    everywhere(a, "active")
    a.established()
    part = {
        "name": "part", "local": {"address": "192.0.2.1", "id": "a"}, "remote": {"address": "192.0.2.2", "id": "b"},
        "auth": {"secret": "a secret of two managers in a test"},
        "children": [{"name": "one", "local": ["10.9.0.1"], "remote": ["10.9.0.2"], "start": "trap"}],
    }  # fmt: skip
    a.call("tunnels.apply", definitions=[part], state="active")
    assert ping(a.space, "10.9.0.2", 1) == 0
    assert ("10.9.0.0/24", "10.9.0.0/24", "t") in passing(a)
    a.call("tunnels.apply", definitions=[{"name": "part"}], state="absent")
    assert reach_each_other(a.space, lan)
