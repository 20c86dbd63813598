# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One manager as a process: the real one, except for its kernel.

``python -m tests.bench.manager_process '{"options": […], "cpu": 0, "pipe": [3, 4], "window": 16, "batches": […]}'``
"""

from __future__ import annotations

import json
import os
import sys

from engine.manager.command import parser
from engine.manager.service import Options, serve

from .counting_kernel import CountingGateway, CountingHost


def main(order: dict) -> int:
    """Run a manager until SIGTERM; the exit status."""
    if order["cpu"] is not None:
        os.sched_setaffinity(0, {order["cpu"]})
    gateway = CountingGateway(tuple(order["pipe"]), order["told"], order["window"], order["batches"])
    options = Options.of(parser().parse_args(["manager", *order["options"]]))
    try:
        return serve(options, lambda directory, _guard: CountingHost(directory, gateway))
    finally:
        if order["profile"]:
            gateway.profile.dump_stats(order["profile"])


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
