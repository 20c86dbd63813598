# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``ike`` with real managers: real IKE over loopback, only the kernel is faked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from engine.cli import ike
from engine.manager.client import Client
from manager_lab import HERE, Process, ends

from tests.waiting import eventually

# Networks of the children behind each end, by name; the left one's first.
LAN, VOICE = ("10.1.0.0/16", "10.2.0.0/16"), ("10.3.0.0/24[17/5060]", "10.4.0.0/24[17/5060]")


def children(side: int, **options: dict) -> list[dict]:
    found = []
    for name, networks in (("lan", LAN), ("voice", VOICE)):
        local, remote = networks[side], networks[1 - side]
        found.append({"name": name, "local": [local], "remote": [remote]} | options.get(name, {}))
    return found


def defined(left: Process, right: Process, **options: dict) -> None:
    """A tunnel with the children lan and voice, defined at both ends and started at none."""
    ours, theirs = ends(left, right)
    right.apply(theirs | {"children": children(1)})
    left.apply(ours | {"children": children(0, **options)})


class Command:
    """``ike`` at one manager."""

    def __init__(self, manager: Process, capsys: pytest.CaptureFixture) -> None:
        self.manager, self._capsys = manager, capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        assert ike.main([*words, "--control", self.manager.control]) == status, self._capsys.readouterr()
        captured = self._capsys.readouterr()
        return captured.out if status == 0 else captured.err

    def rows(self, *words: str) -> list[list[str]]:
        """The short listing, a list of words a line, without ages and the reasons below its lines."""
        return [line.split()[:5] for line in self("cmd=list", *words).splitlines()[1:] if line[0] != "\t"]

    def json(self, *words: str) -> dict:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def command(pair, capsys) -> Command:
    return Command(pair[0], capsys)


@contextlib.contextmanager
def events(manager: Process) -> Iterator[list[str]]:
    """The kinds of events meanwhile, complete when it ends."""
    kinds: list[str] = []
    with Client(manager.control) as client:
        client.call("subscribe")
        yield kinds
        kinds += [event["event"] for event in client.events(0.3)]


@pytest.fixture
def silent(pair) -> Iterator[socket.socket]:
    """A peer that takes IKE messages and never answers, to which the left end has a tunnel."""
    left, right = pair
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.4", left.ports[0]))
        peer.setblocking(False)
        ours, _unused = ends(left, right)
        left.apply(ours | {"remote": ours["remote"] | {"address": "127.0.0.4"}})
        yield peer


def heard(peer: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while peer.recv(65535):
            count += 1
    return count


# activate


def test_activate_brings_up_both_phases(pair, command):
    defined(*pair)
    with events(pair[0]) as kinds:
        assert command("cmd=activate", "numlist=1") == "tunnel 1 (to-right): negotiation has begun\n"
        assert pair[0].wait("to-right")["reached"]
    assert kinds == ["ike_connecting", "ike_established", "child_up", "child_up"]
    assert [row[:3] for row in command.rows()] == [["1", "1", "Active"], ["2", "1", "Active"], ["2", "2", "Active"]]


STARTS = [{"lan": {"start": one}, "voice": {"start": other}} for one, other in (("manual", "trap"), ("trap", "manual"))]


def up(command: Command) -> bool:
    """Whether phase 1 and both children are."""
    return [row[2] for row in command.rows()] == ["Active"] * 3


def boot(manager: Process) -> None:
    """End a manager and start it with what a boot of its host leaves: the database alone."""
    assert manager.stop() == 0
    for path in manager.root.iterdir():
        if path.is_file() and not path.name.startswith("definitions"):
            path.unlink()
    manager.start()


@pytest.mark.parametrize("starts", STARTS)
def test_activate_brings_up_both_phases_whatever_their_start_says(pair, command, starts):
    left, right = pair
    defined(left, right, **starts)
    words = ("cmd=activate", "numlist=1")
    assert command(*words, "--check") == "tunnel to-right: negotiation would begin\n"
    assert command(*words) == "tunnel 1 (to-right): negotiation has begun\n"
    assert left.wait("to-right")["reached"] and up(command)
    again = command.json(*words)
    assert again["changed"] is False and command(*words).endswith("is active already\n")
    boot(left)
    assert left.wait("to-right")["reached"] and up(command)
    command("cmd=remove")
    eventually(lambda: not command.rows())
    assert command("cmd=activate", "remid=right.example.net").endswith("negotiation has begun\n")
    assert left.wait("to-right")["reached"] and up(command)


@pytest.mark.parametrize("start", ["manual", "trap"])
def test_phase_1_comes_up_where_no_child_starts_by_itself(pair, command, start):
    """Enabled, nothing of it is up; phase 1 then is not left waiting for a child."""
    left, right = pair
    defined(left, right, lan={"start": start}, voice={"start": start})
    answer = left.apply({"name": "to-right"}, state="enabled")
    assert answer["changed"] and left.wait("to-right")["reached"], "it is as far as it gets"
    assert left.apply({"name": "to-right"}, state="enabled")["changed"] is False
    command("cmd=activate", "phase=1", "numlist=1")
    assert left.call("tunnels.wait", names=["to-right"], phase=1)["reached"]
    rows = command.rows()
    assert rows[0][2] == "Active" and all(row[2] == "Dormant" for row in rows[1:])
    assert len(rows) == (3 if start == "trap" else 1), "a trap goes on holding its child's place"


def test_activate_phase_1_brings_up_the_ike_sa_alone_and_phase_2_uses_it(pair, command):
    left, right = pair
    defined(left, right)
    with events(left) as kinds:
        command("cmd=activate", "phase=1", "numlist=1")
        assert left.call("tunnels.wait", names=["to-right"], phase=1)["reached"]
    assert kinds == ["ike_connecting", "ike_established"], "no phase 2 is asked for"
    assert [row[:3] for row in command.rows()] == [["1", "1", "Active"]]
    with events(left) as kinds:
        assert "phase 2 voice: negotiation has begun" in command("cmd=activate", "phase=2", "numlist=2")
        eventually(lambda: len(command.rows()) == 2 and command.rows()[1][2] == "Active")
    assert kinds == ["child_up"], "only phase 2 is asked for"
    assert [child["name"] for child in command.json("cmd=list")["tunnels"][0]["children"]] == ["voice"]


def test_activate_phase_2_starts_its_phase_1_first(pair, command):
    left, _unused = pair
    defined(*pair)
    with events(left) as kinds:
        command("cmd=activate", "phase=2", "namelist=voice")
        eventually(lambda: [row[2] for row in command.rows()] == ["Active", "Active"])
    assert kinds == ["ike_connecting", "ike_established", "child_up"]
    (child,) = command.json("cmd=list", "verbose")["tunnels"][0]["children"]
    assert (child["name"], child["sas"][0]["local"], child["sas"][0]["remote"]) == (
        "voice",
        *([side] for side in VOICE),
    )


def test_phase_2_tunnels_share_a_phase_1_each_with_its_own_policy(pair, command):
    left, right = pair
    policies = {"lan": {"proposals": "aes128gcm16-x25519"}, "voice": {"proposals": "chacha20poly1305-x25519"}}
    ours, theirs = ends(left, right)
    right.apply(theirs | {"children": children(1, **policies)})
    left.apply(ours | {"children": children(0, **policies)}, state="active")
    assert left.wait("to-right")["reached"]
    (tunnel,) = command.json("cmd=list", "verbose")["tunnels"]
    assert len(tunnel["ike_sas"]) == 1
    assert [child["sas"][0]["encryption"] for child in tunnel["children"]] == ["aes128gcm16", "chacha20poly1305"]
    assert [child["sas"][0]["local"] for child in tunnel["children"]] == [[LAN[0]], [VOICE[0]]]


def test_numbers_to_activate_are_those_of_the_database(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    left.apply({**ours, "name": "gone"})
    left.apply({"name": "gone"}, state="absent")
    right.apply(theirs)
    left.apply(ours)
    assert command.rows("db")[0][:2] == ["1", "2"]
    assert "no number of a phase 1 tunnel in the database (got '1')" in command("cmd=activate", "numlist=1", status=64)
    assert command("cmd=activate", "numlist=2").startswith("tunnel 1 (to-right)")
    assert left.wait("to-right")["reached"]
    assert command.rows("numlist=1")[0][:3] == ["1", "1", "Active"]
    assert "(got '1')" in command("cmd=activate", "numlist=1", status=64), "known to the manager, not to the database"


def test_activate_returns_at_once_and_says_the_second_time_that_it_is_there(command, silent):
    began = time.monotonic()
    assert "negotiation has begun" in command("cmd=activate", "numlist=1")
    assert command.json("cmd=activate", "numlist=1")["changed"] is False
    again = command("cmd=activate", "numlist=1")
    assert again.startswith("tunnel 1 (to-right): is wanted already, and negotiating")
    assert time.monotonic() - began < 3
    assert command.rows()[0][:3] == ["1", "1", "Negotiating"]
    eventually(lambda: heard(silent))


def test_success_is_learnt_from_the_list(pair, command):
    defined(*pair)
    command("cmd=activate", "numlist=1")
    eventually(lambda: {row[2] for row in command.rows()} == {"Active"})
    assert command("cmd=activate", "numlist=1") == "tunnel 1 (to-right): is active already\n"


def test_addresses_find_no_tunnel_that_goes_by_names(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    left.apply(ours)
    addresses = f"ipaddr={left.address},{right.address}"
    assert "no tunnel is defined between these identities" in command("cmd=activate", addresses, status=64)
    by_address = {"local": {"address": left.address}, "remote": {"address": right.address, **_ports(right)}}
    left.apply(ours | by_address)
    right.apply(theirs | {"local": {"address": right.address}, "remote": {"address": left.address, **_ports(left)}})
    assert "negotiation has begun" in command("cmd=activate", addresses)
    assert left.wait("to-right")["reached"]


def _ports(manager: Process) -> dict[str, int]:
    return {"port": manager.ports[0], "natt_port": manager.ports[1]}


def test_a_group_starts_each_of_its_tunnels(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs)
    left.apply(ours | {"groups": ["branches", "all"]})
    far = {"name": "far", "remote": {"address": "127.0.0.9", "id": "far"}, "groups": ["branches"]}
    child = {"name": "lan", "local": ["10.7.0.0/16"], "remote": ["10.8.0.0/16"]}
    left.apply(ours | far | {"children": [child]})
    assert command("cmd=activate", "remid=all") == "tunnel 1 (to-right): negotiation has begun\n"
    assert left.wait("to-right")["reached"]
    assert command("cmd=activate", "remid=branches").splitlines() == [
        "tunnel 1 (to-right): is active already",
        "tunnel 2 (far): negotiation has begun",
    ]


def test_every_word_is_seen(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    trap = {"voice": {"start": "trap"}}
    left.apply(ours | {"children": children(0, **trap)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.4", left.ports[0]))
        left.apply(ours | {"remote": ours["remote"] | {"address": "127.0.0.4"}, "children": children(0, **trap)})
        command("cmd=activate", "autostart")
        assert [row[2] for row in command.rows()] == ["Negotiating", "Negotiating", "Dormant"]
    right.apply(theirs | {"children": children(1)})
    left.apply(ours | {"children": children(0, **trap)})
    assert left.wait("to-right", timeout=20)["reached"]
    assert [row[2] for row in command.rows()] == ["Active", "Active", "Dormant"]
    command("cmd=remove", "phase=1")
    assert [row[2] for row in command.rows()] == ["Expired", "Active"]


def test_why_negotiation_failed_is_in_the_list_and_in_the_log(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs | {"auth": {"secret": "not that one, but of good length"}})
    left.apply(ours)
    command("cmd=activate", "numlist=1")
    eventually(lambda: "AUTHENTICATION_FAILED" in left.log.read_text())
    eventually(lambda: "Remedy:               compare the secret" in command("cmd=list", "verbose"))
    eventually(lambda: [row[2] for row in command.rows()] == ["Negotiating", "Negotiating"])
    eventually(lambda: "\n\t" in command("cmd=list"))
    told = command("cmd=activate", "numlist=1")
    assert "is wanted already, and" in told and "(authentication_failed)" in told


def test_autostart_starts_what_is_defined_so(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs)
    left.apply(ours)
    manual = {"name": "lan", "local": ["10.5.0.0/16"], "remote": ["10.6.0.0/16"], "start": "manual"}
    left.apply(ours | {"name": "by-hand", "remote": {"address": "127.0.0.9", "id": "x"}, "children": [manual]})
    assert command("cmd=activate", "autostart") == "tunnel 1 (to-right): negotiation has begun\n"
    assert left.wait("to-right")["reached"]
    assert [entry["name"] for entry in command.json("cmd=list")["tunnels"]] == ["to-right"]


def test_what_is_wanted_is_brought_up_at_boot(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "phase=2", "numlist=2")
    eventually(lambda: [row[2] for row in command.rows()] == ["Active", "Active"])
    boot(left)
    eventually(lambda: [row[2] for row in command.rows()] == ["Active", "Active"])
    assert [child["name"] for child in command.json("cmd=list")["tunnels"][0]["children"]] == ["voice"], "and no more"


# Numbers


def test_each_created_tunnel_gets_a_number_of_its_own(pair, command):
    left, right = pair
    ours, theirs = ends(left, right)
    right.apply(theirs | {"children": children(1)})
    left.apply({**ours, "name": "other", "remote": {"address": "127.0.0.9", "id": "other"}, "children": [
        {"name": "lan", "local": ["10.7.0.0/16"], "remote": ["10.8.0.0/16"], "start": "manual"},
    ]})  # fmt: skip
    left.apply(ours | {"children": children(0)})
    command("cmd=activate", "namelist=to-right", "phase=1")
    command("cmd=activate", "namelist=other", "phase=1")
    numbers = {entry["name"]: entry["number"] for entry in command.json("cmd=list")["tunnels"]}
    defined_ = {entry["name"]: entry["number"] for entry in command.json("cmd=list", "db")["tunnels"]}
    assert numbers == {"to-right": 1, "other": 2} and defined_ == {"other": 1, "to-right": 2}
    assert [row[-2:] for row in command.rows("numlist=1", "phase=1")] == [["left.example.net", "right.example.net"]]
    assert [row[-1] for row in command.rows("db", "numlist=1", "phase=1")] == ["other"]
    command("cmd=remove", "numlist=1")
    assert left.wait("to-right", until="down")["reached"]
    assert [entry["name"] for entry in command.json("cmd=list")["tunnels"]] == ["other"], "the manager's 1 was meant"
    command("cmd=activate", "numlist=2")
    assert left.wait("to-right")["reached"]
    assert [row[:2] for row in command.rows("numlist=3")] == [["1", "3"], ["2", "1"], ["2", "2"]], (
        "1 is not given again"
    )


def test_numbers_last_as_long_as_the_tunnel_does(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "phase=2", "numlist=2")
    eventually(lambda: [row[2] for row in command.rows()] == ["Active", "Active"])
    command("cmd=activate", "phase=2", "numlist=1")
    assert left.wait("to-right")["reached"]

    def numbers() -> list[tuple]:
        (entry,) = command.json("cmd=list")["tunnels"]
        return [(entry["number"], child["name"], child["number"]) for child in entry["children"]]

    before = numbers()
    assert before == [(1, "lan", 2), (1, "voice", 1)]
    # Fresh keys for all of it.
    ours, _unused = ends(left, right)
    compat = [child | {"proposals": "compat"} for child in children(0)]
    assert left.apply(ours | {"ike": {"proposals": "compat"}, "children": compat})["tunnels"][0]["impact"] == "rekey"
    eventually(lambda: command.json("cmd=list", "verbose")["tunnels"][0]["ike_sas"][0]["age"] < 2)
    assert numbers() == before
    left.stop(signal.SIGKILL)
    left.start()
    assert left.wait("to-right", timeout=20)["reached"]
    assert numbers() == before


# list


def test_the_manager_lists_what_runs_and_the_database_what_is_defined(pair, command, capsys):
    left, right = pair
    defined(left, right)
    assert command("cmd=list") == "no tunnels\n"
    assert [row[:2] for row in command.rows("db")] == [["1", "1"], ["2", "1"], ["2", "2"]]
    command("cmd=activate", "phase=2", "numlist=1")
    eventually(lambda: [row[2] for row in command.rows()] == ["Active", "Active"])
    assert [row[:2] for row in command.rows()] == [["1", "1"], ["2", "1"]]
    assert [row[:2] for row in command.rows("phase=1")] == [["1", "1"]]
    assert [row[0] for row in command.rows("phase=2")] == ["1", "2"]
    assert command.rows("phase=2", "numlist=1")[1][-2:] == list(LAN)
    assert "no number of a phase 2 tunnel in the tunnel manager" in command(
        "cmd=list", "phase=2", "numlist=2", status=64
    )
    there = Command(right, capsys)
    assert command.rows("role=i") == command.rows() and command("cmd=list", "role=r") == "no tunnels\n"
    assert len(there.rows("role=r")) == 2 and there("cmd=list", "role=i") == "no tunnels\n"
    assert [row[:2] for row in there.rows("db")] == [["1", "1"], ["2", "1"], ["2", "2"]]


LONG_FORM = """\
Phase 1 Tunnel ID, Name, Local ID Type, Local ID, Remote ID Type, Remote ID, Mode, Security Policy, Role, Encryption
Alg, Auth Alg, Hash Alg, Key Lifetime, Key Lifesize, Key Rem Lifetime, Key Rem Lifesize, Key Refresh Overlap, Tunnel
Lifetime, Tunnel Lifesize, Tun Rem Lifetime, Tun Rem Lifesize, Status; Phase 2 Tunnel ID, Name, Local ID Type, Local
ID, Local Subnet Mask, Local Port, Local Protocol, Remote ID Type, Remote ID, Remote Subnet Mask, Remote Port, Remote
Protocol, Mode, Security Policy, Role, Encryption Alg, AH Transform, Auth Alg, PFS, SA Lifetime, SA Lifesize, SA Rem
Lifetime, SA Rem Lifesize, Key Refresh Overlap, Tunnel Lifetime, Tunnel Lifesize, Tun Rem Lifetime, Tun Rem Lifesize,
Assoc P1 Tunnel, Encap Mode, Status"""


def test_the_long_form_of_a_tunnel_that_is_up_has_every_field(pair, command):
    left, right = pair
    defined(left, right, voice={"lifetime_bytes": 1 << 20})
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    blocks = command("cmd=list", "verbose").split("\n\n")
    shown = [dict(map(str.strip, line.split(":", 1)) for line in block.splitlines()) for block in blocks]
    phase1, phase2 = ([" ".join(field.split()) for field in half.split(",")] for half in LONG_FORM.split(";"))
    assert set(phase1) <= shown[0].keys() and set(phase2) <= shown[1].keys() == shown[2].keys()
    empty = {"Local Subnet Mask", "Remote Subnet Mask", "AH Transform"}
    assert all(block[field] != "N/A" for block in shown for field in block.keys() - empty), shown
    assert (shown[0]["Status"], shown[0]["Role"], shown[0]["Mode"]) == ("Active", "Initiator", "IKEv2")
    assert 0 < int(shown[0]["Key Rem Lifetime"]) <= int(shown[0]["Key Lifetime"]) == 14400
    assert 0 < int(shown[2]["SA Rem Lifetime"]) <= int(shown[2]["SA Lifetime"]) == 3600
    assert (shown[2]["SA Lifesize"], shown[2]["SA Rem Lifesize"], shown[1]["SA Lifesize"]) == (
        "1024",
        "1023",
        "no limit",
    )
    assert (shown[2]["Local Port"], shown[2]["Local Protocol"], shown[1]["Local Port"]) == (
        "5060 - 5060",
        "17",
        "any - any",
    )
    assert "Encryption Alg" not in command("cmd=list") and len(command("cmd=list").splitlines()) == 4


# remove


def test_remove_ends_what_was_chosen(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    assert command("cmd=remove", "phase=2", "numlist=2") == "tunnel 1 (to-right) phase 2 voice: ended\n"
    eventually(lambda: [row[:3] for row in command.rows()] == [["1", "1", "Active"], ["2", "1", "Active"]])
    eventually(lambda: right.call("tunnels.list")["tunnels"][0]["children"][0]["name"] == "lan")
    assert command.json("cmd=activate", "phase=1", "numlist=1")["changed"] is False
    time.sleep(1.5)
    assert len(command.rows()) == 2, "what an operator ended is not started again"
    assert "negotiation has begun" in command("cmd=activate", "phase=2", "numlist=2")
    eventually(lambda: [row[:3] for row in command.rows()][-1] == ["2", "3", "Active"])
    assert command("cmd=remove", "phase=2") == "tunnel 1 (to-right) phase 2: ended\n"
    eventually(lambda: [row[:3] for row in command.rows()] == [["1", "1", "Active"]])
    assert command("cmd=remove", "all") == "tunnel 1 (to-right): ended\n"
    eventually(lambda: command("cmd=list") == "no tunnels\n")
    assert right.wait("to-left", until="down")["reached"]
    assert left.kernel()["sas"] == left.kernel()["policies"] == 0


def test_remove_without_numbers_ends_everything_of_both_phases(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    assert command.json("cmd=remove")["changed"] is True
    eventually(lambda: command("cmd=list") == "no tunnels\n")
    assert left.kernel()["sas"] == 0 and len(command.rows("db")) == 3, "the definitions stay"
    assert command("cmd=remove") == "no tunnels\n"
    assert command("cmd=remove", "numlist=1") == "phase 1 tunnel 1: not in the tunnel manager\n"


@pytest.mark.parametrize("crash", [False, True])
def test_remove_phase_1_leaves_its_phase_2_in_use_until_their_lifetime_is_over(pair, command, crash):
    left, right = pair
    defined(left, right, lan={"lifetime": 10}, voice={"lifetime": 12})
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    began = time.monotonic()

    def spis() -> list[str]:
        tunnels = command.json("cmd=list", "verbose")["tunnels"]
        return [sa["spi_in"] for tunnel in tunnels for child in tunnel["children"] for sa in child["sas"]]

    before = spis()
    assert command("cmd=remove", "phase=1", "numlist=1") == "tunnel 1 (to-right) phase 1: ended\n"
    assert [row[:3] for row in command.rows()] == [["1", "1", "Expired"], ["2", "1", "Active"], ["2", "2", "Active"]]
    assert command.json("cmd=remove", "phase=1", "numlist=1")["changed"] is False
    (entry,) = command.json("cmd=list")["tunnels"]
    assert entry["state"] == entry["reason"] == "retiring"
    assert [entry["refresh"], *(child["refresh"] for child in entry["children"])] == [False, False, False]
    assert command("cmd=list", "verbose").count("Refreshed:            No") == 3
    assert left.kernel()["sas"] == 4 and spis() == before, "traffic goes on"
    if crash:
        left.stop(signal.SIGKILL)
        left.start()
        assert [row[:3] for row in command.rows()] == [
            ["1", "1", "Expired"],
            ["2", "1", "Active"],
            ["2", "2", "Active"],
        ]
    time.sleep(max(0.0, began + 9.3 - time.monotonic()))
    assert spis() == before, "no fresh keys"
    eventually(lambda: command("cmd=list") == "no tunnels\n")
    assert time.monotonic() - began > 10
    assert left.kernel()["sas"] == left.kernel()["policies"] == 0
    assert right.wait("to-left", until="down", timeout=2)["reached"], "the peer was told"


def test_a_retiring_tunnel_can_be_activated_again(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    sas = left.kernel()["sas"]
    command("cmd=remove", "phase=1")
    with events(left) as kinds:
        assert "negotiation has begun" in command("cmd=activate", "numlist=1")
        assert left.wait("to-right")["reached"]
    assert kinds == [] and left.kernel()["sas"] == sas, "the same IKE SA goes on"
    assert command.json("cmd=list")["tunnels"][0]["refresh"] is True
    command("cmd=remove", "phase=1")
    assert command("cmd=remove") == "tunnel 1 (to-right): ended\n", "without a phase its phase 2 ends, too"
    eventually(lambda: left.kernel()["sas"] == 0)


def test_remove_db_deletes_definitions(pair, command):
    left, right = pair
    defined(left, right)
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    assert command("cmd=remove", "db", "phase=2", "numlist=2") == "tunnel 1 (to-right) phase 2 voice: deleted\n"
    assert [row[:2] for row in command.rows("db")] == [["1", "1"], ["2", "1"]]
    eventually(lambda: [row[:3] for row in command.rows()] == [["1", "1", "Active"], ["2", "1", "Active"]])
    assert command("cmd=remove", "db", "phase=2") == "tunnel 1 (to-right) phase 2: deleted\n"
    assert [row[:2] for row in command.rows("db")] == [["1", "1"]], "phase 1 stays"
    eventually(lambda: left.kernel()["sas"] == 0)
    assert [row[:3] for row in command.rows()] == [["1", "1", "Active"]]
    left.stop()
    left.start()
    assert [row[:2] for row in command.rows("db")] == [["1", "1"]], "and can be read again"
    eventually(lambda: [row[:3] for row in command.rows()] == [["1", "1", "Active"]])
    assert "has no phase 2 tunnel" in command("cmd=activate", "phase=2", "namelist=to-right", status=64)
    assert command.json("cmd=remove", "db", "phase=2")["changed"] is False
    assert command("cmd=remove", "db", "phase=1", "numlist=1") == "tunnel 1 (to-right): deleted\n"
    assert command("cmd=list", "db") == command("cmd=list") == "no tunnels\n"
    assert right.wait("to-left", until="down")["reached"]


def test_remove_db_phase_1_deletes_its_phase_2_with_it(pair, command):
    defined(*pair)
    assert [row[0] for row in command.rows("db")] == ["1", "2", "2"]
    assert command("cmd=remove", "db", "phase=1") == "tunnel 1 (to-right): deleted\n"
    assert command("cmd=list", "db", "phase=2") == "no tunnels\n"
    assert command("cmd=remove", "db", "numlist=1") == "phase 1 tunnel 1: not in the database\n"


# And besides


def test_check_predicts_and_sends_nothing(command, silent):
    assert command("cmd=activate", "numlist=1", "--check") == "tunnel to-right: negotiation would begin\n"
    time.sleep(0.5)
    assert heard(silent) == 0 and command("cmd=list") == "no tunnels\n"
    planned = command.json("cmd=activate", "numlist=1", "--check")
    done = command.json("cmd=activate", "numlist=1")
    assert planned["changed"] is done["changed"] is True
    assert planned["tunnels"][0]["action"] == done["tunnels"][0]["action"] == "started"
    eventually(lambda: heard(silent))
    assert command("cmd=remove", "numlist=1", "--check") == "tunnel 1 (to-right): would be ended\n"
    assert command("cmd=remove", "db", "--check") == "tunnel 1 (to-right): would be deleted\n"
    assert len(command.rows()) == 2 and len(command.rows("db")) == 2


def test_cmd_log_changes_what_is_logged(pair, command):
    left, _unused = pair
    assert command("cmd=log", "level=error") == "log level error (was debug)\n"
    before = left.log.read_text()
    defined(*pair)
    command("cmd=activate", "numlist=1")
    assert left.wait("to-right")["reached"]
    assert left.log.read_text() == before
    assert command("cmd=log", "level=info") == "log level info (was error)\n"
    command("cmd=remove")
    eventually(lambda: "ike down" in left.log.read_text())
    assert command("cmd=log") == "log level info\n"
    assert "level=error|warning|info|debug" in command("cmd=log", "level=warn", status=64)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to do without it")
def test_who_is_not_root_is_told_so(pair):
    left, _unused = pair
    left.root.chmod(0o711)
    command = [sys.executable, "-m", "engine.cli.ike", "cmd=list", "--control", left.control]
    engine = str(HERE.parents[3] / "plugins" / "module_utils")
    run = subprocess.run(
        command, env={"PYTHONPATH": engine}, user=65534, capture_output=True, text=True, check=False, cwd="/"
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert (
        run.stderr.startswith("ike: no permission to use the tunnel manager's socket") and "run as root" in run.stderr
    )
