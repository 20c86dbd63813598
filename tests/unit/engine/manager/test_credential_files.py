# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys in files of the gateway: read when defined, noticed when renewed, every mistake told before anything changes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from engine.crypto.certificate_life import Ending
from engine.definition.schema import Problems
from engine.errors import InputError
from engine.manager.credential_files import LARGEST, read_file
from engine.manager.expirations import Expirations, expiring
from engine.manager.log import Log
from engine.manager.request_reader import read_wishes
from manager_lab import definition
from runtime_world import World, change, outbound

from tests.issued import DAY, authority
from tests.signing_keys import private_pem, public_pem


def wishes(auth: dict, **params: object):
    raw = definition() | {"auth": {"method": "raw", **auth}}
    return read_wishes({"definitions": [raw], "state": "present", "purge": False, "owner": ""} | params, {})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with two pairs of keys."""
    for number in (0, 1, 2):
        (tmp_path / f"key{number}.pem").write_bytes(private_pem("ed25519", number))
        (tmp_path / f"public{number}.pem").write_bytes(public_pem("ed25519", number))
    (tmp_path / "locked.pem").write_bytes(private_pem("rsa2048", passphrase=b"open, please"))
    (tmp_path / "weak.pem").write_bytes(private_pem("rsa1024"))
    (tmp_path / "empty.pem").touch()
    (tmp_path / "large.pem").write_bytes(bytes(LARGEST + 1))
    os.mkfifo(tmp_path / "pipe.pem")
    return tmp_path


def auth(keys: Path, ours: int = 0, theirs: int = 1) -> dict:
    return {"method": "raw", "key": str(keys / f"key{ours}.pem"), "remote_key": str(keys / f"public{theirs}.pem")}


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"key": "none.pem"}, "key", "cannot be read by the tunnel manager: No such file"),
        ({"key": "pipe.pem"}, "key", "is not a file"), ({"key": "."}, "key", "is not a file"),
        ({"key": "empty.pem"}, "key", "is empty"), ({"key": "large.pem"}, "key", "has more than 1 MiB"),
        ({"key": "public0.pem"}, "key", "holds no private key"), ({"key": "weak.pem"}, "key", "RSA with 1024 bits"),
        ({"key": "locked.pem"}, "key", "is encrypted, and there is no passphrase"),
        ({"key": "locked.pem", "passphrase": "wrong"}, "passphrase", "does not decrypt"),
        ({"remote_key": "none.pem"}, "remote_key", "No such file"),
        ({"remote_key": "key1.pem"}, "remote_key", "is a private key, which nobody else may have"),
        ({"remote_key": "public0.pem"}, "remote_key", "is that of"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_is_refused_by_its_field(keys: Path, changed: dict, field: str, problem: str) -> None:
    given = {name: str(keys / value) if value.endswith((".pem", ".")) else value for name, value in changed.items()}
    with pytest.raises(Problems, match=problem) as caught:
        wishes(auth(keys) | given)
    (found,) = caught.value.problems
    assert found.field == f"definitions[hq-b1].auth.{field}" and found.remedy


def test_what_the_service_does_not_see_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sees nothing of /home, /root and /tmp .*; put it under /etc/"):
        read_file("/home/somebody/key.pem", "auth.key")
    with pytest.raises(InputError) as elsewhere:
        read_file(str(Path("/etc/nowhere/key.pem")), "auth.key")
    assert "ProtectHome" not in str(elsewhere.value)


def test_a_key_behind_a_passphrase_and_one_written_out(keys: Path) -> None:
    wishes(auth(keys) | {"key": str(keys / "locked.pem"), "passphrase": "open, please"})
    wishes(auth(keys) | {"remote_key": public_pem("rsa2048").decode()})


def test_secrets_that_are_kept_are_of_the_same_method(keys: Path) -> None:
    (wish,), _warnings = wishes(auth(keys))
    assert wish.definition.credential.key == str(keys / "key0.pem")


@pytest.fixture
def world(keys: Path, tmp_path: Path) -> World:
    """Two managers with raw keys and the tunnel up."""
    found = World(tmp_path)
    found.define(found.left, auth=auth(keys, 0, 1))
    found.define(found.right, auth=auth(keys, 1, 0))
    found.run(2)
    assert found.state(found.left) == found.state(found.right) == "active"
    return found


def test_a_renewed_key_is_used_by_the_next_authentication_and_touches_nothing(world: World, keys: Path) -> None:
    before = outbound(world.left)
    (keys / "key0.pem").write_bytes(private_pem("ed25519", 2))
    (keys / "public0.pem").write_bytes(public_pem("ed25519", 2))
    world.run(11)
    assert outbound(world.left) == before and world.log.getvalue().count("were read again") == 2
    for runtime in (world.left, world.right):
        assert runtime.tunnels.connections.problems == {}
    world.left.act(world.left.endpoint.reauthenticate("t", world.now))
    world.run(40)
    assert world.state(world.left) == "active" and outbound(world.left) != before
    assert "peer_not_authenticated" not in world.log.getvalue()


def test_half_a_renewal_is_told_and_what_was_good_goes_on(world: World, keys: Path) -> None:
    before = outbound(world.left)
    (keys / "key0.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    world.run(11)
    assert "auth.key: holds a private key that cannot be read" in world.log.getvalue()
    assert "auth.key" in world.left.tunnels.connections.problems["t"]
    world.left.act(world.left.endpoint.reauthenticate("t", world.now))
    world.run(40)
    assert world.state(world.left) == "active" and outbound(world.left) != before, "with the key of before"
    (keys / "key0.pem").write_bytes(private_pem("ed25519", 0))
    world.run(11)
    assert world.left.tunnels.connections.problems == {}


def test_a_key_that_is_gone_at_the_start_is_the_reason_until_it_is_there(keys: Path, tmp_path: Path) -> None:
    world = World(tmp_path)
    (keys / "key0.pem").rename(keys / "elsewhere.pem")
    world.define(world.left, auth=auth(keys, 0, 1))
    world.define(world.right, auth=auth(keys, 1, 0))
    world.run(5)
    how = world.left.tunnels.condition("t")
    assert (how.state, how.reason) == ("down", "credentials_unusable")
    assert "auth.key: cannot be read" in how.story and how.remedy
    (keys / "elsewhere.pem").rename(keys / "key0.pem")
    world.run(11)
    assert world.state(world.left) == "active"


def test_from_a_secret_to_keys_and_back_without_a_word_of_the_old_ones(world: World, keys: Path) -> None:
    assert change(world.left, auth=auth(keys, 0, 1)) == "none"
    assert change(world.left, auth={"secret": "correct horse battery staple, at length"}) == "re-establish"
    assert change(world.left, auth=auth(keys, 0, 1)) == "re-establish"
    assert change(world.left, auth=auth(keys, 0, 1) | {"remote_key": str(keys / "public2.pem")}) == "hot"


def certified(folder: Path, ours: int, **more: object) -> dict:
    """How one end proves itself by a certificate; its key is that number."""
    (folder / f"cert{ours}.pem").write_bytes(authority("ed25519").issue(f"left{ours}.example", "ed25519", ours))
    (folder / "ca.pem").write_bytes(authority("ed25519").pem)
    return {
        "method": "pubkey",
        "certificate": str(folder / f"cert{ours}.pem"),
        "key": str(folder / f"key{ours}.pem"),
        "ca": [str(folder / "ca.pem")],
        **more,
    }


def test_a_list_that_newly_revokes_a_peer_closes_its_tunnel(keys: Path, tmp_path: Path) -> None:
    world = World(tmp_path)
    listed = keys / "revoked.crl"
    listed.write_bytes(authority("ed25519").revoke())
    ends = [("10.0.0.1", "left0.example"), ("10.0.0.2", "left1.example")]
    for runtime, number, more in ((world.left, 0, {}), (world.right, 1, {"crl": [str(listed)]})):
        (ours, our_id), (theirs, their_id) = ends if number == 0 else reversed(ends)
        world.define(
            runtime,
            auth=certified(keys, number, **more),
            local={"address": ours, "id": our_id},
            remote={"address": theirs, "id": their_id},
        )
    world.run(2)
    assert world.state(world.left) == world.state(world.right) == "active"
    listed.write_bytes(authority("ed25519").revoke((keys / "cert0.pem").read_bytes()))
    world.run(12)
    assert world.state(world.right) != "active" and not any(outbound(world.right).values())
    assert "certificate_revoked" in world.log.getvalue()
    assert world.left.tunnels.condition("t").reason in ("authentication_failed", "peer_deleted")


def test_what_ends_soon_is_told_once_for_all_tunnels_and_shown_with_each(tmp_path: Path) -> None:
    stream = io.StringIO()
    expirations = Expirations(Log("info", False, stream))
    ending = Ending("the certificate of hq", 1000.0 * 86400, (970.0 * 86400, 993.0 * 86400))
    for day, lines in ((960, 0), (971, 1), (972, 1), (994, 2), (1001, 3), (1002, 3)):
        expirations.look([("a", ending), ("b", ending)], day * 86400.0)
        assert stream.getvalue().count("the certificate of hq") == lines, day
    assert expiring([ending], 960 * 86400.0) == []
    (shown,) = expiring([ending], 971 * 86400.0)
    assert shown.startswith("the certificate of hq ends in 29 days, at 1972-")


def test_certificates_of_a_tunnel_that_end_soon_are_in_the_log(keys: Path, tmp_path: Path) -> None:
    world = World(tmp_path)
    auth = certified(keys, 0)
    (keys / "cert0.pem").write_bytes(authority("ed25519").issue("left0.example", "ed25519", 0, end=9 * DAY))
    world.define(world.left, auth=auth, local={"address": "10.0.0.1", "id": "left0.example"})
    world.run(12)
    assert world.log.getvalue().count("the certificate of O=Fleet, CN=left0.example ends in 8 days") == 1
    (shown,) = world.left.tunnels.expiring("t")
    assert "left0.example" in shown
