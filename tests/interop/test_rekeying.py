# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh keys because an operator asks for them, from a real peer, while packets pass."""

from __future__ import annotations

import pytest

from .ours import Manager, definition
from .proof import esp_spis, flood, lost, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, on request"


@pytest.mark.parametrize("begins", ["ours", pytest.param("theirs", marks=pytest.mark.nightly)])
def test_keys_and_authentication_anew_lose_nothing(manager: Manager, charon: StrongSwan, begins: str) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET), "active" if begins == "ours" else "enabled")
    if begins == "theirs":
        charon.initiate()
    assert manager.wait("established")["reached"]
    ping = flood(6)
    seen = esp_spis(LEFT)
    for words in ({}, {"phase": 1}, {"phase": 2}, {"reauthenticate": True}):
        answer = manager.call("tunnels.rekey", names=["peer"], **words)
        assert answer["reached"], (words, answer)
        before, after = answer["tunnels"][0]["before"], answer["tunnels"][0]["after"]
        assert (before["ike"] != after["ike"]) == (words != {"phase": 2})
        assert (before["children"] != after["children"]) == (words != {"phase": 1})
    sent, missing = lost(ping)
    assert sent > 100 and missing == 0, f"{missing} of {sent} lost"
    wait_until("one IKE SA at strongSwan", lambda: charon.sas().count("ESTABLISHED") == 1)
    assert not seen & esp_spis(LEFT)
    prove_esp()
    (tunnel,) = manager.call("tunnels.list")["tunnels"]
    assert 5 < tunnel["established_seconds"] < 120 and tunnel["children"][0]["established_seconds"] > 5, (
        "through fresh keys"
    )
    assert tunnel["last_traffic_seconds"] < 10, "the kernel was asked"


def test_a_refusal_is_told_and_nothing_ends(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    assert manager.wait("established")["reached"]
    charon.load(Peer(RIGHT, LEFT, SECRET + " of the next epoch"))
    answer = manager.call("tunnels.rekey", names=["peer"], reauthenticate=True)
    (told,) = answer["tunnels"]
    assert not answer["reached"] and told["reason"] == "authentication_failed" and told["state"] == "active"
    prove_esp()
