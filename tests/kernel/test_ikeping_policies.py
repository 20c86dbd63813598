# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeping on a host whose IPsec policies take everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import Namespace

ENGINE = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
COMMAND = [sys.executable, "-m", "engine.cli.ikeping"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ENGINE)}
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
PEERS = {4: "192.0.2.2", 6: "2001:db8::2"}


@pytest.fixture(scope="module")
def trapped() -> Iterator[Namespace]:
    """A host joined with a peer that answers echoes; its policies ask for SAs that nobody makes, for everything."""
    here, there = Namespace(), Namespace()
    here.run(f"ip link add wire type veth peer name wire netns /proc/{os.getpid()}/fd/{there.fd}")
    for space, last in ((here, 1), (there, 2)):
        space.run(
            "ip link set wire up;"
            f"ip addr add 192.0.2.{last}/24 dev wire; ip addr add 2001:db8::{last}/64 dev wire nodad"
        )
    for family, net in EVERYTHING.items():
        ends = f"src {PEERS[family].replace('2.2', '2.1').replace('::2', '::1')} dst {PEERS[family]}"
        here.run(
            f"ip xfrm policy add src {net} dst {net} dir out priority 100 tmpl {ends} proto esp mode tunnel;"
            f"ip xfrm policy add src {net} dst {net} dir in priority 100 tmpl proto esp mode tunnel"
        )
    # Without neighbour discovery there is no way to the peer at all.
    here.run("for way in in out; do ip xfrm policy add src ::/0 dst ::/0 proto ipv6-icmp dir $way priority 1; done")
    with there.entered():
        listener = subprocess.Popen(
            [*COMMAND, "--listen"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    yield here
    listener.terminate()
    listener.wait(10)


def ping(space: Namespace, family: int, *words: str) -> tuple[int, dict]:
    with space.entered():
        done = subprocess.run(
            [*COMMAND, "--json", "--wait", "1", "--retries", "2", *words, PEERS[family]],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.returncode, json.loads(done.stdout)["targets"][0]


@pytest.mark.parametrize("family", [4, 6])
def test_the_peer_is_reached_past_policies_that_trap_everything(trapped: Namespace, family: int) -> None:
    status, target = ping(trapped, family)
    assert (status, target["answered_by"]) == (0, "echo reply"), target


@pytest.mark.parametrize("family", [4, 6])
def test_policies_apply_when_that_is_asked_for(trapped: Namespace, family: int) -> None:
    status, target = ping(trapped, family, "--no-bypass")
    assert status == 1 and not target["alive"]
