# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the packet that starts a tunnel: between two real managers, with the kernel's setting for it."""

from __future__ import annotations

import pytest
from loss_watch import lost, watching
from manager_site import Manager, ping

pytestmark = pytest.mark.usefixtures("esp")

LARVAL_DROP = "net.core.xfrm_larval_drop"
FEATURE = "holding of first packets"
Pair = tuple[Manager, Manager]


def trap(managers: Pair, family: int) -> None:
    """Both know the tunnel; a's first packet has to start it."""
    for manager in managers:
        us, them = manager.number, 3 - manager.number
        networks = (
            ([f"10.{us}.0.0/24"], [f"10.{them}.0.0/24"])
            if family == 4
            else ([f"fd00:{us}::/64"], [f"fd00:{them}::/64"])
        )
        start = "trap" if us == 1 else "auto"
        tunnel = {
            "name": "t",
            "local": {"address": f"192.0.2.{us}"},
            "remote": {"address": f"192.0.2.{them}"},
            "auth": {"secret": "a secret of two managers in a test"},
            "children": [{"name": "lan", "local": networks[0], "remote": networks[1], "start": start}],
        }
        manager.call("tunnels.apply", definitions=[tunnel], state="present")


@pytest.mark.parametrize("drop", [0, 1])
def test_nothing_leaves_in_clear_while_the_peer_is_away(managers: Pair, drop: int) -> None:
    """Held packets do not leave in clear either, nor does what comes after the tunnel was up once."""
    a, b = managers
    a.space.run(f"sysctl -qw {LARVAL_DROP}={drop}")
    with watching(b.space, "v1") as seen:
        a.apply("active")
        assert ping(a.space, "10.2.0.1", 3) == 0
    assert "192.0.2.2" in seen and "10.2.0.1" not in seen, "IKE tries, and that is all"
    b.apply("present")
    a.established()
    b.call("manager.stop", keep=False)
    assert b.process.wait(20) == 0
    assert a.call("tunnels.wait", names=["t"], until="down", phase=2, timeout=10)["reached"]
    with watching(b.space, "v1") as seen:
        assert ping(a.space, "10.2.0.1", 3) == 0
    assert "10.2.0.1" not in seen


@pytest.mark.parametrize(("family", "target"), [(4, "10.2.0.1"), (6, "fd00:2::1")])
def test_the_packet_that_starts_a_tunnel_is_held_and_answered(managers: Pair, family: int, target: str) -> None:
    a, _b = managers
    a.space.run(f"sysctl -qw {LARVAL_DROP}=0")
    assert a.call("manager.info")["features"][FEATURE]["available"]
    trap(managers, family)
    assert lost(a, target, 3) == []
    (sa,) = a.sas()
    assert sa["out"]["packets"] >= 3, "and it went through the tunnel"


@pytest.mark.parametrize(("family", "target"), [(4, "10.2.0.1"), (6, "fd00:2::1")])
def test_where_the_kernel_does_not_hold_it_only_the_first_is_lost(managers: Pair, family: int, target: str) -> None:
    a, _b = managers
    a.space.run(f"sysctl -qw {LARVAL_DROP}=1")
    feature = a.call("manager.info")["features"][FEATURE]
    assert not feature["available"] and f"{LARVAL_DROP}=0" in feature["remedy"]
    trap(managers, family)
    # ping asks for the way before it sends, which starts the tunnel too: a slow one may find it up.
    assert lost(a, target, 3) in ([1], [])
    assert ping(a.space, target) == 3
