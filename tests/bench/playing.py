# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play on this machine, and how long each of its tasks took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import ROOT


def missing() -> str:
    """Why nothing can be played here; empty if it can."""
    return "" if _ansible_playbook() else "needs ansible-core beside this Python"


def play(directory: Path, playbook: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Play it; for each task that ran ``{"name", "seconds", "changed"}``.

    :param directory: for the files of the play.
    :raises RuntimeError: a task failed.
    """
    collection = directory / "collections" / "ansible_collections" / "fleet" / "ipsec"
    collection.parent.mkdir(parents=True)
    collection.symlink_to(ROOT)
    (directory / "variables.json").write_text(json.dumps(variables))
    (directory / "play.yml").write_text(playbook)
    clock = directory / "clock"
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "bench_clock",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "BENCH_CLOCK": str(clock),
    }
    command = [_ansible_playbook(), "--extra-vars", f"@{directory}/variables.json", str(directory / "play.yml")]
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the play failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return [json.loads(line) for line in clock.read_text().splitlines()]


def _ansible_playbook() -> str:
    beside = Path(sys.executable).with_name("ansible-playbook")
    return str(beside) if beside.exists() else shutil.which("ansible-playbook") or ""
