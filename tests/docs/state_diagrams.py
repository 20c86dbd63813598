# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw docs/states.md from the rows of the IKEv2 state machine: ``python3 -m tests.docs.state_diagrams``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))

from engine.ike.v2 import table  # noqa: E402
from engine.ike.v2.sa import State  # noqa: E402
from engine.ike.v2.tasks import Kind  # noqa: E402
from engine.wire.v2.numbers import NotifyType  # noqa: E402

PAGE = ROOT / "docs" / "states.md"

MEANING = {
    State.START: "nothing is sent or received yet",
    State.INIT_SENT: "we start: our IKE_SA_INIT request is out",
    State.INIT_ANSWERED: "the peer starts: half-open, it is not authenticated yet",
    State.INTERMEDIATE: "the peer starts: half-open, and additional key exchanges come before IKE_AUTH",
    State.AUTH_SENT: "we start: our IKE_AUTH request is out",
    State.ESTABLISHED: "up: both ends are authenticated",
    State.REKEYED: "another IKE SA with fresh keys has taken over the children; waits to be deleted",
    State.DELETING: "our Delete is out",
    State.REFUSED: "the peer failed to authenticate; only its refusal is repeated to it",
    State.GONE: "over; nothing is kept",
}

# What ends an IKE SA, or moves it, without a message of the peer: `ike/v2/timers.py` and the operator.
BY_ITSELF = (
    (State.INIT_SENT, State.GONE, "no answer, or only refusals, to all retransmissions"),
    (State.AUTH_SENT, State.GONE, "no answer to all retransmissions"),
    (State.INIT_ANSWERED, State.GONE, "no IKE_AUTH in time"),
    (State.INIT_ANSWERED, State.REFUSED, "not authenticated"),
    (State.START, State.INTERMEDIATE, "additional key exchanges were agreed on"),
    (State.INTERMEDIATE, State.INIT_ANSWERED, "it was the last additional key exchange"),
    (State.INTERMEDIATE, State.GONE, "they are not over in time"),
    (State.INTERMEDIATE, State.REFUSED, "the peer's value is of no use"),
    (State.REFUSED, State.GONE, "time is up"),
    (State.ESTABLISHED, State.GONE, "lifetime over, peer silent, or INVALID_SYNTAX"),
    (State.ESTABLISHED, State.REKEYED, "the peer rekeys the IKE SA"),
    (State.REKEYED, State.GONE, "time is up"),
    (State.DELETING, State.GONE, "no answer to all retransmissions"),
)

HEAD = """<!-- Generated from plugins/module_utils/engine/ike/v2/table.py by: python3 -m tests.docs.state_diagrams -->

# States of an IKE SA

This page shows what each end of an IKEv2 tunnel does in which state. It is drawn from the very rows that the engine
runs on, so it cannot differ from what happens. Listings and the journal use the same names of states.

A message that no row is for is refused: before authentication it is dropped without an answer, afterwards its sender
gets INVALID_SYNTAX and the IKE SA ends, as RFC 7296 section 2.21.3 has it. A message that fails its integrity check
or carries an unexpected Message ID is dropped in every state and changes nothing.
"""


def page() -> str:
    """The whole document."""
    parts = [HEAD, "## The states\n", _table(("state", "meaning"), ((s.value, MEANING[s]) for s in State))]
    parts += ["## As a diagram\n", _diagram()]
    parts += ["## When the peer asks\n", _requests()]
    parts += ["## When the peer answers\n", _answers()]
    parts += ["## What we ask for\n", _purposes()]
    parts += [
        "## Without a message\n",
        _table(("state", "because of", "then"), ((a.value, why, b.value) for a, b, why in BY_ITSELF)),
    ]
    return "\n".join(parts)


def _diagram() -> str:
    edges: dict[tuple[State, State], list[str]] = {}

    def edge(before: State, after: State, story: str) -> None:
        if before is not after:
            edges.setdefault((before, after), []).append(story)

    for purpose in (*table.PURPOSES.values(), table.NEXT_STEP):
        for state in purpose.states:
            edge(state, purpose.next or state, f"we {purpose.story}")
    for row in (*table.REQUESTS, *table.ANSWERS):
        edge(row.state, row.next, row.story)
    for before, after, story in BY_ITSELF:
        edge(before, after, story)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.START.value}"]
    for (before, after), stories in edges.items():
        lines.append(f"    {before.value} --> {after.value}: {'<br/>'.join(dict.fromkeys(stories))}")
    return "\n".join([*lines, f"    {State.GONE.value} --> [*]", "```", ""])


def _requests() -> str:
    rows = (
        (row.state.value, row.kind.label, _names(row.required), row.story, row.next.value) for row in table.REQUESTS
    )
    return _table(("state", "its request", "needs at least", "meaning", "then"), rows)


def _answers() -> str:
    rows = ((r.state.value, r.task.kind.label, _answer(r), r.story, r.next.value) for r in table.ANSWERS)
    return _table(("state", "our request", "its answer", "meaning", "then"), rows)


def _answer(row: table.Answer) -> str:
    if row.notify is None:
        return _names(row.required)
    return "any error notify" if row.notify == table.ERRORS else NotifyType(row.notify).name


def _purposes() -> str:
    rows = (
        (name, ", ".join(s.value for s in row.states), row.story, row.next.value if row.next else "stays")
        for name, row in (
            *((row.task.kind.label, row) for row in table.PURPOSES.values()),
            (Kind.FOLLOW_UP.label, table.NEXT_STEP),
        )
    )
    return _table(("our request", "begun in state", "meaning", "then"), rows)


def _names(kinds: Iterable[type]) -> str:
    return ", ".join(kind.__name__ for kind in kinds) or "nothing"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
