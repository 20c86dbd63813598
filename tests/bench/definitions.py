# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of tunnel definitions: in one task, beside as many calls of a module that does nothing; and handed to the
manager, beside ``swanctl --load-all`` of as many connections."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .managers import Manager, free_ports, initiating, own_address, running
from .measure import cores, taken
from .playing import missing, play
from .rounds import seconds

__all__ = ["PLAIN", "Tasks", "applying", "missing", "starting", "tasks"]

PLAIN = 20  # plain calls that are made; a thousand take minutes and each takes as long as the others

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
    """Seconds of wall clock of the task that defines the tunnels, of the same task again, and of one plain call."""

    first: float
    unchanged: float
    plain: float


def tasks(python: str, count: int) -> Tasks:
    """One run with an empty manager; modules and manager are run by ``python``."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-")))
        manager = stack.enter_context(_manager(python))
        variables = {
            "bench_python": python,
            "bench_socket": manager.control,
            "bench_plain": PLAIN,
            "bench_tunnels": _tunnels(manager, count),
        }
        rows = {row["name"]: row for row in play(root, _PLAYBOOK, variables)}
    if not rows["first"]["changed"] or rows["unchanged"]["changed"]:
        raise RuntimeError(f"the first task is to change something and the second nothing: {rows}")
    return Tasks(rows["first"]["seconds"], rows["unchanged"]["seconds"], rows["plain"]["seconds"] / PLAIN)


def applying(python: str, count: int) -> tuple[float, float]:
    """Seconds that an empty manager takes for ``tunnels.apply``, and for the same once more."""
    with _manager(python) as manager:
        tunnels = _tunnels(manager, count)

        def apply() -> None:
            manager.call("tunnels.apply", definitions=tunnels, state="present", owner="bench")

        return seconds(apply), seconds(apply)


def starting(python: str, count: int) -> tuple[float, float]:
    """Seconds until a manager with so many stored definitions serves, and KiB of its memory for each."""
    with contextlib.ExitStack() as stack:
        manager = Manager(python, "127.0.0.2", free_ports(2), cores()[0])
        stack.callback(manager.cleanup)
        with running(manager):
            empty = taken(manager.pid).octets
            manager.call("tunnels.apply", definitions=_tunnels(manager, count), state="present", owner="bench")
        began = time.perf_counter()
        with running(manager):
            ready = time.perf_counter() - began
            return ready, (taken(manager.pid).octets - empty) / count / 1024


@contextlib.contextmanager
def _manager(python: str) -> Iterator[Manager]:
    manager = Manager(python, "127.0.0.2", free_ports(2), cores()[0])
    try:
        with running(manager):
            yield manager
    finally:
        manager.cleanup()


def _tunnels(manager: Manager, count: int) -> list[dict[str, Any]]:
    return [initiating(own_address(number), manager.ports, number) for number in range(count)]
