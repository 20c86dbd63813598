# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of what the manager runs: one for each tunnel from its creation to its end, none given twice.

They are not those of the database. Phase 1 (tunnels) and phase 2 (their children) are counted separately. A journal in
the runtime directory keeps them when the manager is started again or killed; like what it tells of, it ends with a
reboot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import quote, unquote

from ..errors import MissingError
from ..private_directory import NO_LINK

FILE_NAME = "numbers"
_IDLE_LINES = 1000  # that a journal may have beyond what is true
_PLAIN = "_.:@-#=,"  # in the name of a tunnel

Key = tuple[str, str]  # tunnel, and child or ""


class Numbers:
    """The numbers in use.

    The journal has a line ``PHASE NUMBER TUNNEL [CHILD]`` for each number given and ``PHASE NUMBER`` for each over.
    What of a name could be taken for something else, as in that of an instance, stands there as in a URL.

    :param directory: where the journal is.
    :raises MissingError: it cannot be written.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE_NAME)
        self._used: dict[Key, int] = {}
        self._children: dict[str, set[str]] = {}
        self._last = {1: 0, 2: 0}
        try:
            self._read()
            self._begin_journal()
        except OSError as exc:
            raise MissingError(
                f"cannot write {self._path} ({exc.strerror})", "run as root, or name another runtime directory"
            ) from None

    def close(self) -> None:
        """Close the journal."""
        os.close(self._journal)

    def of(self, tunnel: str, child: str = "") -> int:
        """The number of a tunnel or of one of its children, 0 if the manager does not run it."""
        return self._used.get((tunnel, child), 0)

    def tunnels(self) -> set[str]:
        """The tunnels that have a number."""
        return set(self._children)

    def settle(self, tunnel: str, children: Iterable[str]) -> None:
        """The manager runs the tunnel with these children: they have or get their numbers, others are over."""
        living = set(children)
        before = self._children.get(tunnel)
        if before is None:
            before = self._children[tunnel] = set()
            self._give(tunnel, "")
        for child in sorted(living - before):
            self._give(tunnel, child)
        for child in before - living:
            self._take(tunnel, child)
        self._children[tunnel] = living

    def end(self, tunnel: str) -> None:
        """The manager runs the tunnel no more."""
        for child in self._children.pop(tunnel, set()):
            self._take(tunnel, child)
        if (tunnel, "") in self._used:
            self._take(tunnel, "")

    def _give(self, tunnel: str, child: str) -> None:
        phase = 2 if child else 1
        self._last[phase] += 1
        self._used[tunnel, child] = self._last[phase]
        self._write(f"{phase} {self._last[phase]} {_written(tunnel, child)}")

    def _take(self, tunnel: str, child: str) -> None:
        self._write(f"{2 if child else 1} {self._used.pop((tunnel, child))}")

    # The journal

    def _read(self) -> None:
        try:
            with open(self._path, encoding="ascii", errors="replace") as stream:
                lines = stream.read().split("\n")
        except FileNotFoundError:
            return
        owners: dict[tuple[int, int], Key] = {}
        for line in lines[:-1]:  # what is behind the last end of line was cut off in the middle
            words = line.split(" ")
            if len(words) not in (2, 3, 4) or not (words[0] in ("1", "2") and words[1].isdigit()):
                continue
            phase, number = int(words[0]), int(words[1])
            self._last[phase] = max(self._last[phase], number)
            if len(words) == 2:
                self._used.pop(owners.pop((phase, number), ("", "")), None)
            else:
                key = owners[phase, number] = unquote(words[2]), "".join(words[3:])
                self._used[key] = number
        for tunnel, child in self._used:
            self._children.setdefault(tunnel, set()).update({child} - {""})

    def _begin_journal(self) -> None:
        """Write a journal of what is true now alone, in the place of the old one."""
        fresh = f"{self._path}.new"
        lines = [f"{phase} {number}\n" for phase, number in self._last.items()]
        lines += [f"{2 if key[1] else 1} {number} {_written(*key)}\n" for key, number in self._used.items()]
        self._journal = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | NO_LINK, 0o600)
        os.write(self._journal, "".join(lines).encode())
        os.rename(fresh, self._path)
        self._lines = len(lines)

    def _write(self, line: str) -> None:
        try:
            if self._lines > 4 * len(self._used) + _IDLE_LINES:
                os.close(self._journal)
                self._begin_journal()
            else:
                os.write(self._journal, f"{line}\n".encode())
                self._lines += 1
        except OSError:
            # A full file system: the numbers are right as long as this manager lives, and the tunnels matter more.
            return


def _written(tunnel: str, child: str) -> str:
    return f"{quote(tunnel, safe=_PLAIN)} {child}".rstrip()
