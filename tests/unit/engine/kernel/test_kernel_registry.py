# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names behind request IDs, and groups: what is noted stays, what fails leaves nothing."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest
from engine.errors import DamagedError, KernelError, MissingError
from engine.kernel import registry as module
from engine.kernel.registry import (
    FILE_NAME,
    REQID_FIRST,
    REQID_LAST,
    Child,
    Identities,
    Manual,
    Registry,
    RegistryView,
    is_ours,
)
from engine.said import parse_said

GROUP = tuple(map(parse_said, ("tun.113@192.0.2.2", "esp.115@192.0.2.2", "ah.116@192.0.2.2")))
OTHER = tuple(map(parse_said, ("comp.117@192.0.2.2", "esp:118@2001:db8::1")))


@pytest.fixture
def registry(tmp_path) -> Registry:
    made = Registry(str(tmp_path / "run"))
    yield made
    made.close()


def group(registry: Registry, *groups) -> None:
    with registry.changing():
        for members in groups:
            registry.add_group(members)


def test_only_root_reads_it(registry, tmp_path) -> None:
    assert stat.S_IMODE(os.stat(tmp_path / "run").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "run" / FILE_NAME).st_mode) == 0o600


def test_a_child_keeps_its_request_id_over_restarts(registry, tmp_path) -> None:
    first = registry.allocate("lab", "hq", "lan")
    second = registry.allocate("lab", "hq", "dmz")
    assert first != second and is_ours(first) and is_ours(second)
    again = Registry(str(tmp_path / "run"))
    assert again.allocate("lab", "hq", "lan") == first
    assert again.names(second) == Child("lab", "hq", "dmz")
    assert again.children() == {first: Child("lab", "hq", "lan"), second: Child("lab", "hq", "dmz")}
    again.close()


def test_identities_of_tunnels_are_kept_as_long_as_these(registry, tmp_path) -> None:
    registry.identify("hq", Identities("hq.example", "b1.example"))
    registry.identify("any", Identities("hq.example", None))
    registry.identify("hq", Identities("hq.example", "b2.example"))
    view = RegistryView(str(tmp_path / "run"))
    assert view.identities() == {
        "hq": Identities("hq.example", "b2.example"),
        "any": Identities("hq.example", None),
    }
    registry.forget_identities("hq")
    registry.forget_identities("unknown")
    assert list(view.identities()) == ["any"]
    view.close()


def test_a_registry_of_an_earlier_release_has_no_identities(registry, tmp_path) -> None:
    registry._database.execute("DROP TABLE identity")
    view = RegistryView(str(tmp_path / "run"))
    assert view.identities() == {}
    view.close()


def test_a_freed_request_id_is_used_again_when_all_are_taken(registry, monkeypatch) -> None:
    monkeypatch.setattr(module, "MANUAL_FIRST", REQID_FIRST + module.REST + 2)  # room for two children
    ids = [registry.allocate("lab", "hq", name) for name in "ab"]
    with pytest.raises(KernelError, match="all of our range are in use"):
        registry.allocate("lab", "hq", "c")
    registry.forget(ids[0])
    assert registry.names(ids[0]) is None
    assert registry.allocate("lab", "hq", "c") == ids[0]


def test_a_recorded_id_leaves_what_it_belonged_to(registry) -> None:
    registry.record(REQID_FIRST, Child("lab", "hq", "lan"))
    registry.record(REQID_FIRST, Child("lab", "hq", "dmz"))
    assert registry.children() == {REQID_FIRST: Child("lab", "hq", "dmz")}
    registry.record(REQID_FIRST + 5, Child("lab", "hq", "dmz"))
    assert registry.children() == {REQID_FIRST + 5: Child("lab", "hq", "dmz")}
    assert registry.names(REQID_FIRST) is None


@pytest.mark.parametrize("reqid", [0, 7, REQID_FIRST - 1, REQID_LAST + 1])
def test_request_ids_of_others_are_refused(registry, reqid: int) -> None:
    assert not is_ours(reqid)
    with pytest.raises(KernelError, match="outside our range"):
        registry.record(reqid, Child("lab", "hq", "lan"))


def test_groups_keep_their_order_over_restarts(registry, tmp_path) -> None:
    group(registry, GROUP, OTHER)
    view = RegistryView(str(tmp_path / "run"))
    assert view.groups() == [GROUP, OTHER]
    view.close()


def test_any_member_names_the_group(registry) -> None:
    group(registry, GROUP, OTHER)
    assert registry.remove_group(GROUP[2]) and registry.groups() == [OTHER]
    assert not registry.remove_group(GROUP[0])
    group(registry, GROUP)
    assert sorted(registry.groups()) == sorted([GROUP, OTHER])


def test_an_sa_is_in_one_group(registry) -> None:
    group(registry, GROUP)
    with pytest.raises(KernelError, match="ungroup it first"):
        group(registry, (OTHER[0], GROUP[1]))
    assert registry.groups() == [GROUP]


def test_what_fails_inside_of_a_change_leaves_nothing(registry) -> None:
    group(registry, GROUP)
    with pytest.raises(ZeroDivisionError), registry.changing():
        registry.remove_group(GROUP[0])
        registry.add_group(OTHER)
        _unused = 1 / 0
    assert registry.groups() == [GROUP]


def test_who_cannot_write_hears_why(registry, tmp_path, monkeypatch) -> None:
    holder = sqlite3.connect(tmp_path / "run" / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(module, "_LOCK_WAIT", 0)
    impatient = Registry(str(tmp_path / "run"))
    with pytest.raises(MissingError, match="cannot write .*locked"), impatient.changing():
        pass
    impatient.close()
    holder.close()


def test_a_view_reads_nothing_where_there_is_none_and_makes_none(tmp_path) -> None:
    view = RegistryView(str(tmp_path / "none"))
    assert view.groups() == [] and view.children() == {}
    view.close()
    assert not (tmp_path / "none").exists()


def test_what_is_no_registry_is_refused(tmp_path) -> None:
    (tmp_path / FILE_NAME).write_text("this is no database, and long enough to be seen as none" * 30)
    for kind in (RegistryView, Registry):
        with pytest.raises(DamagedError, match="kernel.sqlite.* is damaged .*gateway_sweep without owner"):
            kind(str(tmp_path))


def test_damage_deep_inside_is_told_by_whatever_meets_it(tmp_path) -> None:
    registry = Registry(str(tmp_path))
    group(registry, GROUP)
    with registry.changing():
        registry.put_manual(GROUP[0], Manual("me", 7, "192.0.2.1"))
    registry.close()
    # The tables stand, and what is in them is gone.
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    page = int.from_bytes(whole[16:18], "big")
    path.write_bytes(whole[:page] + b"\xff" * (len(whole) - page))
    with pytest.raises(DamagedError, match="is damaged"):
        Registry(str(tmp_path))
    view = RegistryView(str(tmp_path))
    for read in (view.children, view.groups, view.manual_sas, view.tunnelled, view.shunts):
        with pytest.raises(DamagedError, match="malformed"):
            read()
    view.close()


def test_a_writer_tells_damage_from_a_lack_of_room(registry, tmp_path) -> None:
    path = tmp_path / "run" / FILE_NAME
    with registry.changing():
        registry.add_group(GROUP)
    registry._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = int.from_bytes(path.read_bytes()[16:18], "big")
    with path.open("r+b") as stream:
        stream.seek(page)
        stream.write(b"\xff" * (path.stat().st_size - page))
    registry._database.close()
    registry._database = sqlite3.connect(path, isolation_level=None)  # what the old one has in memory is whole
    for write in (lambda: registry.forget(REQID_FIRST), lambda: registry.put_shunt(1, "me", "[]")):
        with pytest.raises(DamagedError), registry.changing():
            write()


def test_one_that_is_empty_yet_reads_as_none(tmp_path) -> None:
    (tmp_path / FILE_NAME).touch()
    view = RegistryView(str(tmp_path))
    assert view.children() == {} and view.shunts() == {}
    view.close()
