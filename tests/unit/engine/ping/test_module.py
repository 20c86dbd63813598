# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task around ikeping: documentation, arguments, result, what makes it fail."""

from __future__ import annotations

import importlib
import json
import socket
import sys
import threading
from pathlib import Path

import pytest
from engine.ping.probes import PLANS
from engine.ping.responder import answer

pytest.importorskip("ansible", reason="the module needs ansible-core")
yaml = pytest.importorskip("yaml")
REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def ikeping(tmp_path_factory):
    """The module, imported as it is installed: inside of ``ansible_collections``."""
    name = "ansible_collections.fleet.ipsec.plugins.modules.ikeping"
    if REPOSITORY.parent.name != "fleet":
        root = tmp_path_factory.mktemp("collections")
        (root / "ansible_collections" / "fleet").mkdir(parents=True)
        (root / "ansible_collections" / "fleet" / "ipsec").symlink_to(REPOSITORY)
        sys.path.insert(0, str(root))
    return importlib.import_module(name)


@pytest.fixture
def task(ikeping, monkeypatch, capsys):
    """Run the module with arguments: (result, exit status)."""

    def run(**arguments):
        basic = importlib.import_module("ansible.module_utils.basic")
        monkeypatch.setattr(
            basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(), raising=False
        )
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit) as caught:
            ikeping.main()
        return json.loads(capsys.readouterr().out), caught.value.code

    return run


@pytest.fixture
def peer():
    """HOST/PORT of a socket that answers echoes for as long as the test runs."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def serve() -> None:
        while True:
            datagram, source = sock.recvfrom(2048)
            if datagram == b"over":
                return
            reply = answer(datagram)
            if reply:
                sock.sendto(reply, source)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1/{port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"over", ("127.0.0.1", port))
    thread.join()
    sock.close()


@pytest.fixture
def closed():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1/{sock.getsockname()[1]}"


def test_documentation_says_what_the_arguments_are(ikeping):
    options = yaml.safe_load(ikeping.DOCUMENTATION)["options"]
    assert set(options) == set(ikeping.ARGUMENT_SPEC)
    for name, spec in ikeping.ARGUMENT_SPEC.items():
        documented = {key: options[name].get(key) for key in ("type", "elements", "choices", "default", "aliases")}
        assert documented == {key: spec.get(key) for key in documented}, name
    assert tuple(options["probe"]["choices"]) == tuple(PLANS)
    assert yaml.safe_load(ikeping.EXAMPLES) and yaml.safe_load(ikeping.RETURN)


def test_everything_returned_is_documented(ikeping, task, peer):
    result, _code = task(targets=[peer], local_port=0, verbose=True)
    documented = yaml.safe_load(ikeping.RETURN)
    assert set(result) - {"changed", "invocation"} <= set(documented)
    assert set(result["targets"][0]) <= set(documented["targets"]["contains"])


@pytest.mark.parametrize("check", [False, True])
def test_a_ping_succeeds_and_changes_nothing_in_check_mode_too(task, peer, check):
    result, code = task(targets=[peer], local_port=0, _ansible_check_mode=check)
    assert code == 0 and result["changed"] is False
    assert result["targets"][0]["alive"] and result["targets"][0]["answered_by"] == "echo reply"
    assert "packets" not in result


@pytest.mark.parametrize(("require", "fails"), [("all", True), ("any", False), ("none", False)])
def test_require(task, peer, closed, require, fails):
    result, code = task(targets=[peer, closed], local_port=0, require=require)
    assert (code != 0) is fails
    assert [target["alive"] for target in result["targets"]] == [True, False]
    if fails:
        assert result["msg"].startswith(f"1 of 2 targets did not answer: {closed}: port closed")


@pytest.mark.parametrize(("require", "fails"), [("all", True), ("any", True), ("none", False)])
def test_require_when_nobody_is_there(task, closed, require, fails):
    _result, code = task(targets=[closed], local_port=0, require=require)
    assert (code != 0) is fails


def test_long_failures_are_cut(task, closed):
    result, _code = task(targets=[closed] * 13, local_port=0)
    assert result["msg"].count("port closed") == 10 and result["msg"].endswith("and 3 more, see targets")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"targets": ["h/70000"]}, ["targets[0]", "h/70000", "1 to 65535"]),
        ({"targets": []}, ["targets", "is empty"]),
        ({}, ["targets", "is empty"]),
        ({"targets": ["::1"], "exchangenum": 255}, ["exchange", "255", "1 to 254"]),
        ({"targets": ["::1"], "family": "inet"}, ["targets[0]", "IPv4"]),
        ({"targets": ["::1"], "listen": True}, ["targets", "listening"]),
        ({"targets": ["127.0.0.1"], "ikeaddress": "192.0.2.77"}, ["local_address", "192.0.2.77"]),
        ({"targets": ["127.0.0.1"], "probe": "icmp"}, ["probe", "auto", "ikev2"]),  # it may be a secret: not shown
        ({"targets": ["127.0.0.1"], "fingerprint": True, "fingerprint_time": -1}, ["fingerprint_time", "-1"]),
        ({"listen": True, "listen_for": -1}, ["listen_for", "-1"]),
    ],
)
def test_bad_input_gives_one_clear_message(task, arguments, words):
    result, code = task(**arguments)
    assert code != 0 and "targets" not in result
    assert all(word in result["msg"] for word in words), result["msg"]


@pytest.mark.parametrize("bypass", [True, False])
def test_fingerprint_tells_who_and_why(ikeping, task, peer, bypass):
    result, _code = task(targets=[peer], local_port=0, wait=0.2, fingerprint=True, bypass=bypass)
    found = result["targets"][0]["fingerprint"]
    assert (found["implementation"], found["confidence"], found["backoff"]) == ("an ikeping listener", "low", None)
    contains = yaml.safe_load(ikeping.RETURN)["targets"]["contains"]
    assert set(found) == set(contains["fingerprint"]["contains"])


def test_listening_is_bounded_and_reports(task):
    result, code = task(listen=True, listen_for=0.1, local_port=0)
    assert code == 0
    assert (result["received"], result["answered"], result["changed"]) == (0, 0, False)


def test_verbose_returns_the_datagrams(task, peer):
    result, _code = task(targets=[peer], local_port=0, probe="echo", verbose=True)
    assert [packet["event"] for packet in result["packets"]] == ["sent", "received"]
    assert result["packets"][0]["hex"][32:40] == "0010f400"
