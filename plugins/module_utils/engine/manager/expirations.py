# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and revocation lists that end: told in the log some time before, and when they have."""

from __future__ import annotations

from collections.abc import Iterable

from ..crypto.certificate_life import Ending
from .log import Log


class Expirations:
    """What was told of each, whichever tunnels it is of."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: dict[tuple[str, float], int] = {}

    def look(self, endings: Iterable[tuple[str, Ending]], now: float) -> None:
        """Tell what is to be told by now, each warning once.

        :param endings: with the tunnel that each is of.
        :param now: Unix seconds.
        """
        for tunnel, ending in endings:
            stage, which = ending.stage(now), (ending.what, ending.end)
            if stage > self._told.get(which, 0):
                self._told[which] = stage
                self._log.warning(ending.story(now), tunnel=tunnel)


def expiring(endings: Iterable[Ending], now: float) -> list[str]:
    """What is to be known of them by now."""
    return [ending.story(now) for ending in endings if ending.stage(now)]
