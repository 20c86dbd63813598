# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of an IKE SA costs what changed, however many children it has."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from engine.ike.actions import Action
from engine.ike.context import Context
from engine.ike.records import RecordKey
from engine.ike.v2 import children
from engine.ike.v2.child import Child
from engine.ike.v2.record_codec import CHILD_SHAPE, NOT_KEPT, OWN_WAY
from engine.ike.v2.snapshot import freeze, standing
from engine.manager.journal import FILE_NAME, Journal
from engine.manager.log import Log
from engine.selector import parse_selector

from .forge import INFORMATIONAL, TO_WEST, sealed
from .rekeys import DOINGS
from .world import World, child, pair

MANY = 256


def many(number: int) -> World:
    """East and west with an IKE SA of three children; west has so many copies of them that it has this number."""
    world = pair(children=tuple(replace(child(f"c{each}", each + 1), **networks(each)) for each in range(3)))
    world.east.start()
    world.run(1.0)
    (sa,) = world.west.engine.registry.by_spi.values()
    assert len(sa.children) == 3
    one = next(iter(sa.children.values()))
    for each in range(10, number + 7):
        spis = {"spi_in": one.sa.spi_in + each, "spi_out": one.sa.spi_out + each}
        copy = replace(one, number=each, sa=replace(one.sa, number=each, **spis))
        children.adopt(Context(world.west.engine, world.now), sa, copy)
    return world


def networks(each: int) -> dict[str, object]:
    return {"local": (parse_selector(f"10.1.{each}.0/24"),), "remote": (parse_selector(f"10.2.{each}.0/24"),)}


def heard(world: World) -> list[Action]:
    """What west does on an empty INFORMATIONAL request."""
    (sa,) = world.east.engine.registry.by_spi.values()
    datagram = sealed(sa, INFORMATIONAL, sa.next_id, [])
    sa.next_id += 1
    return world.west.engine.receive(datagram, TO_WEST, world.now)


def journal_of(folder: Path) -> Journal:
    journal = Journal(str(folder), Log("debug", False, io.StringIO()), "a boot")
    journal.load({})
    return journal


def test_an_empty_informational_costs_no_more_with_many_children(tmp_path: Path, calls: Callable[..., int]) -> None:
    costs = []
    for number in (3, MANY):
        folder = tmp_path / str(number)
        folder.mkdir()
        world, journal = many(number), journal_of(folder)
        journal.keep(world.west.engine.changes(), [])
        before = (folder / FILE_NAME).stat().st_size
        actions = heard(world)
        count = calls(lambda j, w, a: j.keep(w.west.engine.changes(), a), journal, world, actions)
        costs.append((count, (folder / FILE_NAME).stat().st_size - before))
        journal.close()
    (calls_of_few, octets_of_few), (calls_of_many, octets_of_many) = costs
    assert octets_of_few == octets_of_many < 1000
    assert calls_of_few == calls_of_many < 200


def test_only_what_changed_is_given() -> None:
    world = many(3)
    engine = world.west.engine
    assert len(engine.changes()) == 5
    (sa,) = engine.registry.by_spi.values()
    assert not engine.changes() and not engine.changed
    heard(world)
    assert set(engine.changes()) == {RecordKey("window", sa.number)}
    one = next(iter(sa.children.values()))
    engine.rekey("t", world.now, [one.config.name])
    assert set(engine.changes()) == {RecordKey("window", sa.number), RecordKey("child", sa.number, one.number)}


def test_children_that_move_are_of_the_new_ike_sa() -> None:
    world = many(3)
    engine = world.west.engine
    kept = dict(engine.changes())
    (old,) = kept.keys() - {key for key in kept if key.part != "sa"}
    DOINGS["rekey_ike"](world, world.east)
    world.run(1.0)
    for key, record in engine.changes().items():
        kept[key] = record
    assert {key for key, record in kept.items() if record is None} == {key for key in kept if key.ike == old.ike}
    (sa,) = engine.registry.by_spi.values()
    assert {key: record for key, record in kept.items() if record is not None} == freeze(sa)


def test_what_strangers_do_changes_nothing() -> None:
    world = pair()
    world.east.start()
    world.run(0.015)
    assert list(world.west.engine.sas()) and not world.west.engine.changes()


@pytest.mark.parametrize("name", [field.name for field in fields(Child) if field.name not in NOT_KEPT[Child]])
def test_a_child_cannot_change_without_a_trace(name: str) -> None:
    (sa,) = many(3).west.engine.registry.by_spi.values()
    one = next(iter(sa.children.values()))
    one.changed = False
    setattr(one, name, getattr(one, name))
    assert one.changed


def test_nothing_is_changed_in_place_that_is_not_frozen_anew_each_time() -> None:
    """Where it were, nobody would know."""
    (sa,) = many(3).west.engine.registry.by_spi.values()
    one = next(iter(sa.children.values()))
    held = [*standing(sa), *(getattr(one, name) for name in {*CHILD_SHAPE.rows, *OWN_WAY[Child]})]
    assert not [value for value in held if isinstance(value, (list, dict, set, bytearray))]
