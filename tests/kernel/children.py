# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All policies of a child at once, which the manager sets place by place."""

from __future__ import annotations

from dataclasses import replace

from engine.child_sa import ChildSa
from engine.kernel.gateway import Gateway


def install_outbound(gateway: Gateway, child: ChildSa) -> None:
    """The SA that sends, and all policies of the child."""
    gateway.install_outbound(child, gateway.policies_of(child))


def point_policies(gateway: Gateway, child: ChildSa) -> None:
    """All policies lead to the SAs of this generation, which stand."""
    gateway.set_policies(gateway.policies_of(child), child)


def hold_place(gateway: Gateway, child: ChildSa) -> None:
    """All policies, without an SA: the first packet is dropped and raises an acquire, none leaves in clear."""
    down = replace(child, spi_in=0, spi_out=0)
    gateway.set_policies(gateway.policies_of(down), down)


def delete_policies(gateway: Gateway, child: ChildSa) -> int:
    """None of its policies any more; how many there were."""
    return gateway.delete_policies([(p.selector, p.direction, p.if_id) for p in gateway.policies_of(child)])
