# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT detection and the change to UDP encapsulation (RFC 7296 section 2.23)."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache

from ...wire.v2.notify import Notify
from ...wire.v2.numbers import NotifyType
from ...wire.v2.payloads import Payloads
from ..actions import Path
from ..settings import Settings
from .sa import IkeSa

SOURCE = int(NotifyType.NAT_DETECTION_SOURCE_IP)
DESTINATION = int(NotifyType.NAT_DETECTION_DESTINATION_IP)


@lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _digest(spi_i: bytes, spi_r: bytes, address: str, port: int) -> bytes:
    octets = spi_i + spi_r + _packed(address) + port.to_bytes(2, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def notifies(spi_i: bytes, spi_r: bytes, path: Path, encapsulation: str) -> tuple[Notify, Notify]:
    """The two notifies to send along ``path``; ``force`` pretends that our address was translated."""
    source_port = path.local_port if encapsulation != "force" else 0
    return (
        Notify(SOURCE, _digest(spi_i, spi_r, path.local_address, source_port)),
        Notify(DESTINATION, _digest(spi_i, spi_r, path.remote_address, path.remote_port)),
    )


def does_traversal(payloads: Payloads) -> bool:
    """Whether the peer takes part in NAT traversal."""
    return payloads.notify(SOURCE) is not None and payloads.notify(DESTINATION) is not None


def detect(payloads: Payloads, spi_i: bytes, spi_r: bytes, path: Path) -> tuple[bool, bool]:
    """(we are behind a NAT, the peer is): compares the peer's notifies with the path its message took.

    A peer that sends neither does not do NAT traversal, hence (False, False).
    """
    if not does_traversal(payloads):
        return False, False
    sources = [notify.data for notify in payloads.notifies(SOURCE)]
    destinations = [notify.data for notify in payloads.notifies(DESTINATION)]
    ours = _digest(spi_i, spi_r, path.local_address, path.local_port)
    theirs = _digest(spi_i, spi_r, path.remote_address, path.remote_port)
    return ours not in destinations, theirs not in sources


def float_ports(sa: IkeSa, settings: Settings) -> None:
    """Initiator: go on at the NAT traversal ports (section 2.23: once a NAT was found)."""
    if not sa.path.natt:
        sa.path = sa.path._replace(local_port=settings.natt_port, remote_port=sa.connection.remote_natt_port, natt=True)


def encapsulation(sa: IkeSa) -> tuple[int, int] | None:
    """UDP ports (local, remote) that ESP has to travel in, or None for plain ESP."""
    if not sa.nat or not sa.path.natt:
        return None
    return sa.path.local_port, sa.path.remote_port
