# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process costs, read from outside it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

_CPU_CLOCK = 2  # CPUCLOCK_SCHED of Linux's dynamic clock numbers


class Taken(NamedTuple):
    """What a process has taken so far.

    :ivar seconds: CPU time of all its threads, ended ones included, at the scheduler's resolution.
    :ivar octets: memory in RAM that is its own (Linux: Private_Clean and Private_Dirty).
    """

    seconds: float
    octets: int


def taken(pid: int) -> Taken:
    """What process ``pid`` has taken."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kibioctets = sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))
    return Taken(time.clock_gettime((~pid << 3) | _CPU_CLOCK), 1024 * kibioctets)


def cores() -> tuple[int | None, int | None]:
    """Two cores to pin a pair of processes to, the same one twice on a machine that has but one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[1 % len(available)]
