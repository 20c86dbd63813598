# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IKE SAs of a tunnel that speak this version."""

from __future__ import annotations

from collections.abc import Iterator

from ..context import Context
from .child import Child
from .sa import EitherSa, IkeSa, OpeningSa


def all_of(context: Context, tunnel: str) -> list[EitherSa]:
    """Those that we began, and those whose peer is authenticated, oldest first."""
    return [sa for sa in context.registry.by_tunnel.get(tunnel, ()) if isinstance(sa, (OpeningSa, IkeSa))]


def sas_of(context: Context, tunnel: str) -> list[IkeSa]:
    """Those of them that are established."""
    return [sa for sa in context.registry.by_tunnel.get(tunnel, ()) if isinstance(sa, IkeSa)]


def children_of(context: Context, tunnel: str) -> Iterator[tuple[IkeSa, Child]]:
    """The children of all of those, each with the IKE SA that has it."""
    return ((sa, child) for sa in sas_of(context, tunnel) for child in sa.children.values())


def half_open_of(context: Context, tunnel: str) -> list[OpeningSa]:
    """Those that strangers opened and that are going to be of this tunnel, as far as can be told."""
    return [sa for sa in context.registry.half_open(tunnel) if isinstance(sa, OpeningSa)]
