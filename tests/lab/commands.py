# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands: one way to run, one way to start, one error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .places import LabError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(command: Sequence[str], text_in: str | None = None, timeout: float = 60) -> str:
    """Run a command to its end and return its standard output.

    :raises LabError: with the command and what it said, when it fails.
    """
    try:
        done = subprocess.run(command, input=text_in, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; run: make setup") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(command)} failed ({done.returncode}): {said}")
    return done.stdout


def ip_batch(lines: Sequence[str], namespace: str) -> None:
    """Run many ``ip`` commands in a network namespace, in one process."""
    run(["ip", "-n", namespace, "-batch", "-"], text_in="\n".join(lines) + "\n")


def start(command: Sequence[str], output: Path, environment: dict[str, str] | None = None) -> int:
    """Start a process that outlives us; its output goes to a file.  Returns its PID."""
    with output.open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PATH": SYSTEM_PATH, **(environment or {})},
        )
    return process.pid
