# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of pinging one target."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..newer_python import dataclass, pairwise
from .answers import Answer
from .fingerprint import Rhythm, verdict
from .probes import Probe
from .statistics import lost_percent, round_trips
from .targets import Target

TIMEOUT = "timeout"


@dataclass(slots=True)
class Score:
    """All about one target; times in seconds.

    :ivar sent: pings; ``datagrams``: datagrams, which retries and several probes make more.
    :ivar answer: the first one, with the ``probe`` that it answers, the ``header`` it came in and where it came from.
    :ivar answers: the first answer to each probe that was asked for a fingerprint.
    :ivar copies: when each copy arrived of the one answer that may be repeated, which is the one to ``copies_of``.
    """

    target: Target
    sent: int = 0
    datagrams: int = 0
    times: list[float] = field(default_factory=list)
    duplicates: int = 0
    probe: Probe | None = None
    answer: Answer | None = None
    answered_from: str = ""
    header: dict[str, Any] | None = None
    reason: str = ""
    detail: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    copies: list[float] = field(default_factory=list)
    copies_of: Any = None

    def result(self, wait: float) -> dict[str, Any]:
        """One plain dictionary; see the module's RETURN for the fields.

        :param wait: quiet time after which nothing more was expected.
        """
        received, target = len(self.times), self.target
        result: dict[str, Any] = {
            "target": target.text,
            "address": target.address,
            "port": target.port,
            "alive": received > 0,
            "sent": self.sent,
            "received": received,
            "lost_percent": lost_percent(self.sent, received),
            "duplicates": self.duplicates,
            "datagrams": self.datagrams,
            "rtt_ms": round_trips(self.times),
            "probe": self.probe.name if self.probe else None,
            "answered_by": self.answer.by if self.answer else None,
            "reason": None,
            "detail": None,
        }
        if self.answer:
            result["answer"] = {**(self.header or {}), **self.answer.details, "from": self.answered_from}
        else:
            result["reason"] = self.reason or TIMEOUT
            result["detail"] = self.detail or f"no answer within {wait:g} s of quiet"
        return result

    def fingerprint(self, now: float) -> dict[str, Any]:
        """Whose software answered, as of ``now``; see :func:`~.fingerprint.verdict`."""
        rhythm = None
        if self.copies:
            gaps = tuple(later - earlier for earlier, later in pairwise(self.copies))
            rhythm = Rhythm(gaps, max(0.0, now - self.copies[-1]))
        return verdict(list(self.answers.items()), rhythm)
