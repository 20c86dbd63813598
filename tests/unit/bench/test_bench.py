# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's own parts: order of rounds, table and file, and what stands in for the kernel."""

from __future__ import annotations

import json

import pytest
from engine.kernel.gateway import Gateway
from engine.manager.host import KernelHost

from tests.bench.counting_kernel import CountingGateway, CountingHost
from tests.bench.ike_responder import NO_PROPOSAL_CHOSEN, answer
from tests.bench.results import Figure, table, write
from tests.bench.rounds import interleaved, medians
from tests.bench.table_work import check_same


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


# What a manager without groups, adoption and interfaces never asks for.
_UNUSED = {"discard", "usage", "features", "port", "mend_way"}
_SINGLE = {
    "trap",
    "reset_policies",
    "point_policies",
    "remove_policies",
}  # of one child alone, where there is no manager
_INTERFACES = {
    "foreign_link",
    "require_interfaces",
    "make_interface",
    "remove_interface",
    "lacking_interfaces",
    "astray_interfaces",
}


@pytest.mark.parametrize(("real", "stand_in"), [(Gateway, CountingGateway), (KernelHost, CountingHost)])
def test_what_stands_for_the_kernel_has_its_verbs(real: type, stand_in: type) -> None:
    assert public(real) - public(stand_in) - _UNUSED - _SINGLE - _INTERFACES == set()


def test_rounds_take_turns() -> None:
    order: list[str] = []
    found = interleaved(3, {name: lambda name=name: order.append(name) or len(order) for name in ("a", "b")})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 4, 5], "b": [2, 3, 6]}
    values = {"a": iter([3.0, 1.0, 2.0]), "b": iter([9.0, 9.0, 1.0])}
    assert medians(3, {name: each.__next__ for name, each in values.items()}) == {"a": 2.0, "b": 9.0}


def test_the_file_and_the_table(tmp_path) -> None:
    figures = [
        Figure("one", "s", 1.5, 3.0, "them"),
        Figure("alone", "KiB", 0.01234),
        Figure("more", "1/s", 8, 4, "x", "higher"),
    ]
    lines = table(figures).splitlines()
    assert lines[1].split() == ["one", "[s]", "1.50", "3.00", "0.500", "them"]
    assert lines[2].split() == ["alone", "[KiB]", "0.0123"]
    write(tmp_path / "build" / "bench.json", figures, ["a note"])
    document = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert document["notes"] == ["a note"]
    assert document["rows"][0] == {
        "name": "one", "ours": 1.5, "theirs": 3.0, "ratio": 0.5, "unit": "s", "better": "lower", "reference": "them",
    }  # fmt: skip
    assert (document["rows"][1]["theirs"], document["rows"][1]["ratio"]) == (None, None)
    assert document["rows"][2]["better"] == "higher"


def test_unequal_findings_void_the_contest() -> None:
    row = {"source": "10.1.0.0/24", "said": "%trap"}
    check_same([{**row, "owner": "bench"}], [row], 1)
    for ours, theirs, count in (([row], [{**row, "said": "%pass"}], 1), ([row], [row], 2), ([row, row], [row], 2)):
        with pytest.raises(RuntimeError):
            check_same(ours, theirs, count)


def test_the_responder_refuses_as_a_daemon_does() -> None:
    request = bytes(range(8)) + bytes(8) + bytes([1, 0x10, 2, 0]) + bytes(4) + (28).to_bytes(4, "big")
    reply = answer(request)
    assert reply[:8] == request[:8]
    assert len(reply) == int.from_bytes(reply[24:28], "big") == 40
    assert reply[16:19] == bytes([11, 0x10, 5])
    assert int.from_bytes(reply[30:32], "big") == 12
    assert int.from_bytes(reply[38:40], "big") == NO_PROPOSAL_CHOSEN
