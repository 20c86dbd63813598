# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IKE SA without a child is fine with us (RFC 6023)."""

from __future__ import annotations

from collections.abc import Sequence

from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ..sa import OpeningSa
from ..tasks import Kind
from .feature import Feature, Part, Place, Role, Talk

SUPPORTED = Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED)


def _offer(_talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return [SUPPORTED]


FEATURE = Feature("childless", (Part(Kind.INIT, Role.RESPONDER, offer=_offer, place=Place.IF_ROOM),))
