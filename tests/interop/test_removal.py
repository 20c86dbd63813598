# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 is removed at our end alone: what peers make of an IKE SA that makes nothing new any more."""

from __future__ import annotations

import time

import pytest

from . import libreswan, strongswan
from .libreswan import Libreswan
from .ours import Manager, definition
from .proof import esp_spis, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import StrongSwan

SECRET = "correct horse battery staple, 24 times a day"
LIFETIME = 50  # seconds; peers and packets are slow in a guest


def retire(manager: Manager) -> float:
    """Bring the tunnel up and remove its phase 1; when it came up."""
    manager.define(definition(LEFT, RIGHT, SECRET, lifetime=LIFETIME), "active")
    row = manager.wait("established")
    assert row["reached"], row
    began = time.monotonic()
    manager.call("tunnels.apply", definitions=[{"name": "peer"}], state="inactive", phase=1)
    assert state(manager) == "retiring"
    return began


def state(manager: Manager) -> str:
    (tunnel,) = manager.call("tunnels.list", names=["peer"])["tunnels"]
    return tunnel["state"]


def refused(manager: Manager) -> bool:
    return "until its lifetime is over, nothing new is made" in manager.log.read_text(encoding="utf-8")


def ended(manager: Manager, began: float) -> None:
    """It lives as long as its phase 2, and not longer."""
    assert state(manager) == "retiring"
    wait_until("the end of phase 2", lambda: not esp_spis(LEFT), LIFETIME + 30)
    assert time.monotonic() - began > LIFETIME - 2
    wait_until("the end of phase 1", lambda: state(manager) == "inactive")


@pytest.mark.nightly
def test_strongswan_goes_on_until_phase_2_is_over(manager: Manager, charon: StrongSwan) -> None:
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET))
    began = retire(manager)
    spis = esp_spis(LEFT)
    prove_esp()
    charon.swanctl("--rekey", "--child", "net")
    wait_until("our refusal", lambda: refused(manager))
    prove_esp()
    charon.swanctl("--rekey", "--ike", "peer")
    wait_until("a new IKE SA", lambda: "ike rekeyed" in manager.log.read_text(encoding="utf-8"))
    prove_esp()
    assert esp_spis(LEFT) == spis, "no fresh keys for phase 2"
    ended(manager, began)
    wait_until("strongSwan's IKE SA to go", lambda: "ESTABLISHED" not in charon.sas())


@pytest.mark.nightly
def test_libreswan_goes_on_until_phase_2_is_over(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(libreswan.Peer(RIGHT, LEFT, SECRET))
    began = retire(manager)
    spis = esp_spis(LEFT)
    prove_esp()
    # It waits for what does not come, so whack is not waited for.
    pluto.whack("--rekey-ipsec", "--asynchronous", "--name", "peer")
    wait_until("our refusal", lambda: refused(manager))
    prove_esp()
    pluto.whack("--rekey-ike", "--name", "peer")
    wait_until("a new IKE SA", lambda: "ike rekeyed" in manager.log.read_text(encoding="utf-8"))
    prove_esp()
    assert esp_spis(LEFT) == spis, "no fresh keys for phase 2"
    ended(manager, began)
    wait_until("Libreswan's IKE SA to go", lambda: not pluto.ike_states())
