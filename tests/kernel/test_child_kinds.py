# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that are more, or less, than ESP, between two managers on the real kernel."""

from __future__ import annotations

import re
import signal

import pytest
from manager_site import Manager, identity, kernel, ping

from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("whole_ipsec")


def child_of(manager: Manager, **options: object) -> dict:
    us, them = manager.number, 3 - manager.number
    return {"name": "lan", "local": [f"10.{us}.0.0/24"], "remote": [f"10.{them}.0.0/24"], **options}


def both_up(a: Manager, b: Manager, **options: object) -> None:
    b.apply("present", children=[child_of(b, **options)])
    a.apply("active", children=[child_of(a, **options)])
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3


def goes_on(a: Manager, b: Manager) -> None:
    """Through a restart of either end, a rekey by either end, and to an end that leaves nothing."""
    before = identity(a)[0], identity(b)[0]
    for manager in (a, b):
        manager.end(signal.SIGKILL)
        assert ping(a.space, "10.2.0.1") == 3
        manager.start()
    assert (identity(a)[0], identity(b)[0]) == before
    for manager in (a, b):
        (spis,) = identity(a)[0]
        manager.call("tunnels.rekey", names=["t"], phase=2)
        # The one before is there for a moment more.
        eventually(lambda old=spis: len(identity(a)[0]) == 1 and old not in identity(a)[0], 30, "one with fresh keys")
        assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0
    assert kernel(a.space) == ""
    assert b.call("tunnels.wait", names=["t"], until="down", timeout=5)["reached"]


@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_ah(managers: tuple[Manager, Manager], mode: str) -> None:
    a, b = managers
    if mode == "transport":
        for manager, state in ((b, "present"), (a, "active")):
            manager.apply(state, children=[{"name": "lan", "mode": mode, "protocol": "ah"}])
        a.established()
        assert ping(a.space, "192.0.2.2") == 3
        (sa,) = a.sas()
        assert (sa["protocol"], sa["mode"], sa["out"]["packets"]) == ("ah", "transport", 3)
        return
    both_up(a, b, protocol="ah", proposals=["sha256-x25519"])
    (sa,) = a.sas()
    assert (sa["protocol"], sa["encryption"], sa["integrity"]) == ("ah", "", "sha256")
    assert sa["in"]["packets"] == sa["out"]["packets"] == 6
    assert len(re.findall("proto ah spi", a.space.run("ip xfrm state"))) == 2
    goes_on(a, b)


def test_a_packet_asks_for_ah_and_its_place_is_put_back(managers: tuple[Manager, Manager]) -> None:
    a, b = managers
    b.apply("present", children=[child_of(b, protocol="ah")])
    a.apply("enabled", children=[child_of(a, protocol="ah", start="trap")])
    assert ping(a.space, "10.2.0.1", 20, 0.2) >= 10
    (sa,) = a.sas()
    assert sa["protocol"] == "ah"
    a.space.run("ip xfrm state flush; ip xfrm policy flush")
    a.established()
    assert ping(a.space, "10.2.0.1", 20, 0.2) >= 10
    assert "proto ah" in a.space.run("ip xfrm policy")
