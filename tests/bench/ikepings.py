# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking 10,000 IKE daemons whether they are alive: ``ipsec ikeping`` and ike-scan, at one limit of packets a second.

All daemons are one responder, which every loopback address leads to and which refuses what it is offered.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import ROOT
from .results import Figure
from .rounds import medians, seconds

TARGETS = 10_000
RATE = 5_000
ROUNDS = 3
_ANSWERED = re.compile(r"(\d+) packets sent, (\d+) packets received")
_NOTIFIED = re.compile(r"(\d+) hosts scanned .* (\d+) returned notify")


def missing() -> str:
    """Why this cannot be measured here; empty if it can."""
    return "" if shutil.which("ike-scan") else "needs Debian's package ike-scan"


def figures() -> list[Figure]:
    """One row: both commands from start to end, their output thrown away."""
    hosts = [f"127.1.{number >> 8}.{number & 255}" for number in range(TARGETS)]
    with _responder() as port, tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-") as directory:
        file = Path(directory) / "hosts"
        file.write_text("\n".join(hosts) + "\n")
        ours = [sys.executable, "-m", "engine.cli.ipsec", "ikeping", "--probe", "ikev1_main", "--retries", "1"]
        ours += ["--rate", str(RATE), "--ikeport", "0", *(f"{host}/{port}" for host in hosts)]
        theirs = ["ike-scan", f"--file={file}", "--nodns", "--sport=0", f"--dport={port}", "--retry=2", "--quiet"]
        theirs += [f"--interval={1_000_000 // RATE}u"]
        # As installed: the role compiles the engine once.
        compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        compiled["PYTHONPYCACHEPREFIX"] = directory
        both = medians(
            ROUNDS,
            {
                "ours": lambda: seconds(lambda: _all_answered(ours, _ANSWERED, compiled)),
                "theirs": lambda: seconds(lambda: _all_answered(theirs, _NOTIFIED, dict(os.environ))),
            },
        )
    return [
        Figure(f"ikeping, {TARGETS} targets, {RATE} packets a second", "s", both["ours"], both["theirs"], "ike-scan")
    ]


def _all_answered(command: list[str], summary: re.Pattern[str], environment: dict[str, str]) -> None:
    home = ROOT / "plugins" / "module_utils"
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    found = summary.search(done.stdout)
    if found is None or set(found.groups()) != {str(TARGETS)}:
        raise RuntimeError(f"{command[0]} did not get {TARGETS} answers: {done.stdout[-300:]}{done.stderr[-300:]}")


@contextmanager
def _responder() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.ike_responder"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())  # type: ignore[union-attr]
    finally:
        process.communicate(timeout=30)
