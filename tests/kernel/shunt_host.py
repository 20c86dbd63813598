# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with eroutes by hand: what is sent, what the kernel tells of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from engine.classic import shunts
from engine.classic.eroute_words import Words, build, read_direction, read_selector, read_target
from engine.classic.eroutes import Eroute
from engine.classic.klips import format_eroute
from engine.classic.shunt_plan import Plan, plan_absent, plan_present
from engine.classic.shunt_wish import Wish
from engine.classic.views import read_tables
from engine.kernel.events import XfrmEvents
from namespaces import Namespace

MODULE_UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"


class Host:
    """Three namespaces: ``near`` 10.1.0.10, ``gateway`` 10.1.0.1 and 10.2.0.1, ``far`` 10.2.0.10; likewise fd00:N::."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.near, self.gateway, self.far = Namespace(), Namespace(), Namespace()
        for host, name, number in ((self.near, "lan", 1), (self.far, "wan", 2)):
            self.gateway.run(
                f"ip link add {name} type veth peer name eth0; ip link set eth0 netns /proc/{os.getpid()}/fd/{host.fd};"
                f"ip addr add 10.{number}.0.1/24 dev {name}; ip addr add fd00:{number}::1/64 dev {name} nodad;"
                f"ip link set {name} up"
            )
            host.run(
                f"ip addr add 10.{number}.0.10/24 dev eth0; ip addr add fd00:{number}::10/64 dev eth0 nodad;"
                "ip link set eth0 up;"
                f"ip route add default via 10.{number}.0.1; ip route add default via fd00:{number}::1"
            )
        self.gateway.run(
            "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
            # All errors, at once.
            "echo 0 > /proc/sys/net/ipv4/icmp_ratemask; echo > /proc/sys/net/ipv6/icmp/ratemask || true"
        )

    def close(self) -> None:
        for space in (self.near, self.gateway, self.far):
            space.close()

    def reach(self, target: str) -> None:
        """Wait until ``near`` reaches a target: links that have just come up take their time with IPv6."""
        for _unused in range(5):
            if "1 received" in self.ping(target):
                return
        pytest.fail(f"{target} is out of reach from the beginning")

    def present(self, *wishes: Wish, owner: str = "tests", purge: bool = False) -> Plan:
        with self.gateway.entered():
            return shunts.perform(self.runtime, partial(plan_present, wishes=wishes, owner=owner, purge=purge))

    def absent(self, *wishes: Wish, owner: str = "tests") -> Plan:
        keys = [(wish.shunt.key, wish.field) for wish in wishes]
        with self.gateway.entered():
            return shunts.perform(self.runtime, partial(plan_absent, keys=keys, owner=owner))

    def table(self) -> list[Eroute]:
        with self.gateway.entered():
            return read_tables(self.runtime).eroutes

    def lines(self) -> list[str]:
        return [" ".join(format_eroute(eroute.line()).split()) for eroute in self.table()]

    def ping(self, target: str, source: str = "", space: Namespace | None = None) -> str:
        """What ping says of one echo request from ``near``, or from another namespace."""
        words = ["ping", "-c1", "-W1", *(["-I", source] if source else []), target]
        with (space or self.near).entered():
            return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def blocked(self) -> int:
        """XfrmOutPolBlock of the gateway."""
        text = self.gateway.run("cat /proc/net/xfrm_stat")
        return int(next(line for line in text.splitlines() if line.startswith("XfrmOutPolBlock")).split()[1])


def wish(
    source: str, destination: str, target: str, protocol: str | None = None, port: str | None = None,
    direction: str | None = None, first: bool | None = None, counted: bool | None = None, owner: str = "tests",
) -> Wish:  # fmt: skip
    def name(field: str) -> str:
        return field

    kind = read_target(target, "said")
    selector = read_selector(Words(source, destination, protocol, None, port), name)
    return Wish(build(selector, kind, read_direction(direction, kind[0], "direction"), owner), name, first, counted)


def send(target: str, port: int = 4000, source: str | None = None) -> None:
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if source:
            sock.bind((source, 0))
        sock.sendto(b"x", (target, port))


class XfrmEventsIn:
    """Somebody who listens for acquires, without whom the kernel holds nothing."""

    def __init__(self, space: Namespace) -> None:
        self._space = space

    def __enter__(self) -> XfrmEvents:
        with self._space.entered():
            self._events = XfrmEvents()
        return self._events

    def __exit__(self, *_problem: object) -> None:
        self._events.close()


def ipsec(space: Namespace, runtime: str, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
    command = [sys.executable, "-m", "engine.cli.ipsec", *words, "--runtime-dir", runtime]
    with space.entered():
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
