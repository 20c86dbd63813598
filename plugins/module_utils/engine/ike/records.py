# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records in which IKE SAs are kept for a process that goes on with them: plain data, each under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar


class RecordKey(NamedTuple):
    """What a record is of.

    :ivar part: ``sa``, ``window`` or ``child``; ``ike``: number of the IKE SA; ``child``: of its child, else 0.
    """

    part: str
    ike: int
    child: int = 0


# The version of records that do not say theirs: there was no other.
UNMARKED = 2

Records = Mapping[RecordKey, Mapping[str, Any]]
Changes = dict[RecordKey, "dict[str, Any] | None"]  # None: the record is not to be kept any more
S = TypeVar("S", contravariant=True)  # pylint: disable=typevar-name-incorrect-variance


class ChangedRecords(Protocol[S]):
    """Which records are others than those given last. Kept are IKE SAs whose peer is authenticated."""

    def __bool__(self) -> bool:
        """Whether an IKE SA was touched."""

    def touch(self, sa: S) -> None:
        """Something of it may be another than before."""

    def take(self) -> Changes:
        """The records that changed since the last call; None for one that is not to be kept any more."""


def by_version(records: Records) -> dict[int, dict[RecordKey, Mapping[str, Any]]]:
    """The records of the IKE SAs of each version."""
    marked = {key.ike: record["version"] for key, record in records.items() if "version" in record}
    found: dict[int, dict[RecordKey, Mapping[str, Any]]] = {}
    for key, record in records.items():
        found.setdefault(marked.get(key.ike, UNMARKED), {})[key] = record
    return found
