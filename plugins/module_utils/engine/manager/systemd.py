# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell systemd how we are, and have it keep our sockets from one start to the next.

The notification protocol of sd_notify(3) is one datagram; the sockets go along with it (FDSTORE=1), and come back as
sd_listen_fds(3) describes.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Iterable, Sequence
from typing import Any

_FIRST_DESCRIPTOR = 3
_PATIENCE = 5.0  # seconds for what systemd does at once


class Systemd:
    """The service manager that started us; every call does nothing when there is none.

    :ivar watchdog: seconds between two signs of life that it asks for, None if it does not.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        environment = dict(os.environ) if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Half the time, so that one late turn is no reason to be killed.
        self.watchdog = int(microseconds) / 2e6 if microseconds.isdigit() and ours and self._address else None
        self._status = ""
        ours = environment.get("LISTEN_PID", "") == str(os.getpid())
        self._kept = int(environment.get("LISTEN_FDS", "0")) if ours else 0

    def kept(self) -> list[socket.socket]:
        """The sockets that :meth:`keep` handed over before an earlier end; to be called once."""
        found = []
        for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + self._kept):
            os.set_inheritable(number, False)
            try:
                found.append(socket.socket(fileno=number))
            except OSError:
                os.close(number)  # no socket: not one of ours
        return found

    def keep(self, sockets: Iterable[socket.socket]) -> None:
        """Have these sockets kept open while we are not there: what arrives meanwhile waits in them.

        They are kept whatever state they are in: an error of the network does not spoil a UDP socket.
        """
        descriptors = array.array("i", [one.fileno() for one in sockets])
        self._tell("FDSTORE=1\nFDPOLL=0\nFDNAME=ike", [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])

    def drop(self) -> None:
        """Have nothing kept any more, from now on: ports that are to be had anew must not be held there."""
        self._tell("FDSTOREREMOVE=1\nFDNAME=ike")
        # The other end of a pipe is closed when everything before it was heeded (sd_notify_barrier(3)).
        waiting, heeded = os.pipe()
        try:
            descriptors = array.array("i", [heeded])
            self._tell("BARRIER=1", [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        finally:
            os.close(heeded)
        select.select([waiting], [], [], _PATIENCE)
        os.close(waiting)

    def ready(self, status: str) -> None:
        """We serve."""
        self._status = status
        self._tell(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={status}")

    def alive(self) -> None:
        """A sign of life."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """We are about to end."""
        self._tell("STOPPING=1\nSTATUS=stopping")

    def _tell(self, text: str, ancillary: Sequence[tuple[int, int, Any]] = ()) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.connect(self._address)
                connection.sendmsg([text.encode()], ancillary)
        except OSError:
            # Whoever wanted to know has gone; that is no reason to stop serving.
            return
