# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tests tell that hostile input is not made to cost much, whatever else the machine is doing."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

GUARD_SECONDS = 60


def _calls(function: Callable[..., Any], *arguments: Any) -> int:
    count = 0

    def note(_frame: Any, event: str, _what: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    gc.disable()  # what the tests before left behind is none of this one's work
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


@pytest.fixture
def calls() -> Callable[..., int]:
    """``calls(function, *arguments)``: how many functions that one calls, all told."""
    return _calls


@contextmanager
def _ends() -> Iterator[None]:
    def fire(_number: int, _frame: Any) -> None:
        raise AssertionError(f"no end after {GUARD_SECONDS} seconds of computing")

    before = signal.signal(signal.SIGVTALRM, fire)
    signal.setitimer(signal.ITIMER_VIRTUAL, GUARD_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def ends() -> Callable[[], Any]:
    """``with ends():`` fails what would compute for ever; counts the processor's time of this process alone."""
    return _ends
