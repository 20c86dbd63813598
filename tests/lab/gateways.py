# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway of the lab: its files, its start, and the wait until it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from . import machine, network
from .interruptions import postponed
from .places import LabError, Places
from .topology import LAN_PREFIX_V4, LAN_PREFIX_V6, WIRE_PREFIX_V4, WIRE_PREFIX_V6, Gateway

UP_TIMEOUT = 60.0  # seconds until a gateway must answer on ssh
UNITS = ("lab.target", "lab-network.service", "lab-sshd.service")
HANDOVER = "#!/bin/sh\nexec /lib/systemd/systemd --unit=lab.target\n"


def write_files(places: Places, gateway: Gateway, gateways: tuple[Gateway, ...]) -> None:
    """Write what makes a machine this gateway: name, addresses, units, ssh server and keys."""
    files = machine.prepare(places.node(gateway.name))
    lab, units, programs = files / "etc/lab", files / "etc/systemd/system", files / "usr/local/bin"
    for folder in (lab, units, programs):
        folder.mkdir(parents=True)
    (files / "etc/hostname").write_text(f"{gateway.name}\n", encoding="utf-8")
    hosts = ["127.0.0.1 localhost", "::1 localhost", *(f"{peer.address} {peer.name}" for peer in gateways)]
    (files / "etc/hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
    settings = {
        "ADDRESS": f"{gateway.address}/{WIRE_PREFIX_V4}",
        "ADDRESS6": f"{gateway.address6}/{WIRE_PREFIX_V6}",
        "ROUTER": gateway.router,
        "ROUTER6": gateway.router6,
        "LAN_ADDRESS": f"{gateway.lan_address}/{LAN_PREFIX_V4}",
        "LAN_ADDRESS6": f"{gateway.lan_address6}/{LAN_PREFIX_V6}",
        "HOST_ADDRESS": f"{gateway.host_address}/{LAN_PREFIX_V4}",
        "HOST_ADDRESS6": f"{gateway.host_address6}/{LAN_PREFIX_V6}",
    }
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (lab / "gateway.env").write_text("".join(lines), encoding="utf-8")
    (lab / "handover").write_text(HANDOVER, encoding="utf-8")
    (lab / "handover").chmod(0o755)
    shutil.copy(places.key.with_suffix(".pub"), lab / "authorized_keys")
    shutil.copy(places.root / "ssh_host_key", lab / "ssh_host_key")
    for name in ("network.sh", "sshd_config"):
        shutil.copy(machine.NODE_FILES / name, lab / name)
    for name in UNITS:
        shutil.copy(machine.NODE_FILES / name, units / name)
    shutil.copy(machine.NODE_FILES / "lab-host", programs / "lab-host")


def start(places: Places, gateway: Gateway, kind: str, number: int) -> None:
    """Start one gateway on its link to the router; does not wait for it."""
    directory = places.node(gateway.name)
    if kind == "guests":
        network.add_tap(places, gateway)
        cpus = sorted(os.sched_getaffinity(0))
        with postponed():
            pid = machine.start_guest(directory, places.internet, gateway.name, cpus[number % len(cpus)])
            places.note_process(gateway.name, pid)
    else:
        namespace = f"{places.internet}-{gateway.name}"
        network.make_namespace(places, namespace)
        network.add_veth(places, gateway, namespace)
        with postponed():
            places.note_process(gateway.name, machine.start_in_namespaces(directory, namespace))


def console_tail(places: Places, gateway: Gateway, lines: int = 15) -> str:
    """The last lines a gateway's console showed."""
    text = (places.node(gateway.name) / "console.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def wait_until_up(places: Places, gateway: Gateway) -> None:
    """Wait until the gateway takes ssh logins.

    :raises LabError: with the console's last lines, when it ended or never answered.
    """
    deadline = time.monotonic() + UP_TIMEOUT
    options = ["-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"]
    command = ["ssh", "-F", str(places.ssh_config), *options, gateway.name, "true"]
    while True:
        if places.running(gateway.name) is None:
            raise LabError(f"{gateway.name} ended while starting:\n{console_tail(places, gateway)}")
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{gateway.name} does not answer: {done.stderr.strip()}\n{console_tail(places, gateway)}")
        time.sleep(0.2)
