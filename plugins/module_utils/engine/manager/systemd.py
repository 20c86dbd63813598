# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell systemd how we are: the notification protocol of sd_notify(3), which is one datagram."""

from __future__ import annotations

import os
import socket


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

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.connect(self._address)
                connection.sendall(text.encode())
        except OSError:
            # Whoever wanted to know has gone; that is no reason to stop serving.
            return
