# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel is to have of children, and what it lacks of that, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..child_sa import ChildSa
from ..ike.views import ChildStage, ChildView
from ..kernel.client import describe
from ..kernel.values import IPCOMP, Policy
from .desired_policies import DesiredPolicies, Repair
from .policy_claims import Claimant

Name = tuple[str, int, int]  # of an SA: destination, IP protocol, SPI


class Loss(NamedTuple):
    """Something of ours that is not there: whose it is (empty: no tunnel's, no child's alone) and what, in words."""

    tunnel: str
    what: str
    child: str = ""


def inbound(child: ChildSa) -> Name:
    """The SA that receives."""
    return child.local_address, child.protocol, child.spi_in


def outbound(child: ChildSa) -> Name:
    """The SA that sends."""
    return child.remote_address, child.protocol, child.spi_out


def sas_of(child: ChildSa) -> list[Name]:
    """All its SAs, with IPComp."""
    inner = [(child.local_address, IPCOMP, child.cpi_in), (child.remote_address, IPCOMP, child.cpi_out)]
    return [inbound(child), outbound(child), *(name for name in inner if name[2])]


def ends_of(child: ChildView) -> list[Name]:
    """The SAs that the kernel is to have of a child."""
    here = child.sa.local_address
    return [name for name in sas_of(child.sa) if child.stage is not ChildStage.RECEIVING or name[0] == here]


def lost_policies(policies: DesiredPolicies, repairs: Iterable[Repair]) -> dict[Claimant, Loss]:
    """By claimant, what it lacks of what is to stand."""
    lost: dict[Claimant, list[Policy]] = {}
    for repair in repairs:
        stands = policies.standing(repair.place)
        if stands is not None:
            lost.setdefault(stands.claim.claimant, []).append(stands.policy)
    found = {}
    for claimant, each in lost.items():
        claim = policies.of(claimant)
        if claim is not None:
            what = f"the policy {describe(each[0])}" if len(each) == 1 else f"{len(each)} policies"
            name = claim.child.child
            found[claimant] = Loss(claim.child.tunnel, f"{what} of the child {name}", name)
    return found
