# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of SAs keyed by hand: decided without a kernel."""

from __future__ import annotations

from functools import partial

import pytest
from engine.classic.manual import Plan, Seen, plan_absent, with_purge
from engine.kernel.registry import Manual
from engine.said import parse_said

TUN, ESP, AH = (parse_said(text) for text in ("tun.113@192.0.2.2", "esp.115@192.0.2.2", "ah.116@192.0.2.2"))


def seen(*demanded: int) -> Seen:
    """A group whose SAs were keyed by hand, and the request IDs that policies name."""
    noted = {said: Manual("command", reqid, "192.0.2.1") for said, reqid in ((TUN, 0), (ESP, 7), (AH, 8))}
    return Seen({}, noted, [(TUN, ESP, AH)], {}, demanded=frozenset(demanded))


@pytest.mark.parametrize(("demanded", "warned"), [((7,), True), ((8, 9), True), ((9,), False), ((), False)])
def test_policies_that_outlast_a_group_are_warned_of_where_there_are_any(demanded, warned):
    plan = with_purge(Plan(()), "command", seen(*demanded))
    assert plan.dissolved == ((TUN, ESP, AH),)
    assert any("policies go on demanding" in warning for warning in plan.warnings) == warned
    decide = partial(plan_absent, [TUN], "command", ["SA"])
    assert bool(decide(seen(*demanded)).warnings) == warned
