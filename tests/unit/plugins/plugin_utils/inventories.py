# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories for tests: made-up fleets, and hypothesis strategies for many of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SEED = "0123456789abcdef0123456789abcdef"


def host(number: int, **more: Any) -> dict[str, Any]:
    """Variables of one gateway; addresses, identity and networks differ for each number."""
    high, low = divmod(number, 256)
    fleet_ipsec = {
        "address": f"198.51.{high}.{low}",
        "id": f"gw{number}.example",
        "networks": [f"10.{high}.{low}.0/24"],
        **more,
    }
    return {"fleet_ipsec": {key: value for key, value in fleet_ipsec.items() if value is not None}}


def hosts(count: int) -> dict[str, dict[str, Any]]:
    """That many gateways named g0, g1, …"""
    return {f"g{number}": host(number) for number in range(count)}


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Communities and hosts; most of them make a fleet, some are refused."""
    count = draw(st.integers(2, 8))
    names = [f"g{number}" for number in range(count)]
    variables = {}
    mover, wide = draw(st.integers(0, 3 * count)), draw(st.integers(0, 3 * count))
    for number, name in enumerate(names):
        # One of them may have the network that those of all others lie in.
        networks = ["10.0.0.0/20"] if number == wide else [f"10.0.{number}.0/24"]
        if draw(st.booleans()):
            networks.append(f"fd00:{number + 1:x}::/32")
        if draw(st.booleans()):
            networks.append(f"172.16.{number}.128/25")
        moving = {"dynamic": True} if number == mover else {}
        variables[name] = host(number, networks=networks, **moving)
    communities = []
    for number in range(draw(st.integers(1, 2))):
        members = draw(st.lists(st.sampled_from(names), min_size=2, unique=True))
        topology = draw(st.sampled_from(["mesh", "hub_spoke", "pairs"]))
        community: dict[str, Any] = {"name": f"c{number}", "topology": topology}
        if topology == "mesh":
            community["members"] = members
        elif topology == "pairs":
            community["pairs"] = [{"left": members[0], "right": members[1]}]
        else:
            hubs = draw(st.integers(1, len(members) - 1))
            between = draw(st.sampled_from(["none", "via_hub", "direct"]))
            community |= {"hubs": members[:hubs], "spokes": members[hubs:], "spoke_to_spoke": between}
            if between == "via_hub" and draw(st.booleans()):
                community["networks"] = ["10.0.0.0/8"]
        communities.append(community)
    return communities, variables
