# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeping against real IKE daemons: what each of them answers to each probe, and what tells whose it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.running import run_module

from . import ours, strongswan
from .libreswan import Libreswan, Peer
from .ours import ENGINE, PYTHON, definition
from .sites import LEFT, RIGHT, wait_until

SECRET = "correct horse battery staple, 24 times a day"
PROBES = ("echo", "echo_classic", "version", "ikev2", "ikev1_main", "ikev1_aggressive")

# Process starts are dear in a guest: one does all.
_EACH = """
import json, sys
from engine.ping.run import Options, Plan, ping
targets, probes = sys.argv[1].split(","), sys.argv[2].split(",")
reports = {probe: ping(targets, Options(local_port=0, plan=Plan(probe=probe, wait=1))) for probe in probes}
print(json.dumps({probe: [target["answered_by"] for target in report["targets"]] for probe, report in reports.items()}))
"""


def ask(targets: list[str], probes: tuple[str, ...] = PROBES) -> dict[str, list[str | None]]:
    """What answered each probe, by target."""
    command = [PYTHON, "-c", _EACH, ",".join(targets), ",".join(probes)]
    return json.loads(LEFT.run("env", f"PYTHONPATH={ENGINE}", *command))


def answers() -> dict[str, str | None]:
    """What answered each probe to the right site, port 500."""
    return {probe: found[0] for probe, found in ask([RIGHT.address]).items()}


def command(*words: str) -> dict[str, Any]:
    """The result of ``ipsec ikeping`` for the right site."""
    done = LEFT.attempt(
        "env", f"PYTHONPATH={ENGINE}", PYTHON, "-m", "engine.cli.ipsec", "ikeping", "--json", *words, RIGHT.address
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["targets"][0]


def fingerprint(*words: str) -> dict[str, Any]:
    """Whose software is at the right site, by the command."""
    return command("--probe", "auto", "--wait", "1", "--fingerprint", "--fingerprint-time", "1", *words)["fingerprint"]


def module(collections: Path, **arguments: Any) -> dict[str, Any]:
    """The result of a task with module ikeping at the left site."""
    home = collections / "ansible_collections/fleet"
    home.mkdir(parents=True)
    (home / "ipsec").symlink_to(ENGINE.parents[1])
    return run_module("ikeping", arguments, wrapper=[*LEFT.enter, "env", f"PYTHONPATH={collections}"])


def both_versions(peer: strongswan.Peer) -> str:
    """Its connection for whoever asks, in IKEv1 and IKEv2."""
    words = peer.configuration().replace("version = 2", "version = 0").replace(peer.ike, f"{peer.ike},default")
    assert "version = 0" in words and ",default" in words
    return words


def test_every_probe_to_strongswan(tmp_path: Path) -> None:
    with strongswan.running(RIGHT, tmp_path / "charon") as charon:
        path = tmp_path / "swanctl.conf"
        path.write_text(both_versions(strongswan.Peer(RIGHT, LEFT, SECRET)), encoding="utf-8")
        charon.swanctl("--load-all", "--noprompt", "--file", str(path))
        assert answers() == {
            "echo": None,
            "echo_classic": None,
            "version": "INVALID_MAJOR_VERSION",
            "ikev2": "proposal chosen",
            "ikev1_main": "proposal chosen",
            "ikev1_aggressive": "AUTHENTICATION-FAILED",
        }
        places = [f"{RIGHT.address}/4500", RIGHT.address6, f"{RIGHT.address6}/4500"]
        assert ask(places, ("version", "ikev2")) == {
            "version": ["INVALID_MAJOR_VERSION"] * 3,
            "ikev2": ["proposal chosen", "NO_PROPOSAL_CHOSEN", "NO_PROPOSAL_CHOSEN"],
        }
        found = fingerprint()
        assert (found["implementation"], found["confidence"]) == ("strongSwan", "low")
        assert found["backoff"]["gaps"] == [] and "strongSwan" in found["backoff"]["guesses"]


def test_strongswan_that_sends_its_vendor_id(tmp_path: Path) -> None:
    with strongswan.running(RIGHT, tmp_path / "charon", "send_vendor_id = yes") as charon:
        charon.load(strongswan.Peer(RIGHT, LEFT, SECRET))
        found = fingerprint()
        task = module(tmp_path, targets=[RIGHT.address], wait=1, fingerprint=True, fingerprint_time=1)
    assert (found["implementation"], found["confidence"]) == ("strongSwan", "high")
    assert {"hex": "882fe56d6fd20dbc2251613b2ebe5beb", "name": "strongSwan"} in found["vendor_ids"]
    assert task["changed"] is False and task["targets"][0]["fingerprint"]["evidence"] == found["evidence"]


@pytest.mark.nightly
def test_every_probe_to_our_manager(tmp_path: Path) -> None:
    with ours.running(RIGHT, tmp_path / "ours") as manager:
        manager.define(definition(RIGHT, LEFT, SECRET) | {"role": "responder"}, "active")
        assert answers() == {
            "echo": "echo reply",
            "echo_classic": "echo reply",
            "version": "INVALID_MAJOR_VERSION",
            "ikev2": "proposal chosen",
            "ikev1_main": None,
            "ikev1_aggressive": None,
        }
        places = [f"{RIGHT.address}/4500", RIGHT.address6, f"{RIGHT.address6}/4500"]
        assert ask(places, ("echo",)) == {"echo": ["echo reply"] * 3}
        found = fingerprint()
        assert (found["implementation"], found["confidence"]) == ("fleet.ipsec", "low")


@pytest.mark.nightly
def test_our_manager_answers_echoes_at_a_bounded_rate(tmp_path: Path) -> None:
    with ours.running(RIGHT, tmp_path / "ours") as manager:
        target = command("--count", "1000", "--interval", "0", "--rate", "0", "--wait", "1", "--require", "any")
        counts = manager.call("manager.info")["counts"]
        assert 400 <= target["received"] < 1000
        assert counts["echoes"] == target["received"] and counts["echoes_dropped"] > 0
        wait_until("echoes answered again", lambda: ask([RIGHT.address], ("echo",))["echo"] == ["echo reply"])


# From here on Libreswan runs at the right site until the last test is over.


def test_every_probe_to_libreswan(pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET))
    assert answers() == {
        "echo": None,
        "echo_classic": None,
        "version": "INVALID_MAJOR_VERSION",
        "ikev2": "proposal chosen",
        "ikev1_main": None,
        "ikev1_aggressive": None,
    }
    assert ask([f"{RIGHT.address}/4500", RIGHT.address6], ("version",))["version"] == ["INVALID_MAJOR_VERSION"] * 2
    found = fingerprint()
    assert (found["implementation"], found["confidence"], found["backoff"]) == ("Libreswan", "low", None)


@pytest.mark.parametrize("libreswan_daemon", ["accept"], indirect=True)
def test_every_probe_to_libreswan_with_ikev1(pluto: Libreswan) -> None:
    ikev1 = {"ike": "aes256-sha2_256-dh14", "version": 1}
    pluto.load(Peer(RIGHT, LEFT, SECRET, **ikev1))
    assert answers() == {
        "echo": "UNSUPPORTED-EXCHANGE-TYPE",
        "echo_classic": None,
        "version": "INVALID_MAJOR_VERSION",
        "ikev2": "NO_PROPOSAL_CHOSEN",
        "ikev1_main": "proposal chosen",
        "ikev1_aggressive": None,
    }
    # It speaks Aggressive Mode with those alone whose identity it knows, and ours is this.
    pluto.load(Peer(RIGHT, LEFT, SECRET, **ikev1, remote_id="ikeping", extra=("aggressive=yes",)))
    assert ask([RIGHT.address], ("ikev1_aggressive",)) == {"ikev1_aggressive": ["proposal chosen"]}


@pytest.mark.parametrize("libreswan_daemon", ["accept"], indirect=True)
def test_libreswan_that_sends_its_vendor_id(pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, ike="aes256-sha2_256-dh14", version=1, extra=("send-vendorid=yes",)))
    found = fingerprint()
    assert (found["implementation"], found["confidence"]) == ("Libreswan", "high")
    assert found["backoff"]["gaps"] == [] and "Libreswan" in found["backoff"]["guesses"]
