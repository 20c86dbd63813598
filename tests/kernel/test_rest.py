# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets outside of a narrowed selector, between two managers with the real kernel: never swallowed."""

from __future__ import annotations

import time

import pytest
from manager_site import Manager, ping

pytestmark = pytest.mark.usefixtures("esp")
REFUSED = "awk '/XfrmInNoPols|XfrmInTmplMismatch/ { n += $2 } END { print n }' /proc/net/xfrm_stat"


def test_packets_that_a_peer_left_out_get_a_child_or_a_reason(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.space.run("ip addr add 10.3.0.1/24 dev lo; ip addr add 10.4.0.1/24 dev lo")
    a.space.run("for n in 3 4; do ip route add 10.$n.0.0/24 via 192.0.2.2 src 10.1.0.1; done")
    parts = [
        {"name": f"n{number}", "local": [f"10.{number}.0.0/24"], "remote": ["10.1.0.0/24"], "start": "manual"}
        for number in (2, 3)
    ]
    b.apply("present", children=parts)
    a.apply("active", children=[{"name": "lan", "local": ["10.1.0.0/24"], "remote": ["10.0.0.0/13"]}])
    a.established()
    assert ping(a.space, "10.2.0.1") == 3
    # The first ones ask for the child, and are dropped or held meanwhile.
    ping(a.space, "10.3.0.1", 2)
    assert ping(a.space, "10.3.0.1") == 3 and ping(a.space, "10.2.0.1") == 3
    assert sorted(sa["remote"][0] for sa in a.sas()) == ["10.2.0.0/24", "10.3.0.0/24"]
    time.sleep(1.1)
    assert ping(a.space, "10.4.0.1", 1) == 0
    (tunnel,) = a.call("tunnels.list", names=["t"])["tunnels"]
    assert (tunnel["state"], tunnel["reason"]) == ("active", "selectors_refused")
    assert "10.4.0.1" in tunnel["story"]
    assert b.space.run(REFUSED).strip() == "0"
    assert ping(a.space, "10.2.0.1") == 3
