# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers, and somebody who empties a table of the (recorded) kernel of one of them."""

from __future__ import annotations

import socket

from manager_lab import Process, ends

from tests.waiting import eventually

Pair = tuple[Process, Process]


def empty(manager: Process, kind: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(kind.encode(), str(manager.root / "foreign"))


def listed(manager: Process) -> dict:
    (tunnel,) = manager.call("tunnels.list", verbose=True)["tunnels"]
    return tunnel


def up(pair: Pair) -> tuple[dict, dict]:
    left, right = pair
    mine, theirs = ends(left, right)
    right.apply(theirs)
    left.apply(mine, state="active")
    assert left.wait(mine["name"])["reached"]
    return mine, theirs


def spis(manager: Process) -> set[str]:
    return {sa[end] for sa in listed(manager)["children"][0]["sas"] for end in ("spi_in", "spi_out")}


def test_what_was_put_back_is_listed_and_told_to_the_next_task_once(pair: Pair) -> None:
    left, _right = pair
    mine, _theirs = up(pair)
    assert listed(left)["repairs"] == {"count": 0, "last": None}
    keys, policies = spis(left), left.kernel()["policies"]
    empty(left, "policies")
    eventually(lambda: listed(left)["repairs"]["count"] == 1)
    eventually(lambda: left.kernel()["policies"] == policies)
    assert spis(left) == keys and listed(left)["state"] == "active"
    last = listed(left)["repairs"]["last"]
    assert "policies of the child lan" in last["what"] and last["culprit"] == "vandal (process 4711)"
    assert left.call("manager.info")["counts"]["repaired"] == {"policies": 1}
    told = [left.call("tunnels.plan", definitions=[mine], state="active") for _unused in range(2)]
    told.append(left.apply(mine, state="active"))
    for outcome in told:
        (row,) = outcome["tunnels"]
        assert outcome["changed"] and row["action"] == "repaired" and row["before"] == row["after"] == {}
        assert ["policies of the child lan" in what for what in row["repaired"]] == [True]
    again = left.apply(mine, state="active")
    assert not again["changed"] and again["tunnels"][0]["action"] == "none"
    changed = mine | {"groups": ["all"]}
    empty(left, "policies")
    (row,) = left.apply(changed, state="active")["tunnels"]
    assert row["action"] == "changed" and row["changes"] == ["groups"] and row["repaired"]


def test_sas_that_are_gone_are_negotiated_anew_and_never_installed_again(pair: Pair) -> None:
    left, right = pair
    up(pair)
    for manager in (left, right):
        old, ike = spis(manager), listed(manager)["ike_sas"][0]["initiator_spi"]
        empty(manager, "sas")
        eventually(lambda manager=manager, old=old: not spis(manager) & old and listed(manager)["state"] == "active")
        eventually(lambda: spis(left) == spis(right))
        assert listed(manager)["ike_sas"][0]["initiator_spi"] == ike
        assert listed(manager)["repairs"]["count"] >= 1
    log = left.log.read_text()
    assert "reason=kernel_disturbed" in log and "vandal (process 4711)" in log


def test_a_route_is_put_back_and_a_defined_tunnel_that_is_down_keeps_its_traps(pair: Pair) -> None:
    left, _right = pair
    mine, _theirs = up(pair)
    empty(left, "routes")
    eventually(lambda: listed(left)["repairs"]["count"] == 1)
    assert "the route to" in listed(left)["repairs"]["last"]["what"]
    left.apply(mine, state="inactive")
    assert left.wait(mine["name"], until="down")["reached"]
    left.apply(mine | {"children": [mine["children"][0] | {"start": "trap"}]}, state="active")
    held = left.kernel()["policies"]
    assert held
    empty(left, "policies")
    eventually(lambda: left.kernel()["policies"] == held)
