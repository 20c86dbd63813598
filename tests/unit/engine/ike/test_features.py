# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Optional features are rows: one more is a file and a row, and no handler knows any of them by name."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from engine.ike.v2 import auth, init, new_child, rekey_child, rekey_ike, snapshot
from engine.ike.v2.features import rows
from engine.ike.v2.features.feature import Features
from engine.ike.v2.sa import IkeSa

from . import toy_feature
from .forge import ike_sa
from .mortal import Mortal
from .world import LATENCY, World, pair, up

HANDLERS = (init, auth, new_child, rekey_child, rekey_ike)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one row."""
    monkeypatch.setattr(rows, "FEATURES", Features((*rows.ROWS, toy_feature.FEATURE)))


def heard(sa: IkeSa) -> int:
    return toy_feature.HEARD.of(sa).heard


def both(world: World) -> tuple[int, int]:
    return heard(ike_sa(world.east)), heard(ike_sa(world.west))


@pytest.mark.usefixtures("toy")
def test_one_more_feature_is_one_file_and_one_row() -> None:
    world = up()
    assert both(world) == (2, 2), "IKE_SA_INIT and IKE_AUTH"
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(1.0)
    world.check()
    assert both(world) == (4, 4), "the rekey of the child, and the Delete of the old one"
    world.west.do(world.west.engine.rekey("t", world.now))
    world.run(1.0)
    world.check()
    assert both(world) == (4, 4), "what an IKE SA hands on is as it was when its successor was made"
    world.run(40.0)
    assert both(world) > (4, 4), "liveness checks"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("lost", range(4))
def test_what_is_repeated_is_heard_once(lost: int) -> None:
    world = pair(lambda number, _octets: [] if number == lost else [LATENCY, 2 * LATENCY])
    world.east.start()
    world.run(5.0)
    world.check()
    assert both(world) == (2, 2)


@pytest.mark.usefixtures("toy")
def test_its_slot_is_kept_for_the_next_life() -> None:
    world = pair()
    mortal = Mortal(world.east, {})
    world.east.start()
    world.run(1.0)
    assert both(world) == (2, 2)
    mortal.die()
    world.run(1.0)
    world.check()
    assert heard(ike_sa(world.east)) >= 2
    record = snapshot.freeze_standing(ike_sa(world.east))
    assert json.loads(json.dumps(record))["heard"] == heard(ike_sa(world.east))


def test_handlers_name_no_feature() -> None:
    """But for the one that a row of the table of states leads to."""
    names = {path.stem for path in Path(rows.__file__).parent.glob("*.py")} - {"__init__", "feature", "rows"}
    for handler in HANDLERS:
        tree = ast.parse(Path(handler.__file__).read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not used & names, handler.__name__


def test_names_in_the_journal_are_unique() -> None:
    shapes = [slot.shape for slot in rows.FEATURES.slots if slot.shape is not None]
    own = [name for shape in shapes for name in shape.rows]
    assert len(own) == len(set(own))
    assert not set(own) & {*snapshot.STANDING.rows, *snapshot.WINDOW.rows, "format", "tunnel", "choice"}
