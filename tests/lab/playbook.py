# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the collection's playbooks against the lab, as an operator would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .interruptions import undisturbed
from .places import REPOSITORY, LabError, Places

_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")
LOGS = REPOSITORY / "build/demo"
PATIENCE = 10  # seconds for one that is interrupted
TAIL = 40  # lines of a failed run that are shown


@dataclass(frozen=True)
class Recap:
    """What a playbook did, all hosts together."""

    hosts: int
    tasks: int
    changed: int


def _end(process: subprocess.Popen[str]) -> None:
    """End a playbook with its workers and their connections; it gets time to remove what it keeps meanwhile."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_playbook(places: Places, name: str, title: str, on_task: Callable[[str], None], *options: str) -> Recap:
    """Run ``playbooks/NAME.yml``; its output goes to a log named after the title.

    :raises LabError: with the end of the log, when it fails.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{title}.log"
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), str(REPOSITORY / "playbooks" / f"{name}.yml"), *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(places.ansible_config), "ANSIBLE_NOCOLOR": "1"}
    lines: list[str] = []
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                sink.write(line)
                lines.append(line)
                task = re.match(r"TASK \[(?:[\w.]+ : )?(.*?)\] \*", line)
                if task:
                    on_task(task[1])
            status = process.wait()
        except BaseException:
            with undisturbed():
                _end(process)
            raise
    if status:
        raise LabError(f"{name}.yml failed; the whole log is {log}:\n{''.join(lines[-TAIL:])}")
    rows = [match for match in map(_RECAP.match, lines) if match]
    return Recap(hosts=len(rows), tasks=sum(int(row[2]) for row in rows), changed=sum(int(row[3]) for row in rows))
