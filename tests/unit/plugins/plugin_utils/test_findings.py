# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role verify says of what it has seen."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.credentials import fingerprint
from ansible_collections.fleet.ipsec.plugins.plugin_utils.findings import fleet_report, host_findings
from ansible_collections.fleet.ipsec.plugins.plugin_utils.topology import host_tunnels

from .inventories import SEED, hosts
from .sights import eroutes, made, state

WAYS = [("10.0.1.0/24", "10.0.0.0/24"), ("10.0.1.0/24", "10.0.2.0/24")]
UNANSWERED = {"kind": "unanswered", "tunnel": "c-g0", "problem": "ping to 10.0.0.1: no reply", "remedy": "look there"}
CLEAR = {"kind": "in_clear", "tunnel": None, "problem": "3 packets left in clear on eth0", "remedy": "stop here"}
FAILED = {"msg": "Python 3.5 is too old"}


ANOTHER = "8f1d6c07b2e95a43d0c7f61b9e4a2853"


def seen(**changes: Any) -> dict[str, Any]:
    """What the tasks return at g1, a spoke where all is well."""
    well = {
        "alive": {"targets": [{"target": "198.51.0.0", "alive": True, "reason": None, "detail": None}]},
        "rules": {"skipped": True},
        "eroutes": {"ansible_facts": {"ipsec_eroutes": eroutes("c-g0", *WAYS, owner="fleet")}},
        "states": {"tunnels": [state("active", owner="fleet")]},
        "wire": {
            "pings": [{"tunnel": "c-g0", "host": "g0", "destination": "10.0.0.1", "received": 3, "must_answer": True}],
            "esp": [{"spi": "c1", "packets": 3}, {"spi": "c2", "packets": 3}],
            "in_clear": [],
            "findings": [],
        },
    }
    return {**well, **changes}


def judged(**changes: Any) -> dict[str, Any]:
    return host_findings(made(hosts(3)), "g1", "fleet", seen(**changes))


def test_nothing_is_wrong() -> None:
    found = judged()
    assert (found["wrong"], found["warnings"], found["unproven"]) == ([], [], [])
    assert fleet_report({"g1": found}, ["g1"]) == [
        "HOST  PEERS ALIVE  EROUTES  PINGS ANSWERED  ESP PACKETS  SPIS  IN CLEAR",
        "g1    1 of 1       2        1 of 1          6            2     0",
        "",
        "nothing is wrong at 1 host",
    ]


def test_one_cause_is_told_once_with_its_reason_and_remedy() -> None:
    wire = {**seen()["wire"], "findings": [UNANSWERED, CLEAR]}
    nothing = {"ansible_facts": {"ipsec_eroutes": []}}
    found = judged(states={"tunnels": [state("down", owner="fleet")]}, eroutes=nothing, wire=wire)
    assert found["wrong"] == [
        ["c-g0", "it is down [no_answer]: nothing came back", "look at the peer"],
        ["", CLEAR["problem"], CLEAR["remedy"]],
    ]
    assert judged(wire=wire)["wrong"][0] == ["c-g0", UNANSWERED["problem"], UNANSWERED["remedy"]]


def test_whatever_fails_the_other_checks_are_judged() -> None:
    found = judged(alive=FAILED, rules=FAILED, eroutes=FAILED, states=FAILED, wire=FAILED)
    assert len(found["wrong"]) == 5
    assert all(FAILED["msg"] in problem for _tunnel, problem, _remedy in found["wrong"])
    closed = [{"target": "198.51.0.0", "alive": False, "reason": "port closed", "detail": "UDP port 500 is closed"}]
    found = judged(alive={"targets": closed}, rules={"rules_state": "missing"}, wire=FAILED)
    assert [row[0] for row in found["wrong"]] == ["c-g0", "", ""]
    assert "start fleet-ipsec-manager there" in found["wrong"][0][2]


def test_what_is_wrong_with_many_tunnels_alike_is_told_once() -> None:
    roster = made(hosts(4), {"name": "c", "topology": "mesh", "members": "all"})
    found = host_findings(roster, "g1", "fleet", seen(eroutes={"ansible_facts": {"ipsec_eroutes": []}}, states=FAILED))
    assert [row[0] for row in found["wrong"]] == ["", "c-g0 and 2 more"]


def test_what_goes_on_all_the_same_is_a_warning() -> None:
    last = {"what": "3 policies", "culprit": "", "time": 1}
    others = state("active", name="by-hand", owner="ansible", reason="peer_unchanged")
    mine = state("active", owner="fleet", reason="peer_unchanged", repairs={"count": 2, "last": last})
    found = judged(states={"tunnels": [others, mine]})
    assert found["wrong"] == [] and [row[0] for row in found["warnings"]] == ["c-g0", "c-g0"]
    assert "2 times other programs removed" in found["warnings"][0][1]


def test_one_table_for_all_hosts() -> None:
    wire = seen()["wire"]
    silent = {"tunnel": "c-g0", "host": "g0", "destination": "10.9.0.1", "received": 0, "must_answer": False}
    first = judged(wire={**wire, "pings": [*wire["pings"], silent], "findings": [UNANSWERED]})
    lines = fleet_report({"g1": first, "g2": judged()}, ["g1", "g2", "g0"])
    assert "WRONG: 2 findings at 2 of 3 hosts" in lines
    at = lines.index("HOST  TUNNEL  WHAT, AND WHAT TO DO")
    assert lines[at + 1 : at + 5] == [
        "g1    c-g0    ping to 10.0.0.1: no reply",
        "              -> look there",
        "g0    -       out of reach, or failed: nothing of it is known",
        "              -> see what is said of it further up",
    ]
    assert "NOT PROVEN: 1" in lines and any("nobody answers at 10.9.0.1" in line for line in lines)
    assert any("out of reach" in line for line in fleet_report({}, ["g0"]))


def key(seed: str, epoch: int = 1) -> dict[str, Any]:
    """The key of g1's tunnel, and so of g0's, as a manager tells it."""
    auth = host_tunnels(made(hosts(3)), "g1", seed, epoch)[0]["auth"]
    others = [fingerprint(each.encode()) for each in auth.get("also_accept", ())]
    return {"epoch": epoch, "fingerprint": fingerprint(auth["secret"].encode()), "also_accept": others}


def with_key(host: str, there: dict[str, Any], seed: str = SEED, epoch: int = 1) -> dict[str, Any]:
    peer = {"g0": "g1", "g1": "g0"}[host]
    states = {"tunnels": [state("active", name=f"c-{peer}", owner="fleet", key=there)]}
    return host_findings(made(hosts(3)), host, "fleet", seen(states=states), seed, epoch)


def keys_of(found: dict[str, Any]) -> list[str]:
    return [problem for _tunnel, problem, _remedy in found["wrong"] if "key" in problem]


def test_a_key_that_is_not_of_the_seed_is_found_at_its_end() -> None:
    assert keys_of(with_key("g1", key(SEED))) == []
    (problem,) = keys_of(with_key("g1", key(ANOTHER)))
    assert problem == "its key is another than that of the inventory, though both are of epoch 1"
    (problem,) = keys_of(with_key("g1", key(SEED), epoch=2))
    assert problem == "its key is of epoch 1, that of the inventory of epoch 2"
    assert keys_of(with_key("g1", key(SEED), seed="")) == []


def test_keys_of_both_ends_are_compared() -> None:
    for one, other, cut in (
        (key(SEED), key(SEED), False),
        (key(SEED, 2), key(SEED, 1), False),  # half a rotation
        (key(SEED, 1), key(SEED, 2), False),
        (key(SEED, 1), key(SEED, 3), True),
        (key(SEED), key(ANOTHER), True),
    ):
        found = {"g0": with_key("g0", one, ""), "g1": with_key("g1", other, "")}
        told = [line for line in fleet_report(found, ["g0", "g1"]) if "its key at g1 differ" in line]
        assert len(told) == cut and all(line.startswith("g0    c-g1") for line in told)
    assert "fingerprint" not in str(fleet_report(found, ["g0", "g1"]))
