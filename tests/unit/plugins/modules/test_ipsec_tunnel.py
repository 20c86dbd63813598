# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules ipsec_tunnel and ipsec_tunnel_info against real managers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from ..running import run_module
from .conftest import SECRET, Pair, RunningManager, tunnel


def info(manager: RunningManager, **filters: Any) -> list[dict[str, Any]]:
    """What ipsec_tunnel_info returns."""
    return run_module("ipsec_tunnel_info", {"control_socket": manager.control, **filters})["tunnels"]


def bulk(manager: RunningManager, *names: str, **more: Any) -> dict[str, Any]:
    """Arguments for several tunnels."""
    rows = [
        {
            "name": name,
            "local": {"address": manager.address},
            "remote": {"address": f"192.0.2.{number + 1}"},
            "auth": {"secret": SECRET + name},
            "children": [{"name": "lan", "local": ["172.16.0.0/24"], "remote": [f"172.16.{number + 1}.0/24"]}],
        }
        for number, name in enumerate(names)
    ]
    return {"tunnels": rows, "control_socket": manager.control, **more}


def test_up_and_down_between_two(managers: Pair) -> None:
    left, right = managers
    planned = run_module("ipsec_tunnel", tunnel(left, right, state="present"), check=True)
    assert planned["changed"]
    assert info(left) == []
    assert run_module("ipsec_tunnel", tunnel(right, left, state="present"))["changed"]

    result = run_module("ipsec_tunnel", tunnel(left, right, state="active", wait={"timeout": 20}))
    assert result["changed"], result
    assert result["waited"]["until"] == "established"
    assert result["waited"]["tunnels"][0]["reached"]
    assert [(t["state"], t["role"]) for t in info(left)] == [("active", "initiator")]
    whole = run_module("ipsec_tunnel_info", {"control_socket": left.control})
    assert whole["unknown_peers"] == [] and {"version", "release", "uptime"} == whole["manager"].keys()
    assert 0 <= whole["tunnels"][0]["established_seconds"] < 60 and "last_traffic_seconds" in whole["tunnels"][0]
    assert [(t["state"], t["role"]) for t in info(right, role="responder")] == [("active", "responder")]

    again = run_module("ipsec_tunnel", tunnel(left, right, state="active"))
    assert not again["changed"]
    assert again["impact"] == "none"
    assert again["before"] == again["after"] == {}

    name = {"name": "pair", "control_socket": left.control}
    down = run_module("ipsec_tunnel", {**name, "state": "inactive"})
    assert down["changed"] and down["waited"]["until"] == "down"
    assert info(left) == []
    assert info(left, source="database")[0]["wanted"] == "inactive"
    assert run_module("ipsec_tunnel", {**name, "state": "absent"})["changed"]
    assert not run_module("ipsec_tunnel", {**name, "state": "absent"})["changed"]
    assert info(left, source="database") == []


@pytest.mark.parametrize("start", ["manual", "trap"])
def test_active_starts_every_child_and_enabled_leaves_them_to_their_start(managers: Pair, start: str) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(right, left, state="present"))
    children = [each | {"start": start} for each in tunnel(left, right)["children"]]
    task = tunnel(left, right, children=children, state="enabled")
    assert run_module("ipsec_tunnel", task, check=True)["changed"]
    result = run_module("ipsec_tunnel", task)
    assert result["changed"] and result["waited"]["until"] == "established", "it is as far as it gets by itself"
    assert not run_module("ipsec_tunnel", task)["changed"]
    assert info(left, source="database")[0]["state"] == "dormant"
    task |= {"state": "active"}
    assert run_module("ipsec_tunnel", task, check=True)["changed"]
    result = run_module("ipsec_tunnel", task)
    assert result["changed"] and result["waited"]["tunnels"][0]["phase2"] == {"lan": "active"}
    assert not run_module("ipsec_tunnel", task)["changed"]
    assert not run_module("ipsec_tunnel", task | {"state": "enabled"})["changed"], "what somebody started stays up"
    assert info(left)[0]["state"] == "active"


def test_a_wrong_secret_says_which_side_and_what_to_do(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(right, left, auth={"secret": "another one, just as long as that"}))
    result = run_module("ipsec_tunnel", tunnel(left, right, state="active", wait={"timeout": 3}))
    assert result["failed"]
    assert "1 of 1 tunnels not established after 3 s" in result["msg"]
    assert "authentication_failed" in result["msg"]
    assert "remedy: compare the secret and both ids at the two ends" in result["msg"]
    assert SECRET not in json.dumps(result)


def test_a_peer_that_does_not_answer(managers: Pair) -> None:
    left, right = managers
    right.stop()
    result = run_module("ipsec_tunnel", tunnel(left, right, state="active", wait={"timeout": 1}))
    assert result["failed"]
    assert "not established" in result["msg"]


def test_a_change_says_its_impact(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(left, right))
    changed = run_module("ipsec_tunnel", tunnel(left, right, ike={"lifetime": "2h"}))
    assert changed["tunnels"] == [
        {
            "name": "pair",
            "number": 1,
            "action": "changed",
            "impact": "hot",
            "changes": ["ike.lifetime"],
            "repaired": [],
            "missing": [],
            "packets": "what runs goes on as it is",
        }
    ]
    assert changed["before"]["pair"]["ike"]["lifetime"] == 14400
    assert changed["after"]["pair"]["ike"]["lifetime"] == 7200
    assert changed["diff"] == [
        {
            "before_header": "tunnel pair",
            "after_header": "tunnel pair, changed: what runs goes on as it is",
            "before": "ike.lifetime: 14400\n",
            "after": "ike.lifetime: 7200\n",
        }
    ]


def test_what_others_removed_from_the_kernel_counts_as_changed_once(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(right, left))
    run_module("ipsec_tunnel", tunnel(left, right, state="active"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as vandal:
        vandal.sendto(b"policies", str(Path(left.control).parent / "foreign"))
    for check in (True, True, False):
        result = run_module("ipsec_tunnel", tunnel(left, right, state="active"), check=check)
        assert result["changed"] and result["tunnels"][0]["action"] == "repaired"
        assert "policies of the child lan" in result["tunnels"][0]["repaired"][0]
        (diff,) = result["diff"]
        assert "put back since" in diff["before"] and "missing" not in diff["before"] and not diff["after"]
    assert not run_module("ipsec_tunnel", tunnel(left, right, state="active"))["changed"]


def test_a_new_secret_shows_as_a_change_but_not_itself(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(left, right))
    result = run_module("ipsec_tunnel", tunnel(left, right, auth={"secret": "quite another one, long enough"}))
    assert result["tunnels"][0]["changes"] == ["auth.secret"]
    assert result["diff"][0]["before"] != result["diff"][0]["after"]
    text = json.dumps(result)
    assert SECRET not in text
    assert "quite another one" not in text


def test_many_at_once_and_purge(managers: Pair) -> None:
    manager = managers[0]
    first = run_module("ipsec_tunnel", bulk(manager, "a", "b", "c", owner="one"))
    assert [row["action"] for row in first["tunnels"]] == ["created"] * 3
    assert first["invocation"]["module_args"]["tunnels"] == ["a", "b", "c"]
    assert not run_module("ipsec_tunnel", bulk(manager, "a", "b", "c", owner="one"))["changed"]
    assert run_module("ipsec_tunnel", {**tunnel(*managers), "owner": "two"})["changed"]
    for check in (True, False):
        refused = run_module("ipsec_tunnel", bulk(manager, "a", owner="one", purge=True), check=check)
        assert refused["failed"] and "2 of the 3 tunnels of owner one" in refused["msg"], refused
    assert len(info(manager, source="database")) == 4
    fewer = run_module("ipsec_tunnel", bulk(manager, "a", owner="one", purge=True, purge_limit=66))
    assert {row["name"]: row["action"] for row in fewer["tunnels"]} == {"a": "none", "b": "removed", "c": "removed"}
    assert sorted(row["name"] for row in info(manager, source="database")) == ["a", "pair"]
    none = run_module("ipsec_tunnel", bulk(manager, owner="one", purge=True, purge_limit=100))
    assert none["changed"]
    assert [row["name"] for row in info(manager, source="database")] == ["pair"]


def test_one_bad_definition_and_nothing_changes(untouched: Pair) -> None:
    manager = untouched[0]
    arguments = bulk(manager, "a", "b")
    arguments["tunnels"][1]["remote"]["address"] = "192.0.2.300"
    result = run_module("ipsec_tunnel", arguments)
    assert result["failed"]
    assert result["msg"].startswith("tunnels[b].remote.address: ") and "definitions" not in result["msg"]
    assert "192.0.2.300" in result["msg"]
    assert result["problems"][0]["field"] == "tunnels[b].remote.address"
    assert info(manager, source="database") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "a", "auth": SECRET}, "auth: is not a dictionary of options"),
        ({"name": "a", "auth": f"secret={SECRET}"}, "auth: is not a dictionary of options"),
        ({"name": "a", "children": [SECRET]}, "children: an item is not a dictionary of options"),
        ({"tunnels": [{"name": "a", "auth": SECRET}]}, "tunnels[a].auth: is not a dictionary of options"),
        ({"tunnels": [{"name": "a"}, {"name": "b", "ike": "x"}]}, "tunnels[b].ike: is not a dictionary of options"),
        ({"tunnels": [{"name": "a"}, SECRET]}, "tunnels: an item"),
        ({"tunnels": [{"name": "a", "children": [SECRET]}]}, "tunnels: an item, or of the children of one, is not"),
    ],
)
def test_a_text_in_the_place_of_options_is_named_but_not_shown(arguments: dict[str, Any], words: str) -> None:
    result = run_module("ipsec_tunnel", {"control_socket": "/nonexistent/none.sock", **arguments})
    assert result["failed"] and result["msg"].startswith(words)
    assert SECRET not in json.dumps(result)


VOICE = {"name": "voice", "local": ["10.20.0.0/16"], "remote": ["10.21.0.0/16"], "start": "manual"}


def two_children(us: RunningManager, them: RunningManager, **more: Any) -> dict[str, Any]:
    """Arguments for a tunnel with the children lan, which starts by itself, and voice."""
    ours = tunnel(us, them, **more)
    voice = VOICE if us.address < them.address else {**VOICE, "local": VOICE["remote"], "remote": VOICE["local"]}
    return {**ours, "children": [*ours["children"], voice]}


def names_of(entries: list[dict[str, Any]]) -> list[str]:
    """Names of the children of the only tunnel."""
    (entry,) = entries
    return [child["name"] for child in entry["children"]]


def test_single_children_are_started_ended_and_removed(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", two_children(right, left))
    run_module("ipsec_tunnel", two_children(left, right))
    one = {"name": "pair", "control_socket": left.control}
    start = {**one, "state": "active", "only_children": ["voice"], "wait": {"timeout": 20}}
    assert run_module("ipsec_tunnel", start, check=True)["changed"] and info(left) == []
    result = run_module("ipsec_tunnel", start)
    assert result["changed"] and result["waited"]["tunnels"][0]["phase2"] == {"lan": "dormant", "voice": "active"}
    assert not run_module("ipsec_tunnel", start)["changed"]
    assert names_of(info(left)) == ["voice"] and names_of(info(left, names=["pair"])) == ["lan", "voice"]
    result = run_module("ipsec_tunnel", {**one, "state": "active", "wait": {"timeout": 20}})
    assert result["changed"] and names_of(info(left)) == ["lan", "voice"]
    end = {**one, "state": "inactive", "only_children": ["lan"]}
    assert run_module("ipsec_tunnel", end, check=True)["changed"] and names_of(info(left)) == ["lan", "voice"]
    result = run_module("ipsec_tunnel", end)
    assert result["changed"] and result["waited"]["until"] == "down" and names_of(info(left)) == ["voice"]
    assert not run_module("ipsec_tunnel", end)["changed"]
    many = {"control_socket": left.control, "tunnels": [{"name": "pair", "only_children": ["voice"]}]}
    removed = run_module("ipsec_tunnel", {**many, "state": "absent"})
    assert removed["tunnels"][0]["changes"] == ["children.voice"]
    assert names_of(info(left, source="database")) == ["lan"]
    assert not run_module("ipsec_tunnel", {**many, "state": "absent"})["changed"]
    wrong = run_module("ipsec_tunnel", {**one, "state": "active", "only_children": ["lam"]})
    assert "tunnels[pair].only_children: is no child of tunnel pair" in wrong["msg"] and "lan?" in wrong["msg"]


def test_phases_are_ended_and_removed_apart(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(right, left))
    run_module("ipsec_tunnel", tunnel(left, right, state="active", wait={"timeout": 20}))
    one = {"name": "pair", "control_socket": left.control}
    ended = run_module("ipsec_tunnel", {**one, "state": "inactive", "phase": 1})
    assert ended["changed"] and ended["waited"]["tunnels"][0]["state"] == "retiring"
    (entry,) = info(left)
    assert (entry["phase1"], entry["refresh"], entry["children"][0]["state"]) == ("expired", False, "active")
    assert not run_module("ipsec_tunnel", {**one, "state": "inactive", "phase": 1})["changed"]
    assert run_module("ipsec_tunnel", {**one, "state": "active", "wait": {"timeout": 20}})["changed"]
    assert info(left)[0]["refresh"]
    assert run_module("ipsec_tunnel", {**one, "state": "inactive", "phase": 2})["changed"]
    (entry,) = info(left)
    assert (entry["phase1"], entry["children"]) == ("active", [])
    gone = run_module("ipsec_tunnel", {**one, "state": "absent", "phase": 2})
    assert gone["tunnels"][0]["changes"] == ["children.lan"] and gone["after"]["pair"]["children"] == []
    assert not run_module("ipsec_tunnel", {**one, "state": "absent", "phase": 2})["changed"]
    assert info(left, source="database")[0]["children"] == []
    # The definition of before brings the child back.
    assert run_module("ipsec_tunnel", tunnel(left, right))["tunnels"][0]["changes"] == ["children.lan"]
    assert names_of(info(left, source="database")) == ["lan"]
    refused = run_module("ipsec_tunnel", {**one, "state": "absent", "phase": 1})
    assert "phase: has no meaning with state absent" in refused["msg"]


def test_the_numbers_of_the_manager_are_not_those_of_the_database(managers: Pair) -> None:
    manager = managers[0]
    run_module("ipsec_tunnel", bulk(manager, "a", "b"))
    run_module("ipsec_tunnel", bulk(manager, "a", "b", state="inactive"))
    for name in ("b", "a"):
        arguments = {"name": name, "state": "active", "wait": {"until": "defined"}, "control_socket": manager.control}
        assert run_module("ipsec_tunnel", arguments)["changed"]
    running = {entry["name"]: entry for entry in info(manager)}
    defined = {entry["name"]: entry for entry in info(manager, source="database")}
    assert [running[name]["number"] for name in "ab"] == [2, 1] and [defined[name]["number"] for name in "ab"] == [1, 2]
    assert all(
        running[name][key] == defined[name][key] for name in "ab" for key in ("database_number", "manager_number")
    )
    assert [entry["name"] for entry in info(manager, numbers=[1])] == ["b"]
    assert [entry["name"] for entry in info(manager, numbers=[1], source="database")] == ["a"]
    assert [entry["name"] for entry in info(manager, numbers=[2], phase="2")] == ["a"]
    assert info(manager, numbers=[7]) == []


def test_the_database_has_no_roles(untouched: Pair) -> None:
    arguments = {"control_socket": untouched[0].control, "source": "database", "role": "initiator"}
    result = run_module("ipsec_tunnel_info", arguments)
    assert result["failed"] and "role: has no meaning in the database" in result["msg"]


def test_what_is_wanted_but_down_is_told_and_changes_nothing(managers: Pair) -> None:
    left, right = managers
    right.stop()
    arguments = tunnel(left, right, state="active", wait={"until": "defined"})
    assert run_module("ipsec_tunnel", arguments)["changed"]
    for check in (False, True):
        again = run_module("ipsec_tunnel", arguments, check=check)
        assert not again["changed"]
        (pending,) = again["pending"]
        assert pending["name"] == "pair" and pending["state"] in ("negotiating", "down")
    failed = run_module("ipsec_tunnel", {**arguments, "wait": {"timeout": 1}})
    assert failed["failed"] and "[port_closed]" in failed["msg"] and "remedy: start the IKE daemon" in failed["msg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"children": [{"name": "x", "local": ["10.1.0.0/33"], "remote": ["10.2.0.0/16"]}]}, "10.1.0.0/33"),
        ({"auth": {"method": "psk"}}, "auth.secret"),
        ({"local": {"address": "127.0.0.81", "identity": "x"}}, "identity"),
        ({"colour": "blue"}, "colour"),
        ({"ike": {"version": 1}}, "ike.version"),
        ({"ike": {"proposals": ["aes256gcm17"]}}, "aes256gcm17"),
        ({"state": "up"}, "state"),
        ({"name": None}, "name"),
        ({"tunnels": []}, "mutually exclusive"),
        ({"purge": True}, "purge"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(untouched: Pair, change: dict[str, Any], words: str) -> None:
    arguments = {key: value for key, value in tunnel(*untouched, **change).items() if value is not None}
    result = run_module("ipsec_tunnel", arguments)
    assert result["failed"]
    assert words in result["msg"]
    assert info(untouched[0], source="database") == []


@pytest.mark.parametrize(
    "change",
    [
        {"auth": SECRET},
        {"auth": {"secrt": SECRET}},
        {"psk": SECRET},
        {"name": None, "tunnels": [{"name": "a", "auth": SECRET}]},
        {"name": None, "tunnels": [{"name": "a", "psk": SECRET}, SECRET]},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, change: dict[str, Any]) -> None:
    arguments = {"name": "pair", "control_socket": str(tmp_path / "none.sock"), **change}
    result = run_module("ipsec_tunnel", {key: value for key, value in arguments.items() if value is not None})
    assert result["failed"]
    assert result["invocation"]["module_args"]["control_socket"] == arguments["control_socket"]
    assert SECRET not in json.dumps(result)


def test_without_a_manager_it_says_how_to_start_one(tmp_path: Path) -> None:
    for module in ("ipsec_tunnel", "ipsec_tunnel_info"):
        arguments = {"control_socket": str(tmp_path / "none.sock")}
        result = run_module(module, {**arguments, **({"name": "x", "state": "absent"} if module[-1] == "l" else {})})
        assert result["failed"]
        assert "the tunnel manager is not running" in result["msg"]
        assert "systemctl start fleet-ipsec-manager" in result["msg"]


def test_fresh_keys_on_request(managers: Pair) -> None:
    left, right = managers
    run_module("ipsec_tunnel", tunnel(right, left, state="present"))
    name = {"name": "pair", "control_socket": left.control, "state": "rekeyed"}
    unknown = run_module("ipsec_tunnel", name, check=True)
    assert unknown["failed"] and "no such tunnel is defined" in unknown["msg"]
    run_module("ipsec_tunnel", tunnel(left, right, state="present"))
    for check in (True, False):
        idle = run_module("ipsec_tunnel", name, check=check)
        assert idle["failed"] and "1 of 1 tunnels not rekeyed" in idle["msg"] and "only what is up" in idle["msg"]
        assert not idle["changed"]
    run_module("ipsec_tunnel", tunnel(left, right, state="active"))

    planned = run_module("ipsec_tunnel", name, check=True)
    assert planned["changed"] and planned["after"] == {"pair": {"ike": ["SPIs of fresh keys"]}}
    done = run_module("ipsec_tunnel", name)
    assert done["changed"] and done["impact"] == "rekey" and done["waited"]["until"] == "rekeyed"
    assert done["tunnels"][0]["action"] == "rekeyed" and done["tunnels"][0]["state"] == "active"
    assert done["before"]["pair"] == planned["before"]["pair"] and done["before"]["pair"] != done["after"]["pair"]
    assert done["after"]["pair"]["children"]["lan"][0] in done["diff"]["after"]
    again = run_module("ipsec_tunnel", {**name, "phase": 1})
    assert again["changed"] and again["before"]["pair"]["children"] == again["after"]["pair"]["children"]
    assert run_module("ipsec_tunnel", {**name, "reauthenticate": True})["changed"]
    assert run_module("ipsec_tunnel", {**name, "only_children": ["lan"], "wait": {"until": "defined"}})["changed"]

    run_module("ipsec_tunnel", {**tunnel(right, left, state="present"), "auth": {"secret": SECRET + SECRET}})
    refused = run_module("ipsec_tunnel", {**name, "reauthenticate": True})
    assert refused["failed"] and "[authentication_failed]" in refused["msg"] and "remedy: compare" in refused["msg"]
    assert info(left)[0]["state"] == "active"


def test_what_does_not_go_with_fresh_keys(untouched: Pair) -> None:
    left, right = untouched
    whole = run_module("ipsec_tunnel", tunnel(left, right, state="rekeyed"))
    assert whole["failed"] and "local: does not go with state: rekeyed" in whole["msg"]
    name = {"name": "pair", "control_socket": left.control}
    assert "purge" in run_module("ipsec_tunnel", bulk(left, "a", state="rekeyed", purge=True))["msg"]
    assert "reauthenticate: goes with" in run_module("ipsec_tunnel", {**name, "reauthenticate": True})["msg"]
