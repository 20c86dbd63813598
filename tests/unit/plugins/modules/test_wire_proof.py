# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof has to fail where packets go in clear: two hosts with real interfaces and no IPsec at all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

NETWORKS = {"local": ["10.81.0.0/24"], "remote": ["10.82.0.0/24"]}
PING = {"destination": "10.82.0.1", "tunnel": "t", "host": "other", "sources": ["10.81.0.0/24"], "peer": "192.0.2.82"}


@pytest.fixture
def here() -> Iterator[list[str]]:
    """Words that enter the namespace of a gateway with another one at the end of its wire."""
    mine, other = (f"fleet-proof-{os.getpid()}-{side}" for side in "ab")
    commands = f"""
        netns add {mine}
        netns add {other}
        -n {mine} link add wire type veth peer name wire netns {other}
        -n {mine} addr add 192.0.2.81/24 dev wire
        -n {other} addr add 192.0.2.82/24 dev wire
        -n {mine} addr add 10.81.0.1/32 dev lo
        -n {other} addr add 10.82.0.1/32 dev lo
        -n {mine} link set lo up
        -n {other} link set lo up
        -n {mine} link set wire up
        -n {other} link set wire up
        -n {mine} route add 10.82.0.0/24 via 192.0.2.82
        -n {other} route add 10.81.0.0/24 via 192.0.2.81
    """
    try:
        for command in commands.strip().splitlines():
            subprocess.run(["ip", *command.split()], check=True)
        yield ["ip", "netns", "exec", mine]
    finally:
        for name in (mine, other):
            subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_ping_in_clear_is_no_proof(here: list[str]) -> None:
    result = run_module("wire_proof", {"pings": [PING], "count": 2, **NETWORKS}, wrapper=here)
    assert result["failed"]
    assert result["pings"][0]["received"] == 2
    assert result["pings"][0]["source"] == "10.81.0.1"
    assert result["in_clear"] == [
        {"interface": "wire", "source": "10.81.0.1", "destination": "10.82.0.1", "packets": 2}
    ]
    assert "2 packets from 10.81.0.1 to 10.82.0.1 left in clear on wire" in result["msg"]
    assert "was answered, but no ESP went to 192.0.2.82" in result["msg"]


def test_a_ping_that_nobody_answers_is_no_proof(here: list[str]) -> None:
    ping = {**PING, "destination": "10.82.0.99"}
    result = run_module("wire_proof", {"pings": [ping], "count": 1, "timeout": 1}, wrapper=here)
    assert result["failed"]
    assert "ping to 10.82.0.99 (other) through tunnel t from 10.81.0.1: 1 sent, no reply" in result["msg"]


def test_ping_may_be_run_by_another_command(here: list[str]) -> None:
    arguments = {"pings": [PING], "command": ["env", "LC_ALL=C"], "count": 1, **NETWORKS}
    result = run_module("wire_proof", arguments, wrapper=here)
    assert result["pings"][0]["source"] is None
    assert result["pings"][0]["received"] == 1


def test_a_command_that_is_not_there_is_named(here: list[str]) -> None:
    result = run_module("wire_proof", {"pings": [PING], "command": ["no-such-command"]}, wrapper=here)
    assert "cannot run no-such-command: No such file or directory" in result["msg"]


def test_bad_networks_are_named(here: list[str]) -> None:
    result = run_module("wire_proof", {"local": ["10.81.0.0/33"]}, wrapper=here)
    assert result["failed"]
    assert "10.81.0.0/33" in result["msg"]
