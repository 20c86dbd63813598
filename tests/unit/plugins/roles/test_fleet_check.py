# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role fleet in check mode, on hosts that are no gateways yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..plugin_utils.inventories import SEED, hosts

ROOT = Path(__file__).resolve().parents[4]
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        # What role gateway notes when it would have to install everything first.
        "vars": {"gateway_pending": True},
        "roles": ["fleet.ipsec.fleet"],
    }
]


@pytest.mark.parametrize(("count", "shown"), [(3, "g0"), (14, "…")])
def test_the_first_check_says_how_many_tunnels_would_be_defined(tmp_path: Path, count: int, shown: str) -> None:
    collections = tmp_path / "ansible_collections" / "fleet"
    collections.mkdir(parents=True)
    (collections / "ipsec").symlink_to(ROOT)
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "fleet_ipsec_seed": SEED,
        "fleet_ipsec_communities": [{"name": "core", "topology": "mesh", "members": "all"}],
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts(count), "vars": variables}}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "--check", "play.yml"]
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    messages = [line for line in run.stdout.splitlines() if "would be defined" in line and '"msg": ' in line]
    assert len(messages) == count and all(f"{count - 1} tunnels would be defined" in line for line in messages)
    assert shown in json.dumps(messages, ensure_ascii=False)
    assert run.stdout.count("changed=1") == count and SEED not in run.stdout
