# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM beside x25519 (RFC 9370) with strongSwan 6.1: IKE_INTERMEDIATE, IKE_FOLLOWUP_KE, fragments of both."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import libreswan
from .libreswan import Libreswan
from .ours import Manager, definition
from .proof import esp_spis, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"
IKE = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
ESP = "aes256gcm16-x25519-ke1_mlkem768"
THERE = "CURVE_25519/KE1_ML_KEM_768"  # as strongSwan has it
LONG = 60  # seconds


def tunnel(**ike: Any) -> dict[str, Any]:
    """Ours; fragments of 600 octets."""
    lifetime = {"lifetime": ike.pop("child")} if "child" in ike else {}
    return definition(LEFT, RIGHT, SECRET, proposals=ESP, **lifetime) | {
        "ike": {"proposals": IKE, "fragment_size": 600, **ike}
    }


def load(charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, IKE, ESP, extra=("fragmentation = yes",)))


def ikes(charon: StrongSwan) -> set[str]:
    """The IKE SAs that it has with these algorithms, by their SPIs."""
    found = re.findall(r"([0-9a-f]{16}_i\*? [0-9a-f]{16}_r\*?)\n[^#]*?" + THERE, charon.sas())
    return {spis.replace("*", "") for spis in found}


def proven(manager: Manager, charon: StrongSwan) -> None:
    row = manager.wait("established")
    assert row["reached"], row
    assert ikes(charon), charon.sas()
    prove_esp()


def test_we_start_and_rekey(manager_with_ml_kem: Manager, newer_charon: StrongSwan) -> None:
    manager, charon = manager_with_ml_kem, newer_charon
    load(charon)
    manager.define(tunnel(child=12, lifetime=18), "active")
    proven(manager, charon)
    first, spis = ikes(charon), esp_spis(LEFT)
    wait_until("fresh keys of the child", lambda: not spis & esp_spis(LEFT), LONG)
    wait_until("fresh keys of the IKE SA", lambda: bool(ikes(charon)) and not first & ikes(charon), LONG)
    assert "ESP:AES_GCM_16-256/" + THERE in charon.sas(), charon.sas()
    manager.define(tunnel(), "active")  # the next keys last, while packets are counted
    prove_esp()


@pytest.mark.nightly
def test_strongswan_starts_and_rekeys(manager_with_ml_kem: Manager, newer_charon: StrongSwan) -> None:
    manager, charon = manager_with_ml_kem, newer_charon
    load(charon)
    manager.define(tunnel() | {"role": "responder"}, "active")
    done = charon.initiate()
    assert done.returncode == 0, done.stdout + done.stderr
    proven(manager, charon)
    first, spis = ikes(charon), esp_spis(LEFT)
    charon.swanctl("--rekey", "--ike", "peer")
    wait_until("another IKE SA", lambda: len(ikes(charon)) == 1 and not first & ikes(charon))
    prove_esp()
    charon.swanctl("--rekey", "--child", "net")
    wait_until(
        "new SPIs in place of the old ones",
        lambda: len(esp_spis(LEFT)) == 2 and esp_spis(LEFT) == esp_spis(RIGHT) and not spis & esp_spis(LEFT),
    )
    assert "ESP:AES_GCM_16-256/" + THERE in charon.sas(), charon.sas()
    prove_esp()


# Profiles, to peers that know no additional key exchange: they reject a proposal with one, and have another


def offered(profile: str, **ike: Any) -> dict[str, Any]:
    lifetime = {"lifetime": ike.pop("child")} if "child" in ike else {}
    return definition(LEFT, RIGHT, SECRET, **lifetime) | {"ike": {"proposals": profile, **ike}}


def key_exchange(manager: Manager) -> str:
    (found,) = manager.call("tunnels.list", names=["peer"], verbose=True)["tunnels"]
    return found["ike_sas"][0]["key_exchange"]


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_modern_with_an_older_strongswan(manager_with_ml_kem: Manager, charon: StrongSwan, ours_starts: bool) -> None:
    manager = manager_with_ml_kem
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.bring_up(offered("modern", child=10, lifetime=14), charon.initiate, ours_starts)
    spis, before = esp_spis(LEFT), charon.sas().split("_i")[0].split()[-1]
    wait_until("fresh keys of the child", lambda: not spis & esp_spis(LEFT), LONG)
    wait_until("fresh keys of the IKE SA", lambda: charon.established() and before not in charon.sas(), LONG)
    assert key_exchange(manager) == "x25519"
    prove_esp()


def test_modern_with_a_newer_strongswan(manager_with_ml_kem: Manager, newer_charon: StrongSwan) -> None:
    load(newer_charon)
    manager_with_ml_kem.define(offered("modern"), "active")
    assert manager_with_ml_kem.wait("established")["reached"]
    assert key_exchange(manager_with_ml_kem) == "x25519-ke1_mlkem768"
    prove_esp()


@pytest.mark.nightly
def test_pq_is_not_had_from_an_older_strongswan(manager_with_ml_kem: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager_with_ml_kem.define(offered("pq", retransmit_timeout=5), "active")
    row = manager_with_ml_kem.wait("established", timeout=10)
    assert not row["reached"] and row["reason"] == "no_proposal_chosen", row


@pytest.mark.nightly
def test_modern_with_an_older_libreswan(manager_with_ml_kem: Manager, pluto: Libreswan) -> None:
    manager = manager_with_ml_kem
    pluto.load(libreswan.Peer(RIGHT, LEFT, SECRET))
    manager.define(offered("modern", child=10, lifetime=14), "active")
    assert manager.wait("established")["reached"]
    states = pluto.ike_states()
    wait_until("fresh keys of the IKE SA", lambda: pluto.ike_states() and not states & pluto.ike_states(), LONG)
    assert key_exchange(manager) == "x25519"
    prove_esp()
