# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.setup.integration [TARGET…]``: ansible-test integration in a lab host, which is gone afterwards."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.lab.guest import run_job
from tests.lab.interruptions import leave_on_sigterm

from .sanity import COPY, WORK, copy_tree

TIMEOUT = 1800  # seconds


def main() -> int:
    """Run the targets, or all of them; the status of ansible-test."""
    leave_on_sigterm()  # the lab host goes with us
    copy_tree()
    programs = Path(sys.executable).parent
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        str(programs / "ansible-test"),
        "integration",
        "--allow-root",
        "--allow-destructive",
        "--python",
        version,
    ]
    environment = f"HOME={WORK} ANSIBLE_COLLECTIONS_PATH={WORK} PATH={programs}:$PATH"
    return run_job(["sh", "-c", f"cd {COPY} && {environment} {shlex.join([*command, *sys.argv[1:]])}"], timeout=TIMEOUT)


if __name__ == "__main__":
    sys.exit(main())
