# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.setup.stages STAGE…``: run make targets one after the other and sum up.

A failed stage does not keep the others from running.
"""

from __future__ import annotations

import subprocess
import sys
import time


def _run(stage: str) -> tuple[int, float]:
    print(f"\n=== {stage} " + "=" * (74 - len(stage)), flush=True)
    began = time.monotonic()
    done = subprocess.run(["make", "--no-print-directory", stage], check=False, stdin=subprocess.DEVNULL)
    return done.returncode, time.monotonic() - began


def main(stages: list[str]) -> int:
    """Run the stages; returns 1 when one failed."""
    results = {stage: _run(stage) for stage in stages}
    print("\n" + "=" * 79)
    for stage, (status, seconds) in results.items():
        print(f"  {stage:14} {'passed' if status == 0 else 'FAILED':8} {seconds:6.0f} s")
    print(f"  {'all':14} {'':8} {sum(seconds for _status, seconds in results.values()):6.0f} s\n")
    failed = sum(status != 0 for status, _seconds in results.values())
    print(f"stages: {len(stages) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
