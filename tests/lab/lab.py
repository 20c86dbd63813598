# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: up, down, status."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from . import access, gateways, inventory, machine, network
from .interruptions import undisturbed
from .places import LabError, Places
from .topology import GATEWAYS

Say = Callable[[str], None]


def up(places: Places, say: Say) -> None:
    """Bring the lab up; what was started is taken down again when a part fails.

    :raises LabError: when it is up already, or a part does not come up.
    """
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces, which needs root; run it with sudo")
    if places.root.exists():
        raise LabError(f"there is a lab in {places.root} already; end it with: make lab-down")
    try:
        _up(places, say)
    except BaseException:
        with undisturbed():
            down(places)
        raise


def _up(places: Places, say: Say) -> None:
    kind = machine.kind_of_lab()
    places.note_kind(kind)
    say(f"gateways are {'network namespaces' if kind == 'namespaces' else 'guest kernels'}")
    access.write_keys(places)
    access.write_ssh_config(places, GATEWAYS)
    access.write_ansible_config(places)
    network.make_internet(places)
    for number, gateway in enumerate(GATEWAYS):
        gateways.write_files(places, gateway, GATEWAYS)
        gateways.start(places, gateway, kind, number)
        say(f"{gateway.name} starts: {gateway.address}, {gateway.address6}, before {gateway.network}")
    inventory.write(places, GATEWAYS)
    pool = ThreadPoolExecutor(len(GATEWAYS))
    try:
        for gateway, waiting in [(g, pool.submit(gateways.wait_until_up, places, g)) for g in GATEWAYS]:
            waiting.result()
            say(f"{gateway.name} is up")
    finally:
        # When one fails nobody waits for the others: they are taken down.
        pool.shutdown(wait=False)


def down(places: Places) -> None:
    """End everything the lab started and remove everything it made; quiet when there is nothing."""
    if not places.root.exists():
        return
    with _alone(places):
        if places.root.exists():
            _down(places)


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Whoever else takes it down meanwhile waits: one that was interrupted coming up does, and who interrupted it."""
    folder = os.open(places.root.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _down(places: Places) -> None:
    for gateway in GATEWAYS:
        _close_connection(places, gateway.name)
    for name in list(places.record()["processes"]):
        places.end_process(name)
    for name in places.record()["namespaces"]:
        machine.remove_control_group(name)
    network.remove_namespaces(places)
    shutil.rmtree(places.root)


def _close_connection(places: Places, name: str) -> None:
    """End the ssh connection kept open to a gateway (``ControlPersist``)."""
    if places.ssh_config.exists():
        command = ["ssh", "-F", str(places.ssh_config), "-O", "exit", name]
        subprocess.run(command, capture_output=True, check=False, timeout=10)


def status(places: Places) -> dict[str, bool]:
    """Which gateways run; empty when there is no lab."""
    if not places.root.exists():
        return {}
    return {gateway.name: places.running(gateway.name) is not None for gateway in GATEWAYS}


def execute(places: Places, name: str, command: list[str]) -> int:
    """Run a command on a gateway with our own input and output; returns its exit status."""
    if not status(places).get(name):
        raise LabError(f"{name} is not running; bring the lab up with: make lab-up")
    return subprocess.run(["ssh", "-F", str(places.ssh_config), name, "--", *command], check=False).returncode
