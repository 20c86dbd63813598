# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of ours goes out of the kernel, and nothing else; in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.registry import Child, Registry

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")

NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
OURS, OTHERS, FOREIGN = 0x66000001, 0x66000002, 7


@pytest.fixture
def host() -> Iterator[list[str]]:
    """Words that enter a namespace with policies, routes and tables of ours and of others."""
    command = ["unshare", "--net", "sh", "-c", "echo; exec sleep 120"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        lines = ["link set lo up", "link add wan type veth peer name far", "addr add 192.0.2.1/24 dev wan"]
        lines += ["link set wan up", "link set far up"]
        for number, reqid in enumerate((OURS, OTHERS, FOREIGN)):
            ends = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp"
            for way in ("out", "in"):
                selector = f"src 10.0.0.0/24 dst 10.{number + 1}.0.0/24 dir {way}"
                lines.append(f"xfrm policy add {selector} {ends} reqid {reqid} mode tunnel")
            metric = "proto 166 metric 2048" if reqid != FOREIGN else "metric 2048"
            lines.append(f"route add 10.{number + 1}.0.0/24 via 192.0.2.2 dev wan src 192.0.2.1 {metric}")
        subprocess.run([*enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        if NFT:
            for table in ("fleet_ipsec", "fleet_ipsec_shunts", "somebody"):
                subprocess.run([*enter, NFT, "add", "table", "inet", table], check=True)
        yield enter
        holder.kill()


def standing(host: list[str]) -> tuple[list[str], list[str]]:
    """Networks that policies protect, and networks that routes lead to."""
    found = []
    for words in (["xfrm", "policy"], ["route", "show", "metric", "2048"]):
        text = subprocess.run([*host, "ip", *words], capture_output=True, text=True, check=True).stdout
        found.append(sorted({f"10.{number}" for number in (1, 2, 3) if f"10.{number}.0.0/24" in text}))
    return found[0], found[1]


def test_everything_of_ours_goes_and_nothing_else(tmp_path: Path, host: list[str]) -> None:
    arguments = {"runtime_dir": str(tmp_path), "control_socket": str(tmp_path / "none")}
    planned = run_module("gateway_sweep", arguments, check=True, wrapper=host)
    assert planned["changed"] and standing(host) == (["10.1", "10.2", "10.3"],) * 2
    result = run_module("gateway_sweep", arguments, wrapper=host)
    assert result["removed"] == planned["removed"]
    tables = 2 if NFT else 0
    assert result["removed"] == {"sas": 0, "policies": 4, "links": 0, "routes": 2, "tables": tables, "definitions": 0}
    assert standing(host) == (["10.3"], ["10.3"])
    if NFT:
        left = subprocess.run([*host, NFT, "list", "tables"], capture_output=True, text=True, check=True).stdout
        assert left.split() == ["table", "inet", "somebody"]
    assert not run_module("gateway_sweep", arguments, wrapper=host)["changed"]


def test_the_tunnels_of_one_owner_go(tmp_path: Path, host: list[str]) -> None:
    registry = Registry(str(tmp_path))
    for reqid, owner in ((OURS, "fleet"), (OTHERS, "ansible")):
        registry.record(reqid, Child(owner, f"t-{owner}", "lan"))
    arguments = {
        "owner": "fleet",
        "runtime_dir": str(tmp_path),
        "control_socket": str(tmp_path / "none"),
        "database": str(tmp_path / "d.sqlite"),
    }
    removed = run_module("gateway_sweep", arguments, wrapper=host)["removed"]
    assert (removed["policies"], removed["routes"], removed["tables"]) == (2, 1, 0)
    assert standing(host) == (["10.2", "10.3"],) * 2
    assert not (tmp_path / "d.sqlite").exists()


def test_a_running_manager_is_not_worked_against(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        asked = run_module("gateway_sweep", {"owner": "fleet", "control_socket": path}, wrapper=["unshare", "--net"])
        assert asked["running"] and not asked["changed"]
        refused = run_module("gateway_sweep", {"control_socket": path}, wrapper=["unshare", "--net"])
        assert refused["failed"] and "systemctl stop fleet-ipsec-manager" in refused["msg"]
