# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with keys and certificates: read within bounds, and looked at again when they change.

The manager's service sees little of the host: an error says so where that may be the reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import RefusedError

LARGEST = 1 << 20  # octets; a list of revoked certificates may be long
# What the service has instead of the host's own (ProtectHome, PrivateTmp).
_HIDDEN = tuple([f"/{folder}/" for folder in ("home", "root", "run/user", "tmp", "var/tmp")])
_ELSEWHERE = "/etc/fleet-ipsec/private"


class FileState(NamedTuple):
    """What differs when a file was written anew."""

    device: int
    inode: int
    size: int
    changed: int  # nanoseconds


def read_file(path: str, field: str) -> bytes:
    """The octets of a file.

    :param field: where it is named.
    :raises RefusedError: it cannot be read here, is none, or is larger than anything that it is read for.
    """
    try:
        # Whoever opens a pipe waits for its other end, unless told not to.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as exc:
        raise _unreadable(path, field, exc) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedError(field, path, "is not a file", "name the file itself")
        octets = _all_of(descriptor)
    except OSError as exc:
        raise _unreadable(path, field, exc) from None
    finally:
        os.close(descriptor)
    if len(octets) > LARGEST:
        raise RefusedError(field, path, f"has more than {LARGEST >> 20} MiB", "name the file that is meant")
    if not octets:
        raise RefusedError(field, path, "is empty", "write it, and then define the tunnel")
    return octets


def _all_of(descriptor: int) -> bytes:
    """What is in a file, up to one octet more than :data:`LARGEST`."""
    found = b""
    while len(found) <= LARGEST:
        more = os.read(descriptor, LARGEST + 1 - len(found))
        if not more:
            break
        found += more
    return found


def _unreadable(path: str, field: str, problem: OSError) -> RefusedError:
    why = problem.strerror or str(problem)
    what = f"cannot be read by the tunnel manager: {why}"
    if path.startswith(_HIDDEN):
        what += "; its service sees nothing of /home, /root and /tmp (ProtectHome, PrivateTmp)"
    return RefusedError(field, path, what, f"put it under {_ELSEWHERE}, owned by root, mode 0600")


def state_of(path: str) -> FileState | None:
    """How a file stands, None where there is none that can be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class CredentialFiles:
    """The files that tunnels in operation were made of, as they stood then; a tunnel of none is not in it."""

    def __init__(self) -> None:
        self._of_tunnel: dict[str, dict[str, FileState | None]] = {}
        self._reading = ""

    def __bool__(self) -> bool:
        return bool(self._of_tunnel)

    def begin(self, tunnel: str) -> None:
        """What is read from now on is for this tunnel, and nothing that was read for it before."""
        self._reading = tunnel
        self.forget(tunnel)

    def read(self, path: str, field: str) -> bytes:
        """As :func:`read_file`, and remember how it stood."""
        # Before it is read: who writes it meanwhile is noticed later.
        self._of_tunnel.setdefault(self._reading, {})[path] = state_of(path)
        return read_file(path, field)

    def forget(self, tunnel: str) -> None:
        """Nothing is of interest any more that was read for it."""
        self._of_tunnel.pop(tunnel, None)

    def changed(self) -> Iterator[str]:
        """The tunnels of which a file is not as it was; each file is looked at once."""
        now: dict[str, FileState | None] = {}
        for tunnel, files in list(self._of_tunnel.items()):
            for path, before in files.items():
                if path not in now:
                    now[path] = state_of(path)
                if now[path] != before:
                    yield tunnel
                    break
