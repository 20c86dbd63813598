# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.setup.stages STAGE…``: run make targets, two at a time, and sum up.

Each lane has its half of the processors, so that guests, which live on one each, keep out of each other's way.
A failed stage does not keep the others from running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

LANES = 2


class Outcome(NamedTuple):
    """What became of a stage: exit status, and how many seconds it took."""

    status: int
    seconds: float


class Stages:
    """Stages still to run, those that run, and what became of the others."""

    def __init__(self, stages: list[str]) -> None:
        self._waiting = list(stages)
        self._stopped = False
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self.outcomes: dict[str, Outcome] = {}

    def work(self, processors: list[int]) -> None:
        """Run one stage after the other on these processors until none waits."""
        while (stage := self._next()) is not None:
            self._say(f"--- {stage} begins")
            began = time.monotonic()
            command = ["taskset", "-c", ",".join(map(str, processors)), "make", "--no-print-directory", stage]
            status, text = self._done(command)
            outcome = self.outcomes[stage] = Outcome(status, time.monotonic() - began)
            # A stage's lines stay together.
            head = f"=== {stage} {_verdict(outcome)} after {outcome.seconds:.0f} s "
            self._say(f"\n{head:=<79}\n" + text)

    def stop(self) -> None:
        """Begin no more stages, ask those that run to end, and wait until they have: guests go with their stages."""
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            running = list(self._running)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def _done(self, command: list[str]) -> tuple[int, str]:
        # A group of its own: a signal reaches all of the stage, and Ctrl-C at the terminal reaches it through us alone.
        with self._lock:
            if self._stopped:
                return 128 + signal.SIGTERM, ""
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.append(process)
        text = process.communicate()[0].decode(errors="replace")
        with self._lock:
            self._running.remove(process)
        return process.returncode, text

    def _next(self) -> str | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def _say(self, text: str) -> None:
        with self._lock:
            print(text, flush=True)


def _verdict(outcome: Outcome) -> str:
    return "passed" if outcome.status == 0 else "FAILED"


def lanes(processors: list[int]) -> list[list[int]]:
    """The processors of each lane: a fair share, all of them where there is but one."""
    if len(processors) < LANES:
        return [processors]
    return [processors[lane::LANES] for lane in range(LANES)]


def main(stages: list[str]) -> int:
    """Run the stages; returns 1 when one failed."""
    began = time.monotonic()
    run = Stages(stages)
    workers = [
        threading.Thread(target=run.work, args=(share,), daemon=True)
        for share in lanes(sorted(os.sched_getaffinity(0)))
    ]
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        run.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(0.2)  # in slices, so that a signal is handled in between
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped:
        print("stages: interrupted", flush=True)
        return 128 + stopped[0]
    print("\n" + "=" * 79)
    for stage in stages:
        outcome = run.outcomes[stage]
        print(f"  {stage:14} {_verdict(outcome):8} {outcome.seconds:6.0f} s")
    print(f"  {'all':14} {'':8} {time.monotonic() - began:6.0f} s\n")
    failed = sum(outcome.status != 0 for outcome in run.outcomes.values())
    print(f"stages: {len(stages) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
