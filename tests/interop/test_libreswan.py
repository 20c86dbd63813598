# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 with a pre-shared key against Libreswan: either side starts, and packets pass."""

from __future__ import annotations

import pytest

from .libreswan import Libreswan, Peer
from .ours import Manager, definition
from .proof import esp_spis, packets, prove_esp
from .sites import LEFT, RIGHT, wait_until

SECRET = "correct horse battery staple, 24 times a day"


def start(manager: Manager, pluto: Libreswan, tunnel: dict, ours_starts: bool) -> None:
    manager.bring_up(tunnel, pluto.initiate, ours_starts)
    wait_until("Libreswan's Child SA", pluto.established)


@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("ours_starts", [True, False])
def test_either_side_starts(manager: Manager, pluto: Libreswan, ours_starts: bool, family: int) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, family=family))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET, family=family), ours_starts)
    prove_esp(family)


@pytest.mark.nightly
def test_wrong_secret_is_said_to_be_that(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, "another secret"))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    row = manager.wait("established", timeout=3)
    assert not row["reached"]
    assert "auth" in row["reason"], row


@pytest.mark.parametrize(
    ("ours_ike", "ours_esp", "their_ike", "their_esp"),
    [
        ("aes128-sha256-modp2048", "aes128-sha256", "aes128-sha2_256-dh14", "aes128-sha2_256"),
        pytest.param(
            "aes256-sha512-ecp384",
            "aes256-sha512",
            "aes256-sha2_512-dh20",
            "aes256-sha2_512",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "chacha20poly1305-sha256-x25519",
            "chacha20poly1305",
            "chacha20_poly1305-sha2_256-dh31",
            "chacha20_poly1305",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "aes128ctr-sha256-modp2048",
            "aes128ctr-sha1",
            "aes_ctr128-sha2_256-dh14",
            "aes_ctr128-sha1",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "aes128-sha1-modp2048", "aes256ccm16", "aes128-sha1-dh14", "aes_ccm_c_256", marks=pytest.mark.nightly
        ),
        pytest.param("3des-sha1-modp2048", "3des-sha1", "3des-sha1-dh14", "3des-sha1", marks=pytest.mark.nightly),
    ],
)
def test_algorithms(
    manager: Manager, pluto: Libreswan, ours_ike: str, ours_esp: str, their_ike: str, their_esp: str
) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, ike=their_ike, esp=their_esp))
    tunnel = definition(LEFT, RIGHT, SECRET, proposals=[ours_esp]) | {"ike": {"proposals": [ours_ike]}}
    start(manager, pluto, tunnel, ours_starts=True)
    prove_esp()


def test_sha_256_cut_short(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, esp="aes128-sha2_256", extra=("sha2-truncbug=yes",)))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET, proposals=["aes128-sha256_96"]), ours_starts=True)
    prove_esp()


@pytest.mark.nightly
@pytest.mark.parametrize("ours_starts", [True, False])
def test_esp_in_udp(manager: Manager, pluto: Libreswan, ours_starts: bool) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, encapsulated=True))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET) | {"encapsulation": "force"}, ours_starts)
    assert "encap type espinudp sport 4500 dport 4500" in LEFT.states()
    prove_esp()


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_transport_mode(manager: Manager, pluto: Libreswan, ours_starts: bool) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET, mode="transport"))
    tunnel = definition(LEFT, RIGHT, SECRET) | {"children": [{"name": "net", "mode": "transport"}]}
    start(manager, pluto, tunnel, ours_starts)
    assert "mode transport" in LEFT.states()
    before = packets(LEFT)
    assert LEFT.ping(LEFT.address, RIGHT.address)
    assert RIGHT.ping(RIGHT.address, LEFT.address)
    assert packets(LEFT) - before == 12


@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_libreswan_rekeys_both(manager: Manager, pluto: Libreswan, ours_starts: bool) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET), ours_starts)
    first = esp_spis(LEFT)
    pluto.whack("--rekey-ipsec", "--name", "peer")
    wait_until("new SPIs in place of the old ones", lambda: len(esp_spis(LEFT)) == 2 and not first & esp_spis(LEFT))
    prove_esp()
    states, spis = pluto.ike_states(), esp_spis(LEFT)
    pluto.whack("--rekey-ike", "--name", "peer")
    wait_until("a new IKE SA in place of the old one", lambda: replaced(states, pluto.ike_states()))
    assert esp_spis(LEFT) == spis, "the Child SA moves along"
    prove_esp()


@pytest.mark.nightly
def test_we_rekey_both(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET))
    tunnel = definition(LEFT, RIGHT, SECRET, lifetime=10) | {"ike": {"lifetime": 14}}
    start(manager, pluto, tunnel, ours_starts=True)
    first, states = esp_spis(LEFT), pluto.ike_states()
    wait_until("new SPIs in place of the old ones", lambda: len(esp_spis(LEFT)) == 2 and not first & esp_spis(LEFT))
    prove_esp()
    wait_until("a new IKE SA in place of the old one", lambda: replaced(states, pluto.ike_states()))
    prove_esp()


def replaced(before: set[str], after: set[str]) -> bool:
    """Whether one IKE SA stands, and not the one from before."""
    return len(after) == 1 and not before & after


def received(manager: Manager) -> int:
    """Datagrams that reached our manager."""
    return manager.call("manager.info")["counts"]["datagrams"]


@pytest.mark.parametrize("ours_asks", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_liveness(manager: Manager, pluto: Libreswan, ours_asks: bool) -> None:
    theirs = () if ours_asks else ("dpddelay=1", "dpdtimeout=5", "dpdaction=clear")
    pluto.load(Peer(RIGHT, LEFT, SECRET, extra=theirs))
    tunnel = definition(LEFT, RIGHT, SECRET) | {"ike": {"dpd_delay": 1 if ours_asks else 0}}
    start(manager, pluto, tunnel, ours_starts=True)
    spis, before = esp_spis(LEFT), received(manager)
    wait_until("three checks of the peer, or three answers of his", lambda: received(manager) >= before + 3)
    assert esp_spis(LEFT) == spis and pluto.established()
    prove_esp()


def test_we_delete(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET), ours_starts=True)
    manager.define({"name": "peer"}, "inactive")
    wait_until("Libreswan's SAs to go", lambda: not esp_spis(RIGHT) and not pluto.ike_states())


def test_libreswan_deletes(manager: Manager, pluto: Libreswan) -> None:
    pluto.load(Peer(RIGHT, LEFT, SECRET))
    start(manager, pluto, definition(LEFT, RIGHT, SECRET), ours_starts=False)
    pluto.whack("--terminate", "--name", "peer")
    wait_until("our SAs to go", lambda: not esp_spis(LEFT))
