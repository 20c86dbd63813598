# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors of transport mode across a NAT (RFC 7296 section 2.23.1).

A transport mode packet has one IP header, and the NAT rewrites it: each end names the
addresses that it sees itself. So the selectors that come from the peer are put into the
addresses of the IKE SA as seen here, before anything else is done with them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace

from ...selector import Selector
from .sa import IkeSa

Pair = tuple[tuple[Selector, ...], tuple[Selector, ...]]


def as_seen_here(sa: IkeSa, mode: str, local: tuple[Selector, ...], remote: tuple[Selector, ...]) -> Pair:
    """The peer's selectors for our side and for its own, with the addresses that packets have at this host."""
    if mode == "transport":
        if sa.nat_local:
            local = _at(sa.path.local_address, local)
        if sa.nat_remote:
            remote = _at(sa.path.remote_address, remote)
    return local, remote


def _at(address: str, selectors: Iterable[Selector]) -> tuple[Selector, ...]:
    packed = ipaddress.ip_address(address).packed
    return tuple(dict.fromkeys(replace(selector, first=packed, last=packed) for selector in selectors))
