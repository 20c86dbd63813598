# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two branches, both of them strongSwan behind one address, under one definition of ours that names neither."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.issued import authority
from tests.signing_keys import private_pem

from .ours import Manager, definition
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

KIND = "ecdsa256"
# Each has a half of the network behind the right site, with an address in it.
BRANCHES = {"b1": ("10.22.0.0/25", "10.22.0.1"), "b2": ("10.22.0.128/25", "10.22.0.129")}


def identity(branch: str) -> str:
    return f"{branch}.branch.example"


class Branches(Peer):
    """Both of them in swanctl.conf's words."""

    def configuration(self) -> str:
        connections = "".join(
            f"""
 {name} {{
  version = 2
  local_addrs = {RIGHT.address}
  remote_addrs = {LEFT.address}
  proposals = {self.ike}
  local {{
   auth = pubkey
   certs = {name}.pem
   id = {identity(name)}
  }}
  remote {{
   auth = pubkey
   id = {LEFT.identity}
  }}
  children {{
   {name} {{
    esp_proposals = {self.esp}
    local_ts = {network}
    remote_ts = {LEFT.network}
   }}
  }}
 }}"""
            for name, (network, _inside) in BRANCHES.items()
        )
        return f"connections {{{connections}\n}}\n"


def branches() -> Branches:
    issuer = authority(KIND)
    files = {"x509ca/root.pem": issuer.pem}
    for which, name in enumerate(BRANCHES, 1):
        files[f"private/{name}.pem"] = private_pem(KIND, which)
        files[f"x509/{name}.pem"] = issuer.issue(identity(name), KIND, which)
    return Branches(RIGHT, LEFT, "", files=files)


def hub(folder: Path) -> dict[str, Any]:
    """Our definition, which knows neither of them."""
    (folder / "key.pem").write_bytes(private_pem(KIND, 0))
    issuer = authority(KIND)
    certificate = issuer.issue(LEFT.identity, KIND, 0).decode()
    auth = {"method": "pubkey", "certificate": certificate, "key": str(folder / "key.pem"), "ca": [issuer.pem.decode()]}
    return definition(LEFT, RIGHT, "") | {"auth": auth, "remote": {"id": "*.branch.example"}}


def listed(manager: Manager) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in manager.call("tunnels.list", source="manager", verbose=True)["tunnels"]}


def passes(branch: str) -> bool:
    """Whether an echo from the network behind us to that of a branch is answered."""
    return LEFT.ping(LEFT.inside, BRANCHES[branch][1])


@pytest.fixture
def second_inside() -> Iterator[None]:
    address = f"{BRANCHES['b2'][1]}/32"
    RIGHT.run("ip", "address", "add", address, "dev", "lo")
    yield
    RIGHT.run("ip", "address", "del", address, "dev", "lo")


def begin(charon: StrongSwan, branch: str) -> None:
    words = ["--initiate", "--child", branch, "--timeout", "20", "--uri", charon.socket]
    done: subprocess.CompletedProcess[str] = RIGHT.attempt("/usr/sbin/swanctl", *words)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("second_inside")
def test_each_branch_has_its_own_and_keeps_it_when_the_manager_is_killed(
    manager: Manager, charon: StrongSwan, tmp_path: Path
) -> None:
    charon.load(branches())
    manager.define(hub(tmp_path), "active")
    assert "block" in LEFT.run("ip", "xfrm", "policy", "list", "dir", "out"), "held before anybody has come"
    for branch in BRANCHES:
        begin(charon, branch)
    names = {branch: f"peer#{identity(branch)}" for branch in BRANCHES}
    found = listed(manager)
    for branch, (network, _inside) in BRANCHES.items():
        assert found[names[branch]]["state"] == "active"
        assert found[names[branch]]["children"][0]["sas"][0]["remote"] == [network]
    assert passes("b1") and passes("b2")
    manager.kill()
    manager.start()
    wait_until("both are there again", lambda: set(names.values()) <= set(listed(manager)))
    assert passes("b1") and passes("b2")
    charon.swanctl("--terminate", "--ike", "b1")
    wait_until("the first one is gone", lambda: names["b1"] not in listed(manager))
    assert passes("b2") and not passes("b1")
    assert listed(manager)["peer"]["instances"] == {"count": 1, "max": 256}
