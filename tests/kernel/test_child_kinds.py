# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that are more, or less, than ESP, between two managers on the real kernel."""

from __future__ import annotations

import contextlib
import re
import signal
import sys

import pytest
from engine.classic.views import read_tables
from manager_site import ENGINE, Manager, identity, kernel, ping
from namespaces import Namespace

from tests.packet_watch import LEAVES, packets_of
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("whole_ipsec")


def child_of(manager: Manager, **options: object) -> dict:
    us, them = manager.number, 3 - manager.number
    return {"name": "lan", "local": [f"10.{us}.0.0/24"], "remote": [f"10.{them}.0.0/24"], **options}


def both_up(a: Manager, b: Manager, **options: object) -> None:
    b.apply("present", children=[child_of(b, **options)])
    a.apply("active", children=[child_of(a, **options)])
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3


def goes_on(a: Manager, b: Manager) -> None:
    """Through a restart of either end, a rekey by either end, and to an end that leaves nothing."""
    before = identity(a)[0], identity(b)[0]
    for manager in (a, b):
        manager.end(signal.SIGKILL)
        assert ping(a.space, "10.2.0.1") == 3
        manager.start()
    assert (identity(a)[0], identity(b)[0]) == before
    for manager in (a, b):
        (spis,) = identity(a)[0]
        manager.call("tunnels.rekey", names=["t"], phase=2)
        # The one before is there for a moment more.
        eventually(lambda old=spis: len(identity(a)[0]) == 1 and old not in identity(a)[0], 30, "one with fresh keys")
        assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert kernel(a.space) == ""
    assert b.call("tunnels.wait", names=["t"], until="down", timeout=5)["reached"]


@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_ah(managers: tuple[Manager, Manager], mode: str) -> None:
    a, b = managers
    if mode == "transport":
        for manager, state in ((b, "present"), (a, "active")):
            manager.apply(state, children=[{"name": "lan", "mode": mode, "protocol": "ah"}])
        a.established()
        assert ping(a.space, "192.0.2.2") == 3
        (sa,) = a.sas()
        assert (sa["protocol"], sa["mode"], sa["out"]["packets"]) == ("ah", "transport", 3)
        return
    both_up(a, b, protocol="ah", proposals=["sha256-x25519"])
    (sa,) = a.sas()
    assert (sa["protocol"], sa["encryption"], sa["integrity"]) == ("ah", "", "sha256")
    assert sa["in"]["packets"] == sa["out"]["packets"] == 6
    assert len(re.findall("proto ah spi", a.space.run("ip xfrm state"))) == 2
    goes_on(a, b)


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"protocol": "ah"}, marks=pytest.mark.nightly)], ids=["esp", "ah"]
)
def test_ipcomp_carries_what_shrinks_and_what_does_not(managers: tuple[Manager, Manager], options: dict) -> None:
    a, b = managers
    both_up(a, b, ipcomp=True, **options)
    states = a.space.run("ip xfrm state")
    assert len(re.findall("proto comp spi", states)) == 2
    (sa,) = a.sas()
    assert sa["ipcomp"] and sa["mode"] == "tunnel"
    # Small packets are not compressed, and large ones are much smaller than they were.
    before = a.sas()[0]["out"]["bytes"]
    for size in ("1400", "2000"):
        assert "3 received" in a.space.run(f"ping -c3 -i0.1 -W2 -s {size} -p 00 10.2.0.1")
    assert a.sas()[0]["out"]["bytes"] - before < 6 * 400
    with a.space.entered():
        (eroute,) = [found for found in read_tables(str(a.folder)).eroutes if found.child == "lan"]
    assert [said.partition(".")[0][:4] for said in eroute.sas] == ["comp", sa["protocol"]] and eroute.action == "ipsec"
    goes_on(a, b)


def test_ipcomp_takes_packets_of_another_family(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    for manager, state in ((b, "present"), (a, "active")):
        us, them = manager.number, 3 - manager.number
        networks = {"local": [f"fd00:{us}::/64"], "remote": [f"fd00:{them}::/64"]}
        manager.apply(state, children=[child_of(manager, ipcomp=True) | networks])
    a.established()
    for size in ("8", "1200"):
        assert "3 received" in a.space.run(f"ping -6 -c3 -i0.1 -W2 -s {size} -p 00 fd00:2::1")
    (sa,) = a.sas()
    assert sa["ipcomp"] and sa["in"]["packets"] == sa["out"]["packets"] == 6


def test_ipcomp_in_transport_mode(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    for manager, state in ((b, "present"), (a, "active")):
        manager.apply(state, children=[{"name": "lan", "mode": "transport", "ipcomp": True}])
    a.established()
    for size in ("8", "1200"):
        assert "3 received" in a.space.run(f"ping -c3 -i0.1 -W2 -s {size} -p 00 192.0.2.2")
    (sa,) = a.sas()
    assert sa["ipcomp"] and sa["in"]["packets"] == sa["out"]["packets"] == 6 and sa["out"]["bytes"] < 6 * 400


def test_ipcomp_of_one_end_alone_is_left_out(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", children=[child_of(b)])
    a.apply("active", children=[child_of(a, ipcomp=True)])
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and not a.sas()[0]["ipcomp"]
    assert "proto comp" not in a.space.run("ip xfrm state; ip xfrm policy")
    b.apply("present", children=[child_of(b, ipcomp=True)])
    a.call("tunnels.rekey", names=["t"], phase=2)
    eventually(lambda: [sa["ipcomp"] for sa in a.sas()] == [True], 30, "one with compression")
    assert ping(a.space, "10.2.0.1") == 3


def test_a_trap_has_no_compression_before_it_is_agreed(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", children=[child_of(b, ipcomp=True)])
    a.apply("enabled", children=[child_of(a, ipcomp=True, start="trap")])
    assert "proto comp" not in a.space.run("ip xfrm policy")
    assert ping(a.space, "10.2.0.1", 20, 0.2) >= 10
    assert a.sas()[0]["ipcomp"]
    # Somebody takes the inner SA away: the child is made anew.
    spis = identity(a)[0]
    a.space.run("ip xfrm state deleteall proto comp")
    eventually(lambda: identity(a)[0] not in (spis, []), 30, "another child in its place")
    a.established()
    assert ping(a.space, "10.2.0.1") == 3


def test_a_packet_asks_for_ah_and_its_place_is_put_back(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", children=[child_of(b, protocol="ah")])
    a.apply("enabled", children=[child_of(a, protocol="ah", start="trap")])
    assert ping(a.space, "10.2.0.1", 20, 0.2) >= 10
    (sa,) = a.sas()
    assert sa["protocol"] == "ah"
    a.space.run("ip xfrm state flush; ip xfrm policy flush")
    a.established()
    assert ping(a.space, "10.2.0.1", 20, 0.2) >= 10
    assert "proto ah" in a.space.run("ip xfrm policy")


def outer_headers(space: Namespace, script: str) -> list[bytes]:
    """The outer IPv4 headers that leave while a script runs."""
    wire = packets_of(space.entered, "v0")
    space.run(script)
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            packet, address = wire.recvfrom(2000)
            if address[2] == LEAVES and packet[0] >> 4 == 4:
                found.append(packet[:20])
    wire.close()
    return found


EXPEDITED = "ping -c2 -i0.1 -W2 -M do -Q 0xb9 10.2.0.1"  # DSCP 46, ECN 1, must not be fragmented


@pytest.mark.parametrize(
    ("options", "tos", "df"),
    [({}, 0xB9, True), ({"dscp": "no"}, 0x01, True), ({"copy_ecn": False, "copy_df": False}, 0xB8, False)],
)
def test_what_is_copied_to_the_outer_header(
    managers: tuple[Manager, Manager], options: dict, tos: int, df: bool
) -> None:
    a, b = managers
    both_up(a, b, **options)
    protected = [packet for packet in outer_headers(a.space, EXPEDITED) if packet[9] == 50]
    assert len(protected) == 2
    assert {(packet[1], bool(packet[6] & 0x40)) for packet in protected} == {(tos, df)}


def test_ike_has_its_dscp_and_policies_their_priority(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    a.apply("present", ike={"dscp": 46}, children=[child_of(a, priority=77)])
    b.apply("active", children=[child_of(b)])
    b.established()
    assert len(re.findall(r"priority 77\b", a.space.run("ip xfrm policy"))) == 3
    assert ping(a.space, "10.2.0.1") == 3
    control = f"PYTHONPATH={ENGINE} {sys.executable} -m engine call --control {a.control} tunnels.rekey"
    headers = outer_headers(a.space, control + """ '{"names": ["t"]}'""")
    assert {packet[1] >> 2 for packet in headers if packet[9] == 17} == {46}


def test_a_device_that_cannot_encrypt_is_told_by_its_name(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", children=[child_of(b)])
    a.apply("active", children=[child_of(a, offload="crypto")])
    assert not a.call("tunnels.wait", names=["t"], timeout=4)["reached"]
    (tunnel,) = a.call("tunnels.list", names=["t"])["tunnels"]
    assert tunnel["reason"] == "kernel_refused" and "the device v0 cannot" in tunnel["story"], tunnel
    assert "proto esp" not in a.space.run("ip xfrm state")
    assert "dir out" in a.space.run("ip xfrm policy"), "nothing leaves in clear"
