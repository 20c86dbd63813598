# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a test waits for what comes to pass without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.05  # seconds between two looks


def eventually(check: Callable[[], T], patience: float = 10.0, what: str = "it") -> T:
    """What ``check`` returns as soon as that is true; the test fails when it is not within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not (result := check()):
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain: {what} never came to pass"
        time.sleep(_PAUSE)
    return result
