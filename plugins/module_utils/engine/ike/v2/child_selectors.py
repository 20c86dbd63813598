# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packets of a child: what to ask for, and which ones those are that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...selector import Selector
from ...wire.v2.ts import TSi, TSr
from ..connection import ChildConfig
from .child import Child
from .sa import EitherSa


def asked_selectors(sa: EitherSa, config: ChildConfig) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """What to ask for: first the packet for which the child is needed, if one is known (RFC 7296 section 2.9)."""
    packet = sa.packets.pop(config.name, None) if sa.packets else None
    if packet is None or not (_covers(config.local, packet[0]) and _covers(config.remote, packet[1])):
        return config.local, config.remote
    return (packet[0], *config.local), (packet[1], *config.remote)


def rest_selectors(
    config: ChildConfig, living: Sequence[Child], packet: tuple[Selector, Selector]
) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """What to ask for a packet that the peer did not let into the children there are: what those leave over, so that it
    makes nothing twice, and first the packet's own addresses (RFC 7296 section 2.9)."""
    near, far = ((replace(end, protocol=0, first_port=0, last_port=65535),) for end in packet)
    local = _left(config.local, [s for child in living for s in child.sa.local_selectors])
    remote = _left(config.remote, [s for child in living for s in child.sa.remote_selectors])
    if _covers(remote, far[0]):
        local = config.local
    elif _covers(local, near[0]):
        remote = config.remote
    else:
        local, remote = (), ()  # the ends are each in one of the children, but not in the same
    return (packet[0], *near, *local), (packet[1], *far, *remote)


def _left(selectors: Sequence[Selector], taken: Sequence[Selector]) -> tuple[Selector, ...]:
    left = list(selectors)
    for other in taken:
        left = [part for selector in left for part in selector.without(other)]
    return tuple(left)


def takes(child: Child, packet: tuple[Selector, Selector]) -> bool:
    """Whether the child's SAs are for a packet."""
    return _covers(child.sa.local_selectors, packet[0]) and _covers(child.sa.remote_selectors, packet[1])


def _covers(selectors: Sequence[Selector], packet: Selector) -> bool:
    return any(selector.contains(packet) for selector in selectors)


def selector_payloads(local: Sequence[Selector], remote: Sequence[Selector], we_initiate: bool) -> list[Any]:
    """TSi and TSr: the exchange's initiator is TSi."""
    if we_initiate:
        return [TSi(tuple(local)), TSr(tuple(remote))]
    return [TSi(tuple(remote)), TSr(tuple(local))]
