# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPComp in a child (RFC 7296 section 2.22, RFC 3173): each end names the CPI that it takes compressed packets with.

A CPI is to IPComp what an SPI is to ESP, so the kernel gives them out; until the child is made it stands beside our SPI
in a slot of the IKE SA. An end that cannot have it says nothing of it, and the child goes on without.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import KernelError
from ....newer_python import dataclass
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ....wire.v2.payloads import Payloads
from ...actions import ReleaseSpi
from ...context import Context
from ...record_codec import Codec, Shape
from ..sa import EitherSa
from .feature import NOTHING, ChildPart, ChildTalk, Feature, Slot

_NUMBER = int(NotifyType.IPCOMP_SUPPORTED)
IPCOMP = 108  # IP protocol
DEFLATE = 2  # transform (RFC 2394)
FIRST_CPI, LAST_CPI = 256, 61439  # what is negotiated (RFC 3173 section 2.1)

Pending = tuple[bytes, int, int]  # our SPI, our CPI, the peer's CPI or 0 as long as it has said none


@dataclass(frozen=True, slots=True)
class Reserved:
    """CPIs of children that are not made yet."""

    ipcomp: tuple[Pending, ...] = ()


_PENDING = Codec(
    lambda pending: [[spi.hex(), ours, theirs] for spi, ours, theirs in pending],
    lambda data: tuple([(bytes.fromhex(spi), ours, theirs) for spi, ours, theirs in data]),
)
RESERVED = Slot(Reserved(), Shape(Reserved, {"ipcomp": _PENDING}))


def take(sa: EitherSa, spi: bytes) -> tuple[int, int]:
    """(our, the peer's) CPI of the child with this SPI of ours, which is being made; zeros for none."""
    pending = RESERVED.of(sa).ipcomp
    for own, ours, theirs in pending:
        if own == spi:
            RESERVED.put(sa, Reserved(tuple([each for each in pending if each[0] != spi])))
            return ours, theirs
    return 0, 0


def give_up(context: Context, sa: EitherSa, spi: bytes) -> None:
    """No child is made with this SPI of ours: give back the CPI beside it."""
    cpi, _theirs = take(sa, spi)
    if cpi:
        context.actions.append(ReleaseSpi(sa.path.local_address, sa.path.remote_address, IPCOMP, cpi))


def _offer(talk: ChildTalk) -> Sequence[Notify]:
    """Ours; an answer only to a peer that has it, too."""
    theirs = _cpi(talk.said)
    if not talk.config.ipcomp or (talk.said is not NOTHING and not theirs):
        return ()
    path = talk.sa.path
    try:
        ours = talk.context.spis(path.local_address, path.remote_address, IPCOMP, talk.config.reqid)
    except KernelError:
        return ()
    RESERVED.put(talk.sa, Reserved((*RESERVED.of(talk.sa).ipcomp, (talk.spi, ours, theirs))))
    return [Notify(_NUMBER, ours.to_bytes(2, "big") + bytes((DEFLATE,)))]


def _answered(talk: ChildTalk) -> None:
    theirs = _cpi(talk.said)
    if not theirs:
        give_up(talk.context, talk.sa, talk.spi)
        return
    ours, _none = take(talk.sa, talk.spi)
    if ours:
        RESERVED.put(talk.sa, Reserved((*RESERVED.of(talk.sa).ipcomp, (talk.spi, ours, theirs))))


def _cpi(said: Payloads) -> int:
    """The CPI for DEFLATE, 0 where there is none that can be used."""
    for notify in said.notifies(_NUMBER):
        cpi, transform = int.from_bytes(notify.data[:2], "big"), notify.data[2:3]
        if transform == bytes((DEFLATE,)) and FIRST_CPI <= cpi <= LAST_CPI:
            return cpi
    return 0


FEATURE = Feature("ipcomp", child=ChildPart(_offer, answered=_answered), slot=RESERVED)
