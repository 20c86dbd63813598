# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines: for the journal or for people, and never flooded by what a peer does."""

from __future__ import annotations

import re
import sys
import time
from typing import Any, TextIO

from ..bucket import Bucket

PRIORITIES = {"error": 3, "warning": 4, "info": 6, "debug": 7}  # of syslog, as the journal reads them

BURST = 20  # lines of one kind that strangers, or the peer of one tunnel, may cause at once
BURST_OF_CHILDREN = 256  # of what is told of each child: an IKE SA may have so many
RATE = 1.0  # and per second after that
_NEEDS_QUOTES = re.compile('[ "=]')


class Log:
    """Writes structured lines: a message, then ``key=value``.

    :param level: error, warning, info or debug; less important lines are dropped.
    :param journal: lines on stdout with a priority prefix, which systemd's journal reads; else text on stderr.
    """

    def __init__(self, level: str, journal: bool, stream: TextIO | None = None) -> None:
        self.level = level
        self._journal = journal
        self._stream = stream or (sys.stdout if journal else sys.stderr)
        self._limits: dict[tuple[str, str], tuple[str, Bucket]] = {}

    def error(self, message: str, **fields: Any) -> None:
        """Something an operator has to mend."""
        self.write("error", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something that works less well than wanted."""
        self.write("warning", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Something an operator likes to know."""
        self.write("info", message, fields)

    def debug(self, message: str, **fields: Any) -> None:
        """Something for who looks for a fault."""
        self.write("debug", message, fields)

    def peer(
        self,
        level: str,
        kind: str,
        message: str,
        fields: dict[str, Any],
        now: float,
        tunnel: str = "",
        burst: int = BURST,
    ) -> None:
        """A line that a peer caused; of each ``kind`` at most ``burst``, then :data:`RATE` a second.

        :param tunnel: whose peer it was; empty for all who may be strangers, whose lines are counted together.
        """
        if PRIORITIES[level] > PRIORITIES[self.level]:
            return
        _level, bucket = self._limits.setdefault((kind, tunnel), (level, Bucket(RATE, burst)))
        if bucket.take(now):
            if bucket.refused:
                fields = fields | {"suppressed": bucket.refused}
                bucket.refused = 0
            self.write(level, message, fields)

    def settle(self, now: float) -> None:
        """Say how many lines were left out where none has come since to say so; to be called now and then."""
        for (kind, tunnel), (level, bucket) in list(self._limits.items()):
            if bucket.refused and bucket.take(now):
                fields = {"tunnel": tunnel, "suppressed": bucket.refused}
                self.write(level, f"more of {kind.replace('_', ' ')} was left out", fields)
                bucket.refused = 0
            elif bucket.full(now):
                del self._limits[kind, tunnel]

    def write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """One line."""
        priority = PRIORITIES[level]
        if priority > PRIORITIES[self.level]:
            return
        text = message + "".join(f" {key}={_value(value)}" for key, value in fields.items() if value not in (None, ""))
        head = f"<{priority}>" if self._journal else f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {level} "
        try:
            self._stream.write(f"{head}{text}\n")
            self._stream.flush()
        except OSError:
            # Who reads the log has gone; the tunnels matter more than the line.
            return


def _value(value: Any) -> str:
    """A value as one word or one quoted string; control characters never reach a terminal."""
    text = str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return '"' + text.replace('"', "'") + '"' if not text or _NEEDS_QUOTES.search(text) else text
