# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task of a play took, and whether it changed anything, to the file named in BENCH_CLOCK."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """One JSON line a task: ``{"name", "seconds", "changed"}``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_clock"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Stop it."""
        row = {
            "name": result.task_name,
            "seconds": time.monotonic() - self._began,
            "changed": result.is_changed(),
        }
        with open(os.environ["BENCH_CLOCK"], "a") as stream:
            stream.write(json.dumps(row) + "\n")
