# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ipsec_spigrp_info on a real kernel, with reserved SPIs for SAs, and on files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..running import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

NAMESPACE = f"fleet-spigrp-info-{os.getpid()}"
INSIDE = ["ip", "netns", "exec", NAMESPACE]
NOBODY = [*INSIDE, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
TUN, ESP, AH = GROUP = ("tun.113@192.0.2.2", "esp.115@192.0.2.2", "ah.116@192.0.2.2")
_RESERVE = "ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto"
SETUP = f"""
    ip link set lo up
    {_RESERVE} esp reqid 7 mode tunnel min 0x115 max 0x115 >/dev/null
    {_RESERVE} ah reqid 7 mode transport min 0x116 max 0x116 >/dev/null
"""

Task = Callable[..., dict[str, Any]]


@pytest.fixture
def listing(tmp_path) -> Iterator[Task]:
    """Run the module in a namespace with a group."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)

    def run(wrapper: list[str] | None = None, module: str = "ipsec_spigrp_info", **arguments: Any) -> dict[str, Any]:
        arguments = {"runtime_dir": str(tmp_path / "run"), **arguments}
        return run_module(module, arguments, False, INSIDE if wrapper is None else wrapper)

    try:
        subprocess.run([*INSIDE, "sh", "-ec", SETUP], check=True)
        assert run(module="ipsec_spigrp", sas=list(GROUP), state="grouped")["changed"]
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def test_groups_are_listed_in_values_and_lines(listing) -> None:
    line = "tun0x113@192.0.2.2 esp0x115@192.0.2.2 ah0x116@192.0.2.2"
    result = listing()
    assert result["groups"] == [
        {"said": TUN, "sas": list(GROUP), "missing": [], "direction": "out", "line": line},
    ]
    assert result["lines"] == [line] and len(result["lines_per_sa"]) == 3
    assert not result["changed"] and "unreadable" not in result and "deprecations" not in result


def test_any_sa_names_its_group(listing) -> None:
    assert [group["said"] for group in listing(saids=["ah0x116@192.0.2.2"])["groups"]] == [TUN]
    assert listing(saids=["ah.999@192.0.2.2"])["groups"] == listing(saids=[])["groups"] == []


def test_an_sa_that_is_gone_is_missing(listing) -> None:
    delete = "ip xfrm state delete src 192.0.2.1 dst 192.0.2.2 proto ah spi 0x116"
    subprocess.run([*INSIDE, "sh", "-ec", delete], check=True)
    assert [group["missing"] for group in listing()["groups"]] == [[AH]]


def test_a_classic_table_is_read(listing, tmp_path) -> None:
    table = tmp_path / "ipsec_spigrp"
    table.write_text("tun0x113@127.0.0.1 esp0x115@127.0.0.1 \nesp0x115@127.0.0.1 \nnonsense\n")
    result = listing(file=str(table))
    assert [(group["sas"], group["direction"]) for group in result["groups"]] == [
        (["tun.113@127.0.0.1", "esp.115@127.0.0.1"], "in")
    ]
    assert result["lines"] == ["tun0x113@127.0.0.1 esp0x115@127.0.0.1"]
    assert result["lines_per_sa"] == [*result["lines"], "esp0x115@127.0.0.1"]
    assert result["unreadable"] == [{"number": 3, "line": "nonsense", "reason": "'nonsense': no @"}]
    assert "line 3" in json.dumps(result["warnings"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"saids": [ESP, "ah.zz@192.0.2.2"]}, "saids[1]: not hexadecimal"),
        ({"file": "/nonexistent"}, "file: No such file or directory"),
        ({"wrapper": NOBODY}, "no permission"),
    ],
)
def test_what_is_wrong_is_named(listing, arguments: dict[str, Any], problem: str) -> None:
    result = listing(**arguments)
    assert result["failed"] and problem in result["msg"] and "\n" not in result["msg"]
