# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys (RFC 8784) with strongSwan and Libreswan: both ends, either without, and a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from . import libreswan
from .libreswan import Libreswan
from .ours import Manager, definition
from .proof import esp_spis, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"
KEY = "a post-quantum key of thirty-two octets or more"
WRONG = "another post-quantum key of thirty-two octets"
MUST = ("ppk_required = yes",)
INSIST = ("ppk=insist",)


def tunnel(*ppks: tuple[str, str], required: bool = True, **more: Any) -> dict[str, Any]:
    """Ours."""
    auth = {"secret": SECRET, "ppk": [{"id": name, "secret": key, "required": required} for name, key in ppks]}
    child = {key: more.pop(key) for key in ("lifetime",) if key in more}
    return {**definition(LEFT, RIGHT, SECRET, **child), **more, "auth": auth}


def theirs(*ppks: tuple[str, str], named: str = "", required: tuple[str, ...] = ()) -> Peer:
    """strongSwan's."""
    extra = (*((f"ppk_id = {named}",) if named else ()), *required)
    return Peer(RIGHT, LEFT, SECRET, ppks=ppks, extra=extra)


def used(manager: Manager) -> str | None:
    """The key that is mixed in, as we tell it."""
    (found,) = manager.call("tunnels.list", names=["peer"], verbose=True)["tunnels"]
    return found["ike_sas"][0]["ppk"]


def began(manager: Manager, peer: StrongSwan | Libreswan, ours: dict[str, Any], ours_starts: bool) -> None:
    manager.bring_up(ours, peer.initiate, ours_starts)
    wait_until("the peer's Child SA", peer.established)


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_both_ends_insist_and_strongswan_rekeys(manager: Manager, charon: StrongSwan, ours_starts: bool) -> None:
    charon.load(theirs(("fleet-1", KEY), named="fleet-1", required=MUST))
    began(manager, charon, tunnel(("fleet-1", KEY)), ours_starts)
    assert used(manager) == "fleet-1"
    prove_esp()
    spis = esp_spis(LEFT)
    charon.swanctl("--rekey", "--ike", "peer")
    prove_esp()
    charon.swanctl("--rekey", "--child", "net")
    wait_until("fresh keys of the child", lambda: len(esp_spis(LEFT)) == 2 and not spis & esp_spis(LEFT))
    prove_esp()
    assert used(manager) == "fleet-1"


@pytest.mark.nightly
def test_we_rekey(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs(("fleet-1", KEY), named="fleet-1", required=MUST))
    began(manager, charon, tunnel(("fleet-1", KEY), lifetime=10, ike={"lifetime": 14}), True)
    spis, text = esp_spis(LEFT), charon.sas()
    wait_until("fresh keys of the child", lambda: len(esp_spis(LEFT)) == 2 and not spis & esp_spis(LEFT))
    ike = text.split("_i")[0].split()[-1]
    wait_until("fresh keys of the IKE SA", lambda: charon.established() and ike not in charon.sas(), 30)
    prove_esp()
    assert used(manager) == "fleet-1"


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("ours_has_it", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_without_it_where_nobody_insists(
    manager: Manager, charon: StrongSwan, ours_starts: bool, ours_has_it: bool
) -> None:
    charon.load(theirs() if ours_has_it else theirs(("fleet-1", KEY), named="fleet-1"))
    began(manager, charon, tunnel(("fleet-1", KEY), required=False) if ours_has_it else tunnel(), ours_starts)
    assert used(manager) is None
    prove_esp()


def test_the_responder_finds_one_of_several(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs(("fleet-1", KEY), ("fleet-2", WRONG), required=MUST))
    began(manager, charon, tunnel(("fleet-2", WRONG), ("fleet-1", KEY)), True)
    assert used(manager) == "fleet-2"
    prove_esp()


def refused(manager: Manager) -> dict[str, Any]:
    row = manager.wait("established", timeout=4)
    assert not row["reached"], row
    return row


def test_we_insist_and_strongswan_has_none(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs())
    manager.define(tunnel(("fleet-1", KEY)), "active")
    wait_until("its reason", lambda: manager.wait("established", timeout=0)["reason"] == "ppk_missing")
    assert not esp_spis(LEFT)


@pytest.mark.nightly
def test_strongswan_insists_and_we_have_none(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs(("fleet-1", KEY), named="fleet-1", required=MUST))
    manager.define(tunnel(), "active")
    assert refused(manager)["reason"] == "authentication_failed"
    manager.define(tunnel() | {"role": "responder"}, "active")
    assert charon.initiate().returncode != 0


def test_we_insist_and_strongswan_begins_without(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs())
    manager.define(tunnel(("fleet-1", KEY)) | {"role": "responder"}, "active")
    assert charon.initiate().returncode != 0
    assert refused(manager)["reason"] == "ppk_missing"


@pytest.mark.parametrize(
    ("required", "reason"),
    [((), "ppk_differs"), pytest.param(MUST, "peer_not_authenticated", marks=pytest.mark.nightly)],
)
def test_a_wrong_one_of_strongswan_is_told(
    manager: Manager, charon: StrongSwan, required: tuple[str, ...], reason: str
) -> None:
    charon.load(theirs(("fleet-1", WRONG), named="fleet-1", required=required))
    manager.define(tunnel(("fleet-1", KEY), required=False) | {"role": "responder"}, "active")
    assert charon.initiate().returncode != 0
    row = refused(manager)
    assert row["reason"] == reason and "PPK fleet-1" in row["story"], row


@pytest.mark.nightly
def test_a_wrong_one_of_ours_is_told(manager: Manager, charon: StrongSwan) -> None:
    charon.load(theirs(("fleet-1", KEY), named="fleet-1", required=MUST))
    manager.define(tunnel(("fleet-1", WRONG)), "active")
    row = refused(manager)
    assert row["reason"] == "authentication_failed" and "PPK fleet-1 is mixed in" in row["story"], row


def pluto_peer(key: str = KEY, extra: tuple[str, ...] = INSIST) -> libreswan.Peer:
    """Libreswan's."""
    return libreswan.Peer(RIGHT, LEFT, SECRET, secrets=(f': PPKS "fleet-1" "{key}"',), extra=extra)


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_both_ends_insist_and_libreswan_rekeys(manager: Manager, pluto: Libreswan, ours_starts: bool) -> None:
    pluto.load(pluto_peer())
    began(manager, pluto, tunnel(("fleet-1", KEY)), ours_starts)
    assert used(manager) == "fleet-1"
    prove_esp()
    first, states = esp_spis(LEFT), pluto.ike_states()
    pluto.whack("--rekey-ipsec", "--name", "peer")
    wait_until("fresh keys of the child", lambda: len(esp_spis(LEFT)) == 2 and not first & esp_spis(LEFT))
    pluto.whack("--rekey-ike", "--name", "peer")
    wait_until("another IKE SA", lambda: len(pluto.ike_states()) == 1 and not states & pluto.ike_states())
    prove_esp()


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_without_it_where_libreswan_has_none(manager: Manager, pluto: Libreswan, ours_starts: bool) -> None:
    pluto.load(pluto_peer(extra=("ppk=no",)))
    began(manager, pluto, tunnel(("fleet-1", KEY), required=False), ours_starts)
    assert used(manager) is None
    prove_esp()


@pytest.mark.nightly
def test_a_wrong_one_of_libreswan_is_told(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(pluto_peer(WRONG))
    manager.define(tunnel(("fleet-1", KEY)), "active")
    row = refused(manager)
    assert row["reason"] == "authentication_failed" and "PPK fleet-1 is mixed in" in row["story"], row
