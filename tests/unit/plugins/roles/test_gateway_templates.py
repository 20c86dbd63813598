# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role gateway writes, by whoever has to understand it: sh, start-stop-daemon, nft, Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.filter.core import FilterModule
from ansible.plugins.test.core import TestModule as CoreTests
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..conftest import CHECKOUT
from ..running import run_module

ROLE = CHECKOUT / "roles/gateway"
ENGINE = CHECKOUT / "plugins/module_utils/engine"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own need root")


def render(template: str, **variables: Any) -> str:
    """A template of the role as Ansible renders it, with the role's own variables."""
    environment = Environment(
        loader=FileSystemLoader(ROLE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - none of this is HTML
    )
    environment.filters.update(FilterModule().filters())
    environment.tests.update(CoreTests().tests())
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= yaml.safe_load((ROLE / part / "main.yml").read_text())
    known |= {"gateway_arguments": "--log-level info"} | variables
    expression = known["gateway_all_sysctl"].removeprefix("{{").removesuffix("}}")
    known["gateway_all_sysctl"] = environment.compile_expression(expression)(**known)
    return environment.get_template(template).render(known)


def alone(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace of its own."""
    return subprocess.run(["unshare", "--net", *command], capture_output=True, text=True, check=False, **more)


@ROOT
@pytest.mark.skipif(not shutil.which("nft"), reason="nftables is not installed")
@pytest.mark.parametrize(
    "networks", [["10.0.0.0/8"], ["fd00::/8"], ["10.0.0.0/8", "172.16.0.0/12", "fd00::/8", "2001:db8::/32"]]
)
def test_nft_takes_the_rules_any_number_of_times(tmp_path: Path, networks: list[str]) -> None:
    rules = tmp_path / "rules.nft"
    variables = {"gateway_protected_networks": networks, "gateway_outside_interfaces": ["wan", "eth0"]}
    rules.write_text(render("firewall.nft.j2", **variables))
    done = alone("sh", "-c", f"nft -f {rules} && nft -f {rules} && nft list ruleset")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table inet") == 1
    for network in networks:
        assert network in done.stdout


@ROOT
@pytest.mark.skipif(not shutil.which("nft"), reason="nftables is not installed")
def test_what_would_leave_in_clear_is_dropped(tmp_path: Path) -> None:
    """A ping to a protected network by the outside interface is lost, one to another network is answered."""
    rules = tmp_path / "rules.nft"
    variables = {"gateway_protected_networks": ["10.82.0.0/16"], "gateway_outside_interfaces": ["wan"]}
    rules.write_text(render("firewall.nft.j2", **variables))
    script = f"""
        set -e
        ip link add wan type veth peer name far
        unshare --net sh -c 'ip link set lo up; exec sleep 60' > /dev/null 2>&1 & other=$!
        trap 'kill $other' EXIT
        sleep 0.3
        ip link set far netns $other
        ip addr add 192.0.2.1/24 dev wan; ip link set wan up; ip route add default via 192.0.2.2
        for address in 192.0.2.2/24 10.82.0.1/32 10.83.0.1/32; do
            nsenter -t $other -n ip addr add $address dev far
        done
        nsenter -t $other -n ip link set far up
        nft -f {rules}
        ping -q -c 1 -W 2 10.83.0.1 > /dev/null && echo open answered
        ping -q -c 1 -W 1 10.82.0.1 > /dev/null && echo protected answered || echo protected lost
    """
    done = alone("sh", "-c", script)
    assert done.stdout.splitlines() == ["open answered", "protected lost"], done.stderr


@pytest.fixture
def apart() -> Iterator[list[str]]:
    """Words that enter a network namespace which lasts as long as the test."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 120"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        holder.kill()


NETWORKS = ["10.0.0.0/8", "192.0.2.7", "172.16.5.0/12", "fd00::/8"]


@ROOT
@pytest.mark.skipif(not shutil.which("nft"), reason="nftables is not installed")
def test_the_rules_are_compared_with_the_kernel_and_put_back(tmp_path: Path, apart: list[str]) -> None:
    path = str(tmp_path / "firewall.nft")

    def text(networks: list[str]) -> str:
        return render("firewall.nft.j2", gateway_protected_networks=networks, gateway_outside_interfaces=["wan"])

    def role(*networks: str, check: bool = False) -> dict[str, Any]:
        row = {"path": path, "content": text(list(networks))} if networks else {"path": path, "state": "absent"}
        return run_module("gateway_config", {"files": [row], "rules_file": path}, check, apart)

    def nft(*words: str) -> str:
        return subprocess.run([*apart, "nft", *words], capture_output=True, text=True, check=True).stdout

    planned = role(*NETWORKS, check=True)
    assert (
        planned["changed_rules"] and planned["rules_state"] == "missing" and "fleet_ipsec" not in nft("list", "tables")
    )
    assert role(*NETWORKS)["changed_rules"] and "table inet fleet_ipsec" in nft("list", "tables")
    assert not role(*NETWORKS)["changed"] and role(*NETWORKS)["rules_state"] == "same"
    nft("add", "table", "inet", "somebody")
    for harm in (
        ("flush", "ruleset"),
        ("flush", "chain", "inet", "fleet_ipsec", "leaving"),
        ("insert", "rule", "inet", "fleet_ipsec", "leaving", "accept"),
        ("delete", "element", "inet", "fleet_ipsec", "protected_ipv4", "{ 192.0.2.7 }"),
    ):
        nft(*harm)
        asked = run_module("gateway_config", {"rules_file": path}, True, apart)
        assert asked["changed_rules"] and asked["rules_state"] in ("missing", "different"), harm
        assert role(*NETWORKS)["changed_rules"] and not role(*NETWORKS)["changed"], harm
    assert role("10.0.0.0/8")["changed_rules"] and "172.16.0.0" not in nft("list", "ruleset")
    nft("add", "table", "inet", "somebody")
    assert role()["changed_rules"] and nft("list", "tables").split() == ["table", "inet", "somebody"]
    assert not role()["changed"] and role()["rules_state"] == "none"


@ROOT
@pytest.mark.skipif(not shutil.which("start-stop-daemon"), reason="start-stop-daemon is not installed")
def test_the_init_script_runs_the_manager(tmp_path: Path) -> None:
    """Start means that it serves, stop that it is gone; both may be said twice."""
    (tmp_path / "current").mkdir()
    (tmp_path / "current/engine").symlink_to(ENGINE)
    script = tmp_path / "init"
    log = tmp_path / "log"
    python = shutil.which("python3", path="/usr/bin") or "/usr/bin/python3"
    text = render("init-script.j2", gateway_path=str(tmp_path), gateway_python=python)
    places = {"/run/fleet-ipsec": "run", "/var/lib/fleet-ipsec": "lib", "/var/log/$NAME.log": "log"}
    for place, name in places.items():
        assert place in text
        text = text.replace(place, str(tmp_path / name))
    arguments = f"--log-level info --runtime-dir {tmp_path}/run --database {tmp_path}/lib/d.sqlite"
    script.write_text(text.replace("--log-level info", arguments))
    words = ["status", "start", "status", "start", "restart", "status", "stop", "status", "stop"]
    steps = "; ".join(
        f"sh {script} {word} > /dev/null; echo {word} $?; test -S {tmp_path}/run/control.sock; echo $?"
        for word in words
    )
    done = alone("sh", "-c", steps)
    outcome = list(zip(done.stdout.splitlines()[::2], done.stdout.splitlines()[1::2], strict=True))
    assert outcome == [
        ("status 3", "1"),
        ("start 0", "0"),
        ("status 0", "0"),
        ("start 0", "0"),
        ("restart 0", "0"),
        ("status 0", "0"),
        ("stop 0", "1"),
        ("status 3", "1"),
        ("stop 0", "1"),
    ], done.stderr + log.read_text()


@pytest.mark.parametrize(
    ("launcher", "words"), [("manager.command", "METHOD"), ("cli.ike", "cmd="), ("cli.ipsec", "ipsec")]
)
def test_the_command_lines_run(tmp_path: Path, launcher: str, words: str) -> None:
    (tmp_path / "current").mkdir()
    (tmp_path / "current/engine").symlink_to(ENGINE)
    program = tmp_path / "program"
    program.write_text(render("launcher.py.j2", launcher=launcher, gateway_path=str(tmp_path)))
    program.chmod(0o755)
    arguments = ["call", "--help"] if launcher == "manager.command" else ["--help"]
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "template", ["firewall.nft.j2", "init-script.j2", "launcher.py.j2", "sysctl.conf.j2", "unit-options.conf.j2"]
)
def test_every_file_is_marked_as_ours(template: str) -> None:
    assert "fleet.ipsec" in render(template, launcher="cli.ike")[:1024]


@pytest.mark.parametrize("hold", [True, False])
def test_packets_are_held_where_that_is_wanted(hold: bool) -> None:
    text = render("sysctl.conf.j2", gateway_hold_packets=hold)
    assert ("\n-net.core.xfrm_larval_drop = 0\n" in text) is hold
    assert "\nnet.ipv4.ip_forward = 1\n" in text
