# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook verify where hardly anything works: each check of each host is done all the same, and one table says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..plugin_utils.inventories import SEED, host, hosts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")

ROOT = Path(__file__).resolve().parents[4]
CHECKS = [
    "Ask the IKE daemon of every peer whether it is alive",
    "Read the eroutes of the kernel",
    "Ask the tunnel manager how they are",
    "Ping through every tunnel, and watch what leaves the gateway",
]


# A host whose tunnel manager takes connections and says nothing, and a service that gives it a signal.
SILENT_HOST = """
mount -t tmpfs none /run && mkdir /run/fleet-ipsec && mount -t tmpfs none /etc/init.d || exit 99
printf '#!/bin/sh\n[ "$1" = status ] || kill -%s "$(cat /run/pid)"\nexit 0\n' "$0" > /etc/init.d/fleet-ipsec-manager
chmod 755 /etc/init.d/fleet-ipsec-manager
"$1" -c 'import os, socket, time
open("/run/pid", "w").write(str(os.getpid()))
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/fleet-ipsec/control.sock")
listener.listen(50)
time.sleep(200)' &
silent=$!
shift
"$@"
result=$?
kill $silent
exit $result
"""


def play(
    folder: Path, *options: str, playbook: str = "verify", fleet: Any = None, around: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a playbook for three hosts, of which one is out of reach if others are not given, without any network.

    :param around: words before the command.
    """
    collections = folder / "ansible_collections" / "fleet"
    collections.mkdir(parents=True, exist_ok=True)
    if not (collections / "ipsec").exists():
        (collections / "ipsec").symlink_to(ROOT)
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "fleet_ipsec_seed": SEED,
        "fleet_ipsec_communities": [{"name": "core", "topology": "mesh", "members": "all"}],
        "verify_ike_wait": 0.2,
        "verify_ping_count": 1,
    }
    fleet = fleet or hosts(3) | {
        "g1": host(1) | {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": fleet, "vars": variables}}))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", f"fleet.ipsec.{playbook}"]
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(folder / "home"),
    }
    return subprocess.run(
        ["unshare", "--net", *around, *command, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_check_of_every_host_is_done_and_one_table_says_what_is_wrong(tmp_path: Path) -> None:
    run = play(tmp_path, "-e", "fleet_hosts=all")
    said = run.stdout
    assert run.returncode != 0
    for check in CHECKS:
        part = said.partition(f"TASK [fleet.ipsec.verify : {check}]")[2].partition("TASK [")[0]
        assert "[g0]" in part and "[g2]" in part, said
    assert said.count("WRONG: ") == 1 and "at 3 of 3 hosts" in said
    for line in (
        "g1 - out of reach, or failed: nothing of it is known",
        "g2 - the tunnel manager does not answer: ",
        "g2 core-g0 the IKE daemon of g0 (198.51.0.0) does not answer: ",
    ):
        assert line in re.sub(" +", " ", said), said
    failed = re.findall(
        r"^fatal: \[(g\d)\]: FAILED.*something is wrong at this host, see the table", said, re.MULTILINE
    )
    assert failed == ["g0", "g2"]
    assert SEED not in said


@pytest.mark.parametrize("playbook", ["verify", "site", "teardown"])
def test_a_run_without_hosts_fails(tmp_path: Path, playbook: str) -> None:
    run = play(tmp_path, playbook=playbook)
    assert run.returncode != 0, run.stdout
    assert "no host is in vpn_gateways" in run.stdout
    run = play(tmp_path, "--limit", "g0", playbook=playbook)
    assert run.returncode != 0 and "no host is in vpn_gateways" in run.stdout
    assert not re.search(r"^TASK \[fleet", run.stdout, re.MULTILINE)


def test_a_teardown_refuses_what_it_would_ignore_before_anything_is_taken_down(tmp_path: Path) -> None:
    run = play(tmp_path, "--check", "-e", "fleet_hosts=all", "-e", "teardown_everthing=true", playbook="teardown")
    assert run.returncode != 0
    assert "did you mean teardown_everything?" in run.stdout, run.stdout
    assert "TASK [Remove every tunnel" not in run.stdout


@pytest.mark.nightly
@pytest.mark.skipif(os.path.exists("/run/systemd/system"), reason="another service manager than that of the test")
def test_a_teardown_ends_a_manager_that_does_not_answer_and_sweeps(tmp_path: Path) -> None:
    around = ["--mount", "sh", "-c", SILENT_HOST, "TERM", sys.executable]
    run = play(tmp_path, "-e", "fleet_hosts=g0", playbook="teardown", around=around)
    assert run.returncode == 0, run.stdout
    part = run.stdout.partition("TASK [Restart a tunnel manager that does not answer]")[2]
    assert part.partition("TASK [")[0].count("changed: [g0]") == 1
    swept = part.partition("TASK [Remove every tunnel of the inventory where none runs since]")[2]
    assert "ok: [g0]" in swept.partition("TASK [")[0]
    around[-2] = "CONT"  # which ends nobody
    run = play(tmp_path, "-e", "fleet_hosts=g0", playbook="teardown", around=around)
    assert run.returncode != 0 and "did not help; look why it hangs" in run.stdout, run.stdout
    assert "teardown_everything=true" in run.stdout


@pytest.mark.parametrize("playbook", ["verify", "site"])
def test_what_is_wrong_with_the_inventory_is_said_once_a_line(tmp_path: Path, playbook: str) -> None:
    fleet = hosts(3) | {"g2": host(1)}
    run = play(tmp_path, "-e", "fleet_hosts=all", playbook=playbook, fleet=fleet)
    assert run.returncode != 0
    assert run.stdout.count("duplicate identity: g1 and g2") == 1, run.stdout
    assert re.search(r'^ +"duplicate identity: .*hosts.yml:\d+', run.stdout, re.MULTILINE)
    assert run.stdout.count("FAILED!") == 1 and len(run.stdout.splitlines()) < 60
