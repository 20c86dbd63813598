# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT detection and the change to UDP encapsulation (RFC 7296 section 2.23)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from ....newer_python import dataclass
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ....wire.v2.payloads import Payloads
from ...actions import Path
from ...record_codec import PLAIN, Shape
from ...settings import Settings
from ..sa import IkeSa, OpeningSa
from ..tasks import Kind
from .feature import Feature, Part, Role, Slot, Talk

SOURCE = int(NotifyType.NAT_DETECTION_SOURCE_IP)
DESTINATION = int(NotifyType.NAT_DETECTION_DESTINATION_IP)


@dataclass(frozen=True, slots=True)
class Found:
    """Who is behind a NAT.

    :ivar nat_local: we are; ``nat_remote``: the peer is.
    """

    nat_local: bool = False
    nat_remote: bool = False


NOBODY = Found()
FOUND: Slot[Found] = Slot(NOBODY, Shape(Found, {"nat_local": PLAIN, "nat_remote": PLAIN}))


_NO_SPI = bytes(8)


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


def detect(payloads: Payloads, spi_i: bytes, spi_r: bytes, path: Path) -> Found:
    """Compares the peer's notifies with the path its message took.

    A peer that sends neither does not do NAT traversal, hence nobody is behind one.
    """
    if not does_traversal(payloads):
        return NOBODY
    sources = [notify.data for notify in payloads.notifies(SOURCE)]
    destinations = [notify.data for notify in payloads.notifies(DESTINATION)]
    ours = _digest(spi_i, spi_r, path.local_address, path.local_port)
    theirs = _digest(spi_i, spi_r, path.remote_address, path.remote_port)
    if ours in destinations and theirs in sources:
        return NOBODY
    return Found(ours not in destinations, theirs not in sources)


def float_ports(sa: OpeningSa, settings: Settings) -> None:
    """Initiator: go on at the NAT traversal ports (section 2.23: once a NAT was found)."""
    if not sa.path.natt:
        sa.path = sa.path._replace(local_port=settings.natt_port, remote_port=sa.connection.remote_natt_port, natt=True)


def encapsulation(sa: IkeSa) -> tuple[int, int] | None:
    """UDP ports (local, remote) that ESP has to travel in, or None for plain ESP."""
    if not sa.nat or not sa.path.natt:
        return None
    return sa.path.local_port, sa.path.remote_port


# What both ends say of it in IKE_SA_INIT. The responder hears the request before there is an SPI of its own, as the
# initiator did not know one when it spoke.


def _ask(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return notifies(talk.sa.spi_i, _NO_SPI, talk.sa.path, talk.sa.connection.encapsulation)


def _answered(talk: Talk[OpeningSa]) -> None:
    sa = talk.sa
    _note(talk)
    if sa.connection.encapsulation == "force":
        sa.nat = True
    if sa.nat:
        float_ports(sa, talk.context.settings)


def _asked(talk: Talk[OpeningSa]) -> None:
    if does_traversal(talk.said):
        _note(talk)
        talk.sa.nat = talk.sa.nat or talk.sa.connection.encapsulation == "force"


def _answer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    sa, source, destination = talk.sa, talk.said.notify(SOURCE), talk.said.notify(DESTINATION)
    if source is None or destination is None:
        return ()
    if sa.spi_r == _NO_SPI:
        return source, destination  # who asks how much room they take is shown some of the same size
    return notifies(sa.spi_i, sa.spi_r, sa.path, sa.connection.encapsulation)


def _note(talk: Talk[OpeningSa]) -> None:
    sa = talk.sa
    found = detect(talk.said, sa.spi_i, sa.spi_r, sa.path)
    sa.nat = found is not NOBODY
    if sa.nat:
        FOUND.put(sa, found)


FEATURE = Feature(
    "nat_detection",
    (
        Part(Kind.INIT, Role.INITIATOR, offer=_ask, take=_answered),
        Part(Kind.INIT, Role.RESPONDER, offer=_answer, take=_asked),
    ),
    slot=FOUND,
)
