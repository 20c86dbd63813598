# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication on a schedule, children that strongSwan closes and children that are idle."""

from __future__ import annotations

from typing import Any

import pytest

from .ours import Manager, definition
from .proof import esp_spis, flood, lost, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"


def up(manager: Manager, charon: StrongSwan, ike: dict[str, Any] | None = None, **child: Any) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define({**definition(LEFT, RIGHT, SECRET, **child), "ike": ike or {}}, "active")
    row = manager.wait("established")
    assert row["reached"], row


def first_spi(charon: StrongSwan) -> str:
    """The initiator's SPI of strongSwan's first IKE SA."""
    return charon.sas().split("_i")[0].split()[-1]


def test_both_ends_prove_themselves_anew_and_nothing_is_lost(manager: Manager, charon: StrongSwan) -> None:
    up(manager, charon, {"reauth": 12})
    before, spis = first_spi(charon), esp_spis(LEFT)
    ping = flood(16)
    sent, missing = lost(ping)
    assert sent > 400 and missing <= 2, f"{missing} of {sent} lost"
    wait_until("another IKE SA in place of the old one", lambda: before not in charon.sas() and charon.established())
    assert not spis & esp_spis(LEFT)


@pytest.mark.nightly
def test_strongswan_is_authenticated_by_its_own_schedule(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, extra=("reauth_time = 8s", "over_time = 4s")))
    manager.define(definition(LEFT, RIGHT, SECRET) | {"role": "responder"}, "active")
    assert charon.initiate().returncode == 0
    before = first_spi(charon)
    wait_until(
        "another IKE SA in place of the old one", lambda: before not in charon.sas() and charon.established(), 30
    )
    wait_until("its Child SA here", lambda: len(esp_spis(LEFT)) == 2)
    prove_esp()


@pytest.mark.parametrize(
    "action",
    [pytest.param("as_start", marks=pytest.mark.nightly), "trap", pytest.param("none", marks=pytest.mark.nightly)],
)
def test_what_strongswan_closes(manager: Manager, charon: StrongSwan, action: str) -> None:
    up(manager, charon, close_action=action)
    spis = esp_spis(LEFT)
    charon.swanctl("--terminate", "--child", "net")
    wait_until("its end here", lambda: not spis & esp_spis(LEFT))
    if action == "as_start":
        wait_until("another one", lambda: len(esp_spis(LEFT)) == 2)
    else:
        LEFT.ping(LEFT.inside, RIGHT.inside)
        wait_until("what its packets bring about", lambda: bool(esp_spis(LEFT) & esp_spis(RIGHT)) is (action == "trap"))
    if action != "none":
        prove_esp()


@pytest.mark.nightly
def test_an_idle_child_is_closed_until_its_next_packet(manager: Manager, charon: StrongSwan) -> None:
    up(manager, charon, inactivity=10)
    prove_esp()
    wait_until("its end at both sites", lambda: not esp_spis(LEFT) and not esp_spis(RIGHT), 40)
    assert "ESTABLISHED" in charon.sas()
    LEFT.ping(LEFT.inside, RIGHT.inside)
    prove_esp()
