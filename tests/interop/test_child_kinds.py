# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that are more, or less, than ESP: with real peers, through rekeys and restarts."""

from __future__ import annotations

import re

import pytest

from . import libreswan, strongswan
from .ours import Manager, definition
from .proof import esp_spis, prove_esp
from .sites import LEFT, RIGHT, wait_until

SECRET = "correct horse battery staple, 24 times a day"
AH = {"protocol": "ah", "proposals": ["sha256-x25519"]}


def replaced(spis: set[str]) -> bool:
    """Whether a new generation has taken the place of these SPIs at both sites."""
    return len(esp_spis(LEFT)) == 2 and not spis & esp_spis(LEFT) and esp_spis(RIGHT) == esp_spis(LEFT)


def rekeyed_and_restarted(manager: Manager, charon: strongswan.StrongSwan, **child: object) -> None:
    """Either end rekeys it, and a killed manager goes on with it."""
    before = esp_spis(LEFT)
    charon.swanctl("--rekey", "--child", "net")
    wait_until("SPIs that strongSwan asked for", lambda: replaced(before))
    prove_esp()
    manager.kill()
    prove_esp()
    manager.start()
    assert manager.wait("established")["reached"]
    prove_esp()
    before = esp_spis(LEFT)
    manager.define(definition(LEFT, RIGHT, SECRET, replay_window=256, **child), "active")
    wait_until("SPIs that we asked for", lambda: replaced(before))
    prove_esp()


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_ah_with_strongswan(manager: Manager, charon: strongswan.StrongSwan, ours_starts: bool) -> None:
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET, esp="", child_extra=("ah_proposals = sha256-x25519",)))
    manager.bring_up(definition(LEFT, RIGHT, SECRET, **AH), charon.initiate, ours_starts)
    assert "proto ah" in LEFT.states() and "proto esp" not in LEFT.states()
    prove_esp()
    if ours_starts:
        rekeyed_and_restarted(manager, charon, **AH)


def test_ah_against_esp_is_told(manager: Manager, charon: strongswan.StrongSwan) -> None:
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET, esp="", child_extra=("ah_proposals = sha256",)))
    manager.define(definition(LEFT, RIGHT, SECRET) | {"role": "responder"}, "active")
    assert charon.initiate().returncode != 0
    (tunnel,) = manager.call("tunnels.list", names=["peer"])["tunnels"]
    assert tunnel["reason"] == "no_proposal_chosen" and "AH is on offer, ESP is allowed" in tunnel["story"], tunnel


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_ipcomp_with_strongswan(manager: Manager, charon: strongswan.StrongSwan, ours_starts: bool) -> None:
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET, child_extra=("ipcomp = yes",)))
    manager.bring_up(definition(LEFT, RIGHT, SECRET, ipcomp=True), charon.initiate, ours_starts)
    prove_compression()
    if ours_starts:
        rekeyed_and_restarted(manager, charon, ipcomp=True)
        prove_compression()


@pytest.mark.parametrize("ours", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_ipcomp_that_strongswan_has_not_or_has_alone(
    manager: Manager, charon: strongswan.StrongSwan, ours: bool
) -> None:
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET, child_extra=("ipcomp = no" if ours else "ipcomp = yes",)))
    manager.bring_up(definition(LEFT, RIGHT, SECRET, ipcomp=ours), charon.initiate, ours_starts=ours)
    assert "proto comp" not in LEFT.states()
    prove_esp()


def prove_compression() -> None:
    """Packets that shrink and packets that do not pass both ways."""
    assert len(re.findall("proto comp spi", LEFT.states())) == 2, LEFT.states()
    for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
        for size in ("8", "1300", "3000"):
            here.run("ping", "-c3", "-i0.2", "-W5", "-s", size, "-p", "00", "-I", here.inside, there.inside)


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_ah_with_libreswan(manager: Manager, pluto: libreswan.Libreswan, ours_starts: bool) -> None:
    pluto.load(libreswan.Peer(RIGHT, LEFT, SECRET, esp="", extra=("phase2=ah", "phase2alg=sha2_512", "pfs=no")))
    manager.bring_up(definition(LEFT, RIGHT, SECRET, protocol="ah", proposals=["sha512"]), pluto.initiate, ours_starts)
    assert "proto ah" in LEFT.states() and "proto esp" not in LEFT.states()
    prove_esp()


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_ipcomp_with_libreswan(manager: Manager, pluto: libreswan.Libreswan, ours_starts: bool) -> None:
    pluto.load(libreswan.Peer(RIGHT, LEFT, SECRET, extra=("compress=yes",)))
    manager.bring_up(definition(LEFT, RIGHT, SECRET, ipcomp=True), pluto.initiate, ours_starts)
    prove_compression()
