# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies (RFC 7296 section 2.6): who may have forged its source is asked to prove that it hears us."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import IkeError
from ....wire.v2.ke import KE
from ....wire.v2.nonce import Nonce
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ...actions import Path
from ...context import Context
from ..incoming import Incoming
from ..initiation import restart
from ..sa import OpeningSa
from ..tasks import Init, Kind, Request
from .feature import Feature, Part, Place, Role, Slot, Talk

COSTLY_OCTETS = 512  # a key exchange with MODP values from here on takes many milliseconds
COSTLY_WEIGHT = 10

_NUMBER = int(NotifyType.COOKIE)
_RETURNED: Slot[bytes] = Slot(b"")


# The initiator


def _offer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    cookie = _RETURNED.of(talk.sa.handshake)
    return [Notify(_NUMBER, cookie)] if cookie else []


def demanded(context: Context, sa: OpeningSa, got: Incoming, request: Request[Init]) -> None:
    """The responder wants its cookie back: the same request again, cookie first."""
    notify = got.payloads.notify(_NUMBER)
    cookie = notify.data if notify is not None else b""
    if not 1 <= len(cookie) <= 64:
        raise IkeError(0, f"a cookie of {len(cookie)} octets")
    _RETURNED.put(restart(sa), cookie)


# The responder


def _demand(context: Context, got: Incoming, room: int | None) -> Sequence[Notify]:
    """A cookie under load, and where a forged source would be sent more octets through us than the forger spent."""
    path = got.path
    if room >= 0 if room is not None else not _under_load(context, got.payloads.need(KE), path):
        return ()
    spi, nonce = got.header.initiator_spi, got.payloads.need(Nonce).data
    returned = got.payloads.notify(_NUMBER)
    if returned is not None and context.cookies.valid(returned.data, nonce, spi, path, context.now):
        return ()
    return [Notify(_NUMBER, context.cookies.make(nonce, spi, path, context.now))]


def _under_load(context: Context, ke: KE, path: Path) -> bool:
    """Whether so many attempts came to nothing, so far or for good, that the next one needs a cookie."""
    settings, half_open, refusals, address = context.settings, context.half_open, context.refusals, path.remote_address
    weight = COSTLY_WEIGHT if len(ke.data) >= COSTLY_OCTETS else 1
    return (half_open.total + refusals.total(context.now)) * weight >= settings.cookie_threshold or (
        half_open.of(address) + refusals.of(address)
    ) * weight >= settings.cookie_threshold_per_peer


FEATURE = Feature("cookies", (Part(Kind.INIT, Role.INITIATOR, offer=_offer, place=Place.FIRST),), demand=_demand)
