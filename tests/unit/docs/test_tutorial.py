# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README and Getting started have people paste: every command is run, here or in a lab by ``make tutorial``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.tutorial import GETTING_STARTED, ON_A_GATEWAY, README, ROOT, clone, commands

EXAMPLE = ROOT / "docs" / "examples" / "two-gateways"
# Run as they stand by "make molecule" and "make test" itself.
TARGETS = ["make demo", "make test"]
HERE = ("ansible-galaxy ", "cp ", "cd ", "openssl ")


def run(line: str, folder: Path, home: Path) -> str:
    environment = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{line}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_what_needs_no_gateway_does_what_the_page_says(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    clone(folder)
    for command in commands(README):
        if command.line.startswith("ansible-galaxy "):
            run(command.line, folder, tmp_path)
    for command in commands(GETTING_STARTED):
        if command.line.startswith("cd "):
            folder = Path(command.line.removeprefix("cd ").replace("~", str(tmp_path)))
        elif command.line.startswith(HERE):
            run(command.line, folder, tmp_path)
        elif command.line.startswith("ansible-playbook "):
            assert "berlin\n" in run(f"{command.line} --list-hosts", folder, tmp_path)
    # The seed is one that the fleet takes, and the example makes one.
    said = run("ansible berlin -m ansible.builtin.debug -a 'msg={{ fleet_ipsec_seed | length }}'", folder, tmp_path)
    assert "64" in said
    assert (folder / "vault-password").stat().st_mode & 0o077 == 0


def test_every_command_is_run_somewhere() -> None:
    """Whatever else is typed is typed in the lab, word by word (tests/lab/tutorial.py)."""
    lab = [command.line for command in commands(GETTING_STARTED)]
    assert any(line.startswith("ansible-playbook fleet.ipsec.teardown") for line in lab)
    for command in commands(README):
        known = command.line in TARGETS or command.line in lab or command.line.startswith("ansible-galaxy ")
        assert known, f"{command.line}: nobody runs it"
    assert any(command.section == ON_A_GATEWAY for command in commands(GETTING_STARTED))


def test_the_page_shows_the_example_as_it_is() -> None:
    page = GETTING_STARTED.read_text(encoding="utf-8")
    for path in EXAMPLE.rglob("host_vars/*.yml"):
        (line,) = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("fleet_ipsec:")]
        assert line in page, path
    fleet = yaml.safe_load((EXAMPLE / "group_vars/all/fleet.yml").read_text(encoding="utf-8"))
    assert list(fleet) == ["fleet_ipsec_communities"] and "topology: mesh" in page


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").rglob("*.*")), ids=lambda path: path.name)
def test_no_example_has_a_seed_or_a_secret(path: Path) -> None:
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        assert "fleet_ipsec_seed:" not in text and "$ANSIBLE_VAULT" not in text
        for line in text.splitlines():
            assert "secret: " not in line or "{{ " in line, line
