# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long things last, as an operator writes it."""

from __future__ import annotations

from typing import Any

import pytest
from engine.crypto.auth import Unknown
from engine.definition.build import connection_of
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems


def defined(**ike: Any) -> Any:
    return parse_definition({
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"},
        "auth": {"secret": "a secret of some length"}, "ike": ike,
        "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    })  # fmt: skip


@pytest.mark.parametrize(("given", "seconds"), [("1d", 86400.0), (0, 0.0), ("0", 0.0), (10, 10.0)])
def test_how_long_a_proof_holds(given: Any, seconds: float):
    assert connection_of(defined(reauth=given), Unknown(), {"c": 1}).reauth == seconds


def test_how_long_a_child_may_be_idle_cannot_be_next_to_nothing():
    raw = defined().stored()
    raw["children"][0]["inactivity"] = "5s"
    with pytest.raises(Problems) as caught:
        parse_definition(raw)
    assert caught.value.field == "children[0].inactivity"


@pytest.mark.parametrize("given", [1, "9s", -1, "soon", "31d"])
def test_how_long_a_proof_cannot_hold(given: Any):
    with pytest.raises(Problems) as caught:
        defined(reauth=given)
    assert caught.value.field == "ike.reauth"
