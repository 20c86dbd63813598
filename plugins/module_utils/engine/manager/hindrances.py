# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What last kept each tunnel, or a child of it, from being up, as protocol engine, sockets and kernel told it."""

from __future__ import annotations

from ..ike.actions import Report
from ..ike.reasons import REASONS
from .states import Condition, Notice

# Reports after which a tunnel looks different.
_SETBACKS = ("ike_failed", "ike_down", "child_failed", "child_down", "setback", "rejected")
# Unanswered sendings of a request after which a waiting operator is told.
_TRIES_TO_TELL = 3


class Hindrances:
    """The notices by tunnel, and apart from them what a packet asked for and no Child SA takes."""

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}
        self._left_out: dict[str, Notice] = {}

    def of(self, name: str) -> Notice | None:
        """The notice of a tunnel; None where nothing hinders it."""
        return self._notices.get(name)

    def note(self, name: str, notice: Notice) -> None:
        """What hinders it now."""
        self._notices[name] = notice

    def clear(self, name: str) -> None:
        """Nothing hinders it any more."""
        self._notices.pop(name, None)

    def forget(self, name: str) -> None:
        """Nothing of what was before says anything of it."""
        self.clear(name)
        self._left_out.pop(name, None)

    def take(self, report: Report, attempts: Notice | None = None) -> None:
        """Take in what the protocol engine reports.

        :param attempts: what is to be told where it is the end of an attempt, of those before as well.
        """
        name, kind, data = report.tunnel, report.kind, report.data
        if kind == "child_failed" and "packet" in data:
            self._left_out[name] = Notice(data["reason"], data["story"], data["child"])
        elif kind in _SETBACKS:
            self._take_setback(report, attempts)
        elif kind == "retransmit":
            if data["tries"] >= _TRIES_TO_TELL and name not in self._notices:
                size = f" of {data['size']}" if "size" in data else ""
                story = f"{data['exchange']}{size} was sent {data['tries']} times without an answer"
                story += f"; {data['hint']}" if "hint" in data else ""
                self._notices[name] = Notice("no_answer", story)
        elif kind in ("ike_established", "child_up"):
            notice = self._notices.get(name)
            if notice is not None and notice.child == data.get("child", ""):
                del self._notices[name]

    def _take_setback(self, report: Report, attempts: Notice | None) -> None:
        name, data = report.tunnel, report.data
        reason = data.get("reason")
        if report.kind in ("ike_down", "child_down"):
            self._left_out.pop(name, None)
        if reason in ("replaced", "stopped") or (reason == "no_answer" and self._unsendable(name)):
            return
        told = Notice(data.get("reason", "protocol_error"), data.get("story", ""), data.get("child", ""))
        self._notices[name] = attempts or told

    def _unsendable(self, name: str) -> bool:
        """Whether the peer never heard of us, so that its silence is not the reason."""
        notice = self._notices.get(name)
        return notice is not None and notice.reason == "no_local_address"

    def explain(self, name: str, how: Condition) -> Condition:
        """How a tunnel is, and where all of it is up, that packets ask for what none of its children takes."""
        left_out = self._left_out.get(name)
        if how.state != "active" or how.reason or left_out is None:
            return how
        reason = left_out.reason if left_out.reason in REASONS else "protocol_error"
        return how._replace(reason=reason, story=left_out.story, remedy=REASONS[reason].remedy)
