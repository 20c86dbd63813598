# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand tunnel definitions in one task, beside as many calls of a module that does nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import ROOT
from .managers import Manager, free_ports, initiating, own_address, running
from .measure import cores

TUNNELS = 1000
PLAIN = 20  # plain calls that are made; a thousand take minutes and each takes as long as the others
RUNS = 3

_PLAYBOOK = """
- name: Measure
  hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ bench_python }}"
  tasks:
    - name: warm
      ansible.builtin.ping:
    - name: first
      fleet.ipsec.ipsec_tunnel:
        tunnels: "{{ bench_tunnels }}"
        control_socket: "{{ bench_socket }}"
    - name: unchanged
      fleet.ipsec.ipsec_tunnel:
        tunnels: "{{ bench_tunnels }}"
        control_socket: "{{ bench_socket }}"
    - name: plain
      ansible.builtin.ping:
      loop: "{{ range(bench_plain) | list }}"
"""


class Tasks(NamedTuple):
    """Seconds of wall clock of the task that defines :data:`TUNNELS` tunnels, of the same task again, of one plain."""

    first: float
    unchanged: float
    plain: float


def missing() -> str:
    """Why this cannot be measured here; empty if it can."""
    return "" if _ansible_playbook() else "needs ansible-core beside this Python"


def tasks(python: str, runs: int = RUNS) -> Tasks:
    """The least of several runs, each with an empty manager; modules and manager are run by ``python``."""
    taken = [_run(python) for _unused in range(runs)]
    return Tasks(*(min(column) for column in zip(*taken, strict=True)))


def _run(python: str) -> Tasks:
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-")))
        ports = free_ports(2)
        manager = Manager(python, "127.0.0.2", ports, cores()[0])
        stack.callback(manager.cleanup)
        stack.enter_context(running(manager))
        return _play(root, python, manager.control, ports)


def _play(root: Path, python: str, control: str, ports: list[int]) -> Tasks:
    collection = root / "collections" / "ansible_collections" / "fleet" / "ipsec"
    collection.parent.mkdir(parents=True)
    collection.symlink_to(ROOT)
    variables = {
        "bench_python": python,
        "bench_socket": control,
        "bench_plain": PLAIN,
        "bench_tunnels": [initiating(own_address(number), ports, number) for number in range(TUNNELS)],
    }
    (root / "variables.json").write_text(json.dumps(variables))
    (root / "play.yml").write_text(_PLAYBOOK)
    clock = root / "clock"
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(root / "collections"),
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "bench_clock",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "BENCH_CLOCK": str(clock),
    }
    command = [_ansible_playbook(), "--extra-vars", f"@{root}/variables.json", str(root / "play.yml")]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the play failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    rows = {row["name"]: row for row in map(json.loads, clock.read_text().splitlines())}
    if not rows["first"]["changed"] or rows["unchanged"]["changed"]:
        raise RuntimeError(f"the first task is to change something and the second nothing: {rows}")
    return Tasks(rows["first"]["seconds"], rows["unchanged"]["seconds"], rows["plain"]["seconds"] / PLAIN)


def _ansible_playbook() -> str:
    beside = Path(sys.executable).with_name("ansible-playbook")
    return str(beside) if beside.exists() else shutil.which("ansible-playbook") or ""
