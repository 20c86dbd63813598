# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ipsec_eroute and ipsec_eroute_facts on the machine's own kernel, in a namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

NAMESPACE = f"fleet-eroute-{os.getpid()}"
INSIDE = ["ip", "netns", "exec", NAMESPACE]
NOBODY = [*INSIDE, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
DATA = Path(__file__).parents[2] / "engine" / "classic" / "data"

LAN = {"source": "10.1.0.0/16", "destination": "10.66.0.0/16"}
DROP = {**LAN, "action": "drop", "count": False}

Task = Callable[..., dict[str, Any]]


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Task]:
    """Run a module in a namespace of its own."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)

    def run(
        name: str = "ipsec_eroute", check: bool = False, wrapper: list[str] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        arguments = {"runtime_dir": str(tmp_path / "run"), **arguments}
        return run_module(name, arguments, check, INSIDE if wrapper is None else wrapper)

    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def inside(command: str) -> str:
    return subprocess.run([*INSIDE, "sh", "-ec", command], capture_output=True, text=True, check=True).stdout


def facts(task: Task, **arguments: Any) -> dict[str, Any]:
    found = task("ipsec_eroute_facts", **arguments)
    assert not found.get("failed") and not found["changed"], found
    return {**found["ansible_facts"], "unreadable": found["unreadable"]}


@pytest.fixture
def rules() -> None:
    """Skips where this machine's kernel does not take rules of nftables."""
    probe = (
        "nft 'add table inet probe; add chain inet probe c; add rule inet probe c reject with icmpx admin-prohibited'"
    )
    done = subprocess.run(["unshare", "--net", "sh", "-c", probe], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs nftables: {done.stderr.strip()}")


def test_an_eroute_is_set_once(task: Task) -> None:
    first = task(**DROP)
    assert first["changed"] and first["eroutes"] == [
        {
            "line": "10.1.0.0/16 -> 10.66.0.0/16 => %drop",
            "direction": "out",
            "owner": "ansible",
            "precedence": "first",
            "counted": False,
            "change": "added",
        }
    ]
    words = "10.1.0.0/16 -> 10.66.0.0/16 => %drop (out, before tunnels, owner ansible)\n"
    assert first["diff"] == {"before": "", "after": words}
    assert "dir out action block" in inside("ip xfrm policy")
    again = task(**DROP)
    assert not again["changed"] and again["eroutes"] == [] and again["diff"] == {"before": "", "after": ""}
    # Other words for the same.
    assert not task(source="10.1.2.3/16", destination="10.66.0.0/255.255.0.0", said="%drop", count=False)["changed"]


def test_an_eroute_with_the_same_selectors_is_replaced(task: Task) -> None:
    task(**DROP)
    done = task(**{**DROP, "action": "pass"})
    assert [(each["change"], each["direction"]) for each in done["eroutes"]] == [("changed", "both")]
    assert done["diff"]["before"].startswith("10.1.0.0/16 -> 10.66.0.0/16 => %drop")
    assert inside("ip xfrm policy").count("dir ") == 3 and "block" not in inside("ip xfrm policy")
    assert task(**{**DROP, "action": "trap"})["changed"]
    assert "proto esp reqid" in inside("ip xfrm policy") and inside("ip xfrm policy").count("dir ") == 1


def test_check_mode_tells_and_changes_nothing(task: Task, tmp_path: Path) -> None:
    told = task(check=True, **DROP)
    assert told["changed"] and inside("ip xfrm policy") == "" and not (tmp_path / "run").exists()
    done = task(**DROP)
    assert (told["eroutes"], told["diff"]) == (done["eroutes"], done["diff"])
    assert not task(check=True, **DROP)["changed"]
    gone = task(check=True, **LAN, state="absent")
    assert gone["changed"] and gone["eroutes"][0]["change"] == "removed" and "block" in inside("ip xfrm policy")


def test_absent_removes_what_is_ours_and_nothing_else(task: Task) -> None:
    inside("ip xfrm policy add src 10.1.0.0/16 dst 10.67.0.0/16 dir out action block")
    task(**DROP)
    assert task(**LAN, state="absent")["changed"] and not task(**LAN, state="absent")["changed"]
    assert not task(source="10.1.0.0/16", destination="10.67.0.0/16", state="absent")["changed"]
    assert inside("ip xfrm policy").count("dir ") == 1


def test_a_list_with_purge_keeps_to_its_owner(task: Task) -> None:
    task(**DROP, owner="other")
    some = [{**DROP, "destination": f"10.{n}.0.0/16"} for n in range(70, 75)]
    assert len(task(eroutes=some, purge=True)["eroutes"]) == 5
    assert not task(eroutes=some, purge=True)["changed"]
    left = task(eroutes=some[:2], purge=True)
    assert [each["change"] for each in left["eroutes"]] == ["removed"] * 3
    assert task(eroutes=[], purge=True)["changed"]
    assert [e["owner"] for e in facts(task)["ipsec_eroutes"]] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "one of the following is required: source, eroutes"),
        ({"source": "0/0"}, "action: is missing"),
        ({**LAN, "action": "drop", "said": "%drop"}, "action: stands beside said"),
        ({**LAN}, "action: is missing"),
        ({**LAN, "action": "hold"}, "value of action must be one of: pass, drop, reject, trap"),
        ({**LAN, "said": "%hold"}, "said: cannot be set"),
        ({**LAN, "said": "esp.123@192.0.2.1"}, "said: the kernel has no such SA"),
        ({**LAN, "said": "esp.12@192.0.2.1"}, "SPIs below 0x100 are reserved"),
        ({"source": "10.1.0.0/16", "action": "drop"}, "destination: is missing"),
        ({"eroutes": [DROP, {**LAN, "action": "drop", "protocol": "tcpp"}]}, "eroutes[1].protocol: is no protocol"),
        ({"eroutes": [DROP, DROP]}, "eroutes[1].source: is listed twice"),
        ({"eroutes": [DROP], "source": "0/0"}, "mutually exclusive: eroutes|source"),
        ({**DROP, "purge": True}, "purge: needs the list"),
        ({"eroutes": [], "purge": True, "state": "absent"}, "purge: needs the list"),
        ({**DROP, "owner": ""}, "owner: is no name of an owner"),
        ({**LAN, "action": "reject", "precedence": "specific"}, "precedence: a %reject stands before every tunnel"),
        ({**LAN, "action": "reject", "direction": "in"}, "direction: reject is for outgoing packets only"),
        ({**LAN, "action": "drop", "precedence": "specific", "count": True}, "count: its packets cannot be told"),
        ({"source": "10.1.0.0/16", "destination": "fd00::/64", "action": "drop"}, "source: is no IPv6 network"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_changes(task: Task, arguments: dict[str, Any], problem: str) -> None:
    result = task(**arguments)
    assert result["failed"] and problem in result["msg"] and "\n" not in result["msg"], result
    assert inside("ip xfrm policy; nft list ruleset") == ""


def test_policies_and_tunnels_of_others_stand_in_the_way(task: Task) -> None:
    inside("ip xfrm policy add src 10.1.0.0/16 dst 10.66.0.0/16 dir out tmpl proto esp reqid 9 mode transport")
    result = task(**DROP, precedence="first")
    assert result["failed"] and "another program has a policy with these selectors" in result["msg"]
    result = task(source="10.0.0.0/8", destination="0/0", action="pass")
    assert "precedence: before every tunnel it would take all packets of the policy out 10.1.0.0/16" in result["msg"]
    assert task(source="10.0.0.0/8", destination="0/0", action="pass", precedence="specific")["changed"]
    assert inside("ip xfrm policy").count("dir ") == 4


def test_packets_within_the_network_are_warned_of(task: Task) -> None:
    wide = {"source": "10.1.0.0/16", "destination": "0/0", "action": "drop", "count": False}
    inner = {"source": "10.1.0.0/16", "destination": "10.1.0.0/16", "action": "pass", "count": False}
    assert "warnings" not in task(check=True, **wide)  # it is not this host's network
    inside("ip link set lo up; ip addr add 10.1.0.1/16 dev lo")
    warnings = task(check=True, **wide)["warnings"]
    assert len(warnings) == 1
    warning = str(warnings[0])  # newer ansible-core wraps it
    assert "stops packets within 10.1.0.0/16 too, such as those from here (10.1.0.1) to neighbours" in warning
    assert "warnings" not in task(eroutes=[inner, wide])
    assert "warnings" not in task(eroutes=[inner, wide])
    assert "warnings" not in task(**DROP)


def test_other_owners_are_named(task: Task) -> None:
    task(**DROP, owner="office")
    for more in ({}, {"state": "absent"}):
        result = task(**{**DROP, **more})
        assert result["failed"] and "belongs to 'office'" in result["msg"]


@pytest.mark.usefixtures("rules")
def test_reject_has_its_rule_and_goes_with_it(task: Task) -> None:
    rejecting = {**LAN, "action": "reject"}
    assert task(**rejecting)["changed"] and not task(**rejecting)["changed"]
    assert "reject with icmpx admin-prohibited" in inside("nft list ruleset")
    inside("nft flush ruleset")
    told = task(check=True, **rejecting)
    assert told["changed"] and told["diff"]["before"] == "rules of nftables: missing or different\n"
    assert inside("nft list ruleset") == ""
    assert task(**rejecting)["changed"] and "reject with" in inside("nft list ruleset")
    assert [e["said"] for e in facts(task)["ipsec_eroutes"]] == ["%reject"]
    task(**LAN, state="absent")
    assert inside("nft list ruleset; ip xfrm policy") == ""


def test_without_nft_only_reject_and_wanted_counts_fail(task: Task, tmp_path: Path) -> None:
    # Everything but nft, where it is looked for.
    hide = [*INSIDE, "unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$(command -v nft)"; exec "$@"', "sh"]
    for wrong in ({**LAN, "action": "reject"}, {**LAN, "action": "drop", "count": True}):
        result = task(wrapper=hide, **wrong)
        assert result["failed"] and "nft" in result["msg"], result
        assert inside("ip xfrm policy") == ""
    done = task(wrapper=hide, **LAN, action="drop")
    assert done["changed"] and not done["eroutes"][0]["counted"]


@pytest.mark.parametrize("check", [False, True])
def test_without_permission_it_says_so(task: Task, check: bool) -> None:
    result = task(check=check, wrapper=NOBODY, **DROP)
    assert result["failed"] and "no permission" in result["msg"] and "run as root" in result["msg"]


# ipsec_eroute_facts


def test_facts_need_permission(task: Task) -> None:
    result = task("ipsec_eroute_facts", wrapper=NOBODY)
    assert result["failed"] and "no permission" in result["msg"] and "run as root" in result["msg"]


POLICIES = """
ip xfrm policy add src 10.1.0.0/16 dst 10.9.0.0/24 dir out action block priority 100
ip xfrm policy add src 10.1.0.0/16 dst 10.8.0.0/24 proto tcp dport 443 dir out priority 200 \\
    tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel reqid 7
ip xfrm policy add src 2001:db8::/32 dst ::/0 dir out priority 300
ip xfrm policy add src 10.9.0.0/24 dst 10.1.0.0/16 dir in priority 100
ip xfrm policy add src 10.9.0.0/24 dst 10.1.0.0/16 dir fwd priority 100
"""


def test_facts_of_the_kernel_in_values_and_classic_lines(task: Task) -> None:
    inside(POLICIES)
    before = inside("ip -s xfrm policy")
    found = facts(task, format="klips")
    assert [(e["said"], e["priority"], e["protocol"], e["destination_ports"]) for e in found["ipsec_eroutes"]] == [
        ("%drop", 100, 0, [0, 0]),
        ("%trap", 200, 6, [443, 443]),
        ("%pass", 300, 0, [0, 0]),
    ]
    assert found["ipsec_eroute_lines"] == [
        "0          10.1.0.0/16        -> 10.9.0.0/24        => %drop",
        "0          10.1.0.0/16        -> 10.8.0.0/24:443    => %trap:6",
        "0          2001:db8::/32      -> ::/0               => %pass",
    ]
    assert found["ipsec_spigrps"] == [] and inside("ip -s xfrm policy") == before


@pytest.mark.parametrize("name", ["eroute_proc", "eroute_nocount"])
def test_facts_of_a_classic_file_give_its_lines_back(task: Task, name: str) -> None:
    path = DATA / f"{name}.tsv"
    found = facts(task, path=str(path), format="klips")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert found["unreadable"] == [] and len(found["ipsec_eroutes"]) == len(lines)
    for line, written, eroute in zip(lines, found["ipsec_eroute_lines"], found["ipsec_eroutes"], strict=True):
        # Where there is a count it is the first word; one that wrapped is turned back.
        rest = line.split(maxsplit=1)[1] if name == "eroute_proc" else line
        assert written.split()[1:] == rest.split()
        assert (eroute["packets"] is None) == (name == "eroute_nocount")
        assert eroute["priority"] is None and eroute["owner"] is None


def test_facts_of_a_classic_file_name_the_lines_that_cannot_be_read(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "ipsec_eroute"
    path.write_text(
        "5 10.1.0.0/24 -> 10.2.0.0/24 => %passthrough\n"
        "7 10.1.0.0/24 10.2.0.0/24 => %trap\n"
        "9 10.1.0.0/24 -> 10.3.0.0/24 => %trapsubnet:6\n"
        "1 10.1.0.0/24 -> 10.4.0.0/24 => %unk-300\n"
        "2 10.1.0.0/24 -> 10.5.0.0/24 => %hold\n  (east) ()\n"
    )
    found = facts(task, path=str(path))
    assert [(e["said"], e["action"], e["packets"], e["sas"]) for e in found["ipsec_eroutes"]] == [
        ("%passthrough", "pass", 5, []),
        ("%trapsubnet", "trap", 9, []),
        ("%unk-300", "unknown", 1, []),
        ("%hold", "hold", 2, []),
    ]
    assert [(e["source_identity"], e["destination_identity"]) for e in found["ipsec_eroutes"]][2:] == [
        (None, None),
        ("east", ""),
    ]
    assert found["unreadable"] == [
        {"path": str(path), "number": 2, "line": "7 10.1.0.0/24 10.2.0.0/24 => %trap", "reason": "no ->"}
    ]


def test_facts_of_a_file_that_is_not_there(task: Task, tmp_path: Path) -> None:
    result = task("ipsec_eroute_facts", path=str(tmp_path / "none"))
    assert result["failed"] and "path: No such file" in result["msg"]


def test_facts_leave_policies_of_sockets_and_other_directions_out(task: Task) -> None:
    script = """
import socket, struct, subprocess, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
info = bytearray(168)
struct.pack_into("=H", info, 40, socket.AF_INET)
info[160] = 1  # out
sock.setsockopt(socket.IPPROTO_IP, 17, bytes(info))
assert "socket out" in subprocess.run(["ip", "xfrm", "policy"], capture_output=True, text=True).stdout
sys.exit(subprocess.run(sys.argv[1:], stdin=sys.stdin).returncode)
"""
    inside("ip xfrm policy add src 10.9.0.0/24 dst 10.1.0.0/16 dir in; ip xfrm policy add dst 10.1.0.0/16 dir fwd")
    found = task("ipsec_eroute_facts", wrapper=[*INSIDE, "python3", "-c", script])
    assert found["ansible_facts"]["ipsec_eroutes"] == []


def test_facts_count_what_nftables_counts(task: Task, rules: None) -> None:
    inside("ip link set lo up; ip addr add 10.1.0.1/32 dev lo; ip link add v0 type veth peer name v1")
    inside("ip addr add 10.66.0.1/16 dev v0; ip link set v0 up; ip link set v1 up")
    inside("ip neigh add 10.66.0.9 lladdr 02:00:00:00:00:09 dev v0")
    task(**LAN, action="pass")
    inside("ping -c3 -i0.01 -W0.01 -I 10.1.0.1 10.66.0.9 >/dev/null || true")
    (found,) = facts(task)["ipsec_eroutes"]
    assert (found["packets"], found["owner"], found["packets_shared"]) == (3, "ansible", False)
