# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw public keys with strongSwan: each kind of key, from either side, renewed, and a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.signing_keys import private_pem, public_pem

from .ours import Manager, definition
from .proof import prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

KINDS = [
    "ed25519",
    "ecdsa256",
    *(
        pytest.param(kind, marks=pytest.mark.nightly)
        for kind in ("ecdsa384", "ecdsa521", "ed448", "rsa2048", "rsa3072")
    ),
]


def there(kind: str, known: int = 0) -> Peer:
    """strongSwan's end: its key is number 1, ours number 0."""
    files = {
        "private/own.pem": private_pem(kind, 1),
        "pubkey/own.pem": public_pem(kind, 1),
        "pubkey/peer.pem": public_pem(kind, known),
    }
    ours = ("auth = pubkey", "pubkeys = own.pem")
    return Peer(RIGHT, LEFT, "", ours=ours, theirs=("auth = pubkey", "pubkeys = peer.pem"), files=files)


def here(folder: Path, kind: str, known: int = 1, **more: Any) -> dict[str, Any]:
    """Our end."""
    key = folder / "key.pem"
    key.write_bytes(private_pem(kind, 0))
    auth = {"method": "raw", "key": str(key), "remote_key": public_pem(kind, known).decode()}
    return definition(LEFT, RIGHT, "", **more) | {"auth": auth}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ours_starts", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_a_tunnel_with_each_kind_of_key(
    manager: Manager, charon: StrongSwan, tmp_path: Path, kind: str, ours_starts: bool
) -> None:
    charon.load(there(kind))
    manager.bring_up(here(tmp_path, kind), charon.initiate, ours_starts)
    prove_esp()


def test_another_key_than_ours_is_refused_there_and_another_than_theirs_here(
    manager: Manager, charon: StrongSwan, tmp_path: Path
) -> None:
    charon.load(there("ed25519", known=7))
    manager.define(here(tmp_path, "ed25519"), "active")
    row = manager.wait("established", timeout=5)
    assert (row["reached"], row["reason"]) == (False, "authentication_failed"), row
    manager.define(here(tmp_path, "ed25519", known=7), "active")
    charon.load(there("ed25519"))
    wait_until("our refusal", lambda: manager.wait("established", timeout=1)["reason"] == "peer_not_authenticated")


@pytest.mark.nightly
def test_a_renewed_key_is_used_by_the_next_authentication(manager: Manager, charon: StrongSwan, tmp_path: Path) -> None:
    charon.load(there("ed25519"))
    manager.define(here(tmp_path, "ed25519"), "active")
    assert manager.wait("established")["reached"]
    prove_esp()
    charon.load(there("ed25519", known=2))
    (tmp_path / "key.pem").write_bytes(private_pem("ed25519", 2))
    wait_until("the new key to be read", lambda: "were read again" in manager.log.read_text(encoding="utf-8"), 20)
    prove_esp()
    manager.call("tunnels.rekey", names=["peer"], reauthenticate=True)
    prove_esp()
