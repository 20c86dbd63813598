# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that ended without being told to, and what brings them back: ``close_action`` and ``inactivity``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..ike.actions import Report
from ..ike.endpoint import Endpoint
from .desired_state import NONE, TRAP
from .store import Stored
from .traffic import Traffic
from .uptimes import Uptimes

_AS_START = "as_start"


def after(row: Stored, report: Report) -> Stored:
    """The row after something became of one of its children."""
    name = report.data.get("child", "")
    if report.kind == "child_up":
        return _with(row, name, None)
    if report.kind == "child_down" and report.data.get("reason") == "peer_deleted":
        return _closed(row, name)
    return row


def _closed(row: Stored, name: str) -> Stored:
    """The row after the peer closed a child: none leaves one that packets start to its next packet."""
    for child in row.definition.document["children"]:
        if child["name"] == name and child["close_action"] != _AS_START:
            by_packets = child["close_action"] == NONE and child["start"] == TRAP
            return _with(row, name, TRAP if by_packets else child["close_action"])
    return row


def idle(row: Stored, names: Iterable[str]) -> Stored:
    """The row after children are closed because no packet passes: the next one is to start them.

    One that an operator starts by hand waits for the operator.
    """
    starts = {child["name"]: child["start"] for child in row.definition.document["children"]}
    for name in names:
        row = _with(row, name, NONE if starts.get(name) == "manual" else TRAP)
    return row


def _with(row: Stored, name: str, rest: str | None) -> Stored:
    if row.resting.get(name) == rest:
        return row
    others = {child: kept for child, kept in row.resting.items() if child != name}
    return replace(row, resting=others if rest is None else {**others, name: rest})


class Idleness:
    """Which children are to be closed because nothing passes, by the tunnels that want that."""

    def __init__(self) -> None:
        self._limits: dict[str, dict[str, int]] = {}

    def define(self, row: Stored) -> None:
        """Know what a tunnel wants."""
        limits = {
            child["name"]: child["inactivity"] for child in row.definition.document["children"] if child["inactivity"]
        }
        if limits:
            self._limits[row.name] = limits
        else:
            self._limits.pop(row.name, None)

    def forget(self, name: str) -> None:
        """There is no such tunnel any more."""
        self._limits.pop(name, None)

    def found(self, endpoint: Endpoint, traffic: Traffic, uptimes: Uptimes, now: float) -> Mapping[str, frozenset[str]]:
        """By tunnel, instances among them, the children through which no packet has passed for so long as they want."""
        late: dict[str, frozenset[str]] = {}
        for name, limits in self._limits.items():
            for tunnel in (name, *endpoint.instances.of(name)):
                for child in endpoint.child_sas(tunnel):
                    limit = limits.get(child.child)
                    since = uptimes.of(tunnel, child.child) if limit else None
                    if limit is None or since is None:
                        continue
                    if now - max(since, traffic.last(child.reqid) or since) >= limit:
                        late[tunnel] = late.get(tunnel, frozenset()) | {child.child}
        return late
