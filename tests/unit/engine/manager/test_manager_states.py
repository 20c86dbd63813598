# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words for states: every state of the protocol engine has one, and the command prints each."""

from __future__ import annotations

import pytest
from engine.cli import tunnels as cli
from engine.ike.actions import Report
from engine.ike.v2.child import ChildState
from engine.ike.v2.sa import State
from engine.ike.v2.view import CHILD_STAGES, STAGES
from engine.ike.views import ChildStage, Stage
from engine.manager import states
from engine.manager.hindrances import Hindrances
from engine.manager.methods import METHODS

PHASE1 = {
    "negotiating": [State.START, State.INIT_SENT, State.INIT_ANSWERED, State.INTERMEDIATE, State.AUTH_SENT],
    "active": [State.ESTABLISHED],
    "expired": [State.REKEYED, State.DELETING],
    "dormant": [State.REFUSED, State.GONE],
}
PHASE2 = {
    "active": [ChildState.INSTALLED, ChildState.ANSWERED, ChildState.REKEYING, ChildState.REKEYED],
    "expired": [ChildState.DELETING],
    "dormant": [ChildState.GONE],
}


@pytest.mark.parametrize(
    ("words", "stages", "table", "kind", "stage"),
    [
        (PHASE1, STAGES, states._PHASE1, State, Stage),
        (PHASE2, CHILD_STAGES, states._PHASE2, ChildState, ChildStage),
    ],
)
def test_every_state_has_a_word(words, stages, table, kind, stage):
    found = {state: table[stages[state]] for state in kind}
    assert found == {state: word for word, each in words.items() for state in each}
    assert stages.keys() == set(kind) and table.keys() == set(stage) == set(stages.values())
    assert set(states._BEST) == cli._STATUS.keys() and set(table.values()) <= set(states._BEST)
    assert set(cli._STATUS.values()) == {"Negotiating", "Active", "Dormant", "Expired"}


def test_the_words_for_the_whole_are_documented():
    words = METHODS["tunnels.list"].result["properties"]["tunnels"]["items"]["properties"]["state"]["description"]
    for word in ("inactive", "dormant", "negotiating", "active", "degraded", "down", "retiring"):
        assert word in words


def test_the_size_of_what_is_not_answered_is_told_where_no_packet_has_room_for_it() -> None:
    hindrances = Hindrances()
    data = {"exchange": "IKE_AUTH", "tries": 3}
    hindrances.take(Report("retransmit", "t", data=data))
    hindrances.take(Report("retransmit", "u", data=data | {"size": "2400 octets", "hint": "divide it"}))
    stories = {name: notice.story for name in "tu" if (notice := hindrances.of(name)) is not None}
    assert stories == {
        "t": "IKE_AUTH was sent 3 times without an answer",
        "u": "IKE_AUTH of 2400 octets was sent 3 times without an answer; divide it",
    }
