# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places in the kernel that were found there, of tunnels whose definition cannot be read: they are held as they are.

Nobody can say any more which packets such a tunnel was for, but what the kernel had for it tells. None of them leaves
in clear until the tunnel is defined anew, or removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ..child_sa import ChildSa
from ..kernel.policies import network
from ..kernel.registry import Child, child_reqid
from ..kernel.values import IPCOMP, OUT, KernelSelector, Policy
from ..selector import Selector
from .desired_policies import DesiredPolicies, Refusal
from .policy_claims import HOLDS, Claimant

_ICMP = (1, 58)


class FoundPlaces:
    """Which places are held as they were found, by tunnel."""

    def __init__(self, policies: DesiredPolicies) -> None:
        self._policies = policies
        self._held: defaultdict[str, list[Claimant]] = defaultdict(list)

    def hold(self, policy: Policy, names: Child) -> None:
        """Hold the place of a policy of the kernel, and of those that belong to it on the way in.

        :param names: the child that it is of.
        :raises KernelError: it is no policy that any child can have.
        """
        if policy.direction != OUT or not policy.templates:
            return  # what goes out tells the rest
        # IPComp is of the SAs that are gone, and whoever has it tunnels by it.
        template = next((each for each in policy.templates if each.protocol != IPCOMP), policy.templates[0])
        template = template._replace(mode=policy.templates[0].mode)
        local, remote = sides_of(policy.selector)
        self._claim(
            ChildSa(
                names.tunnel, names.child, 0, child_reqid(policy.reqid), template.source, template.destination,
                template.protocol, template.mode, 0, 0, (local,), (remote,), None, None,
                if_id=policy.if_id, owner=names.owner,
            )
        )  # fmt: skip

    def keep(self, children: Iterable[ChildSa]) -> None:
        """Hold the places that children of such a tunnel have which are up, and are to end."""
        for child in children:
            self._claim(child.without_sas())

    def _claim(self, child: ChildSa) -> None:
        held = self._held[child.tunnel]
        claimant = ("found", child.tunnel, child.child, len(held))
        self._policies.claim(claimant, (HOLDS, 0), child)
        held.append(claimant)

    def let_go(self, tunnel: str) -> list[Refusal]:
        """Hold nothing that was found of this tunnel any more; what was refused of what then follows."""
        held = self._held.pop(tunnel, ())
        for claimant in held:
            self._policies.drop(claimant)
        return self._policies.settle() if held else []


def sides_of(s: KernelSelector) -> tuple[Selector, Selector]:
    """(local, remote) selectors of which the kernel's becomes: the ports are all that its masks leave open."""
    open_source, open_destination = ~s.source_port_mask & 0xFFFF, ~s.destination_port_mask & 0xFFFF
    if s.protocol in _ICMP:
        # Type and code, each in a port of its own.
        first = s.source_port << 8 | s.destination_port
        local_ports = remote_ports = (first, first | (open_source & 0xFF) << 8 | open_destination & 0xFF)
    else:
        local_ports = s.source_port, s.source_port | open_source
        remote_ports = s.destination_port, s.destination_port | open_destination
    return (
        Selector.from_network(network(s.source, s.source_prefix), s.protocol, local_ports),
        Selector.from_network(network(s.destination, s.destination_prefix), s.protocol, remote_ports),
    )
