# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a peer as its definition says it."""

from __future__ import annotations

from ..errors import InputError
from .actions import Path
from .connection import Connection
from .settings import Settings


def default_path(connection: Connection, settings: Settings) -> Path:
    """From our IKE port to the peer's.

    :raises InputError: an address is not known.
    """
    local, remote = connection.local_address, connection.remote_address
    if remote is None:
        raise InputError("remote.address", None, f"{connection.name} has no peer address", "let the peer start")
    if local is None:
        raise InputError("local.address", None, f"{connection.name} has no local address", "set local.address")
    return Path(local, settings.ike_port, remote, connection.remote_port)
