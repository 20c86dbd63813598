# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a peer."""

from __future__ import annotations

from ..errors import InputError
from .actions import Path
from .connection import Connection
from .settings import Settings


def path_between(local: str, remote: str, connection: Connection, settings: Settings) -> Path:
    """From our IKE port to the peer's, or from that of NAT traversal where the peer has one port for both.

    RFC 7296 section 2.23 lets IKE begin there, too.
    """
    natt = connection.remote_port == connection.remote_natt_port
    port = settings.natt_port if natt else settings.ike_port
    return Path(local, port, remote, connection.remote_port, natt)


def default_path(connection: Connection, settings: Settings) -> Path:
    """The way to the peer as its definition says it.

    :raises InputError: an address is not known.
    """
    local, remote = connection.local_address, connection.remote_address
    if remote is None:
        raise InputError("remote.address", None, f"{connection.name} has no peer address", "let the peer start")
    if local is None:
        raise InputError("local.address", None, f"{connection.name} has no local address", "set local.address")
    return path_between(local, remote, connection, settings)
