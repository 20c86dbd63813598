# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that are refused for the same reason again and again, since a peer repeats what is not answered."""

from __future__ import annotations

from ..ike.actions import Report

_QUIET_SECONDS = 600.0
_KEPT = 256


class Repetition:
    """When each refusal was last told of; of more peers than anybody reads of, the latest ones."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, str], float] = {}

    def is_one(self, report: Report, now: float) -> bool:
        """Whether the same refusal of a message was told of lately."""
        if report.kind != "rejected":
            return False
        key = report.tunnel, report.data["peer"].rpartition("/")[0], report.data["story"]
        if now - self._told.get(key, now - _QUIET_SECONDS) < _QUIET_SECONDS:
            return True
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > _KEPT:
            del self._told[next(iter(self._told))]
        return False
