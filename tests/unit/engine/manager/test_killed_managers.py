# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managers are killed at any step while definitions change at both ends: no packet is lost, and none is in clear.

The same against a real kernel and in real time is tests/crash.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from killed_managers import hunt


@pytest.mark.parametrize(
    ("seed", "kills"), [*((seed, 6) for seed in range(8)), (1336, 12), (1776, 12), (2088, 12), (2105, 12), (3503, 12)]
)
def test_nothing_is_lost_whenever_managers_are_killed(tmp_path: Path, seed: int, kills: int) -> None:
    world = hunt(tmp_path, seed, kills)
    assert world.probes > 100


@pytest.mark.nightly
def test_nothing_is_lost_by_thousands_of_kills(tmp_path: Path) -> None:
    for seed, _unused in zip(count(1000), range(500)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        hunt(folder, seed, kills=12)
