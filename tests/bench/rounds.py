# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure contenders side by side: what disturbs the machine meanwhile disturbs them all."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def interleaved(rounds: int, contenders: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each contender returned in each round; every other round goes through them backwards."""
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            found[name].append(contenders[name]())
    return found


def medians(rounds: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each contender's figures."""
    return {name: statistics.median(values) for name, values in interleaved(rounds, contenders).items()}


def seconds(work: Callable[[], Any]) -> float:
    """Wall clock of one call; garbage of earlier ones is collected before."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
