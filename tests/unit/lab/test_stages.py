# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make test`` runs every stage, two at a time, and fails when one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.setup import stages  # noqa: E402

MAKEFILE = "good:\n\t@echo fine\nbad:\n\t@echo broken; exit 3\n"


@pytest.fixture(autouse=True)
def makefile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_all_stages_run_though_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert stages.main(["bad", "good"]) == 1
    said = capsys.readouterr().out
    assert "stages: 1 passed, 1 failed" in said
    assert "broken" in said and "fine" in said


def test_it_passes_when_every_stage_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert stages.main(["good"]) == 0
    assert "stages: 1 passed, 0 failed" in capsys.readouterr().out


def test_lanes_share_the_processors_and_leave_none_out() -> None:
    assert stages.lanes([0]) == [[0]]
    assert stages.lanes([0, 1]) == [[0], [1]]
    assert stages.lanes([2, 3, 5]) == [[2, 5], [3]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_stages_and_waits_for_them(number: int, tmp_path: Path) -> None:
    """A stage that takes a moment to go (a guest does) is gone before the run is; none begins after it."""
    (tmp_path / "Makefile").write_text(
        "first second third:\n\t@trap 'sleep 0.5; touch $@.ended; exit 1' TERM; touch $@.began; "
        "while :; do sleep 0.05; done\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "tests.setup.stages", "first", "second", "third"]
    run = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while not list(tmp_path.glob("*.began")) and time.monotonic() < until:
        time.sleep(0.05)
    run.send_signal(number)
    said = run.communicate(timeout=30)[0]
    assert run.returncode == 128 + number
    assert "interrupted" in said
    began = {path.stem for path in tmp_path.glob("*.began")}
    assert began and "third" not in began
    assert {path.stem for path in tmp_path.glob("*.ended")} == began
