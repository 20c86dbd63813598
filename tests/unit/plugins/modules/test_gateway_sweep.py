# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of ours goes out of the kernel, and nothing else; in a network namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel import neighbours, policies
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.registry import Child, Registry, rest_reqid
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.manager.store import Store

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")

NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
OURS, OTHERS, FOREIGN = 0x66000001, 0x66000002, 7


def beside(number: int, way: str, reqid: int, rank: int) -> list[str]:
    """Lines that add what stands beside a policy: what passes by it, and what its peer let into no SA."""
    here, there = ("src", "dst") if way == "out" else ("dst", "src")
    part = f"{here} 10.0.0.{number}/32 {there} 10.{number}.0.9/32 dir {way}"
    ends = f"tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid {rest_reqid(reqid)} mode tunnel"
    return [
        f"xfrm policy add {part} priority {rank - 2} flag localok",
        f"xfrm policy add src 10.0.0.0/24 dst 10.{number}.0.8/32 dir out {ends} priority {rank - 1}",
    ][: 2 if way == "out" else 1]


def neighbours_pass(host: list[str], priority: int, kinds: tuple[int, ...] = (135, 136)) -> None:
    """Let neighbour discovery pass."""
    lines = [
        f"xfrm policy add src ::/0 dst ::/0 proto ipv6-icmp type {kind} dir {way} priority {priority}"
        for kind in kinds
        for way in ("in", "out")
    ]
    subprocess.run([*host, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def policies_for_neighbours(host: list[str]) -> int:
    """How many policies let neighbour discovery pass, whoever set them."""
    text = subprocess.run([*host, "ip", "xfrm", "policy"], capture_output=True, text=True, check=True).stdout
    return text.count("proto ipv6-icmp type")


def standing_policies(host: list[str]) -> int:
    """How many policies there are of IPv4."""
    text = subprocess.run([*host, "ip", "xfrm", "policy"], capture_output=True, text=True, check=True).stdout
    return sum(line.startswith("src 10.") for line in text.splitlines())


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
                rank = policies.PRIORITY_LAST - 48 * 128
                lines.append(f"xfrm policy add {selector} {ends} reqid {reqid} mode tunnel priority {rank}")
                if reqid != FOREIGN:
                    lines += beside(number + 1, way, reqid, rank)
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
    neighbours_pass(host, neighbours.PRIORITY)
    neighbours_pass(host, 7, (133,))
    planned = run_module("gateway_sweep", arguments, check=True, wrapper=host)
    assert planned["changed"] and standing(host) == (["10.1", "10.2", "10.3"],) * 2
    result = run_module("gateway_sweep", arguments, wrapper=host)
    assert result["removed"] == planned["removed"]
    tables = 2 if NFT else 0
    assert result["removed"] == {"sas": 0, "policies": 14, "links": 0, "routes": 2, "tables": tables, "definitions": 0}
    assert standing(host) == (["10.3"], ["10.3"])
    assert (standing_policies(host), policies_for_neighbours(host)) == (2, 2)
    if NFT:
        left = subprocess.run([*host, NFT, "list", "tables"], capture_output=True, text=True, check=True).stdout
        assert left.split() == ["table", "inet", "somebody"]
    assert not run_module("gateway_sweep", arguments, wrapper=host)["changed"]


def test_the_tunnels_of_one_owner_go(tmp_path: Path, host: list[str]) -> None:
    registry = Registry(str(tmp_path))
    for reqid, owner in ((OURS, "fleet"), (OTHERS, "ansible")):
        registry.record(reqid, Child(owner, f"t-{owner}", "lan"))
    neighbours_pass(host, neighbours.PRIORITY)
    arguments = {
        "owner": "fleet",
        "runtime_dir": str(tmp_path),
        "control_socket": str(tmp_path / "none"),
        "database": str(tmp_path / "d.sqlite"),
    }
    removed = run_module("gateway_sweep", arguments, wrapper=host)["removed"]
    # With what passes by them, and with what their peers let into no SA.
    assert (removed["policies"], removed["routes"], removed["tables"]) == (5, 1, 0)
    assert standing(host) == (["10.2", "10.3"],) * 2
    assert (standing_policies(host), policies_for_neighbours(host)) == (7, 4)
    assert not (tmp_path / "d.sqlite").exists()
    # The last tunnel takes along what was there for all of them.
    removed = run_module("gateway_sweep", {**arguments, "owner": "ansible"}, wrapper=host)["removed"]
    assert removed["policies"] == 9
    assert (standing_policies(host), policies_for_neighbours(host)) == (2, 0)


def test_a_damaged_database_keeps_nothing_in_the_kernel(tmp_path: Path, host: list[str]) -> None:
    database = tmp_path / "d.sqlite"
    database.write_bytes(b"no database at all" * 100)
    Registry(str(tmp_path)).record(OURS, Child("fleet", "t-fleet", "lan"))
    arguments = {
        "owner": "fleet",
        "runtime_dir": str(tmp_path),
        "control_socket": str(tmp_path / "none"),
        "database": str(database),
    }
    for check, changed in ((True, True), (False, True), (False, False)):
        result = run_module("gateway_sweep", arguments, check=check, wrapper=host)
        assert result["changed"] == changed
        assert f"the definitions stay: the database {database} is not usable" in str(result["warnings"])
    assert standing(host) == (["10.2", "10.3"],) * 2
    # One that another manager holds may be used again.
    database.unlink()
    with closing(Store(str(database))):
        held = run_module("gateway_sweep", {**arguments, "owner": "ansible"}, wrapper=host)
    assert held["failed"] and "in use by another manager" in held["msg"]


def test_a_damaged_registry_keeps_nothing_in_the_kernel_and_is_told_where_it_is_needed(
    tmp_path: Path, host: list[str]
) -> None:
    (tmp_path / "kernel.sqlite").write_bytes(b"no database at all" * 100)
    arguments = {
        "runtime_dir": str(tmp_path),
        "control_socket": str(tmp_path / "none"),
        "database": str(tmp_path / "d.sqlite"),
    }
    refused = run_module("gateway_sweep", {**arguments, "owner": "fleet"}, wrapper=host)
    assert refused["failed"] and "is damaged" in refused["msg"] and "gateway_sweep without owner" in refused["msg"]
    assert "become" not in refused["msg"] and standing(host) == (["10.1", "10.2", "10.3"],) * 2
    for changed in (True, False):
        result = run_module("gateway_sweep", arguments, wrapper=host)
        assert result["changed"] == changed and "SAs keyed by hand stay" in str(result["warnings"])
    assert standing(host) == (["10.3"], ["10.3"])


def test_a_running_manager_is_not_worked_against(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        asked = run_module("gateway_sweep", {"owner": "fleet", "control_socket": path}, wrapper=["unshare", "--net"])
        assert asked["running"] and not asked["changed"]
        assert not asked["answering"], "as one that hangs: its kernel takes the connection"
        refused = run_module("gateway_sweep", {"control_socket": path}, wrapper=["unshare", "--net"])
        assert refused["failed"] and "systemctl stop fleet-ipsec-manager" in refused["msg"]


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def refuse() -> None:
            # The first connection asks nothing.
            for _each in range(2):
                with listener.accept()[0] as connection:
                    if connection.recv(4096):
                        error = {"code": -32601, "message": "no such method"}
                        connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode() + b"\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        asked = run_module("gateway_sweep", {"owner": "fleet", "control_socket": path}, wrapper=["unshare", "--net"])
        thread.join(20)
        assert asked["running"] and asked["answering"]
