# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All IKE proposals that are defined, each of them once, so that an offer is held against all of them at once.

A proposal is a bit of a number, and each transform knows the number of those that take it. So an offer costs as much as
it has transforms, however many proposals there are: a stranger who knows no tunnel of ours can make no more of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from ..wire.v2.numbers import ProtocolId
from ..wire.v2.sa import Proposal
from .negotiation import NONE, by_type
from .proposals import IkeProposal
from .registry import ADDITIONAL, Kind

_KINDS = (Kind.ENCR, Kind.PRF, Kind.INTEG, Kind.KE, *ADDITIONAL)  # of the slots of an IkeProposal
_ABSENT = None  # a type of transform that is not on offer

_Key = tuple[int, Optional[tuple[int, Optional[int]]]]


class ProposalIndex:
    """Distinct proposals, numbered from 0; the number of one that nobody has any more is given again."""

    def __init__(self) -> None:
        self._numbers: dict[IkeProposal, int] = {}
        self._uses: dict[int, int] = {}
        self._free: list[int] = []
        self._takers: dict[_Key, int] = {}

    def enter(self, proposal: IkeProposal) -> int:
        """The number of a proposal, which one more definition has."""
        number = self._numbers.get(proposal)
        if number is None:
            number = self._free.pop() if self._free else len(self._numbers)
            self._numbers[proposal] = number
            for key in _keys(proposal):
                self._takers[key] = self._takers.get(key, 0) | 1 << number
        self._uses[number] = self._uses.get(number, 0) + 1
        return number

    def leave(self, proposal: IkeProposal) -> int:
        """The number of a proposal, which one definition less has."""
        number = self._numbers[proposal]
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._uses[number], self._numbers[proposal]
            self._free.append(number)
            for key in _keys(proposal):
                self._takers[key] &= ~(1 << number)
        return number

    def fitting(self, offered: Sequence[Proposal]) -> int:
        """The proposals that something on offer fits, as bits: those of which :func:`.choose_ike` can make a choice."""
        found = 0
        for proposal in offered:
            types = by_type(proposal)
            if proposal.protocol != ProtocolId.IKE or not types.keys() <= _TYPES:
                continue
            fits = -1
            for kind in _KINDS:
                takers = 0
                for key in types.get(kind, _NOTHING):
                    takers |= self._takers.get((kind, key), 0)
                fits &= takers
            found |= fits
        return found


_TYPES = frozenset(_KINDS)
_NOTHING = (_ABSENT,)


def _keys(proposal: IkeProposal) -> Iterator[_Key]:
    """What it takes, by type: its transforms, or where it wants none of a type NONE and their absence."""
    slots = dict(proposal.slots)
    for kind in _KINDS:
        rows = slots.get(kind, ())
        for row in rows:
            yield kind, (row.transform_id, row.key_length)
        if not rows:
            yield kind, NONE
            yield kind, _ABSENT
