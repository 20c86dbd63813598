# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What groups are made of, as it was found: SAs, policies, and what the registry knows of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..kernel.client import XfrmClient
from ..kernel.registry import Manual, RegistryView
from ..kernel.sa_chains import TUN
from ..kernel.values import Policy, SaState, said_of
from ..said import Said

Members = tuple[Said, ...]


@dataclass(frozen=True)
class Snapshot:
    """What the kernel and the registry had when they were looked at.

    :ivar noted: the SAs that were keyed by hand, with every ``tun`` that was made for itself.
    :ivar tunnelled: those in tunnel mode because a group had them so.
    """

    sas: Mapping[Said, SaState]
    policies: Sequence[Policy]
    groups: Sequence[Members]
    noted: Mapping[Said, Manual]
    tunnelled: frozenset[Said] = frozenset()

    def missing(self, members: Members) -> Members:
        """The members whose SA is gone; a ``tun`` goes with the group only."""
        return tuple(said for said in members if said.protocol != TUN and said not in self.sas)

    def group_of(self, said: Said) -> Members:
        """The group that an SA is in; empty when it is in none."""
        return next((members for members in self.groups if said in members), ())


def look(client: XfrmClient, registry: RegistryView) -> Snapshot:
    """Read all that groups are made of. Reserved SPIs count as SAs; policies for a mark are left out.

    :raises MissingError: without the permission.
    """
    sas = {said_of(sa): sa for sa in client.dump_sas() if not sa.hold}
    policies = [policy for policy in client.dump_policies() if not policy.marked]
    return Snapshot(sas, policies, registry.groups(), registry.manual_sas(), registry.tunnelled())
