# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible does: arguments on stdin, a JSON result on stdout, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_RUN = """
import json, runpy, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible.module_utils import basic
try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    patch_module_args = None
arguments = json.load(sys.stdin)
name = f"ansible_collections.fleet.ipsec.plugins.modules.{sys.argv[2]}"
if patch_module_args is None:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    runpy.run_module(name, run_name="__main__")
else:
    with patch_module_args(arguments):
        runpy.run_module(name, run_name="__main__")
"""


def run_module(
    name: str, arguments: dict[str, Any], check: bool = False, wrapper: Sequence[str] = ()
) -> dict[str, Any]:
    """The result of a module; ``failed`` is in it where the module failed.

    :param wrapper: words before the command, such as those that enter a namespace.
    """
    arguments = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", _RUN, json.dumps(sys.path), name],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    assert lines and lines[-1].startswith("{"), done.stderr
    return json.loads(lines[-1])
