# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of states: every cell is listed or refused, every row can be reached, and the page in docs/ shows it."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from engine.crypto.negotiation import offer_esp, offer_ike
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.v2 import table
from engine.ike.v2.child import Child
from engine.ike.v2.sa import AUTHENTICATED, EitherSa, Handshake, IkeSa, OpeningSa, RekeyIke, State
from engine.ike.v2.tasks import (
    Auth,
    DeleteAtPeer,
    DeleteChild,
    DeleteIke,
    Inform,
    Init,
    Intermediate,
    Kind,
    NewChild,
    RekeyChild,
    Task,
)
from engine.ike.v2.tasks import Request as Outstanding
from engine.selector import parse_selector
from engine.wire.v2.delete import Delete
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.payloads import Payloads
from engine.wire.v2.sa import SA
from engine.wire.v2.ts import TSi, TSr

from .forge import ENTROPY, X25519, hand, ike_sa, opened, opening, sealed, sends
from .world import CLASSIC, World, east_connection, up

ROOT = Path(__file__).resolve().parents[4]
CHILD = [
    SA(offer_esp(esp_proposals("aes256gcm16", "p"), b"\0\0\2\1", with_ke=False)),
    Nonce(bytes(32)),
    TSi((parse_selector("10.1.0.0/16"),)),
    TSr((parse_selector("10.2.0.0/16"),)),
]
NEW_IKE = [SA(offer_ike(ike_proposals(CLASSIC), b"\1" * 8)), Nonce(bytes(32)), KE(31, X25519)]
REQUESTS: dict[Kind, list[Any]] = {
    Kind.INIT: opening(),
    Kind.INTERMEDIATE: [KE(31, X25519)],
    Kind.AUTH: [IDi(east_connection().local_id)],
    Kind.NEW_CHILD: CHILD,
    Kind.REKEY_CHILD: [Notify(NotifyType.REKEY_SA, b"", 3, b"\1\2\3\4"), *CHILD],
    Kind.REKEY_IKE: NEW_IKE,
    Kind.DELETE_CHILD: [Delete(3, (b"\1\2\3\4",))],
    Kind.DELETE_IKE: [Delete(1, ())],
    Kind.INFORM: [],
    Kind.FOLLOW_UP: [KE(31, X25519)],
}
EXCHANGES = {purpose.task.kind: purpose.exchange for purpose in table.PURPOSES.values()}
EXCHANGES[Kind.FOLLOW_UP] = table.NEXT_STEP.exchange
HALF_OPEN = (State.INIT_ANSWERED, State.INTERMEDIATE)
CELLS = list(itertools.product(State, Kind))


@pytest.mark.parametrize("kind", Kind)
def test_every_request_is_told_from_the_others(kind: Kind) -> None:
    assert table.request_kind(EXCHANGES[kind], Payloads(REQUESTS[kind])) is kind


def opening_of(world: World, sa: IkeSa) -> OpeningSa:
    """As it was before it was established, but for its Message IDs."""
    spis = sa.spi_i, sa.spi_r
    made = OpeningSa(sa.number, sa.connection, sa.initiator, State.START, sa.path, *spis, sa.created, Handshake())
    made.protection, made.next_id, made.expected_id = sa.protection, sa.next_id, sa.expected_id
    made.answer_to = sa.answer_to
    world.west.engine.registry.replace(sa, made)
    return made


def in_state(state: State) -> tuple[World, IkeSa, EitherSa]:
    """Keys at both ends, and west put into a state by force."""
    world = up()
    east, west = ike_sa(world.east), ike_sa(world.west)
    if state not in (*AUTHENTICATED, State.GONE):
        west = opening_of(world, west)
    west.state = state
    if state in (*HALF_OPEN, State.REFUSED):
        world.west.engine.half_open.enter(west.path.remote_address)
    return world, east, west


@pytest.mark.parametrize(("state", "kind"), [cell for cell in CELLS if cell[0] is not State.GONE])
def test_every_request_in_every_state_is_served_or_refused(state: State, kind: Kind) -> None:
    world, east, west = in_state(state)
    octets = sealed(east, EXCHANGES[kind], east.next_id, REQUESTS[kind])
    listed = table.request_row(state, kind) is not None
    if listed and state in (State.START, *HALF_OPEN):
        return  # need a handshake: test_handshake
    answers = sends(hand(world, world.west, octets))
    if kind is Kind.INIT or state not in AUTHENTICATED:
        assert not answers and west.state is state and not listed
        return
    types = [notify.type for notify in opened(east, answers[0]).all(Notify)]
    assert (NotifyType.INVALID_SYNTAX in types) == (not listed)
    if not listed:
        assert west.state is State.GONE
    else:
        row = table.request_row(state, kind)
        expected = (row.next, State.REKEYED) if kind is Kind.REKEY_IKE else (row.next, State.DELETING)
        assert west.state in expected


def task_of(kind: type[Task], child: Child) -> Task:
    """A request of ours."""
    made: dict[type[Task], Task] = {
        Init: Init(), Intermediate: Intermediate(ENTROPY.key_exchange(31)), Auth: Auth(),
        NewChild: NewChild(child.config), RekeyChild: RekeyChild(child, child.config), RekeyIke: RekeyIke(),
        DeleteChild: DeleteChild(child), DeleteAtPeer: DeleteAtPeer(child.config, b"\1\2\3\4"),
        DeleteIke: DeleteIke(), Inform: Inform(),
    }  # fmt: skip
    return made[kind]


@pytest.mark.parametrize(
    ("state", "kind"), [cell for cell in itertools.product(State, table.PURPOSES) if cell[1] is not Init]
)
def test_every_empty_answer_in_every_state_is_served_or_ends_it(state: State, kind: type[Task]) -> None:
    if state in (State.GONE, *HALF_OPEN):
        return
    world, east, west = in_state(state)
    child = next(iter(east.children.values()))
    task = task_of(kind, child)
    west.request = Outstanding(west.next_id, b"", task, 1, world.now + 1000.0)
    hand(world, world.west, sealed(east, table.PURPOSES[kind].exchange, west.next_id, [], response=True))
    row = table.answer_row(state, task, Payloads([]))
    if row is None:
        assert west.state is State.GONE
    else:
        assert row.handler is not None and west.state in (row.next, State.DELETING)


def test_every_state_is_left_and_entered() -> None:
    entered = {row.next for row in (*table.REQUESTS, *table.ANSWERS)} | {r.next for r in table.PURPOSES.values()}
    used = {row.state for row in (*table.REQUESTS, *table.ANSWERS)} | {State.START}
    assert entered - {None} | {State.START, State.REFUSED} == set(State)
    assert used == set(State) - {State.REFUSED, State.GONE}


def test_every_row_is_unique_and_tells_a_story() -> None:
    cells = [(row.state, row.kind) for row in table.REQUESTS]
    assert len(cells) == len(set(cells))
    answers = [(row.state, row.task, row.notify) for row in table.ANSWERS]
    assert len(answers) == len(set(answers))
    assert {row.kind for row in table.PURPOSES} == set(Kind) - {Kind.FOLLOW_UP}
    assert all(row.story for row in (*table.REQUESTS, *table.ANSWERS, *table.PURPOSES.values()))


def test_what_we_ask_for_in_a_state_may_be_answered_there() -> None:
    for kind, purpose in table.PURPOSES.items():
        for state in purpose.states:
            after = purpose.next or state
            assert any(row.state is after and row.task is kind for row in table.ANSWERS), (kind, state)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("state_diagrams", ROOT / "tests" / "docs" / "state_diagrams.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_about_states_is_up_to_date() -> None:
    written = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    assert written == generator().page(), "run: python3 -m tests.docs.state_diagrams"


def test_the_generator_runs_as_a_module(tmp_path: Path) -> None:
    code = (
        "import pathlib, tests.docs.state_diagrams as page; "
        f"pathlib.Path({str(tmp_path / 'states.md')!r}).write_text(page.page(), encoding='utf-8')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    assert (tmp_path / "states.md").read_text(encoding="utf-8").startswith("<!-- Generated")
