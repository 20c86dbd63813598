# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters from an inventory to the tunnels of its hosts, and to what proves them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fleet.ipsec.plugins.plugin_utils import checks, eroutes, findings, roster, topology
from ansible_collections.fleet.ipsec.plugins.plugin_utils.files import gateway_files, gateway_links
from ansible_collections.fleet.ipsec.plugins.plugin_utils.problems import PlanError
from ansible_collections.fleet.ipsec.plugins.plugin_utils.variables import misspelt_variables


def _clear(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its plan errors told without a traceback."""

    @functools.wraps(function)
    def filtered(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except PlanError as error:
            raise AnsibleFilterError(f"the inventory makes no fleet:\n{error}") from None

    return filtered


class FilterModule:
    """The filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "gateway_files": gateway_files,
            "gateway_links": gateway_links,
            "misspelt_variables": misspelt_variables,
            "read_fleet": roster.read_fleet,
            "roster": _clear(roster.make_roster),
            "tunnels": _clear(topology.host_tunnels),
            "peers": topology.host_peers,
            "tunnels_apart": topology.tunnels_apart,
            "tunnels_at_hand": topology.tunnels_at_hand,
            "protected_networks": checks.protected_networks,
            "pings": checks.host_pings,
            "eroute_problems": eroutes.eroute_problems,
            "host_findings": _clear(findings.host_findings),
            "fleet_report": findings.fleet_report,
        }
