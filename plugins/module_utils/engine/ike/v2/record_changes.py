# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which records of the IKE SAs are others than those given last: what is kept costs what changed, not what there is."""

from __future__ import annotations

from typing import Any

from ...newer_python import dataclass
from ..records import Changes, RecordKey
from .sa import AUTHENTICATED, EitherSa, IkeSa
from .snapshot import CHILD_PART, SA, WINDOW_PART, freeze_child, freeze_standing, freeze_window, standing


@dataclass(slots=True)
class _Given:
    """What stands in the records of one IKE SA that were given.

    :ivar standing: what the record of the IKE SA was made of; ``children``: the numbers of those with a record.
    """

    standing: tuple[Any, ...] = ()
    children: tuple[int, ...] = ()


class RecordChanges:
    """The IKE SAs that were touched, and what was given of all of them."""

    def __init__(self) -> None:
        self._touched: dict[int, EitherSa] = {}
        self._given: dict[int, _Given] = {}

    def __bool__(self) -> bool:
        return bool(self._touched)

    def touch(self, sa: EitherSa) -> None:
        """Something of it may be another than before."""
        self._touched[sa.number] = sa

    def take(self) -> Changes:
        """The records that changed since the last call; None for one that is not to be kept any more.

        Kept are IKE SAs whose peer is authenticated: a stranger cannot make anybody keep something.
        """
        touched, self._touched = self._touched, {}
        changes: Changes = {}
        for sa in touched.values():
            if isinstance(sa, IkeSa) and sa.state in AUTHENTICATED:
                self._look_at(sa, changes)
            elif (given := self._given.pop(sa.number, None)) is not None:
                changes |= {RecordKey(SA, sa.number): None, RecordKey(WINDOW_PART, sa.number): None}
                changes |= {RecordKey(CHILD_PART, sa.number, number): None for number in given.children}
        return changes

    def _look_at(self, sa: IkeSa, changes: Changes) -> None:
        given = self._given.get(sa.number)
        if given is None:
            given = self._given[sa.number] = _Given()
        now = standing(sa)
        if now != given.standing:
            given.standing = now
            changes[RecordKey(SA, sa.number)] = freeze_standing(sa)
        changes[RecordKey(WINDOW_PART, sa.number)] = freeze_window(sa)
        others = {number: child for number, child in sa.children.items() if child.changed}
        children = tuple(sa.children)
        if children != given.children:
            others |= {number: sa.children[number] for number in sorted(sa.children.keys() - given.children)}
            gone = sorted(set(given.children) - sa.children.keys())
            changes |= {RecordKey(CHILD_PART, sa.number, number): None for number in gone}
            given.children = children
        for number, child in others.items():
            child.changed = False
            changes[RecordKey(CHILD_PART, sa.number, number)] = freeze_child(child)
