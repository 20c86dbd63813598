# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to the tunnel manager: JSON-RPC 2.0 over its Unix socket, one JSON text per line.

Imported by modules and command lines, so it needs the standard library and the ground only.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from ..errors import EngineError, MissingError

DEFAULT_DATABASE = "/var/lib/fleet-ipsec/definitions.sqlite"
DEFAULT_RUNTIME_DIR = "/run/fleet-ipsec"
DEFAULT_CONTROL = "/run/fleet-ipsec/control.sock"
SERVICE = "fleet-ipsec-manager"

# Error codes of the answers: JSON-RPC 2.0 section 5.1, then our own in its server range.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
KERNEL_REFUSED = -32000
MISSING = -32001


class RpcError(EngineError):
    """The manager answered with an error.

    :ivar code: one of the codes of this file.
    :ivar message: one clear sentence.
    :ivar data: for INVALID_PARAMS ``{"field", "value", "problem", "remedy", "problems": [the same, one each]}``;
        for MISSING ``{"what", "remedy"}``; for KERNEL_REFUSED ``{"operation", "errno", "detail"}``; else None.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Client:
    """One connection to a manager; usable as a context manager, connects at the first call.

    :param path: the control socket.
    """

    def __init__(self, path: str = DEFAULT_CONTROL) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._lines = bytearray()
        self._searched = 0
        self._number = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._lines.clear()
        self._searched = 0

    def call(self, method: str, params: dict[str, Any] | None = None, timeout: float = 30.0) -> Any:
        """Call ``method`` and return its result.

        :param timeout: seconds for the whole call; give ``tunnels.wait`` more than its own timeout.
        :raises RpcError: the manager refused.
        :raises MissingError: no manager, no permission, or no answer in time; with the remedy.
        """
        deadline = time.monotonic() + timeout
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or {}}
        try:
            self._send(json.dumps(request, separators=(",", ":")).encode() + b"\n", deadline)
            while True:
                answer = json.loads(self._line(deadline))
                if answer.get("id") == self._number:
                    break
        except socket.timeout:
            self.close()
            raise MissingError(
                f"the tunnel manager at {self.path} did not answer {method} within {timeout:g} s",
                f"look at systemctl status {SERVICE} and journalctl -u {SERVICE}",
            ) from None
        except OSError as exc:
            self.close()
            raise MissingError(
                f"the tunnel manager at {self.path} hung up ({exc.strerror or exc})",
                f"look at journalctl -u {SERVICE}, then call again",
            ) from None
        if "error" in answer:
            error = answer["error"]
            raise RpcError(error["code"], error["message"], error.get("data"))
        return answer["result"]

    def events(self, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """After ``call("subscribe")``: each event as it comes.

        :param timeout: seconds of silence after which the iteration ends; None waits for ever.
        """
        while True:
            try:
                message = json.loads(self._line(None if timeout is None else time.monotonic() + timeout))
            except (socket.timeout, ConnectionResetError):
                return
            if message.get("method") == "event":
                yield message["params"]

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(self.path)
            except PermissionError:
                connection.close()
                raise MissingError(
                    f"no permission to use the tunnel manager's socket {self.path}", "run as root (become: true)"
                ) from None
            except OSError as exc:
                connection.close()
                raise MissingError(
                    f"the tunnel manager is not running ({self.path}: {exc.strerror or exc})",
                    f"start it with: systemctl start {SERVICE} (the gateway role installs it)",
                ) from None
            owner = owner_of(connection)
            if owner not in (0, os.geteuid()):
                connection.close()
                raise MissingError(
                    f"who serves {self.path} is user {owner}, not root: secrets are for the tunnel manager alone",
                    "name the socket of the tunnel manager",
                )
            self._socket = connection
        return self._socket

    def _send(self, octets: bytes, deadline: float) -> None:
        connection = self._connected()
        connection.settimeout(_left(deadline))
        connection.sendall(octets)

    def _line(self, deadline: float | None) -> bytes:
        connection = self._connected()
        while True:
            end = self._lines.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._lines[:end])
                del self._lines[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._lines)
            connection.settimeout(None if deadline is None else _left(deadline))
            more = connection.recv(1 << 18)
            if not more:
                raise ConnectionResetError("end of stream")
            self._lines += more


def owner_of(connection: socket.socket) -> int:
    """The user who made the other end of a Unix socket."""
    owner: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    return owner


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
