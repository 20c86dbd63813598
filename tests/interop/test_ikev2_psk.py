# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 with a pre-shared key against strongSwan: either side starts, and packets pass."""

from __future__ import annotations

import re
import subprocess

import pytest

from .ours import Manager, definition
from .proof import esp_spis, packets, prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, 24 times a day"


def test_we_initiate(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    row = manager.wait("established")
    assert row["reached"], row
    wait_until("strongSwan's Child SA", charon.established)
    prove_esp()


def test_strongswan_initiates(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET) | {"role": "responder"}, "active")
    done = charon.initiate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert manager.wait("established")["reached"]
    prove_esp()


@pytest.mark.parametrize("ours_starts", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_over_ipv6(manager: Manager, charon: StrongSwan, ours_starts: bool) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, family=6))
    tunnel = definition(LEFT, RIGHT, SECRET, family=6)
    if ours_starts:
        manager.define(tunnel, "active")
    else:
        manager.define(tunnel | {"role": "responder"}, "active")
        assert charon.initiate().returncode == 0
    assert manager.wait("established")["reached"]
    prove_esp(family=6)


@pytest.mark.parametrize(
    ("ours_ike", "ours_esp", "their_ike", "their_esp"),
    [
        ("aes128-sha256-modp2048", "aes128-sha256", "aes128-sha256-modp2048", "aes128-sha256"),
        pytest.param(
            "aes256-sha512-ecp384", "aes256-sha512", "aes256-sha512-ecp384", "aes256-sha512", marks=pytest.mark.nightly
        ),
        pytest.param(
            "chacha20poly1305-sha256-x25519",
            "chacha20poly1305",
            "chacha20poly1305-prfsha256-x25519",
            "chacha20poly1305",
            marks=pytest.mark.nightly,
        ),
        ("aes128gcm16-sha256-ecp256", "aes128gcm16", "aes128gcm16-prfsha256-ecp256", "aes128gcm16"),
        pytest.param(
            "aes128ccm8-sha256-ecp256",
            "aes128ccm8",
            "aes128ccm8-prfsha256-ecp256",
            "aes128ccm8",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "aes256ccm16-sha256-ecp256",
            "aes256ccm16",
            "aes256ccm16-prfsha256-ecp256",
            "aes256ccm16",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "aes128ctr-sha256-ecp256",
            "aes128ctr-sha1",
            "aes128ctr-sha256-ecp256",
            "aes128ctr-sha1",
            marks=pytest.mark.nightly,
        ),
        pytest.param("3des-sha1-modp2048", "3des-sha1", "3des-sha1-modp2048", "3des-sha1", marks=pytest.mark.nightly),
    ],
)
def test_algorithms(
    manager: Manager, charon: StrongSwan, ours_ike: str, ours_esp: str, their_ike: str, their_esp: str
) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, ike=their_ike, esp=their_esp))
    tunnel = definition(LEFT, RIGHT, SECRET, proposals=[ours_esp]) | {"ike": {"proposals": [ours_ike]}}
    manager.define(tunnel, "active")
    row = manager.wait("established")
    assert row["reached"], row
    prove_esp()


@pytest.mark.nightly
def test_sha_256_cut_short(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, esp="aes128-sha256", child_extra=("sha256_96 = yes",)))
    manager.define(definition(LEFT, RIGHT, SECRET, proposals=["aes128-sha256_96"]), "active")
    assert manager.wait("established")["reached"]
    assert re.search(r"auth-trunc hmac\(sha256\) .*96", LEFT.states())
    prove_esp()


def test_esp_in_udp(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, encapsulated=True))
    manager.define(definition(LEFT, RIGHT, SECRET) | {"encapsulation": "force"}, "active")
    assert manager.wait("established")["reached"]
    assert "encap type espinudp sport 4500 dport 4500" in LEFT.states()
    prove_esp()


@pytest.mark.parametrize("ours_starts", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_transport_mode(manager: Manager, charon: StrongSwan, ours_starts: bool) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET, mode="transport"))
    tunnel = definition(LEFT, RIGHT, SECRET) | {"children": [{"name": "net", "mode": "transport"}]}
    manager.define(tunnel if ours_starts else tunnel | {"role": "responder"}, "active")
    if not ours_starts:
        assert charon.initiate().returncode == 0
    assert manager.wait("established")["reached"]
    assert "mode transport" in LEFT.states()
    before = packets(LEFT)
    assert LEFT.ping(LEFT.address, RIGHT.address)
    assert packets(LEFT) - before >= 6


def test_wrong_secret_is_said_to_be_that(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, "another secret"))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    row = manager.wait("established", timeout=5)
    assert not row["reached"]
    assert "auth" in row["reason"], row
    assert row["remedy"]


def test_strongswan_rekeys_both(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    assert manager.wait("established")["reached"]
    first = esp_spis(LEFT)
    charon.swanctl("--rekey", "--child", "net")
    wait_until("new SPIs in place of the old ones", lambda: len(esp_spis(LEFT)) == 2 and not first & esp_spis(LEFT))
    prove_esp()
    spis = ike_spis(charon)
    charon.swanctl("--rekey", "--ike", "peer")
    wait_until("a new IKE SA in place of the old one", lambda: len(ike_spis(charon)) == 1 and ike_spis(charon) != spis)
    prove_esp()


@pytest.mark.nightly
def test_a_killed_manager_goes_on_with_strongswan(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET), "active")
    assert manager.wait("established")["reached"]
    first, spis = esp_spis(LEFT), ike_spis(charon)
    manager.kill()
    prove_esp()
    # strongSwan begins while nobody is there: it repeats its request until somebody is.
    rekey = subprocess.Popen(
        [*RIGHT.enter, "swanctl", "--rekey", "--child", "net", "--uri", charon.socket], stdout=subprocess.DEVNULL
    )
    manager.start()
    assert rekey.wait(20) == 0
    assert manager.wait("established")["reached"]
    assert ike_spis(charon) == spis, "strongSwan sees the IKE SA it has always had"
    wait_until("new SPIs in place of the old ones", lambda: replaced(first))
    prove_esp()
    manager.kill()
    manager.start()
    charon.swanctl("--rekey", "--ike", "peer")
    wait_until("a new IKE SA in place of the old one", lambda: len(ike_spis(charon)) == 1 and ike_spis(charon) != spis)
    second = esp_spis(LEFT)
    manager.kill()
    manager.start()
    # And what strongSwan made is rekeyed by us.
    manager.define(definition(LEFT, RIGHT, SECRET, replay_window=256), "active")
    wait_until("SPIs that we asked for", lambda: replaced(second))
    prove_esp()
    assert len(ike_spis(charon)) == 1


def test_strongswan_deletes(manager: Manager, charon: StrongSwan) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    manager.define(definition(LEFT, RIGHT, SECRET) | {"role": "responder"}, "active")
    assert charon.initiate().returncode == 0
    charon.swanctl("--terminate", "--ike", "peer")
    wait_until("our SAs to go", lambda: not esp_spis(LEFT))


def replaced(spis: set[str]) -> bool:
    """Whether a new generation has taken the place of these SPIs at both sites."""
    return len(esp_spis(LEFT)) == 2 and not spis & esp_spis(LEFT) and esp_spis(RIGHT) == esp_spis(LEFT)


def ike_spis(charon: StrongSwan) -> set[str]:
    """The SPI pairs of strongSwan's established IKE SAs."""
    return set(re.findall(r"ESTABLISHED, IKEv2, (\S+ \S+)", charon.sas()))
