# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes set by hand where there are real SAs: held packets are sent, and managers leave them alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from engine.classic import shunt_rules
from engine.classic.klips import format_eroute
from engine.classic.views import read_tables
from engine.errors import MissingError
from manager_site import Manager
from namespaces import Namespace
from shunt_host import Host, XfrmEventsIn, ipsec, send

pytestmark = pytest.mark.usefixtures("esp")


def state_command(source: str, destination: str, spi: int) -> str:
    return (
        f"ip xfrm state add src {source} dst {destination} proto esp spi {spi} reqid 7 mode tunnel flag af-unspec "
        f"replay-window 32 aead 'rfc4106(gcm(aes))' 0x{'5a' * 20} 128"
    )


def test_held_packets_are_sent_when_an_sa_replaces_the_trap(site: Host) -> None:
    site.gateway.run("echo 0 > /proc/sys/net/core/xfrm_larval_drop")
    far_runtime = f"{site.runtime}-far"
    site.far.run(state_command("10.2.0.1", "10.2.0.10", 0x115))
    said = "esp.115@10.2.0.10"
    ipsec(site.far, far_runtime, "eroute", "--addin", "--src", "10.1.0.0/24", "--dst", "10.2.0.0/24", "--said", said)
    ends = ("--src", "10.1.0.0/24", "--dst", "10.2.0.0/24")
    ipsec(site.gateway, site.runtime, "eroute", "--add", *ends, "--said", "%trap")
    with site.far.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard, XfrmEventsIn(site.gateway):
        heard.bind(("10.2.0.10", 4000))
        with site.near.entered():
            for _unused in range(3):
                send("10.2.0.10")
        heard.settimeout(0.5)
        with pytest.raises(TimeoutError):
            heard.recv(10)
        assert any(line.endswith("=> %hold:17") for line in site.lines())
        site.gateway.run(state_command("10.2.0.1", "10.2.0.10", 0x115))
        ipsec(site.gateway, site.runtime, "eroute", "--replace", *ends, "--said", said)
        heard.settimeout(5)
        assert [heard.recv(10) for _unused in range(3)] == [b"x"] * 3
    assert "3 10.1.0.0/24 -> 10.2.0.0/24 => esp0x115@10.2.0.10" in site.lines()
    in_count = site.far.run("ip -s xfrm state")
    assert "3(packets)" in in_count


def test_eroutes_to_one_sa_that_was_keyed_by_hand_count_each_its_own_packets(site: Host, tmp_path: Path) -> None:
    with site.gateway.entered():
        try:
            shunt_rules.require_ways()
        except MissingError as exc:
            pytest.skip(str(exc))
    said, key = "esp.115@10.2.0.10", str(tmp_path / "key")
    Path(key).write_text(f"0x{'5a' * 32}\n")
    sa = ("--said", said, "--src", "10.2.0.1", "--esp", "aes256-sha2-256-128", "--enckey-file", key)
    ends = ("--src", "10.1.0.0/24", "--dst", "10.2.0.0/24")
    for host, runtime in ((site.far, f"{site.runtime}-far"), (site.gateway, site.runtime)):
        ipsec(host, runtime, "spi", *sa, "--authkey-file", key, "--mode", "tunnel")
    ipsec(site.far, f"{site.runtime}-far", "eroute", "--addin", *ends, "--said", said)
    ports = [("--transport-proto", "udp", "--dst-port", port) for port in ("4001", "4002")]
    site.gateway.run("echo 0 > /proc/sys/net/core/xfrm_larval_drop")
    for words, target in (((), said), (ports[0], said), (ports[1], "%trap")):
        ipsec(site.gateway, site.runtime, "eroute", "--add", *ends, *words, "--said", target)
    with site.near.entered(), XfrmEventsIn(site.gateway):
        for port, times in ((4000, 3), (4001, 2), (4002, 2)):
            for _unused in range(times):
                send("10.2.0.10", port)
    with site.gateway.entered():
        send("10.2.0.10", 4001, source="10.1.0.1")
    # Those that the trap has held go out when it leads to the SA.
    ipsec(site.gateway, site.runtime, "eroute", "--replace", *ends, *ports[1], "--said", said)
    counts = {e.destination_ports[0]: (e.packets, e.packets_shared) for e in site.table() if e.sas}
    assert counts == {0: (3, False), 4001: (3, False), 4002: (2, False)}
    assert "8(packets)" in site.gateway.run("ip -s xfrm state")
    # Where nobody counts they show what their SA carried; whoever sets one has all of them counted again.
    site.gateway.run("nft delete table inet fleet_ipsec_shunts")
    assert {(e.packets, e.packets_shared) for e in site.table() if e.sas} == {(8, True)}
    ipsec(site.gateway, site.runtime, "eroute", "--replace", *ends, "--said", said)
    assert sorted(e.packets for e in site.table() if e.sas) == [0, 0, 0]


def test_what_is_set_by_hand_outlives_managers_and_their_tunnels(pair, tmp_path: Path) -> None:
    a, b = (Manager(space, tmp_path / str(number), number) for number, space in enumerate(pair, 1))
    runtime = str(a.folder)
    try:
        for manager, state in ((b, "present"), (a, "active")):
            manager.start()
            manager.apply(state)
        a.established()
        said = next(line.split()[-1] for line in eroutes_of(a.space, runtime) if "=> esp" in line)
        ends = ("--src", "10.77.0.0/24", "--dst", "10.2.0.0/24")
        ipsec(a.space, runtime, "eroute", "--add", *ends, "--said", said)
        ipsec(a.space, runtime, "eroute", "--add", "--src", "10.1.0.1", "--dst", "10.2.0.1", "--transport-proto", "tcp",
              "--said", "%drop")  # fmt: skip
        by_hand = [line for line in eroutes_of(a.space, runtime) if "10.77." in line or "%drop" in line]
        assert len(by_hand) == 2
        a.process.kill()
        a.process.wait(20)
        a.start()
        assert set(by_hand) <= set(eroutes_of(a.space, runtime))
        a.established()
        with a.space.entered(), pytest.raises(PermissionError):
            socket.create_connection(("10.2.0.1", 4000), timeout=2, source_address=("10.1.0.1", 0))
        a.call("manager.stop", keep=False)
        assert a.process.wait(20) == 0
        # The SA is gone; what led to it must not let a packet out in clear.
        assert [line.split("=> ")[1] for line in eroutes_of(a.space, runtime)] == ["%drop:6", "%trap"]
    finally:
        for manager in (a, b):
            if getattr(manager, "process", None) is not None and manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait(20)


def eroutes_of(space: Namespace, runtime: str) -> list[str]:
    """The table without counts, holds, and what lets neighbours find each other."""
    with space.entered():
        lines = [" ".join(format_eroute(e.line()).split()[1:]) for e in read_tables(runtime).eroutes]
    return [line for line in lines if "%hold" not in line and ":58" not in line]
