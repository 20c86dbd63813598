# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about eroutes as a task of a play, beside the command tasks that people write instead.

``python -m tests.bench.facts_play TUNNELS ROUNDS``, in a network namespace of its own, prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from .playing import missing, play
from .table_work import Bench

__all__ = ["missing"]

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
{% for number in rounds %}
    - name: ours
      fleet.ipsec.ipsec_eroute_facts:
        runtime_dir: "{{ bench_directory }}"
    - name: policies
      ansible.builtin.command: ip -s xfrm policy
      register: policies
    - name: states
      ansible.builtin.command: ip -s xfrm state
      register: states
{% endfor %}
"""


def measured(tunnels: int, rounds: int) -> tuple[float, float]:
    """Medians of the seconds of our task, and of both others together."""
    with tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-") as directory:
        bench = Bench(tunnels, rounds, Path(directory))
        with bench.in_the_kernel():
            book = _book(rounds)
            rows = play(Path(directory), book, {"bench_python": sys.executable, "bench_directory": directory})
    taken = {name: [row["seconds"] for row in rows if row["name"] == name] for name in ("ours", "policies", "states")}
    theirs = [sum(pair) for pair in zip(taken["policies"], taken["states"], strict=True)]
    return statistics.median(taken["ours"]), statistics.median(theirs)


def _book(rounds: int) -> str:
    head, rest = _PLAYBOOK.split("{% for number in rounds %}\n")
    return head + rest.removesuffix("{% endfor %}\n") * rounds


if __name__ == "__main__":
    print(json.dumps({"facts": measured(int(sys.argv[1]), int(sys.argv[2]))}))
