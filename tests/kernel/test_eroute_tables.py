# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The eroute table read from kernels: every shape of a policy, true counts, and what must not show."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from engine.classic.klips import format_eroute, parse_eroute
from engine.classic.views import read_tables
from engine.errors import MissingError
from engine.kernel.client import XfrmClient
from engine.kernel.features import probe, require_esp
from namespaces import Namespace

MODULE_UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
KEY = "c0ffee" * 6 + "c0de"

# Templates of all kinds, ports, both families, and what is no eroute.
POLICIES = """
A='tmpl src 10.9.0.1 dst 10.9.0.2' B='tmpl src 10.9.0.2 dst 10.9.0.1' Z='tmpl src 0.0.0.0 dst 0.0.0.0'
p() { ip xfrm policy add "$@"; }
p src 10.9.0.1/32 dst 10.9.0.2/32 dir out priority 40 $Z proto esp reqid 7 mode transport
p src fd01::/64 dst fd02::/64 dir out priority 30 $A proto esp reqid 2 mode tunnel
p src 10.9.0.1/32 dst 10.9.0.3/32 dir out priority 20
p src 10.1.0.0/24 dst 10.2.0.0/24 proto tcp dport 25 dir out action block priority 10
p src 10.1.0.0/24 dst 10.2.0.0/24 proto udp sport 53 dir out priority 50 $A proto ah reqid 4 mode tunnel
p src fd01::/64 dst ::/0 proto tcp dport 25 dir out action block priority 60
for way in fwd in; do
    p src 10.2.0.0/24 dst 10.1.0.0/24 dir $way priority 1000 $B proto comp reqid 1 mode tunnel level use \\
        $Z proto esp reqid 1 mode transport $Z proto ah reqid 1 mode transport
done
p src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 1000 $A proto comp spi 0x3d0 reqid 1 mode tunnel \\
    $Z proto esp spi 0x187a101b reqid 1 mode transport $Z proto ah spi 0x187a101a reqid 1 mode transport
p src 10.4.0.0/24 dst 10.5.0.0/24 dir out priority 5 mark 7 action block
"""


def lines(space: Namespace, runtime: Path) -> list[str]:
    with space.entered():
        return [" ".join(format_eroute(e.line()).split()) for e in read_tables(str(runtime)).eroutes]


def test_every_shape_of_a_policy_reads_as_its_line(space: Namespace, tmp_path: Path) -> None:
    space.run(POLICIES)
    found = lines(space, tmp_path)
    assert found == [
        "0 10.1.0.0/24 -> 10.2.0.0/24:25 => %drop:6",
        "0 10.9.0.1/32 -> 10.9.0.3/32 => %pass",
        "0 fd01::/64 -> fd02::/64 => %trap",
        "0 10.9.0.1/32 -> 10.9.0.2/32 => %trap",
        "0 10.1.0.0/24:53 -> 10.2.0.0/24 => %trap:17",
        "0 fd01::/64 -> [::/0]:25 => %drop:6",
        "0 10.1.0.0/24 -> 10.2.0.0/24 => %trap",
    ]
    # Stable, and readable as the classic text that it is.
    assert lines(space, tmp_path) == found
    assert [" ".join(format_eroute(parse_eroute(line)).split()) for line in found] == found


def test_reading_changes_nothing(space: Namespace, tmp_path: Path) -> None:
    space.run(POLICIES)
    before = space.run("ip -s xfrm policy; ip -s xfrm state; ls " + str(tmp_path))
    lines(space, tmp_path)
    assert space.run("ip -s xfrm policy; ip -s xfrm state; ls " + str(tmp_path)) == before


def test_a_reserved_spi_is_neither_an_sa_nor_a_hold(space: Namespace, tmp_path: Path) -> None:
    reserve = "ip xfrm state allocspi src 10.9.0.1 dst 10.9.0.2 proto esp reqid 7 mode transport min 0x115 max 0x115"
    space.run(f"ip xfrm policy add src 10.9.0.1 dst 10.9.0.2 dir out tmpl proto esp reqid 7 mode transport; {reserve}")
    assert lines(space, tmp_path) == ["0 10.9.0.1/32 -> 10.9.0.2/32 => %trap"]


def esp_is_there(space: Namespace) -> bool:
    with space.entered():
        return all(feature.available for feature in probe(XfrmClient()))


STATES = f"""
s() {{ ip xfrm state add src 10.9.0.1 dst 10.9.0.2 "$@"; }}
s proto esp spi 0x115 reqid 7 mode tunnel flag af-unspec aead 'rfc4106(gcm(aes))' 0x{KEY} 128
s proto comp spi 0x3d0 reqid 8 mode tunnel flag af-unspec comp deflate
t='tmpl src 10.9.0.1 dst 10.9.0.2'
for n in 1 2; do
    ip xfrm policy add src 10.1.0.0/24 dst 10.2.$n.0/24 dir out priority $n $t proto esp reqid 7 mode tunnel
done
ip xfrm policy add src 10.1.0.0/24 dst 10.3.0.0/24 dir out priority 3 $t proto comp reqid 8 mode tunnel
ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0; ip addr add 10.1.0.1/32 dev lo
ip link set v0 up; ip link set v1 up; ip route add default via 10.9.0.2 src 10.1.0.1
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0
"""


def test_counts_are_of_the_sa_and_are_marked_where_they_are_shared(space: Namespace, tmp_path: Path) -> None:
    if not esp_is_there(space):
        pytest.skip("this kernel has no ESP")
    space.run(STATES)
    with space.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for target in ("10.2.1.9", "10.2.1.9", "10.2.2.9"):
            sock.sendto(b"x", (target, 9))
        found = read_tables(str(tmp_path))
    assert [(e.destination, e.said, e.packets, e.packets_shared) for e in found.eroutes] == [
        ("10.2.1.0/24", "esp.115@10.9.0.2", 3, True),
        ("10.2.2.0/24", "esp.115@10.9.0.2", 3, True),
        ("10.3.0.0/24", "comp.3d0@10.9.0.2", 0, False),
    ]


def test_the_states_that_come_with_ipcomp_do_not_show_and_keys_never_do(space: Namespace, tmp_path: Path) -> None:
    if not esp_is_there(space):
        pytest.skip("this kernel has no ESP")
    space.run(STATES)
    text = space.run("ip -s xfrm state")
    assert "proto 4" in text.lower() or "proto ipip" in text.lower()
    assert KEY in text  # it is there to be seen
    with space.entered():
        assert [str(said) for group in read_tables(str(tmp_path)).groups for said in group] == [
            "esp.115@10.9.0.2",
            "comp.3d0@10.9.0.2",
        ]
        environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
        shown = ""
        for words in (["eroute"], ["eroute", "--json"], ["eroute", "--verbose"], ["spigrp"]):
            command = [sys.executable, "-m", "engine.cli.ipsec", *words, "--runtime-dir", str(tmp_path)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            shown += done.stdout + done.stderr
    assert "esp.115@10.9.0.2" in shown and KEY not in shown.lower() and KEY[:12] not in shown.lower()
    assert len(json.loads(shown[shown.index("[") : shown.index("]\n0") + 1])) == 3


def test_a_kernel_without_esp_says_what_to_load_and_still_reads(space: Namespace, tmp_path: Path) -> None:
    if esp_is_there(space):
        pytest.skip("this kernel has ESP")
    space.run(POLICIES)
    with space.entered(), pytest.raises(MissingError) as caught:
        require_esp(XfrmClient())
    assert str(caught.value) == (
        "this kernel has no ESP for IPv4; load it: modprobe esp4 (kernel option CONFIG_INET_ESP)"
    )
    assert len(lines(space, tmp_path)) == 7
