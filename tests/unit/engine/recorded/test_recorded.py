# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine returns what it returned before, octet for octet; ``make recorded`` compares all the simulations."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorded import FILE, ROOT
from tests.recorded.chance import Chance
from tests.recorded.digests import Digests
from tests.recorded.simulation import simulate

SOME = range(0, 1000, 20)
REMEDY = "see tests/recorded/__main__.py; where a change is meant, record anew and say why in the commit"


def test_the_engine_returns_what_was_recorded() -> None:
    """Each of these simulations goes the way it went, and so does what is kept for another process."""
    assert Digests.read(FILE).differences(Digests.made(SOME)) == [], REMEDY


def test_a_simulation_is_the_same_whatever_the_order_of_hashes() -> None:
    command = [sys.executable, "-m", "tests.recorded", "show", "20"]
    shown = {
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert shown == {("\n".join(simulate(20).lines) + "\n").encode()}


def test_simulations_reach_what_they_are_for() -> None:
    """Both ends come up, rekey and are refused, in few of them already: who returns nothing proves nothing."""
    lines = [line for seed in range(20) for line in simulate(seed).lines]
    for word in ("InstallInbound", "RemoveSas", "ReleaseSpi", "Report ike_rekeyed", "Report child_rekeyed",
                 "Report rejected", "Report setback", "resume", "kernel expire", "awaits of t0 ['"):  # fmt: skip
        assert any(word in line for line in lines), word


def test_a_difference_is_found_and_named(tmp_path: Path) -> None:
    before = Digests.made([3, 4])
    before.write(tmp_path / "digests")
    (tmp_path / "digests").write_text((tmp_path / "digests").read_text().replace(simulate(4).digests()[0], "0" * 14))
    assert Digests.read(tmp_path / "digests").differences(before) == ["seed 4: what was returned differs"]
    assert Digests.read(tmp_path / "digests").differences(Digests.made([5])) == [
        "seed 5: what was returned and kept differs"
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chance_draws_from_what_python_keeps_alone(seed: int) -> None:
    same = random.Random(seed).random
    chance = Chance(seed)
    assert [chance.below(100) for _unused in range(3)] == [int(same() * 100) for _unused in range(3)]
    assert not chance.happens(0.0) and chance.below(100) == int(same() * 100), "nothing was drawn for never"
