# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that hold a child's place while it is down: nothing leaves in clear, and a packet can start it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from ..child_sa import ChildSa
from ..errors import EngineError, KernelError
from ..ike.connection import ChildConfig, Connection
from .desired_policies import DesiredPolicies, Refusal
from .desired_state import TRAP
from .host import KernelHost, trap_of
from .policy_claims import HOLDS, YIELDS, Claimant
from .store import Stored

Ends = tuple[str, str]  # our address and the peer's
NOWHERE = ("0.0.0.0", "::")  # a peer that nobody knows the address of, by family


class TrapPolicies:
    """Which children's places are held, by tunnel."""

    def __init__(self, host: KernelHost, policies: DesiredPolicies) -> None:
        self._host = host
        self._policies = policies
        self._laid: dict[str, dict[str, ChildSa]] = {}
        self._waiting: dict[str, frozenset[str]] = {}
        self._left: defaultdict[str, set[str]] = defaultdict(set)

    def of(self, tunnel: str) -> frozenset[str]:
        """The children of a tunnel whose place is held and that a packet may start."""
        return self._waiting.get(tunnel, frozenset())

    def laid(self) -> list[ChildSa]:
        """All of them."""
        return [child for children in self._laid.values() for child in children.values()]

    def leave(self, tunnel: str, children: Iterable[str]) -> None:
        """Hold the place of children that were up, too, from the next :meth:`lay` on until the tunnel is taken.

        Whoever defined them may not ask for them to be up; that they were is reason enough to let nothing out in clear.
        """
        self._left[tunnel].update(children)

    def leave_policies(self, child: ChildSa) -> None:
        """Hold the place of a child that has just gone down: it names no SAs."""
        laid = self._laid.setdefault(child.tunnel, {})
        if child.child not in laid:
            self.leave(child.tunnel, [child.child])
            laid[child.child] = child
            self._policies.claim(_claimant(child.tunnel, child.child), (YIELDS, 0), child)

    def lay(self, row: Stored, connection: Connection, ends: Ends | None, coming: Collection[str] = ()) -> None:
        """Hold the places of those children that want it, and no others.

        :param ends: our address towards the peer and the peer's, None if there is no way to it.
        :param coming: those that no packet has to ask for: a wider child may take their packets meanwhile.
        :raises KernelError: with every refusal; what could be laid is.
        """
        laid = self._laid.get(row.name, {})
        wanted = self._wanted(row, connection, ends, laid)
        # Without a route a packet never comes to the policy that would start the child.
        on_demand = {child.name for child in connection.children if child.start == "trap"}
        on_demand |= {name for name, rest in row.resting.items() if rest == TRAP}
        refusals: list[str] = []
        for name, held in wanted.items():
            try:
                rank = YIELDS if name in coming else HOLDS
                self._policies.claim(_claimant(row.name, name), (rank, row.number), held)
            except EngineError as exc:
                refusals.append(str(exc))
        self._let_go(row.name, laid.keys() - wanted.keys())
        refused = {refusal.claimant: refusal for refusal in self._policies.settle()}
        self._laid[row.name] = kept = {}
        for name, held in wanted.items():
            refusal = refused.pop(_claimant(row.name, name), None)
            if refusal is not None or _claimant(row.name, name) not in self._policies:
                refusals += [str(refusal.problem)] if refusal else []
                self._let_go(row.name, [name])
                continue
            kept[name] = held
            if name in on_demand and held.remote_address not in NOWHERE:
                try:
                    self._host.open_way(held)
                except EngineError as exc:
                    refusals.append(str(exc))
        self._waiting[row.name] = frozenset(
            child["name"]
            for child in row.definition.document["children"]
            if child["name"] in kept and row.answers(child)
        )
        refusals += [str(refusal.problem) for refusal in refused.values()]
        if refusals:
            raise KernelError("hold the place of a child that is down", 0, "; ".join(refusals))

    def rename(self, old: str, new: str) -> None:
        """Hold for another tunnel what is held for this one, until the next :meth:`lay` for it."""
        self.leave(new, self._left.pop(old, ()))
        self._waiting.pop(old, None)
        self._laid[new] = {name: replace(held, tunnel=new) for name, held in self._laid.pop(old, {}).items()}
        for name, held in self._laid[new].items():
            before = self._policies.of(_claimant(old, name))
            self._policies.claim(_claimant(new, name), (before.rank[0] if before is not None else HOLDS, 0), held)
            self._policies.drop(_claimant(old, name))

    def take(self, tunnel: str) -> None:
        """Hold no place for this tunnel any more.

        :raises KernelError: the kernel refused to remove a policy.
        """
        self._left.pop(tunnel, None)
        self._waiting.pop(tunnel, None)
        self._let_go(tunnel, self._laid.pop(tunnel, {}))
        _raise(self._policies.settle())

    def _wanted(
        self, row: Stored, connection: Connection, ends: Ends | None, laid: dict[str, ChildSa]
    ) -> dict[str, ChildSa]:
        left = self._left.get(row.name, ())
        children = row.definition.document["children"]
        held = {child["name"] for child in children if row.holds(child) or child["name"] in left}
        # Of what cannot be read nobody knows whether it is all there: what is held stays held.
        kept = dict(laid) if row.unreadable else {}
        if ends is not None:
            return kept | {
                child.name: trap_of(child, row.owner, row.name, *ends)
                for child in connection.children
                if child.name in held
            }
        # Where there is no way to the peer just now, or none is known: what is held stays held.
        return kept | {
            child.name: laid[child.name]
            for child in connection.children
            if child.name in held and child.name in laid and _same_packets(laid[child.name], child)
        }

    def _let_go(self, tunnel: str, children: Collection[str]) -> None:
        for child in children:
            self._policies.drop(_claimant(tunnel, child))


def _claimant(tunnel: str, child: str) -> Claimant:
    return "trap", tunnel, child


def _same_packets(held: ChildSa, config: ChildConfig) -> bool:
    return (held.reqid, held.if_id, held.local_selectors, held.remote_selectors) == (
        config.reqid, config.if_id, config.local, config.remote,
    )  # fmt: skip


def _raise(refusals: list[Refusal]) -> None:
    if refusals:
        raise KernelError("remove policies", 0, "; ".join(str(refusal.problem) for refusal in refusals))
