# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look host names up beside the event loop: the host's name service blocks, and may hang."""

from __future__ import annotations

import ipaddress
import os
import queue
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import NamedTuple, Protocol

# Lookups at once. Each is a thread that ends with its answer; those that hang end with the process.
MOST = 16


class Answer(NamedTuple):
    """What the name service says of a name.

    :ivar addresses: in its order of preference; none where there is a ``problem``.
    """

    name: str
    addresses: tuple[str, ...]
    problem: str = ""


class Resolver(Protocol):
    """Who looks names up."""

    def ask(self, name: str) -> None:
        """Begin to look it up, unless that is under way."""

    def answers(self) -> list[Answer]:
        """What came since the last call."""


class NoResolver:
    """Nobody looks names up."""

    def ask(self, name: str) -> None:
        """See :class:`Resolver`."""

    def answers(self) -> list[Answer]:
        """See :class:`Resolver`."""
        return []


class SystemResolver:
    """Asks this host's name service, as its ``nsswitch.conf`` says: files, DNS and what else there is."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._found: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._asked: set[str] = set()
        self._waiting: deque[str] = deque()
        self._busy = 0

    def fileno(self) -> int:
        """Readable when there are answers."""
        return self._read

    def ask(self, name: str) -> None:
        """See :class:`Resolver`."""
        if name not in self._asked:
            self._asked.add(name)
            self._waiting.append(name)
            self._begin()

    def answers(self) -> list[Answer]:
        """See :class:`Resolver`."""
        with suppress(BlockingIOError):
            os.read(self._read, 4096)
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._found.get_nowait())
        self._asked -= {answer.name for answer in found}
        self._busy -= len(found)
        self._begin()
        return found

    def _begin(self) -> None:
        while self._waiting and self._busy < MOST:
            name = self._waiting.popleft()
            self._busy += 1
            # No pool: the interpreter waits for the threads of one when it ends.
            thread = threading.Thread(target=self._look_up, args=(name,), name=f"lookup {name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as exc:
                self._tell(Answer(name, (), f"cannot look it up: {exc}"))

    def _look_up(self, name: str) -> None:
        self._tell(look_up(name))

    def _tell(self, answer: Answer) -> None:
        self._found.put(answer)
        with suppress(BlockingIOError):  # a full pipe is readable
            os.write(self._write, b"x")


def look_up(name: str) -> Answer:
    """The addresses of hosts that a name stands for; takes as long as the name service does."""
    try:
        rows = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError as exc:
        return Answer(name, (), exc.strerror or str(exc))
    except UnicodeError:
        return Answer(name, (), "is no name that can be looked up")
    addresses = dict.fromkeys(str(row[4][0]) for row in rows if _is_host(str(row[4][0])))
    return Answer(name, tuple(addresses), "" if addresses else "it has no address of a host")


def _is_host(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    return not (address.is_unspecified or address.is_multicast)
