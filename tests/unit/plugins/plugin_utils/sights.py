# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen at gateways of a star: its roster, eroutes and states of tunnels."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.ipsec.plugins.plugin_utils.roster import make_roster

from .inventories import SEED

STAR = {"name": "c", "topology": "hub_spoke", "hubs": ["g0"], "spokes": ["g1", "g2"], "spoke_to_spoke": "via_hub"}


def made(variables: dict[str, Any], community: dict[str, Any] | None = None, externals: Any = None) -> dict[str, Any]:
    """The roster of one community, a star if none is given."""
    return make_roster([community or STAR], variables, {"all": sorted(variables)}, externals, SEED)


def eroutes(tunnel: str | None, *ways: tuple[str, str], **more: Any) -> list[dict[str, Any]]:
    """Rows as ipsec_eroute_facts returns them."""
    row = {"action": "ipsec", "said": "esp.c0de1001@192.0.2.1", "tunnel": tunnel, **more}
    return [{**row, "source": source, "destination": destination} for source, destination in ways]


def state(how: str, **more: object) -> dict[str, Any]:
    """The tunnel of a spoke to its hub, as ipsec_tunnel_info returns it."""
    words = {"reason": "no_answer", "story": "nothing came back", "remedy": "look at the peer"} if how == "down" else {}
    empty = {"reason": "", "story": "", "remedy": "", "repairs": {"count": 0, "last": None}}
    return {"name": "c-g0", "state": how, **empty, **words, **more}
