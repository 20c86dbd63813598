# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of this host's own links."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple, Union

from .links import Links

_UP, _LOOPBACK = 0x1, 0x8

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class LinkNetwork(NamedTuple):
    """One address of this host.

    :ivar link: name of the link that has it; ``index`` its number.
    :ivar network: what is reached on that link without a gateway.
    :ivar loopback: whether there is nobody else on the link.
    """

    link: str
    index: int  # type: ignore[assignment]  # the field hides tuple.index
    network: Network
    address: str
    loopback: bool = False


def link_networks(links: Links) -> tuple[LinkNetwork, ...]:
    """Every address of a link that is up, in the kernel's order, but those that mean nothing outside of this host."""
    up = {
        row["index"]: (row.get_attr("IFLA_IFNAME"), bool(row["flags"] & _LOOPBACK))
        for row in links.do("list the links", "get_links")
        if row["flags"] & _UP
    }
    found = []
    for row in links.do("list the addresses", "get_addr"):
        # With a peer address IFA_ADDRESS is the other end's, which is what is reached on the link.
        far = row.get_attr("IFA_ADDRESS") or row.get_attr("IFA_LOCAL")
        address = row.get_attr("IFA_LOCAL") or far
        if far and row["index"] in up and not ipaddress.ip_address(address).is_loopback:
            name, loopback = up[row["index"]]
            network = ipaddress.ip_network((far, row["prefixlen"]), strict=False)
            found.append(LinkNetwork(name, row["index"], network, address, loopback))
    return tuple(found)
