# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test: which wait until they are asked for, and that an interrupted run leaves nothing behind.

Tests marked ``nightly`` take long, or say what another nearly says: they run when asked for by ``-m nightly``.
"""

from __future__ import annotations

import os
import signal

import pytest


def _interrupt_on_sigterm() -> None:
    """Let SIGTERM end the run as SIGINT does, with fixtures that take down what they made (namespaces, managers)."""
    ours = os.getpid()

    def stop(number: int, _frame: object) -> None:
        if os.getpid() == ours:
            raise KeyboardInterrupt
        # A process that a test forked ends as any other.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, stop)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nightly: takes long; runs with -m nightly")
    _interrupt_on_sigterm()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "nightly" not in (config.getoption("markexpr", "") or ""):
        for item in items:
            if item.get_closest_marker("nightly") is not None:
                item.add_marker(pytest.mark.skip(reason="takes long; run with -m nightly"))
