# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task shows of what became of tunnels."""

from __future__ import annotations

from ansible_collections.fleet.ipsec.plugins.module_utils.tunnels import shown_changes


def test_a_diff_tells_what_is_put_back_from_what_is_missing() -> None:
    step = dict.fromkeys(("state", "reason", "story", "remedy"), "") | {
        "name": "hq", "number": 1, "action": "repaired", "impact": "none", "changes": [], "before": {}, "after": {},
        "repaired": ["the route to 10.9.0.0/24 (3 times)"], "missing": [],
    }  # fmt: skip
    diff = shown_changes([step])["diff"]
    assert diff["before"] == "hq:\n  removed by others, put back since: [the route to 10.9.0.0/24 (3 times)]\n"
    assert not diff["after"]
    missing = step | {"repaired": [], "missing": ["the route to 10.9.0.0/24"]}
    diff = shown_changes([missing])["diff"]
    assert diff["before"] == "hq:\n  missing: [the route to 10.9.0.0/24]\n" and not diff["after"]
    diff = shown_changes([missing | {"reason": "kernel_disturbed"}])["diff"]
    assert diff["before"] == diff["after"], "it could not be put back"
