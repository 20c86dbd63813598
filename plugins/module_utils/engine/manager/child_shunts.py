# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children of which nothing is negotiated: policies that let their packets pass in clear, or drop them.

They stand as long as their tunnel is in operation, and as its definition ranks them: the most specific comes first.
So does what holds the place of a definition for many peers: what none of its peers has taken is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ..child_sa import ChildSa
from ..definition.table import SHUNTS
from ..errors import EngineError, KernelError
from ..kernel.child_values import HOLD
from ..kernel.values import ESP
from ..newer_python import zip
from .desired_policies import DesiredPolicies
from .policy_claims import HOLDS, Claimant
from .store import Stored

# A policy that drops packets names an SA that nobody looks for: its ends have to be addresses, that is all.
_NOWHERE = {4: ("0.0.0.0", "0.0.0.0"), 6: ("::", "::")}


def is_shunt(child: dict[str, Any]) -> bool:
    """Whether nothing is negotiated of a child, by its definition."""
    return child["mode"] in SHUNTS


class ChildShunts:
    """Which of them stand, by tunnel.

    :param policies: where they are claimed.
    """

    def __init__(self, policies: DesiredPolicies) -> None:
        self._policies = policies
        self._laid: dict[str, frozenset[str]] = {}

    def of(self, tunnel: str) -> frozenset[str]:
        """The children of a tunnel that stand."""
        return self._laid.get(tunnel, frozenset())

    def lay(self, row: Stored, reqids: dict[str, int]) -> None:
        """Have those stand that the definition, and what was asked, wants; and no others.

        :param reqids: of the children, by name.
        :raises KernelError: with every refusal; what could be laid is.
        """
        wanted = {child.child: child for child in _wanted(row, reqids)}
        self._let_go(row.name, self.of(row.name) - wanted.keys())
        refused: dict[str, str] = {}
        for name, child in wanted.items():
            try:
                self._policies.claim(_claimant(row.name, name), (HOLDS, row.number), child)
            except EngineError as exc:
                refused[name] = str(exc)
        problems = {refusal.claimant: str(refusal.problem) for refusal in self._policies.settle()}
        refused |= {
            name: problems[_claimant(row.name, name)] for name in wanted if _claimant(row.name, name) in problems
        }
        self._let_go(row.name, refused)
        self._laid[row.name] = frozenset(wanted) - refused.keys()
        if refused:
            raise KernelError("let packets pass, or drop them", 0, "; ".join(refused.values()))

    def rename(self, old: str, new: str) -> None:
        """Forget those of a tunnel that goes by another name; they are laid for that before these go."""
        self._let_go(old, self._laid.pop(old, ()))

    def take(self, tunnel: str) -> None:
        """Have none of this tunnel stand any more."""
        self._let_go(tunnel, self._laid.pop(tunnel, ()))
        self._policies.settle()

    def _let_go(self, tunnel: str, children: Collection[str]) -> None:
        for child in children:
            self._policies.drop(_claimant(tunnel, child))


def _wanted(row: Stored, reqids: dict[str, int]) -> Iterator[ChildSa]:
    if row.unreadable:
        return
    definition, for_many = row.definition, row.definition.pattern is not None
    for child, (local, remote) in zip(definition.document["children"], definition.selectors, strict=True):
        if row.holds(child) if is_shunt(child) else for_many:
            name, ends = child["name"], _NOWHERE[local[0].family]
            mode = child["mode"] if is_shunt(child) else HOLD
            yield ChildSa(
                row.name, name, 0, reqids[name], *ends, ESP, mode, 0, 0, local, remote, None, None,
                owner=row.owner, priority=child["priority"],
            )  # fmt: skip


def _claimant(tunnel: str, child: str) -> Claimant:
    return "shunt", tunnel, child
