# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ipsec_sa as Ansible runs it; what needs ESP in the kernel is in tests/kernel/test_manual.py as well."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

NAMESPACE = f"fleet-sa-{os.getpid()}"
INSIDE = ["ip", "netns", "exec", NAMESPACE]
NOBODY = [*INSIDE, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]

INFO = "ipsec_sa_info"
KEY = "0x" + "5a" * 32
BASE64_KEY = "0s" + "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo="
ESP = {
    "said": "esp.115@192.0.2.2",
    "source": "192.0.2.1",
    "encryption": {"algorithm": "aes256", "key": KEY},
    "integrity": {"algorithm": "sha256", "key": KEY},
}
TUN = {"said": "tun.113@192.0.2.2", "source": "192.0.2.1"}

Task = Callable[..., dict[str, Any]]


@pytest.fixture
def task(tmp_path) -> Iterator[Task]:
    """Run the module in a namespace of its own."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    subprocess.run([*INSIDE, "ip", "link", "set", "lo", "up"], check=True)

    def run(
        check: bool = False, wrapper: list[str] | None = None, module: str = "ipsec_sa", **arguments: Any
    ) -> dict[str, Any]:
        arguments = {"runtime_dir": str(tmp_path / "run"), **arguments}
        result = run_module(module, arguments, check, INSIDE if wrapper is None else wrapper)
        assert "5a5a" not in json.dumps({name: value for name, value in result.items() if name != "invocation"})
        assert "WlpaWlpa" not in json.dumps(result) and KEY not in json.dumps(result)
        return result

    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def kernel() -> str:
    return subprocess.run([*INSIDE, "ip", "xfrm", "state"], capture_output=True, text=True, check=True).stdout


def test_check_mode_tells_what_would_be_made_and_makes_nothing(task, tmp_path) -> None:
    told = task(check=True, **ESP)
    assert told["changed"] and told["sas"] == [
        {"said": ESP["said"], "action": "created", "impact": "none", "differs": [], "reqid": 0x66400000}
    ]
    assert told["diff"]["before"] == {} and told["diff"]["after"][ESP["said"]] == {
        "said": ESP["said"],
        "source": "192.0.2.1",
        "mode": "transport",
        "reqid": 0x66400000,
        "encryption": {"algorithm": "aes256"},
        "integrity": {"algorithm": "sha256"},
        "replay_window": 0,
    }
    assert "not in production" in json.dumps(told["warnings"])
    assert kernel() == "" and not (tmp_path / "run").exists()


def test_an_sa_is_made_changed_and_deleted(task) -> None:
    made = task(**ESP)
    if made.get("failed"):
        # A kernel without ESP names what it lacks, and nothing is left behind.
        assert "this kernel has no ESP for IPv4; load it: modprobe esp4" in made["msg"] and kernel() == ""
        assert task(module=INFO)["sas"] == []
        pytest.skip(made["msg"])
    assert made["changed"] and made["sas"][0]["action"] == "created"
    assert not task(**ESP | {"encryption": {"algorithm": "aes256", "key": BASE64_KEY}})["changed"]
    told = task(check=True, **ESP, mode="tunnel")
    done = task(**ESP, mode="tunnel")
    assert done["sas"][0]["impact"] == "re-create" and done["sas"][0]["differs"] == ["mode"]
    assert (told["sas"], told["diff"]) == (done["sas"], done["diff"])
    assert done["diff"]["before"][ESP["said"]]["mode"] == "transport"
    changed = task(**ESP | {"integrity": {"algorithm": "sha256", "key": "0x" + "77" * 32}})
    assert changed["diff"]["after"][ESP["said"]]["integrity"] == {"algorithm": "sha256", "key": "another one"}
    (listed,) = task(module=INFO)["sas"]
    assert listed["owner"] == "ansible" and listed["direction"] == "out" and listed["mode"] == "tunnel"
    assert listed["line"].startswith("esp0x115@192.0.2.2 ESP_AES_HMAC_SHA2_256: dir=out src=192.0.2.1 iv_bits=128bits")
    assert task(check=True, said=ESP["said"], state="absent")["changed"] and kernel() != ""
    assert task(said=ESP["said"], state="absent")["changed"] and kernel() == ""
    assert not task(said=ESP["said"], state="absent")["changed"]


def test_a_tun_needs_no_kernel(task) -> None:
    assert task(check=True, **TUN)["changed"]
    made = task(**TUN)
    assert made["changed"] and made["sas"] == [
        {"said": TUN["said"], "action": "created", "impact": "none", "differs": []}
    ]
    assert not task(**TUN)["changed"]
    (listed,) = task(module=INFO)["sas"]
    assert listed["line"].startswith("tun0x113@192.0.2.2 IPIP: dir=out src=192.0.2.1 life(c,s,h)=")
    assert not task(sas=[TUN], purge=True)["changed"]
    gone = task(sas=[], purge=True)
    assert gone["changed"] and gone["sas"][0]["action"] == "deleted" and "warnings" not in gone
    assert task(module=INFO)["sas"] == []


def bad(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ESP, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "one of the following is required: said, sas"),
        ({"state": "absent"}, "one of the following is required: said, sas"),
        ({"state": "listed", "sas": []}, "value of state must be one of: present, absent"),
        ({**ESP, "purge": True}, "purge: needs the list of SAs that stay"),
        ({"module": INFO, "saids": ["esp.115"]}, "saids[0]: no @"),
        ({"state": "absent", "sas": [ESP], "purge": True}, "purge: is nothing for state absent"),
        (bad(said="esp.115"), "said: no @"),
        (bad(source="gw1"), "source: is not an address"),
        (bad(encryption={"algorithm": "aes256", "key": KEY + "5a"}), "encryption.key: has 264 bits, which aes256 does"),
        (bad(encryption={"algorithm": "aes256", "key": KEY + "xyz"}), "encryption.key: is no key"),
        (bad(mode="beet"), "value of mode must be one of: transport, tunnel"),
        (bad(lifetime={"soft_bytes": 9, "hard_bytes": 8}), "lifetime.soft_bytes: comes after the hard limit, 8"),
        (bad(owner=""), "owner: is empty"),
        ({"sas": [TUN, bad(source="gw1")]}, "sas[1].source: is not an address"),
        ({"sas": [TUN, TUN]}, "sas[1].said: is named twice"),
        ({"sas": [TUN], "said": "esp.115@192.0.2.2"}, "mutually exclusive: said|sas"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_changes(task, arguments: dict[str, Any], problem: str) -> None:
    result = task(**arguments)
    assert result["failed"] and problem in result["msg"] and "\n" not in result["msg"], result["msg"]
    assert kernel() == "" and task(module=INFO)["sas"] == []


@pytest.mark.parametrize("arguments", [ESP, ESP | {"check": True}, {"module": INFO}])
def test_without_permission_it_says_so(task, arguments: dict[str, Any]) -> None:
    result = task(wrapper=NOBODY, **arguments)
    assert result["failed"] and "no permission" in result["msg"] and "run as root" in result["msg"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_empty_list_changes_nothing(task, state: str) -> None:
    task(**TUN)
    nothing = task(sas=[], state=state)
    assert not nothing["changed"] and nothing["sas"] == [] and "warnings" not in nothing
    assert len(task(module=INFO)["sas"]) == 1


def test_the_listing_tells_of_single_sas_and_of_those_of_an_owner(task) -> None:
    other = {"said": "tun.114@192.0.2.3", "source": "192.0.2.1"}
    task(**TUN)
    task(**other, owner="script")

    def listed(**choice: Any) -> list[str]:
        result = task(module=INFO, **choice)
        assert not result["changed"]
        return [sa["said"] for sa in result["sas"]]

    assert listed() == [TUN["said"], other["said"]] == listed(check=True)
    assert listed(saids=["tun0x114@192.0.2.3", "esp.999@192.0.2.2"]) == [other["said"]] == listed(owner="script")
    assert listed(saids=[]) == listed(owner="nobody") == listed(owner="script", saids=[TUN["said"]]) == []
