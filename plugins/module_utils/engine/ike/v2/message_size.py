# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a message of ours is that has no answer: it may be lost where smaller ones pass."""

from __future__ import annotations

from .features import fragmentation
from .sa import EitherSa
from .tasks import Init, Request, Task

_PASSES = 1280  # octets of a packet that every path of IPv6 carries, and nearly every one of IPv4


def size(request: Request[Task]) -> str:
    """In words."""
    octets = sum(map(len, request.datagrams))
    count = len(request.datagrams)
    return f"{octets} octets" if count == 1 else f"{octets} octets in {count} fragments"


def hint(sa: EitherSa, request: Request[Task]) -> str:
    """What may keep it from arriving because of its size, and what to do about it; empty where nothing does."""
    longest = max(map(len, request.datagrams)) + fragmentation.around(sa.path)
    if longest <= _PASSES:
        return ""
    trouble = f"it takes packets of {longest} octets, or IP fragments, which may be dropped on the way"
    if isinstance(request.task, Init):
        return f"{trouble}; fewer proposals, or smaller key exchanges first, make IKE_SA_INIT smaller"
    if len(request.datagrams) > 1:
        return f"{trouble}; a smaller ike.fragment_size than {sa.connection.fragment_size} makes them smaller"
    if not sa.connection.fragment_size:
        return f"{trouble}; ike.fragmentation: auto divides it where the peer takes that (RFC 7383)"
    if not fragmentation.agreed(sa):
        return f"{trouble}; the peer takes no IKE fragments: turn its fragmentation on (RFC 7383)"
    return f"{trouble}; a smaller ike.fragment_size than {sa.connection.fragment_size} divides it"
