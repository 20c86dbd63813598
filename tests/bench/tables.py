# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's tables of policies and SAs: read, filled and emptied by us and by ``ip``.

Policies and reserved SPIs are measured on the machine's kernel, in a network namespace of their own; ESP SAs on one
with ESP, which may be a guest: its system calls are dear, so of those figures only the ratio means something.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from . import ROOT, facts_play
from .results import Figure
from .table_work import REPLACED, THRESHOLDS, Pair

TUNNELS, GUEST_TUNNELS = 10_000, 1_000
ROUNDS = 3
_MICRO = 1_000_000


def missing() -> str:
    """Why this cannot be measured here; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if shutil.which("ip") and shutil.which("unshare") else "needs iproute2 and util-linux"


def figures(notes: list[str]) -> list[Figure]:
    """Everything on the machine's kernel, then the ratios with ESP."""
    policies, spis = _here("policies"), _here("spis")
    plain, hashed = _here("replacing"), _here("replacing, hashed")
    of = f"{TUNNELS} tunnels"
    batch = "ip -batch"
    found = [
        _figure(f"eroute facts, {of}", "s", _here("facts")["facts"], "ip -s xfrm policy, state, and their text parsed"),
        *_task(notes),
        _figure(f"policies installed, {of}", "s", policies["install"], batch),
        _figure(f"policies removed, {of}", "s", policies["remove"], batch),
        _figure(f"one policy replaced beside {of}", "µs", _scaled(plain["replace"]), batch),
        _figure(f"  with ip xfrm policy set {THRESHOLDS}", "µs", _scaled(hashed["replace"]), batch),
        _figure(f"SPIs reserved, {of}", "s", spis["reserve"], batch),
        _figure(f"SPIs given back, {of}", "s", spis["release"], batch),
    ]
    notes.append(f"replacing a policy: of {REPLACED} outbound ones, one after the other, while all others stand")
    return found + _with_esp(notes)


def _with_esp(notes: list[str]) -> list[Figure]:
    try:
        sas, facts = _guest("sas"), _guest("sa facts")
    except subprocess.CalledProcessError as error:
        notes.append(f"ESP SAs were not measured: no kernel with ESP could be had ({error.stderr[-300:].strip()})")
        return []
    of = f"{GUEST_TUNNELS} tunnels, ESP, guest"
    notes.append("a guest's system calls are some 60 times dearer than the machine's: read its rows as ratios only")
    return [
        _figure(f"SAs and policies installed, {of}", "s", sas["up"], "ip -batch"),
        _figure(f"SAs and policies removed, {of}", "s", sas["down"], "ip -batch"),
        _figure(f"eroute facts, {of}", "s", facts["facts"], "ip -s xfrm policy, state, and their text parsed"),
    ]


def _task(notes: list[str]) -> list[Figure]:
    lack = facts_play.missing()
    if lack:
        notes.append(f"eroute facts as a task were not measured: this {lack}")
        return []
    command = [sys.executable, "-m", "tests.bench.facts_play", str(TUNNELS), str(ROUNDS)]
    both = _json(["unshare", "--net", "--", *command])["facts"]
    return [
        _figure(f"  as an Ansible task, {TUNNELS} tunnels", "s", both, "two command tasks, their text not parsed yet")
    ]


def _figure(name: str, unit: str, both: Pair, reference: str) -> Figure:
    return Figure(name, unit, both[0], both[1], reference)


def _scaled(both: Pair) -> Pair:
    return both[0] * _MICRO, both[1] * _MICRO


def _here(what: str) -> dict[str, Pair]:
    return _json(["unshare", "--net", "--", *_work(TUNNELS, what)])


def _guest(what: str) -> dict[str, Pair]:
    pin = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
    return _json([*pin, sys.executable, "-m", "tests.lab.guest", *_work(GUEST_TUNNELS, what)])


def _work(tunnels: int, what: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.table_work", str(tunnels), str(ROUNDS), what]


def _json(command: list[str]) -> dict[str, Pair]:
    """What the command's last line says."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
