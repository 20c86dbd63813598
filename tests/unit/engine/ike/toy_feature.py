# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An optional feature that nobody needs: each end says how often it has heard the other one say this."""

from __future__ import annotations

from dataclasses import dataclass

from engine.ike.record_codec import PLAIN, Shape
from engine.ike.v2.features.feature import Feature, Part, Role, Slot, Talk
from engine.ike.v2.tasks import Kind
from engine.wire.v2.notify import Notify

COUNT = 40999  # of those for private use
KINDS = (Kind.INIT, Kind.AUTH, Kind.NEW_CHILD, Kind.REKEY_CHILD, Kind.REKEY_IKE, Kind.DELETE_CHILD, Kind.INFORM)


@dataclass(frozen=True)
class Heard:
    """How often."""

    heard: int = 0


HEARD: Slot[Heard] = Slot(Heard(), Shape(Heard, {"heard": PLAIN}))


def offer(talk: Talk) -> list[Notify]:
    """What is said."""
    return [Notify(COUNT, HEARD.of(talk.sa).heard.to_bytes(2, "big"))]


def take(talk: Talk) -> None:
    """What is heard."""
    if talk.said.notify(COUNT) is not None:
        HEARD.put(talk.sa, Heard(HEARD.of(talk.sa).heard + 1))


FEATURE = Feature("toy", tuple(Part(kind, role, offer, take) for kind in KINDS for role in Role), slot=HEARD)
