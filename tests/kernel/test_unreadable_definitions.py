# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stored definition that the manager cannot read: under a ping, nothing leaves in clear, and it can be had again."""

from __future__ import annotations

import json
import signal
import sqlite3
from typing import Any

import pytest
from manager_site import Manager, in_clear, ping, watched

from tests.packet_watch import Flood

pytestmark = pytest.mark.usefixtures("esp")


def newer_option(document: dict[str, Any]) -> None:
    document["ike"]["color"] = "red"


def networks(document: dict[str, Any]) -> None:
    document["children"][0].update(local={"color": "red"}, remote="blue")


def peer(document: dict[str, Any]) -> None:
    document["remote"]["address"] = "nowhere"


def spoil(manager: Manager, change: Any) -> None:
    with sqlite3.connect(manager.folder / "definitions.sqlite") as connection:
        (text,) = connection.execute("SELECT definition FROM tunnel").fetchone()
        document = json.loads(text)
        change(document)
        connection.execute("UPDATE tunnel SET definition = ?", (json.dumps(document),))
    connection.close()


@pytest.mark.parametrize("journal", ["journal", pytest.param("no journal", marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "change",
    [newer_option, pytest.param(networks, marks=pytest.mark.nightly), pytest.param(peer, marks=pytest.mark.nightly)],
)
def test_nothing_leaves_in_clear_until_it_is_defined_anew(
    managers: tuple[Manager, Manager], change: Any, journal: str
) -> None:
    a, b = managers
    b.apply("present")
    a.apply("active")
    a.established()
    watches = watched(a, b)
    flood = Flood(a.space.entered, "10.1.0.1", "10.2.0.1")
    a.end(signal.SIGTERM)
    spoil(a, change)
    if journal == "no journal":
        # As after a step back: no release reads the journal of another.
        (a.folder / "live").write_bytes(b"")
    a.start()
    (tunnel,) = a.call("tunnels.list", source="database")["tunnels"]
    assert (tunnel["state"], tunnel["reason"]) == ("down", "unreadable_definition"), tunnel
    assert ping(a.space, "10.2.0.1") == 0
    assert "10.2.0.0/24" in a.space.run("ip xfrm policy list dir out nosock")
    a.end(signal.SIGKILL)
    a.start()
    assert ping(a.space, "10.2.0.1") == 0
    a.apply("active")
    a.established()
    assert ping(a.space, "10.2.0.1") == 3
    flood.end()
    assert in_clear(watches) == 0
