# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many round trips amount to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .targets import NAME_NOT_FOUND


def round_trips(seconds: Sequence[float]) -> dict[str, float] | None:
    """Smallest, mean, largest and mean deviation in milliseconds (three decimals); None without any."""
    if not seconds:
        return None
    if len(seconds) == 1:
        only = round(seconds[0] * 1000, 3)
        return {"min": only, "avg": only, "max": only, "mdev": 0.0}
    mean = math.fsum(seconds) / len(seconds)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in seconds) / len(seconds))
    values = {"min": min(seconds), "avg": mean, "max": max(seconds), "mdev": deviation}
    return {name: round(value * 1000, 3) for name, value in values.items()}


def lost_percent(sent: int, received: int) -> int:
    """Lost of sent in percent, rounded to the nearest, but 0 and 100 only when nothing or everything was lost."""
    if not sent:
        return 0
    lost = sent - received
    if lost in (0, sent):
        return 100 * lost // sent
    return min(99, max(1, math.floor(100 * lost / sent + 0.5)))


def summary(targets: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Totals over results of targets: counts, the loss over all, and how many had no address to send to."""
    totals = {name: sum(target[name] for target in targets) for name in ("sent", "received", "duplicates", "datagrams")}
    totals["lost"] = totals["sent"] - totals["received"]
    totals["lost_percent"] = lost_percent(totals["sent"], totals["received"])
    totals["not_found"] = sum(target["reason"] == NAME_NOT_FOUND for target in targets)
    totals["targets"] = len(targets)
    totals["alive"] = sum(target["alive"] for target in targets)
    return totals
