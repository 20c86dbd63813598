# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser that our facts are measured against reads what ``ip -s xfrm`` prints, every shape of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench import ROOT
from tests.bench.ip_text import eroutes

_REST = (
    "\tlifetime config:\n"
    "\t  limit: soft (INF)(bytes), hard (INF)(bytes)\n"
    "\t  limit: soft (INF)(packets), hard (INF)(packets)\n"
    "\t  expire add: soft 0(sec), hard 0(sec)\n"
    "\t  expire use: soft 0(sec), hard 0(sec)\n"
    "\tlifetime current:\n"
    "\t  0(bytes), 0(packets)\n"
    "\t  add 2026-11-21 07:47:27 use -\n"
)


def policy(ends: str, rule: str, *templates: str) -> str:
    return f"src {ends} uid 0\n\t{rule} ptype main share any flag  (0x00000000)\n{_REST}{''.join(templates)}"


def template(ends: str, words: str, level: str = "required") -> str:
    masks = "enc-mask ffffffff auth-mask ffffffff comp-mask ffffffff"
    return f"\ttmpl src {ends}\n\t\t{words}\n\t\tlevel {level} share any \n\t\t{masks}\n"


def state(
    ends: str, words: str, packets: int, added: str = "07:47:29", algorithm: str = "\taead rfc4106(gcm(aes)) 0x00\n"
):
    return (
        f"src {ends}\n\t{words}\n\treplay-window 0 seq 0x00000000 flag af-unspec (0x00100000)\n{algorithm}"
        f"\tlifetime config:\n\t  limit: soft (INF)(bytes), hard (INF)(bytes)\n\tlifetime current:\n"
        f"\t  {84 * packets}(bytes), {packets}(packets)\n\t  add 2026-11-21 {added} use -\n"
    )


TUNNEL = "proto esp spi 0x00000000(0) reqid 9(0x00000009) mode tunnel"
OUT = policy(
    "10.1.0.0/24 dst 10.2.0.0/24", "dir out action allow index 1 priority 7",
    template("192.0.2.1 dst 192.0.2.2", TUNNEL),
)  # fmt: skip
SA = state("192.0.2.1 dst 192.0.2.2", "proto esp spi 0x00001001(4097) reqid 9(0x00000009) mode tunnel", 5)
NEWER = state(
    "192.0.2.1 dst 192.0.2.2", "proto esp spi 0x00001002(4098) reqid 9(0x00000009) mode tunnel", 6, "08:00:00"
)
LARVAL = state(
    "192.0.2.1 dst 192.0.2.2", "proto esp spi 0x00001003(4099) reqid 9(0x00000009) mode tunnel", 0, "09:00:00", ""
)


@pytest.mark.parametrize(
    ("policies", "states", "said", "packets"),
    [
        (OUT, SA, "esp.1001@192.0.2.2", 5),
        (OUT, SA + NEWER, "esp.1002@192.0.2.2", 6),
        (OUT, NEWER + SA, "esp.1002@192.0.2.2", 6),
        (OUT, SA + LARVAL, "esp.1001@192.0.2.2", 5),
        (OUT, LARVAL, "%trap", 0),
        (OUT, "", "%trap", 0),
        (OUT.replace("0x00000000(0) reqid", "0x00001001(4097) reqid"), SA + NEWER, "esp.1001@192.0.2.2", 5),
        (OUT.replace("level required", "level use"), "", "%pass", 0),
        (policy("10.1.0.0/24 dst 10.2.0.0/24", "dir out action allow index 9 priority 7"), "", "%pass", 0),
        (policy("10.1.0.0/24 dst 10.2.0.0/24", "dir out action block index 9 priority 7"), "", "%drop", 0),
    ],
)
def test_where_packets_go(policies: str, states: str, said: str, packets: int) -> None:
    (row,) = eroutes(policies, states)
    assert (row["said"], row["packets"], row["priority"]) == (said, packets, 7)
    assert (row["source"], row["destination"]) == ("10.1.0.0/24", "10.2.0.0/24")
    assert row["sas"] == (() if said.startswith("%") else (said,))


def test_only_what_goes_out() -> None:
    assert eroutes(OUT.replace("dir out", "dir in") + OUT.replace("dir out", "dir fwd"), SA) == []
    assert eroutes("", "") == []


_ADDED = (
    "src 10.1.0.5/24 dst 10.2.0.0/24 proto tcp sport 80 dport 443 dir out priority 7 tmpl src 192.0.2.1 dst 192.0.2.2"
    " proto esp spi 0x1001 reqid 9 mode tunnel tmpl proto ah reqid 10 mode transport level use",
    "src 10.1.0.0/24 dst 0.0.0.0/0 proto icmp type 8 code 0 dir out action block priority 3",
    "src 10.1.0.0/16 dst 10.9.0.0/20 dir out priority 9 tmpl src 192.0.2.1 dst 192.0.2.9 proto esp reqid 7 mode tunnel",
    "src fd00:1::/64 dst fd00:2::/64 dir out priority 5",
    "src 10.2.0.0/24 dst 10.1.0.0/24 dir in tmpl proto esp reqid 9 mode transport",
    "src 192.0.2.1/32 dst 192.0.2.7/32 proto 47 dir out priority 6 tmpl proto esp reqid 8 mode transport",
)
_JUDGE = """
import subprocess, sys, tempfile
sys.path.insert(0, sys.argv[1])
from tests.bench.ip_text import eroutes
from engine.classic.views import read_tables
commands = (["ip", "-s", "xfrm", what] for what in ("policy", "state"))
theirs = eroutes(*(subprocess.run(command, capture_output=True, text=True).stdout for command in commands))
with tempfile.TemporaryDirectory() as empty:
    ours = [eroute.row() for eroute in read_tables(empty).eroutes]
assert len(ours) == len(theirs) == 5, (ours, theirs)
for mine, other in zip(ours, theirs):
    assert {key: mine[key] for key in other} == other, (mine, other)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_it_reads_of_a_kernel_what_we_read_of_it() -> None:
    adding = "".join(f"ip xfrm policy add {words}\n" for words in _ADDED)
    script = f'set -e\n{adding}exec "$@"'
    command = ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-c", _JUDGE, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
