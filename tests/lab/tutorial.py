# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting started, typed word by word: two gateways of the lab are its berlin and lisbon, with their own addresses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.tutorial import GETTING_STARTED, ON_A_GATEWAY, Command, clone, commands

from . import proof
from .places import LabError, Places
from .topology import GATEWAYS

BERLIN, LISBON = GATEWAYS[:2]
ADDRESSES = {"203.0.113.10": BERLIN.address, "198.51.100.20": LISBON.address}
VERIFY = "ansible-playbook fleet.ipsec.verify"
# What is to come out, where the exit status does not say it.
PROMISES = {VERIFY: "nothing is wrong at 2 hosts", "ipsec ikeping": "echo reply", "ike cmd=list": "Active"}
BY_HAND = "ansible-playbook by-hand.yml"
AGAIN = "ansible-playbook fleet.ipsec.site"
PATIENCE = 300  # seconds for a command


class Operator:
    """Somebody at the controller who pastes one command after the other."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._home = places.root / "operator"
        self._folder = self._home / "clone"
        clone(self._folder)

    def type(self, command: Command) -> str:
        """Run a command where it belongs; returns what it says.

        :raises LabError: it fails, or says something else than it should.
        """
        line = command.line
        for written, real in ADDRESSES.items():
            line = line.replace(written, real)
        if command.section == ON_A_GATEWAY:
            said = proof.on_gateway(self._places, LISBON.name, line)
        elif line.startswith("cd "):
            self._folder = Path(line.removeprefix("cd ").replace("~", str(self._home)))
            self._fill_in()
            return ""
        else:
            said = self._run(line)
        for beginning, promise in PROMISES.items():
            if line.startswith(beginning) and promise not in said:
                raise LabError(f"{line}: does not say {promise!r}:\n{said}")
        return said

    def _run(self, line: str) -> str:
        environment = {
            "HOME": str(self._home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_SSH_ARGS": f"-F {self._places.ssh_config}",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise LabError(f"{line} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def _fill_in(self) -> None:
        """What the tutorial leaves to whoever follows it: the addresses."""
        for path in self._folder.rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            for written, real in ADDRESSES.items():
                text = text.replace(written, real)
            path.write_text(text, encoding="utf-8")


def follow(places: Places, tell: Callable[[str], None]) -> str:
    """Type every command of the page; returns what was done, in one sentence.

    :raises LabError: at the first that fails.
    """
    operator = Operator(places)
    typed = commands(GETTING_STARTED)
    began = time.monotonic()
    for command in typed:
        tell(command.line)
        operator.type(command)
        if command.line == BY_HAND:
            # It stands beside what the inventory made, and neither counts the other.
            operator.type(Command("", VERIFY))
            said = operator.type(Command("", AGAIN))
            if said.count("changed=0") != said.count("unreachable="):
                raise LabError(f"{AGAIN} beside a tunnel by hand changed something:\n{said}")
    return (
        f"{len(typed)} commands of {GETTING_STARTED.name} did what the page says, in {time.monotonic() - began:.0f} s"
    )
