# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that ask for a tunnel that is not defined here: told once, counted, and shown in listings.

Mostly it was removed at this end alone, and its peer goes on asking every minute. Anybody may ask from whatever
address, so that no more of them are kept than anybody reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..ike.actions import Report
from ..newer_python import dataclass
from .log import Log

REASON = "no_matching_tunnel"
REMEDY = (
    "define it here, or end it at the peer: ipsec_tunnel with state: absent there, or fleet.ipsec.teardown,"
    " or take this gateway out of the peer's configuration"
)
_KEPT = 64
_FORGOTTEN_SECONDS = 900.0
_REMINDED_SECONDS = 3600.0
# Who goes on asking does so every minute, and once more while it is tried.
_GONE_SECONDS = 150.0


@dataclass(slots=True)
class _Asking:
    first: float
    last: float
    told: float
    tunnel: str
    times: int = 1
    untold: int = 0


class UnknownPeers:
    """By address and what was said, who asks in vain."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._asking: dict[tuple[str, str], _Asking] = {}
        self._removed: dict[str, tuple[str, float]] = {}

    def removed(self, name: str, address: str | None, now: float) -> None:
        """A tunnel to this address was removed here; its peer may not know."""
        if address is not None:
            self._removed[address] = (name, now)
            while len(self._removed) > _KEPT:
                self._removed.pop(next(iter(self._removed)))

    def met(self, address: str | None) -> None:
        """A tunnel to this address is defined or up since: whoever asked in vain before asked for that one."""
        for key in [key for key in self._asking if key[0] == address]:
            del self._asking[key]

    def take(self, report: Report, now: float) -> bool:
        """Take in a report if it is about such a peer, and log what is new of it; whether it was one."""
        if report.data.get("reason") != REASON or "peer" not in report.data:
            return False
        self._forget(now)
        address, story = report.data["peer"].rpartition("/")[0], report.data["story"]
        known = self._asking.get((address, story))
        if known is None:
            self._make_room()
            known = self._asking[address, story] = _Asking(now, now, now, report.tunnel)
            self._tell("warning", report, known, now)
            return True
        known.last, known.times, known.untold = now, known.times + 1, known.untold + 1
        if now - known.told >= _REMINDED_SECONDS:
            self._tell("info", report, known, now)
        return True

    def shown(self, now: float, up: Collection[str] = ()) -> list[dict[str, Any]]:
        """Those who asked lately, as the methods answer it; the latest one first.

        :param up: addresses of peers that a tunnel is up with; of these, who asks for another one goes on asking.
        """
        self._forget(now)
        for key in [key for key, asking in self._asking.items() if key[0] in up and now - asking.last > _GONE_SECONDS]:
            del self._asking[key]
        latest = sorted(self._asking.items(), key=lambda item: -item[1].last)
        return [
            {
                "address": address,
                "times": asking.times,
                "last_seconds": round(now - asking.last, 1),
                "story": story + self._about_removal(address, now),
                "remedy": REMEDY,
            }
            for (address, story), asking in latest
        ]

    def _tell(self, level: str, report: Report, asking: _Asking, now: float) -> None:
        address = report.data["peer"].rpartition("/")[0]
        fields: Mapping[str, Any] = {
            "peer": address,
            "tunnel": report.tunnel,
            "times": asking.untold or None,
            "story": report.data["story"] + self._about_removal(address, now),
            "remedy": REMEDY,
        }
        message = "a peer asks for a tunnel that is not defined here; this is told once an hour"
        self._log.peer(level, "unknown_peer", message, dict(fields), now)
        asking.told, asking.untold = now, 0

    def _about_removal(self, address: str, now: float) -> str:
        if address not in self._removed:
            return ""
        name, when = self._removed[address]
        return f"; tunnel {name}, which led there, was removed here {_ago(now - when)} ago"

    def _make_room(self) -> None:
        """Forget whoever asked least: forged addresses come once."""
        if len(self._asking) >= _KEPT:
            del self._asking[min(self._asking, key=lambda key: (self._asking[key].times, self._asking[key].last))]

    def _forget(self, now: float) -> None:
        for key in [key for key, asking in self._asking.items() if now - asking.last > _FORGOTTEN_SECONDS]:
            del self._asking[key]


def _ago(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 120 else f"{round(seconds / 60)} min"
