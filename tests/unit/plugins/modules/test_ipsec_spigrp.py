# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ipsec_spigrp on a real kernel, with reserved SPIs for SAs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

TUN, ESP, AH = GROUP = ("tun.113@192.0.2.2", "esp.115@192.0.2.2", "ah.116@192.0.2.2")
NAMESPACE = f"fleet-spigrp-{os.getpid()}"
INSIDE = ["ip", "netns", "exec", NAMESPACE]
NOBODY = [*INSIDE, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]

_RESERVE = "ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto"
_TEMPLATE = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x115 reqid 7 mode tunnel"
SETUP = f"""
    ip link set lo up
    {_RESERVE} esp reqid 7 mode tunnel min 0x115 max 0x115 >/dev/null
    {_RESERVE} ah reqid 7 mode transport min 0x116 max 0x116 >/dev/null
    ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out {_TEMPLATE}
"""

Task = Callable[..., dict[str, Any]]


@pytest.fixture
def task(tmp_path) -> Iterator[Task]:
    """Run the module in a namespace with two SAs and a policy that leads to the first."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)

    def run(check: bool = False, wrapper: list[str] | None = None, **arguments: Any) -> dict[str, Any]:
        return run_module(
            "ipsec_spigrp",
            {"runtime_dir": str(tmp_path / "run"), **arguments},
            check,
            INSIDE if wrapper is None else wrapper,
        )

    try:
        subprocess.run([*INSIDE, "sh", "-ec", SETUP], check=True)
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def kernel() -> str:
    return subprocess.run([*INSIDE, "ip", "xfrm", "policy"], capture_output=True, text=True, check=True).stdout


def test_a_group_is_made_once(task) -> None:
    made = task(sas=list(GROUP), state="grouped")
    assert made["changed"] and made["sas"] == list(GROUP) and made["dissolved"] == []
    assert made["policies"] == [
        {
            "policy": "out 10.1.0.0/24 -> 10.2.0.0/24",
            "before": "ESP 0x115 tunnel",
            "after": "ESP 0x115 tunnel, AH 0x116 transport",
        }
    ]
    assert made["diff"] == {
        "before": f"{ESP}\n{AH}\nout 10.1.0.0/24 -> 10.2.0.0/24: ESP 0x115 tunnel\n",
        "after": f"{' '.join(GROUP)}\nout 10.1.0.0/24 -> 10.2.0.0/24: ESP 0x115 tunnel, AH 0x116 transport\n",
    }
    assert "proto ah spi 0x00000116" in kernel()
    again = task(sas=list(GROUP), state="grouped")
    assert not again["changed"] and again["policies"] == [] and again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_tells_and_changes_nothing(task, tmp_path) -> None:
    before = kernel()
    told = task(check=True, sas=list(GROUP))
    assert told["changed"] and kernel() == before and not (tmp_path / "run").exists()
    done = task(sas=list(GROUP))
    assert (told["diff"], told["policies"]) == (done["diff"], done["policies"])
    assert not task(check=True, sas=list(GROUP))["changed"]
    grouped = kernel()
    told = task(check=True, sas=[AH], state="ungrouped")
    assert told["changed"] and told["dissolved"] == [list(GROUP)] and kernel() == grouped


def test_every_form_names_the_same_group(task) -> None:
    assert task(said=list(GROUP))["changed"]
    positional = ["inet 192.0.2.2 0x113 tun", "inet 192.0.2.2 0x115 esp", "inet 192.0.2.2 278 ah"]
    assert not task(positional=positional)["changed"]
    assert not task(positional=" ".join(positional).split())["changed"]
    assert not task(sas=["tun0x113@192.0.2.2", "esp277@192.0.2.2", "ah0x116@192.0.2.2"])["changed"]


def test_one_sa_ungroups(task) -> None:
    task(sas=list(GROUP))
    gone = task(sas=[ESP], state="ungrouped")
    assert gone["changed"] and gone["dissolved"] == [list(GROUP)] and "proto ah" not in kernel()
    assert not task(sas=[TUN], state="ungrouped")["changed"]


def test_a_list_that_came_out_empty_changes_nothing(task) -> None:
    task(sas=list(GROUP))
    before = kernel()
    nothing = task(sas=[], state="ungrouped")
    assert not nothing["changed"] and nothing["sas"] == [] and nothing["diff"] == {"before": "", "after": ""}
    assert kernel() == before


@pytest.mark.parametrize("arguments", [{}, {"state": "listed"}])
def test_it_still_lists_and_says_what_does_so_from_now_on(task, arguments: dict[str, Any]) -> None:
    task(sas=list(GROUP))
    result = task(**arguments)
    assert [group["sas"] for group in result["groups"]] == [list(GROUP)] and not result["changed"]
    # What else stands in it depends on the release of ansible-core.
    (deprecation,) = result["deprecations"]
    assert "ipsec_spigrp_info" in str(deprecation) and "1.0.0" in str(deprecation)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"sas": [ESP, "ah.999@192.0.2.2"]}, "sas[1]: the kernel has no such SA (got 'ah.999@192.0.2.2')"),
        ({"sas": [ESP, "ah.zz@192.0.2.2"]}, "sas[1]: not hexadecimal"),
        ({"sas": [ESP], "state": "grouped"}, "a group has two SAs or more"),
        ({"state": "grouped"}, "sas: no SA to be grouped"),
        ({"sas": [ESP]}, "state: is needed for one SA"),
        ({"state": "ungrouped"}, "sas: no SA to be ungrouped"),
        ({"sas": []}, "sas: no SA to be grouped"),
        ({"positional": []}, "sas: no SA to be grouped"),
        ({"state": "listed", "sas": [ESP]}, "state: takes no SAs"),
        ({"state": "joined"}, "value of state must be one of: grouped, ungrouped, listed"),
        ({"positional": ["inet 192.0.2.2 0x113"]}, "3 words, which is no multiple of 4"),
        ({"positional": ["inet6 192.0.2.2 0x113 esp"]}, "positional: has no inet6 address"),
        ({"positional": ["inet 192.0.2.2 0x113 esp"], "sas": [ESP]}, "mutually exclusive: sas|positional"),
        ({"sas": [ESP, AH], "label": ""}, "label: is empty"),
        ({"positional": ["inet 192.0.2.2 0x115 esp"] * 5}, "a group has at most 4 SAs in the words of the classic"),
        ({"sas": [ESP, "ah.999@192.0.2.2"], "label": "nightly"}, "nightly: sas[1]: the kernel"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_changes(task, arguments: dict[str, Any], problem: str) -> None:
    before = kernel()
    result = task(**arguments)
    assert result["failed"] and problem in result["msg"] and "\n" not in result["msg"]
    assert kernel() == before


@pytest.mark.parametrize("arguments", [{}, {"sas": [ESP, AH]}, {"sas": [ESP, AH], "check": True}])
def test_without_permission_it_says_so(task, arguments: dict[str, Any]) -> None:
    result = task(wrapper=NOBODY, **arguments)
    assert result["failed"] and "no permission" in result["msg"] and "run as root" in result["msg"]


def test_the_label_comes_back(task) -> None:
    assert task(sas=[ESP, AH], label="nightly")["label"] == "nightly"
