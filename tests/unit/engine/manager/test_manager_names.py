# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers that know each other by distinguished names."""

from __future__ import annotations

from manager_lab import ends


def test_ends_that_are_distinguished_names(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    ours["local"]["id"], ours["remote"]["id"] = "dn:C=DE, O=Fleet, CN=left", "dn:C=DE, O=Fleet, CN=right"
    # the other end writes them in another way
    theirs["local"]["id"], theirs["remote"]["id"] = "dn:/C=DE/O=fleet/CN=right", "dn:c=de,o=Fleet,cn=LEFT"
    right.apply(theirs | {"role": "responder"}, state="active")
    left.apply(ours, state="active")
    assert left.wait(ours["name"])["reached"]
    (row,) = left.call("tunnels.list", verbose=True)["tunnels"]
    assert row["ike_sas"][0]["remote_id"] == "dn:C=DE, O=fleet, CN=right"


def test_another_distinguished_name_is_refused(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    ours["local"]["id"], ours["remote"]["id"] = "dn:C=DE, CN=left", "dn:C=DE, CN=right"
    theirs["local"]["id"], theirs["remote"]["id"] = "dn:C=DE, CN=right", "dn:C=DE, CN=somebody"
    right.apply(theirs | {"role": "responder"}, state="active")
    left.apply(ours, state="active")
    row = left.wait(ours["name"], timeout=3)["tunnels"][0]
    assert not row["reached"]
    assert "auth" in row["reason"], row
