# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managers that go on with the files of release 0.1.0 (``data/make_release_files.py``), as its process left them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from engine.crypto.registry import Kind, by_name
from engine.ike.settings import Settings
from engine.ike.v2.record_codec import CHILD_SA
from engine.manager import runtime as runtime_module
from engine.manager.log import Log
from engine.manager.runtime import Runtime
from engine.manager.store import Store
from fake_kernel import FakeHost
from manager_lab import SECRET
from runtime_world import Wire, World

FILES = Path(__file__).resolve().parent / "data" / "release-0.1.0.tar.xz"
LEFT_AT = 1010.0  # on the clock of the processes that ended


class Upgraded(World):
    """Both ends are of this release now; the SAs stand in the kernels."""

    def __init__(self, folder: Path) -> None:
        self.now = LEFT_AT
        self.wire = Wire()
        self.log = io.StringIO()
        self.right = self._upgraded(folder / "right", "10.0.0.2")
        self.left = self._upgraded(folder / "left", "10.0.0.1")

    def _upgraded(self, folder: Path, address: str) -> Runtime:
        host = FakeHost(str(folder), journal=False)
        for child in children_of(folder):
            spec = replace(CHILD_SA.thaw(child["sa"], []), owner="me")
            host.gateway.sas |= {(spec.local_address, spec.spi_in): spec, (spec.remote_address, spec.spi_out): spec}
        host.gateway._spis = count(max(spi for _address, spi in host.gateway.sas) + 1)
        store = Store(str(folder / "definitions.sqlite"))
        made = Runtime(store, host, self.wire, Log("debug", False, self.log), Settings(), lambda: self.now)
        self.wire.at[address] = made
        made.begin()
        return made


def children_of(folder: Path) -> list[dict]:
    """Those of all IKE SAs in a journal of release 0.1.0."""
    lines = [json.loads(line) for line in (folder / "live").read_text().splitlines() if line.startswith('["sa"')]
    latest = {number: record for _kind, number, record in lines}
    return [child for record in latest.values() if record is not None for child in record["children"]]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(FILES) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - our own
    for folder in ("left", "right"):
        (tmp_path / folder).chmod(0o700)
    boot = (tmp_path / "left" / "live").read_text().split("\n", 1)[0].rsplit(" ", 1)[1]
    monkeypatch.setattr(runtime_module, "boot_id", lambda: boot)
    return tmp_path


@pytest.fixture
def world(files: Path) -> Iterator[Upgraded]:
    made = Upgraded(files)
    yield made
    for each in (made.left, made.right):
        each.host.close()
        each.store.close()
    assert SECRET not in made.log.getvalue()


def test_tunnels_go_on_as_they_were(world: Upgraded) -> None:
    before = {name: dict(each.host.gateway.sas) for name, each in (("left", world.left), ("right", world.right))}
    world.run(5)
    for name, each in (("left", world.left), ("right", world.right)):
        assert world.state(each) == "active" and each.host.gateway.sas == before[name] and len(before[name]) == 4
        assert not {"install_inbound", "install_outbound", "discard"} & set(each.host.gateway.calls)
        assert each.counts["child_down"] == each.counts["ike_down"] == each.counts["ike_established"] == 0
        assert each.counts["ike_rekeyed"] == 1, "the request that was on its way is sent again, and answered"
        row = each.tunnels.rows["t"]
        assert (row.number, row.children) == (1, {"lan": 1, "voice": 2})
    assert "set up anew" not in world.log.getvalue() and "not used" not in world.log.getvalue()


def test_fresh_keys_are_had_from_either_end(world: Upgraded) -> None:
    world.run(5)
    for turn, each in enumerate((world.left, world.right), 1):
        each.act(each.endpoint.rekey("t", world.now, ["lan", "voice"]))
        world.run(5)
        assert world.left.counts["child_rekeyed"] == world.right.counts["child_rekeyed"] == 2 * turn
        each.act(each.endpoint.rekey("t", world.now))
        world.run(5)
    assert (
        set(world.left.host.gateway.sas) == set(world.right.host.gateway.sas) and len(world.left.host.gateway.sas) == 4
    )
    assert world.state(world.left) == world.state(world.right) == "active"


@pytest.mark.skipif(by_name(Kind.KE, "mlkem768").lacking != "", reason="this cryptography has no ML-KEM")
def test_a_profile_that_this_release_changed_acts_at_the_next_ike_sa(world: Upgraded) -> None:
    world.run(5)  # a request was on its way
    ends = (world.left, world.right)
    assert all(each.tunnels.rows["t"].definition.document["ike"]["proposals"] == "modern" for each in ends)
    said: list[bytes] = []
    send = world.wire.send
    world.wire.send = lambda datagram, *how: (said.append(datagram), send(datagram, *how))[1]
    world.run(20)
    assert not said, "nothing of it is on the wire"
    world.left.act(world.left.endpoint.rekey("t", world.now))
    world.run(5)
    for each in ends:
        (view,) = [view for view in each.endpoint.sas() if view.lasting]
        assert view.key_exchange == "x25519-ke1_mlkem768" and each.counts["ike_established"] == 0


def test_the_journal_is_one_of_this_release_from_then_on(world: Upgraded, files: Path) -> None:
    world.run(5)
    for folder in ("left", "right"):
        assert (files / folder / "live").read_bytes().startswith(b"fleet-ipsec live state 2 ")


@pytest.mark.parametrize("content", [b"fleet-ipsec live state 3 ", b"fleet-ipsec live state 0 ", b"something else "])
def test_a_journal_that_cannot_be_read_is_gone_before_work_begins(files: Path, content: bytes) -> None:
    """Whoever resumed it later would use Message IDs and IVs for a second time."""
    journal = files / "left" / "live"
    journal.write_bytes(journal.read_bytes().replace(b"fleet-ipsec live state 1 ", content))
    seen = []
    plain = FakeHost.prepare

    def prepare(host: FakeHost) -> None:
        if host.registry.directory == str(files / "left"):
            seen.append(journal.stat().st_size)
        plain(host)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakeHost, "prepare", prepare)
        world = Upgraded(files)
    assert seen[0] == len(b"fleet-ipsec live state 2 \n") + 36
    assert "another boot or release" in world.log.getvalue()
    world.run(30)
    assert world.state(world.left) == world.state(world.right) == "active"
    for each in (world.left, world.right):
        each.host.close()
        each.store.close()
