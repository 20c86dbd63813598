# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real peer that is known by host names, of which the first leads to an address where nobody answers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .ours import Manager, definition
from .proof import prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

SECRET = "correct horse battery staple, by any name"
NAMES = ["old.interop.example", "new.interop.example"]
NOBODY = "192.0.2.99"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Path]:
    """A hosts file of our own, in the place of the machine's."""
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n", encoding="utf-8")
    subprocess.run(["mount", "--bind", str(path), "/etc/hosts"], check=True)
    yield path
    subprocess.run(["umount", "/etc/hosts"], check=True)


def test_a_peer_is_found_by_its_names(manager: Manager, charon: StrongSwan, hosts: Path) -> None:
    charon.load(Peer(RIGHT, LEFT, SECRET))
    tunnel = definition(LEFT, RIGHT, SECRET)
    tunnel["remote"] = {"addresses": NAMES, "id": RIGHT.identity}
    manager.define(tunnel, "active")

    def listed() -> dict:
        (found,) = manager.call("tunnels.list")["tunnels"]
        return found

    wait_until("the reason", lambda: listed()["reason"] == "name_not_found", 60)
    assert NAMES[0] in listed()["story"] and NAMES[1] in listed()["story"]
    assert f"dst {RIGHT.network}" in LEFT.run("ip", "xfrm", "policy"), "nothing leaves in clear meanwhile"
    hosts.write_text(f"{NOBODY} {NAMES[0]}\n{RIGHT.address} {NAMES[1]}\n", encoding="utf-8")
    row = manager.wait("established", 120)
    assert row["reached"], row
    prove_esp()
    remote = listed()["remote"]
    assert remote["in_use"] == RIGHT.address
    assert remote["resolved"] == {NAMES[0]: [NOBODY], NAMES[1]: [RIGHT.address]}
