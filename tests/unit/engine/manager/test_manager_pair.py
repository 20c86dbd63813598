# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers, two processes, real sockets and real crypto; only the kernel is faked."""

from __future__ import annotations

import datetime
import signal
import socket
import subprocess
import sys
import time

import pytest
from engine.errors import MissingError
from engine.manager.client import Client, RpcError
from engine.newer_python import zip
from engine.ping.echo import CORRECT, Echo, parse_echo
from manager_lab import HERE, SECRET, Process, definition, ends
from manager_pair import established, spis, tunnel

from tests.waiting import eventually


def test_up_list_and_second_run(pair):
    left, right = pair
    ours, theirs = established(left, right)
    for manager, role in ((left, "initiator"), (right, "responder")):
        entry = tunnel(manager)
        assert (entry["state"], entry["phase1"], entry["role"]) == ("active", "active", role)
        (child,) = entry["children"]
        (sa,) = child["sas"]
        assert (child["state"], sa["protocol"], sa["in"]["packets"]) == ("active", "esp", 1)
    assert spis(left) == [(out, inn) for inn, out in spis(right)]
    assert not left.apply(ours, state="active")["changed"]
    assert not right.apply(theirs)["changed"]
    assert SECRET not in str(tunnel(left)) + str(left.apply(ours)) + left.log.read_text() + right.log.read_text()
    assert left.kernel()["sas"] == 2


def test_short_listing_by_number_and_role(pair):
    left, right = pair
    established(left, right)
    entry = left.call("tunnels.list", numbers=[1], phase="1")["tunnels"][0]
    assert "children" not in entry and "definition" not in entry
    assert left.call("tunnels.list", role="responder")["tunnels"] == []
    assert left.call("tunnels.list", numbers=[1], phase="2")["tunnels"][0]["children"][0]["number"] == 1
    assert left.call("tunnels.list", numbers=[7])["tunnels"] == []


def test_plan_changes_nothing_and_says_the_impact(pair):
    left, right = pair
    ours, _unused = established(left, right)
    before = spis(left)
    changed = ours | {"ike": {"lifetime": "2h"}}
    assert left.call("tunnels.plan", definitions=[changed])["tunnels"][0]["impact"] == "hot"
    changed = ours | {"ike": {"proposals": "compat"}}
    assert left.call("tunnels.plan", definitions=[changed])["tunnels"][0]["impact"] == "rekey"
    changed = ours | {"local": {"address": left.address, "id": "other.example.net"}}
    step = left.call("tunnels.plan", definitions=[changed])["tunnels"][0]
    assert (step["action"], step["impact"], step["changes"]) == ("changed", "re-establish", ["local.id"])
    assert step["before"]["local"]["id"] == "left.example.net" and step["after"]["local"]["id"] == "other.example.net"
    assert spis(left) == before and left.call("tunnels.plan", definitions=[ours])["changed"] is False


def test_hot_change_keeps_the_sas(pair):
    left, right = pair
    ours, _unused = established(left, right)
    before = spis(left)
    outcome = left.apply(ours | {"auth": {"secret": "another secret of decent length", "also_accept": [SECRET]}})
    assert outcome["tunnels"][0]["impact"] == "hot"
    assert outcome["tunnels"][0]["after"]["auth"]["secret"] == "hidden (changed)"
    assert spis(left) == before


def test_changed_child_proposals_rekey_the_child(pair):
    left, right = pair
    ours, theirs = established(left, right)
    before = spis(left)
    for manager, one in ((right, theirs), (left, ours)):
        changed = one | {"children": [one["children"][0] | {"proposals": "chacha20poly1305-x25519"}]}
        assert manager.apply(changed)["tunnels"][0]["impact"] == "rekey"
    # Both ends rekey, so for a moment there may be a third generation.
    chosen = [["chacha20poly1305"]]
    eventually(lambda: [sa["algorithms"] for sa in tunnel(left)["children"][0]["sas"]] == chosen)
    assert not set(spis(left)) & set(before)
    assert tunnel(left)["ike_sas"][0]["number"] == 1, "the IKE SA stayed"
    eventually(lambda: left.kernel()["sas"] == 2)


def test_changed_selectors_replace_the_child_alone(pair):
    left, right = pair
    ours, _unused = established(left, right)
    networks = (["10.1.0.0/17"], ["10.2.0.0/16"])
    step = left.apply(ours | {"children": [{"name": "lan", "local": networks[0], "remote": networks[1]}]})["tunnels"][0]
    assert step["impact"] == "rekey"
    eventually(
        lambda: (
            [sa["local"] for sa in tunnel(left)["children"][0]["sas"]] == [["10.1.0.0/17"]]
            and tunnel(left)["state"] == "active"
        )
    )
    assert tunnel(left)["ike_sas"][0]["number"] == 1, "the IKE SA stayed"


def test_a_further_child_joins_and_leaves(pair):
    left, right = pair
    ours, theirs = established(left, right)
    first = spis(left)
    right.apply(
        theirs | {"children": [*theirs["children"], {"name": "b", "local": ["10.4.0.0/16"], "remote": ["10.3.0.0/16"]}]}
    )
    left.apply(
        ours | {"children": [*ours["children"], {"name": "b", "local": ["10.3.0.0/16"], "remote": ["10.4.0.0/16"]}]},
        state="active",
    )
    assert left.wait("to-right")["reached"]
    assert len(spis(left)) == 2 and spis(left)[0] == first[0]
    assert left.apply(ours)["tunnels"][0]["changes"] == ["children.b"]
    eventually(lambda: spis(left) == first and spis(right)[0] == tuple(reversed(first[0])))


def test_inactive_and_absent(pair):
    left, right = pair
    ours, _unused = established(left, right)
    assert left.apply({"name": "to-right"}, state="inactive")["tunnels"][0]["action"] == "stopped"
    assert left.wait("to-right", until="down")["reached"]
    assert right.wait("to-left", until="down")["reached"]
    assert not left.apply({"name": "to-right"}, state="inactive")["changed"]
    assert left.kernel()["sas"] == left.kernel()["policies"] == 0
    entry = left.call("tunnels.list", source="database")["tunnels"][0]
    assert (entry["state"], entry["reason"]) == ("inactive", "stopped")
    assert left.apply({"name": "to-right"}, state="active")["tunnels"][0]["action"] == "started"
    assert left.wait("to-right")["reached"]
    assert left.apply(ours, state="absent")["tunnels"][0]["action"] == "removed"
    assert not left.apply(ours, state="absent")["changed"]
    assert right.wait("to-left", until="down")["reached"]
    assert left.call("tunnels.list", source="database")["tunnels"] == []
    assert left.kernel()["sas"] == left.kernel()["policies"] == 0


def test_phase_2_down_keeps_the_ike_sa(pair):
    left, right = pair
    established(left, right)
    left.apply({"name": "to-right"}, state="inactive", phase=2)
    assert left.call("tunnels.wait", names=["to-right"], until="down", phase=2)["reached"]
    assert tunnel(left)["phase1"] == "active"
    eventually(lambda: spis(left) == [])  # as soon as the peer has confirmed
    left.apply({"name": "to-right"}, state="active", phase=2)
    assert left.wait("to-right")["reached"]


def test_phase_1_alone(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs)
    left.apply(ours, state="active", phase=1)
    assert left.call("tunnels.wait", names=["to-right"], phase=1)["reached"]
    assert spis(left) == [] and tunnel(left)["wanted"] == "ike"
    assert not left.apply(ours, state="active", phase=1)["changed"]


def test_wrong_secret_is_told_at_both_ends(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs | {"auth": {"secret": "not that one, but of good length"}})
    left.apply(ours, state="active")
    outcome = left.wait("to-right", timeout=1.5)
    assert not outcome["reached"]
    assert outcome["tunnels"][0]["reason"] == "authentication_failed" and "secret" in outcome["tunnels"][0]["remedy"]
    assert right.wait("to-left", timeout=0)["tunnels"][0]["reason"] == "peer_not_authenticated"
    right.apply(theirs)
    assert left.wait("to-right")["reached"], "it is tried again by itself"


def test_no_answer_is_told_while_it_is_tried(pair):
    left, right = pair
    ours, _unused = ends(left, right)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.4", left.ports[0]))
    left.apply(ours | {"remote": ours["remote"] | {"address": "127.0.0.4"}}, state="active")
    outcome = left.wait("to-right", timeout=4.5)["tunnels"][0]
    silent.close()
    assert (outcome["state"], outcome["reason"]) == ("negotiating", "no_answer")
    assert "ikeping" in outcome["remedy"]


def test_closed_port_is_told_at_once(pair):
    left, right = pair
    ours, _unused = ends(left, right)
    left.apply(ours | {"remote": ours["remote"] | {"address": "127.0.0.5"}}, state="active")
    outcome = left.wait("to-right", timeout=1)["tunnels"][0]
    assert outcome["reason"] == "port_closed" and "127.0.0.5" in outcome["story"]


def test_a_local_address_that_the_manager_does_not_have_is_told_at_once(pair):
    left, right = pair
    ours, _unused = ends(left, right)
    left.apply(ours | {"local": ours["local"] | {"address": "192.0.2.77"}}, state="active")
    outcome = left.wait("to-right", timeout=0.5)["tunnels"][0]
    assert outcome["reason"] == "no_local_address" and "does not listen at 192.0.2.77" in outcome["story"]
    assert "local.address" in outcome["remedy"]


def test_no_route_is_told(pair):
    left, _unused = pair
    left.apply(
        definition("far") | {"local": {"id": "me"}, "remote": {"address": "192.0.2.7", "id": "far"}}, state="active"
    )
    outcome = left.wait("far", timeout=0.5)["tunnels"][0]
    assert "no route" in outcome["story"]


def test_no_common_proposal_is_told(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs | {"ike": {"proposals": "aes128-sha256-modp2048"}})
    left.apply(ours, state="active")
    outcome = left.wait("to-right", timeout=1.5)["tunnels"][0]
    assert outcome["reason"] == "no_proposal_chosen"


def test_refused_selectors_are_told_and_the_ike_sa_stays(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs | {"children": [{"name": "lan", "local": ["10.77.0.0/16"], "remote": ["10.1.0.0/16"]}]})
    left.apply(ours, state="active")
    outcome = left.wait("to-right", timeout=1.5)["tunnels"][0]
    assert (outcome["state"], outcome["phase1"], outcome["reason"]) == ("degraded", "active", "selectors_refused")


def test_forced_encapsulation_moves_to_the_other_port(pair):
    left, right = pair
    established(left, right, encapsulation="force")
    (sa,) = tunnel(left)["children"][0]["sas"]
    assert sa["encapsulation"] == [left.ports[1], right.ports[1]]
    assert tunnel(left)["ike_sas"][0]["local"].endswith(f"/{left.ports[1]}")


def test_the_peer_goes_and_comes_back(pair):
    left, right = pair
    established(left, right)
    right.call("manager.stop", keep=False)
    assert right.process.wait(10) == 0
    eventually(lambda: tunnel(left)["state"] != "active")
    assert tunnel(left)["reason"] in ("peer_deleted", "port_closed", "no_answer")
    right.start()
    assert left.wait("to-right", timeout=20)["reached"]


def test_a_stop_that_keeps_nothing_tells_the_peer_and_cleans_the_kernel(pair):
    left, right = pair
    established(left, right)
    began = time.monotonic()
    left.call("manager.stop", keep=False)
    assert left.process.wait(10) == 0
    assert time.monotonic() - began < 1.5, "the peer confirmed, so there is nothing to wait for"
    assert right.wait("to-left", until="down", timeout=2)["reached"]
    assert left.kernel() == {"call": "cleanup", "sas": 0, "policies": 0}
    with pytest.raises(MissingError, match="systemctl start"):
        left.call("manager.info")
    left.start()
    assert left.wait("to-right")["reached"], "what was wanted before is wanted after"


@pytest.mark.parametrize("how", ["sigterm", "sigkill", "manager.stop"])
def test_a_restart_leaves_everything_and_goes_on(pair, how):
    left, right = pair
    established(left, right)
    before = tunnel(left)["ike_sas"][0], tunnel(right)["ike_sas"][0], tunnel(left)["children"][0]["sas"][0]["spi_in"]
    if how == "manager.stop":
        left.call("manager.stop")
        assert left.process.wait(10) == 0
    else:
        left.stop(signal.SIGTERM if how == "sigterm" else signal.SIGKILL)
    assert left.kernel()["sas"] == 2
    left.start()
    after = tunnel(left)["ike_sas"][0], tunnel(right)["ike_sas"][0], tunnel(left)["children"][0]["sas"][0]["spi_in"]
    for one, other in zip(before[:2], after[:2], strict=True):
        assert one["initiator_spi"] == other["initiator_spi"] and one["number"] == other["number"]
    assert before[2] == after[2] and left.kernel()["sas"] == 2
    right.call("manager.stop", keep=False)
    eventually(lambda: tunnel(left)["state"] != "active")


def test_closing_needs_no_running_manager(pair):
    left, right = pair
    established(left, right)
    for already_ended in (True, False):
        assert left.wait("to-right")["reached"]
        if already_ended:
            left.stop(signal.SIGKILL)
        closed = subprocess.run(
            [sys.executable, str(HERE / "fake_kernel.py"), "close", *left.arguments],
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert closed.returncode == 0, closed.stderr
        left.process.wait(10)
        assert left.kernel() == {"call": "cleanup", "sas": 0, "policies": 0}
        assert right.wait("to-left", until="down", timeout=2)["reached"]
        left.start()


def test_one_manager_per_runtime_directory_and_database(pair):
    left, _unused = pair
    second = Process(left.root, "127.0.0.6", *left.ports)
    run = subprocess.run(
        [sys.executable, str(HERE / "fake_kernel.py"), *second.arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode != 0 and "another manager runs" in run.stderr
    elsewhere = [*second.arguments, "--runtime-dir", str(left.root / "other"), "--control", str(left.root / "x")]
    run = subprocess.run(
        [sys.executable, str(HERE / "fake_kernel.py"), *elsewhere],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode != 0 and "in use by another manager" in run.stderr
    assert left.call("manager.info")["pid"] == left.process.pid


def test_bad_input_changes_nothing(pair):
    left, _unused = pair
    with pytest.raises(RpcError) as caught:
        left.apply(definition("good"), definition("bad", 8, local={"address": "10.1.2"}))
    assert caught.value.code == -32602
    assert caught.value.data["field"] == "definitions[bad].local.address"
    assert left.call("tunnels.list", source="database")["tunnels"] == []


def test_events_are_streamed(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs)
    with Client(left.control) as client:
        client.call("subscribe")
        left.apply(ours, state="active")
        kinds = []
        for event in client.events(5):
            kinds.append(event["event"])
            if kinds[-1] == "child_up":
                break
    assert kinds == ["ike_connecting", "ike_established", "child_up"]


def test_echo_requests_are_answered_at_both_ports(pair):
    left, _unused = pair
    request = Echo(CORRECT, b"initiate", b"response", 244, b"1234")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(3)
        for port, marker in ((left.ports[0], b""), (left.ports[1], bytes(4))):
            probe.sendto(b"\xff", (left.address, port))
            probe.sendto(marker + request.encode(), (left.address, port))
            reply, source = probe.recvfrom(100)
            assert source == (left.address, port)
            assert parse_echo(reply[len(marker) :], frozenset({245})) == request.reply()


def test_a_flood_of_rubbish_is_neither_answered_nor_logged_at_length(pair):
    left, _unused = pair
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.settimeout(0.3)
        before = len(left.log.read_text().splitlines())
        for number in range(3000):
            flood.sendto(
                number.to_bytes(8, "big") + b"\1" * 8 + bytes([46, 0x20, 37, 8]) + bytes(8),
                (left.address, left.ports[0]),
            )
        with pytest.raises(socket.timeout):
            flood.recv(1000)
    assert left.call("manager.info")["counts"]["datagrams"] > 0
    assert len(left.log.read_text().splitlines()) - before < 60


def test_a_refused_rekey_is_told_beside_active(pair):
    left, right = pair
    ours, theirs = established(left, right)
    assert tunnel(left)["ends_at"] is None
    # At one end alone, so that the rekey finds nothing in common and the child lives on.
    changed = ours | {"children": [ours["children"][0] | {"proposals": "aes256-sha256-x25519"}]}
    left.apply(changed)
    eventually(lambda: tunnel(left)["reason"])
    entry = tunnel(left)
    assert (entry["state"], entry["reason"]) == ("active", "no_proposal_chosen")
    assert "NO_PROPOSAL_CHOSEN" in entry["story"] and "PFS" in entry["remedy"]
    ends_at = datetime.datetime.strptime(entry["ends_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    left_over = (ends_at - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert 3500 < left_over < 3602
    assert "rekey refused" in left.log.read_text()
    right.apply(theirs | {"children": [theirs["children"][0] | {"proposals": "aes256-sha256-x25519"}]})
    eventually(lambda: tunnel(left)["reason"] == "" and tunnel(left)["ends_at"] is None)
