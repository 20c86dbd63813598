# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers, two processes, real sockets and real crypto; only the kernel is faked."""

from __future__ import annotations

from manager_lab import ends


def test_a_tunnel_comes_up_and_goes(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    assert right.apply(theirs)["changed"]
    made = left.apply(ours, state="active")
    assert made["tunnels"][0]["action"] == "created"
    outcome = left.wait("to-right")
    assert outcome["reached"], outcome
    assert right.wait("to-left")["reached"]
