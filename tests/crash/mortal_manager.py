# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manager that kills itself: ``python3 -m tests.crash.mortal_manager STEPS OPTION…``.

Before and after each thing it does to the world outside (journal, database, kernel, peers) is a step. After so many
of them it is gone, without a word, as after SIGKILL by anybody; 0 lets it live.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from . import ENGINE  # noqa: F401  # pylint: disable=unused-import  # makes the engine importable
from .evidence import describe_frame

from engine.ike.settings import Settings  # isort: skip
from engine.kernel.client import XfrmClient  # isort: skip
from engine.kernel.registry import Registry  # isort: skip
from engine.manager import command, service  # isort: skip
from engine.manager.journal import Journal  # isort: skip
from engine.manager.sockets import Port  # isort: skip
from engine.manager.store import Store  # isort: skip

DOINGS: tuple[tuple[type, str], ...] = (
    (Journal, "_write"),
    (Journal, "_begin_anew"),
    (Store, "commit"),
    (Registry, "record"),
    (XfrmClient, "batch"),
    (XfrmClient, "reserve_spi"),
    (Port, "_send"),
)


# How long a start takes is the machine's affair: nobody is to begin anew because the other end was away for long.
PATIENT = partial(Settings, suspicious_tries=1000)


class Stamped:
    """Lines of text with the time before each, as :mod:`.evidence` reads it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write whole lines."""
        now = f"{time.time():.6f}"
        self._stream.write("".join(f"{now} {line}\n" for line in text.splitlines() if line))

    def flush(self) -> None:
        """Write what waits."""
        self._stream.flush()


class Fuse:
    """Counts steps down."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self, where: str) -> None:
        """One more; the last one is the end."""
        self._left -= 1
        if self._left == 0:
            _tell(f"killed {where}")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, doing: Callable[..., Any]) -> Callable[..., Any]:
        """The same, with a step before and one after it."""

        def stepped(*arguments: Any, **more: Any) -> Any:
            self.step(f"before {doing.__qualname__}")
            try:
                return doing(*arguments, **more)
            finally:
                self.step(f"after {doing.__qualname__}")

        return stepped


def told(write: Callable[[Journal, bytes], int]) -> Callable[[Journal, bytes], int]:
    """The same, telling in the log what it writes."""

    def writing(journal: Journal, payload: bytes) -> int:
        for line in describe_frame(payload):
            _tell(f"journal {line}")
        return write(journal, payload)

    return writing


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """Run the manager until its time has come."""
    sys.stderr = Stamped(sys.stderr)
    fuse = Fuse(int(sys.argv[1]))
    Journal._write = told(Journal._write)
    for owner, name in DOINGS:
        setattr(owner, name, fuse.around(getattr(owner, name)))
    service.Settings = PATIENT
    return command.main(["manager", "--log-level", "debug", *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
