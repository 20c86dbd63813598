# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same tunnels as the other end has them."""

from __future__ import annotations

import copy
from typing import Any

from ..definition.peer import is_name
from ..errors import InputError

_ROLES = {"both": "both", "initiator": "responder", "responder": "initiator"}
_PORTS = {"port": 500, "natt_port": 4500}


def swapped(document: dict[str, Any]) -> dict[str, Any]:
    """The definition with local and remote exchanged; done twice it is as before.

    :param document: canonical, as :attr:`Definition.document`.
    :raises InputError: something in it belongs to one end alone.
    """
    name = f"tunnel {document['name']}"
    local, remote = document["local"], document["remote"]
    for port, usual in _PORTS.items():
        if remote[port] != usual:
            remedy = "define the other end by hand"
            raise InputError(f"{name}: remote.{port}", remote[port], "cannot be swapped, local has no ports", remedy)
    if document.get("interface"):
        remedy = "define the other end by hand"
        raise InputError(f"{name}: interface", None, "cannot be swapped, its addresses are of one end", remedy)
    if local["address"] is None and document["role"] != "initiator":
        remedy = "give local.address, or role: initiator"
        raise InputError(f"{name}: local.address", None, "is missing, the other end could not start", remedy)
    if remote["address"] is None and local["address"] is None:
        raise InputError(f"{name}: remote.address", None, "is missing at both ends", "give one of both")
    if remote["addresses"]:
        remedy = "define the other end by hand"
        raise InputError(f"{name}: remote.addresses", remote["addresses"], "are several, local has one", remedy)
    if remote["address"] and is_name(remote["address"]):
        remedy = "write its address, or define the other end by hand"
        raise InputError(f"{name}: remote.address", remote["address"], "cannot be swapped, local has no name", remedy)
    turned = copy.deepcopy(document)
    turned["local"] = {key: remote[key] for key in ("address", "id")}
    turned["remote"] = {**{key: local[key] for key in ("address", "id")}, "addresses": [], **_PORTS}
    turned["role"] = _ROLES[document["role"]]
    for child in turned["children"]:
        child["local"], child["remote"] = child["remote"], child["local"]
    return turned
