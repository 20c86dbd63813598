# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's inventory: addresses, networks, one community, one vaulted seed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from .places import LabError, Places
from .topology import Gateway

SEED_OCTETS = 32


def _hosts(gateways: tuple[Gateway, ...]) -> str:
    lines = ["---", "vpn_gateways:", "  children:"]
    for group, role in (("hubs", "hub"), ("branches", "spoke")):
        lines += [f"    {group}:", "      hosts:"]
        for gateway in gateways:
            if gateway.role == role:
                lines += [f"        {gateway.name}:", f"          ansible_host: {gateway.address}"]
    return "\n".join(lines) + "\n"


def _host_vars(gateway: Gateway) -> str:
    networks = ", ".join(f'"{network}"' for network in gateway.networks)
    return f"---\nfleet_ipsec:\n  address: {gateway.address}\n  id: {gateway.identity}\n  networks: [{networks}]\n"


def _group_vars(gateways: tuple[Gateway, ...]) -> str:
    hubs = ", ".join(gateway.name for gateway in gateways if gateway.role == "hub")
    return (
        "---\n"
        "fleet_ipsec_communities:\n"
        f"  - {{name: lab, topology: hub_spoke, hubs: [{hubs}], spokes: branches, spoke_to_spoke: via_hub}}\n"
    )


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise LabError(f"{name} is not installed; run: make setup")
    return found


def _vault(places: Places, clear: str) -> str:
    """Encrypt text with the lab's vault password; it reaches ansible-vault by a pipe only."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(places.ansible_config)}
    done = subprocess.run(
        [_tool("ansible-vault"), "encrypt", "--output", "-", "-"],
        input=clear,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise LabError(f"ansible-vault failed: {done.stderr.strip()}")
    return done.stdout


def write(places: Places, gateways: tuple[Gateway, ...]) -> None:
    """Write the inventory directory; needs ansible.cfg."""
    everyone = places.inventory / "group_vars/all"
    everyone.mkdir(parents=True)
    (places.inventory / "host_vars").mkdir()
    password = places.root / "vault_password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    (places.inventory / "hosts.yml").write_text(_hosts(gateways), encoding="utf-8")
    (everyone / "fleet.yml").write_text(_group_vars(gateways), encoding="utf-8")
    for gateway in gateways:
        (places.inventory / "host_vars" / f"{gateway.name}.yml").write_text(_host_vars(gateway), encoding="utf-8")
    seed = f"---\nfleet_ipsec_seed: {secrets.token_hex(SEED_OCTETS)}\n"
    (everyone / "seed.yml").write_text(_vault(places, seed), encoding="utf-8")
