# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the controller reaches the gateways: keys, ssh_config, ansible.cfg."""

from __future__ import annotations

import shutil
import sys

from .commands import run
from .places import REPOSITORY, Places
from .topology import Gateway


def write_keys(places: Places) -> None:
    """Make the controller's login key and the host key that the gateways share."""
    for path in (places.key, places.root / "ssh_host_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet-ipsec-lab", "-f", str(path)])


def write_ssh_config(places: Places, gateways: tuple[Gateway, ...]) -> None:
    """Write ssh_config and known_hosts; ``ssh -F .../ssh_config hub`` works from anywhere on this machine."""
    host_key = (places.root / "ssh_host_key.pub").read_text(encoding="utf-8").strip()
    known = places.root / "known_hosts"
    known.write_text(f"fleet-ipsec-lab {host_key}\n", encoding="utf-8")
    (places.root / "sockets").mkdir()
    shutil.copy(REPOSITORY / "tests/lab/proxy.py", places.root / "proxy.py")
    proxy = f"nsenter --net=/run/netns/{places.internet} {sys.executable} -I -S {places.root}/proxy.py %h %p"
    blocks = [f"Host {gateway.name} {gateway.address}\n    HostName {gateway.address}\n" for gateway in gateways]
    common = f"""\
Host *
    User root
    IdentityFile {places.key}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    HostKeyAlias fleet-ipsec-lab
    PreferredAuthentications publickey
    ProxyCommand {proxy}
    ProxyUseFdpass yes
    ControlMaster auto
    ControlPath {places.root}/sockets/%C
    ControlPersist 60
    ServerAliveInterval 10
"""
    places.ssh_config.write_text("".join(blocks) + common, encoding="utf-8")


def write_ansible_config(places: Places) -> None:
    """Write ansible.cfg and a collection path that leads to this working tree.

    Only the connection stands here, so that the inventory is what an operator's would be.
    """
    collection = places.root / "collections/ansible_collections/fleet"
    collection.mkdir(parents=True)
    (collection / "ipsec").symlink_to(REPOSITORY)
    places.ansible_config.write_text(
        f"""\
[defaults]
inventory = {places.inventory}
collections_path = {places.root}/collections
roles_path = {REPOSITORY}/roles
vault_password_file = {places.root}/vault_password
interpreter_python = /usr/bin/python3
host_key_checking = true
forks = 10
local_tmp = {places.root}/ansible
nocows = true
localhost_warning = false

[ssh_connection]
pipelining = true
ssh_args = -F {places.ssh_config}
""",
        encoding="utf-8",
    )
