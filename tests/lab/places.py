# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps its things, and what it has running.

Everything lives in one directory (``LAB_DIR``, default /run/fleet-ipsec-lab), so that
taking the lab down is: end the recorded processes, delete the recorded network
namespaces, remove the directory.  Two labs with two directories live side by side.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

DEFAULT_DIRECTORY = "/run/fleet-ipsec-lab"
REPOSITORY = Path(__file__).resolve().parents[2]
END_TIMEOUT = 5.0  # seconds a process gets to disappear


class LabError(Exception):
    """What went wrong and what to do about it, in one sentence."""


def _start_ticks(pid: int) -> str | None:
    """The kernel's start time of a process: with the PID it names one process for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


class Places:
    """The lab's directory and the record of what it started."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(directory or os.environ.get("LAB_DIR") or DEFAULT_DIRECTORY).absolute()
        self.record_file = self.root / "running.json"
        self.ssh_config = self.root / "ssh_config"
        self.ansible_config = self.root / "ansible.cfg"
        self.inventory = self.root / "inventory"
        self.key = self.root / "id_ed25519"

    @property
    def internet(self) -> str:
        """The name of the network namespace between the gateways."""
        return self.root.name

    def node(self, name: str) -> Path:
        """The directory of one gateway."""
        return self.root / "nodes" / name

    # -- the record ---------------------------------------------------------

    def record(self) -> dict:
        """``{"kind": str, "namespaces": [name], "processes": {name: {"pid": int, "started": str}}}``."""
        try:
            return json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"kind": None, "namespaces": [], "processes": {}}

    def _write(self, record: dict) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self.record_file.with_suffix(".new")
        scratch.write_text(json.dumps(record, indent=1), encoding="utf-8")
        scratch.replace(self.record_file)

    def note_kind(self, kind: str) -> None:
        """Remember what the gateways are made of."""
        self._write(self.record() | {"kind": kind})

    def note_namespace(self, name: str) -> None:
        """Remember a network namespace, before it is made."""
        record = self.record()
        record["namespaces"].append(name)
        self._write(record)

    def note_process(self, name: str, pid: int) -> None:
        """Remember a process that was just started."""
        record = self.record()
        record["processes"][name] = {"pid": pid, "started": _start_ticks(pid)}
        self._write(record)

    def running(self, name: str) -> int | None:
        """The PID of a recorded process that still runs."""
        entry = self.record()["processes"].get(name)
        if entry and entry["started"] and _start_ticks(entry["pid"]) == entry["started"]:
            return entry["pid"]
        return None

    def end_process(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal one recorded process and wait until it is gone."""
        pid = self.running(name)
        if pid is not None:
            os.kill(pid, number)
            deadline = time.monotonic() + END_TIMEOUT
            while self.running(name) is not None:
                if time.monotonic() > deadline:
                    raise LabError(f"process {pid} ({name}) did not end; look at it with: ps -p {pid}")
                self._reap(pid)
                time.sleep(0.02)
        record = self.record()
        record["processes"].pop(name, None)
        self._write(record)

    @staticmethod
    def _reap(pid: int) -> None:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return  # started by an earlier command: not ours to reap
