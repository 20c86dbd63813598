# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what the lab started ends what it names, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.lab.places import Places


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_recorded_process_is_ended(tmp_path, sleeper):
    places = Places(tmp_path / "lab")
    places.note_process("sleeper", sleeper.pid)
    assert places.running("sleeper") == sleeper.pid
    places.end_process("sleeper")
    assert places.running("sleeper") is None
    assert not places.record()["processes"]


def test_a_pid_that_now_names_another_process_is_left_alone(tmp_path, sleeper):
    places = Places(tmp_path / "lab")
    places.note_process("sleeper", sleeper.pid)
    record = places.record()
    record["processes"]["sleeper"]["started"] = "1"
    places._write(record)
    assert places.running("sleeper") is None
    places.end_process("sleeper")
    assert sleeper.poll() is None


def test_an_ended_process_does_not_run(tmp_path):
    process = subprocess.Popen(["true"])
    places = Places(tmp_path / "lab")
    places.note_process("short", process.pid)
    process.wait()
    assert places.running("short") is None
