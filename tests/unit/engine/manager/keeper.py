# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service manager that keeps the sockets of a process, as systemd does."""

from __future__ import annotations

import array
import fcntl
import os
import shlex
import socket
import subprocess
from pathlib import Path
from typing import IO


class Keeper:
    """It takes notifications, and keeps the descriptors that come with them for the next process."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(60)
        self.kept: list[int] = []
        self._handed: list[int] = []
        self.texts: list[str] = []

    def run(self, command: list[str], log: IO[str], environment: dict[str, str] | None = None) -> subprocess.Popen:
        """Start a process with what is kept, from descriptor 3 on, and wait until it is ready."""
        # High enough to be in nobody's way while they are put in their places.
        sources = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in self.kept]
        moves = " ".join(f"{3 + place}<&{one} {one}<&-" for place, one in enumerate(sources))
        listen = f"LISTEN_PID=$$ LISTEN_FDS={len(sources)}" if sources else ""
        script = f"exec {moves}; export NOTIFY_SOCKET={self.address} {listen}; exec {shlex.join(command)}"
        process = subprocess.Popen(["bash", "-c", script], pass_fds=sources, stdout=log, stderr=log, env=environment)
        for one in sources:
            os.close(one)
        self._handed, self.kept = self.kept, []
        while "READY=1" not in self._read():
            continue
        # They came once more, if they are wanted.
        self._handed = _closed(self._handed)
        return process

    def _read(self) -> str:
        text, ancillary, _flags, _address = self._socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
        self.texts.append(text.decode())
        for _level, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                self._take(array.array("i", data).tolist())
        if "FDSTOREREMOVE=1" in self.texts[-1]:
            self.forget()
        return self.texts[-1]

    def _take(self, descriptors: list[int]) -> None:
        if "FDSTORE=1" in self.texts[-1]:
            self.kept += descriptors
        else:  # a barrier: everything before it was heeded
            for one in descriptors:
                os.close(one)

    def forget(self) -> None:
        """Keep nothing that was kept so far."""
        self._handed, self.kept = _closed(self._handed), _closed(self.kept)

    def close(self) -> None:
        """Keep nothing any more."""
        self._socket.close()
        self.forget()


def _closed(descriptors: list[int]) -> list[int]:
    for one in descriptors:
        os.close(one)
    return []
