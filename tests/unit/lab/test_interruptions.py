# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interrupted run takes down what it made: by SIGTERM as by SIGINT, and however often it is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.lab import playbook  # noqa: E402
from tests.lab.interruptions import leave_on_sigterm, postponed, undisturbed  # noqa: E402
from tests.lab.places import Places  # noqa: E402

NUMBERS = [signal.SIGINT, signal.SIGTERM]
SLOW_TEST = """\
import time, pytest
from pathlib import Path

@pytest.fixture
def made():
    Path("made").touch()
    yield
    Path("made").unlink()

def test_slow(made):
    time.sleep(60)
"""
# In the place of ansible-playbook, with a worker of its own.
PLAYBOOK = """\
import os, time
os.fork()
os.write(1, f"TASK [one] * {os.getpid()}\\n".encode())
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals as a program of ours has them, and afterwards as they were."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    leave_on_sigterm()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_until_gone(path: Path) -> bool:
    """Whether a path goes away in time."""
    until = time.monotonic() + 10
    while path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not path.exists()


@pytest.mark.parametrize("number", NUMBERS)
def test_between_beginning_something_and_noting_it_nothing_interrupts(number: int) -> None:
    done = []
    with pytest.raises((KeyboardInterrupt, SystemExit)), postponed():
        done.append("begun")
        os.kill(os.getpid(), number)
        done.append("noted")
    assert done == ["begun", "noted"]


@pytest.mark.parametrize("number", NUMBERS)
def test_nobody_disturbs_what_takes_things_down(number: int) -> None:
    with undisturbed():
        os.kill(os.getpid(), number)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        os.kill(os.getpid(), number)


def test_an_interrupted_playbook_ends_with_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ansible-playbook"
    program.write_text(f"#!{sys.executable}\n{PLAYBOOK}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(playbook, "LOGS", tmp_path)
    seen: list[str] = []

    def both(task: str) -> None:
        seen.append(task)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        playbook.run_playbook(Places(tmp_path / "lab"), "site", "site", both)
    processes = [line.split()[-1] for line in (tmp_path / "site.log").read_text(encoding="utf-8").splitlines()]
    assert len(processes) == 2 and all(wait_until_gone(Path("/proc", process)) for process in processes)


@pytest.mark.parametrize("number", NUMBERS)
def test_interrupted_tests_take_down_what_they_made(number: int, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    (tmp_path / "test_slow.py").write_text(SLOW_TEST, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "test_slow.py",
    ]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not (tmp_path / "made").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (tmp_path / "made").exists()
    run.send_signal(number)
    assert run.wait(timeout=30) == pytest.ExitCode.INTERRUPTED
    assert not (tmp_path / "made").exists()
