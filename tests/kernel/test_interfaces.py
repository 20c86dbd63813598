# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route-based tunnels: XFRM interfaces between two real managers. Needs a kernel that has them: ``make interfaces``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from engine.classic.views import read_tables
from engine.errors import EngineError
from engine.kernel.interfaces import Interface, Interfaces
from engine.manager.client import RpcError
from loss_watch import lost, watching
from manager_site import Manager, ping
from namespaces import Namespace


@pytest.fixture(scope="module", autouse=True)
def kernel_has_interfaces(esp: None) -> None:
    space = Namespace()
    try:
        with space.entered():
            feature = Interfaces().feature()
        if not feature.available:
            pytest.skip(f"{feature.problem}: make interfaces brings a kernel that has them")
    finally:
        space.close()


Pair = tuple[Manager, Manager]


@pytest.fixture
def gateways(managers: Pair) -> Pair:
    """Two managers whose hosts have no other way to the networks behind each other."""
    for manager in managers:
        them = 3 - manager.number
        manager.space.run(f"ip route del 10.{them}.0.0/24; ip -6 route del fd00:{them}::/64")
    return managers


def definition(manager: Manager, name: str = "t", interface: object = (), **changes: object) -> dict:
    """Everything to everywhere, by routes: the peer's networks by default."""
    us, them = manager.number, 3 - manager.number
    usual = {
        "name": "ipsec0",
        "addresses": [f"10.255.0.{us}/30", f"fd00:ff::{us}/64"],
        "routes": [f"10.{them}.0.0/24", f"fd00:{them}::/64"],
        "mtu": 1400,
    }
    return {
        "name": name,
        "local": {"address": f"192.0.2.{us}", "id": f"{name}{us}.example"},
        "remote": {"address": f"192.0.2.{them}", "id": f"{name}{them}.example"},
        "auth": {"secret": "a secret of two managers in a test"},
        "interface": None if interface is None else usual | dict(interface),
        "children": [{"name": "any", "local": ["0.0.0.0/0", "::/0"], "remote": ["0.0.0.0/0", "::/0"]}],
    } | changes


def apply(manager: Manager, *definitions: dict, state: str = "active", **params: object) -> list[dict]:
    return manager.call("tunnels.apply", definitions=list(definitions), state=state, **params)["tunnels"]


def bring_up(gateways: Pair) -> Pair:
    a, b = gateways
    apply(b, definition(b), state="present")
    apply(a, definition(a))
    a.established()
    return a, b


def links(space: Namespace) -> list[dict]:
    return json.loads(space.run("ip -j -d link show type xfrm") or "[]")


def packets(manager: Manager, name: str = "t") -> tuple[int, int]:
    """How many packets the SAs of a tunnel's only child carried: (out, in)."""
    (tunnel,) = manager.call("tunnels.list", names=[name], verbose=True)["tunnels"]
    (sa,) = tunnel["children"][0]["sas"]
    return sa["out"]["packets"], sa["in"]["packets"]


def settled(space: Namespace) -> str:
    """What there is of our interfaces, but for counters."""
    shown = "ip -o link show type xfrm; ip -o addr show dev ipsec0 scope global; ip route show proto 166; "
    return space.run(shown + "ip -6 route show proto 166")


@contextmanager
def pinging(space: Namespace, target: str, count: int) -> Iterator[list[int]]:
    """Ping at 20 a second while something happens; the list then has how many were answered."""
    with space.entered():
        command = ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", target]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    answered: list[int] = []
    yield answered
    answered.append(int(re.search(r"(\d+) received", process.communicate(timeout=60)[0])[1]))


def test_what_is_routed_into_the_interface_is_protected(gateways: Pair) -> None:
    a, b = bring_up(gateways)
    (link,) = links(a.space)
    assert (link["ifname"], link["mtu"], link["ifalias"]) == ("ipsec0", 1400, "fleet.ipsec:/t")
    assert {"NOARP", "UP"} <= set(link["flags"])
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    assert ping(a.space, "fd00:2::1") == 3 and ping(a.space, "10.255.0.2") == 3
    # Of IPv6, a host also asks for routers by itself.
    out, back = packets(a)
    assert 12 <= out < 17 and 12 <= back < 17
    assert "dev ipsec0 proto 166" in a.space.run("ip route get fibmatch 10.2.0.9")
    assert ping(a.space, "192.0.2.2", 20) == 20 and packets(a)[0] < 20, "other packets do not meet the tunnel"
    number = link["linkinfo"]["info_data"]["if_id"]
    (eroute, other) = [e for e in _eroutes(a) if e.tunnel == "t"]
    assert {eroute.if_id, other.if_id} == {int(number, 0)} and eroute.action == "ipsec"
    (tunnel,) = a.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
    assert tunnel["children"][0]["sas"][0]["if_id"] == eroute.if_id
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert links(a.space) == [] and a.space.run("ip xfrm policy list nosock; ip route show proto 166") == ""
    assert "ipsec0" not in a.space.run("ip -6 route; ip addr")


def _eroutes(manager: Manager) -> list:
    with manager.space.entered():
        return read_tables(str(manager.folder)).eroutes


def test_two_tunnels_with_the_same_selectors_each_on_its_interface(gateways: Pair) -> None:
    a, b = gateways

    def two(manager: Manager) -> list[dict]:
        us, them = manager.number, 3 - manager.number
        first = {"addresses": [f"10.255.0.{us}/30"], "routes": [f"10.{them}.0.0/24"]}
        second = {"name": "ipsec1", "id": 77, "addresses": [f"10.255.1.{us}/30"], "routes": [f"10.{them}.1.0/24"]}
        children = [{"name": "any", "local": ["0.0.0.0/0"], "remote": ["0.0.0.0/0"]}]
        return [definition(manager, *each, children=children) for each in (("t", first), ("u", second))]

    for manager in (a, b):
        manager.space.run(f"ip addr add 10.{manager.number}.1.1/24 dev lo")
    apply(b, *two(b), state="present")
    apply(a, *two(a))
    assert a.call("tunnels.wait", names=["t", "u"], timeout=30)["reached"], (a.folder / "log").read_text()
    assert {link["ifname"] for link in links(a.space)} == {"ipsec0", "ipsec1"}
    policies = a.space.run("ip xfrm policy list nosock")
    assert policies.count("src 0.0.0.0/0 dst 0.0.0.0/0") == 6, "in, fwd and out, for each interface"
    assert policies.count("if_id 0x4d") == 3
    assert ping(a.space, "10.2.0.1") == 3 and packets(a) == (3, 3) and packets(a, "u") == (0, 0)
    assert ping(a.space, "10.2.1.1", 4) == 4 and packets(a) == (3, 3) and packets(a, "u") == (4, 4)
    apply(a, {"name": "t"}, state="absent")
    assert {link["ifname"] for link in links(a.space)} == {"ipsec1"}
    assert a.space.run("ip xfrm policy list nosock").count("src 0.0.0.0/0 dst 0.0.0.0/0") == 3
    assert ping(a.space, "10.2.1.1", 4) == 4


def test_other_routes_addresses_and_mtu_lose_no_packet(gateways: Pair) -> None:
    a, b = bring_up(gateways)
    b.space.run("ip addr add 10.9.0.1/24 dev lo")
    wanted = {"addresses": ["10.255.0.1/30", "10.254.0.1/24"], "routes": ["10.2.0.0/24", "10.9.0.0/24"], "mtu": 1380}
    index = links(a.space)[0]["ifindex"]
    with pinging(a.space, "10.2.0.1", 60) as answered:
        (step,) = apply(a, definition(a, interface=wanted))
        assert step["impact"] == "hot", step
        assert set(step["changes"]) == {"interface.addresses", "interface.routes", "interface.mtu"}
    assert answered == [60]
    assert ping(a.space, "10.9.0.1") == 3
    (link,) = links(a.space)
    assert (link["ifindex"], link["mtu"]) == (index, 1380)
    shown = settled(a.space)
    assert (
        "10.254.0.1/24" in shown and "10.255.0.1/30" in shown and "fd00:ff::1" not in shown and "fd00:2::" not in shown
    )
    assert apply(a, definition(a, interface=wanted))[0]["action"] == "none"
    wanted["addresses"] = ["10.255.0.1/29"]
    apply(a, definition(a, interface=wanted))
    assert "10.255.0.1/29" in settled(a.space) and "10.254.0.1" not in settled(a.space)
    assert ping(a.space, "10.9.0.1") == 3


def test_another_id_re_establishes_and_the_old_one_is_gone(gateways: Pair) -> None:
    a, _b = bring_up(gateways)
    (step,) = apply(a, definition(a, interface={"id": 42}))
    assert (step["impact"], step["changes"]) == ("re-establish", ["interface.id"])
    a.established()
    assert ping(a.space, "10.2.0.1") == 3
    assert links(a.space)[0]["linkinfo"]["info_data"]["if_id"] in ("0x2a", 42)
    policies = a.space.run("ip xfrm policy list nosock")
    assert policies.count("if_id 0x2a") == 6 == policies.count("if_id")
    (step,) = apply(a, definition(a, interface={"id": 42, "name": "ipsec9"}))
    assert step["impact"] == "re-establish" and [link["ifname"] for link in links(a.space)] == ["ipsec9"]
    a.established()
    assert ping(a.space, "10.2.0.1") == 3


def test_the_link_of_another_program_is_refused_before_anything_changes(gateways: Pair) -> None:
    a, _b = gateways
    a.space.run("ip link add ipsec0 type dummy; ip addr add 10.99.0.1/24 dev ipsec0")
    before = a.space.run("ip -o link show ipsec0; ip -o addr show ipsec0")
    with pytest.raises(RpcError) as told:
        apply(a, definition(a))
    assert (
        "interface.name" in str(told.value) and "not ours" in str(told.value) and "remove that link" in str(told.value)
    )
    assert a.call("tunnels.list", source="database")["tunnels"] == []
    assert a.space.run("ip -o link show ipsec0; ip -o addr show ipsec0") == before
    a.space.run("ip link del ipsec0; ip link add ipsec0 type xfrm if_id 5")
    with pytest.raises(RpcError):
        apply(a, definition(a))
    assert a.space.run("ip -o link show ipsec0")


def test_it_goes_with_its_tunnel_or_its_option(gateways: Pair) -> None:
    a, _b = bring_up(gateways)
    apply(a, {"name": "t"}, state="inactive")
    assert len(links(a.space)) == 1, "it stands as long as the tunnel is defined"
    assert ping(a.space, "10.2.0.1", 1) == 0
    apply(a, {"name": "t"}, state="active")
    a.established()
    assert ping(a.space, "10.2.0.1") == 3
    apply(
        a,
        definition(a, interface=None, children=[{"name": "any", "local": ["10.1.0.0/24"], "remote": ["10.2.0.0/24"]}]),
    )
    assert links(a.space) == []
    apply(a, definition(a))
    assert len(links(a.space)) == 1
    apply(a, {"name": "t"}, state="absent")
    assert links(a.space) == [] and "if_id" not in a.space.run("ip xfrm policy list nosock; ip xfrm state")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_keeps_what_is_defined_and_removes_what_is_not(gateways: Pair, number: int) -> None:
    a, _b = bring_up(gateways)
    before, index = settled(a.space), links(a.space)[0]["ifindex"]
    policies = a.space.run("ip xfrm policy list nosock")
    assert "10.255.0.1/30" in before and "10.2.0.0/24" in before and "fd00:2::/64" in before
    with a.space.entered():
        monitor = subprocess.Popen(["ip", "monitor", "link", "address", "route"], stdout=subprocess.PIPE, text=True)
    with pinging(a.space, "10.2.0.1", 100) as answered:
        a.end(number)
        a.start()
    assert answered == [100]
    assert settled(a.space) == before and links(a.space)[0]["ifindex"] == index
    assert a.space.run("ip xfrm policy list nosock") == policies
    monitor.terminate()
    assert "ipsec0" not in monitor.communicate()[0], "nothing of it was touched"
    (step,) = apply(a, definition(a))
    assert step["action"] == "none", "and nothing is to do"
    (step,) = apply(a, definition(a, interface={"mtu": 1300}))
    assert step["impact"] == "hot" and links(a.space)[0]["mtu"] == 1300
    (sa,) = a.sas()
    a.space.run("ip link del ipsec0")
    a.end(number)
    a.start()
    assert links(a.space)[0]["mtu"] == 1300 and ping(a.space, "10.2.0.1") == 3, "what somebody removed is made again"
    assert a.sas()[0]["spi_in"] == sa["spi_in"]
    a.end(number)
    (a.folder / "definitions.sqlite").unlink()
    a.start()
    assert links(a.space) == [] and "proto 166" not in a.space.run("ip route")


def test_nothing_leaves_in_clear_while_the_tunnel_is_down(gateways: Pair) -> None:
    a, b = gateways
    apply(a, definition(a))
    assert len(links(a.space)) == 1
    with watching(b.space, "v1") as seen:
        assert ping(a.space, "10.2.0.1", 3) == 0 and ping(a.space, "fd00:2::1", 2) == 0
    assert "192.0.2.2" in seen and not {"10.2.0.1", "fd00:2::1"} & set(seen), "IKE tries, and that is all"


def test_a_packet_starts_a_trap_behind_an_interface(gateways: Pair) -> None:
    a, b = gateways
    child = {"name": "any", "local": ["0.0.0.0/0"], "remote": ["0.0.0.0/0"], "start": "trap"}
    apply(b, definition(b), state="present")
    routed = {"routes": ["10.2.0.0/24"]}
    apply(a, definition(a, interface=routed, children=[child]), state="present")
    a.space.run("sysctl -qw net.core.xfrm_larval_drop=0")
    assert lost(a, "10.2.0.1", 4) == [1], "such an interface holds no packet, whatever the kernel's setting"
    assert packets(a) == (3, 3)


def test_routes_take_a_source_address_that_the_tunnel_may_send_from(gateways: Pair) -> None:
    a, b = gateways

    def narrow(manager: Manager) -> dict:
        us, them = manager.number, 3 - manager.number
        child = {"name": "lan", "local": [f"10.{us}.0.0/24"], "remote": [f"10.{them}.0.0/24"]}
        return definition(manager, interface={"addresses": [], "routes": None}, children=[child])

    apply(b, narrow(b), state="present")
    apply(a, narrow(a))
    a.established()
    assert "10.2.0.0/24 dev ipsec0 src 10.1.0.1 metric 1024" in a.space.run("ip route show proto 166")
    (link,) = re.findall(r"\d+: (\S+) +inet 10\.1\.0\.1/24", a.space.run("ip -o -4 addr show"))
    a.space.run(f"ip addr del 10.1.0.1/24 dev {link}")
    time.sleep(1)
    a.space.run(f"ip addr add 10.1.0.1/24 dev {link}")
    deadline = time.monotonic() + 3
    while "10.2.0.0/24 dev ipsec0 src 10.1.0.1 metric 1024" not in a.space.run("ip route show proto 166"):
        assert time.monotonic() < deadline, a.space.run("ip route show proto 166")
        time.sleep(0.05)
    assert ping(a.space, "10.2.0.1") == 3


def test_the_kernels_own_words_and_leftovers_of_a_kill(space: Namespace) -> None:
    wanted = Interface("ipsec0", 42, "me", "t", 1400, ("10.255.0.1/30",), ("10.9.0.0/16",))
    with space.entered():
        interfaces = Interfaces()
        space.run("ip link add ipsec0 type xfrm if_id 42")
        interfaces.apply(wanted)
        assert interfaces.find("ipsec0").alias == "fleet.ipsec:me/t", "killed before it could be named"
        space.run("ip addr add 10.255.9.1/24 dev ipsec0")
        interfaces.apply(Interface("ipsec0", 42, "me", "t", 1400, (), ()), wanted)
        shown = space.run("ip -o -4 addr show dev ipsec0; ip route show dev ipsec0 proto 166")
        assert "10.255.9.1/24" in shown and "10.255.0.1" not in shown and "10.9.0.0" not in shown, "ours alone"
        assert not interfaces.remove("ipsec0", "fleet.ipsec:other/t") and interfaces.ours()
        assert interfaces.remove("ipsec0", wanted.alias) and not interfaces.remove("ipsec0", wanted.alias)
        space.run("ip link add lan0 type dummy; ip route add blackhole 10.9.0.0/16 metric 1024")
        with pytest.raises(EngineError, match=r"10\.9\.0\.0/16"):
            interfaces.apply(wanted)
        assert "blackhole 10.9.0.0/16 metric 1024" in space.run("ip route"), "an operator's own route stays"
        assert [link.name for link in interfaces.ours()] == ["ipsec0"]
        interfaces.close()


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("ip link del ipsec0", "the interface ipsec0"),
        ("ip link set ipsec0 down", "the settings of the interface ipsec0"),
        ("ip addr del 10.255.0.1/30 dev ipsec0", "the address 10.255.0.1/30"),
        ("ip route flush proto 166", "through the interface ipsec0"),
        ("ip xfrm policy flush", "policies of the child any"),
    ],
)
def test_what_others_take_of_it_is_put_back_and_said(gateways: Pair, command: str, what: str) -> None:
    a, _b = bring_up(gateways)

    def stands() -> list[str]:
        # The index of a link that was made anew is another one.
        return sorted(re.sub(r"^\d+: ", "", line) for line in settled(a.space).splitlines())

    before = stands()
    assert before
    a.space.run(command)
    deadline = time.monotonic() + 2
    while stands() != before:
        assert time.monotonic() < deadline, settled(a.space)
        time.sleep(0.02)
    assert ping(a.space, "10.2.0.1") == 3
    (row,) = apply(a, definition(a))
    assert row["action"] == "repaired" and what in row["repaired"][0]
    (row,) = apply(a, definition(a))
    assert row["action"] == "none"
