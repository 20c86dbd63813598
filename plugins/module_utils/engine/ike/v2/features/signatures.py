# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4): of which hash algorithms an end takes signatures.

Nothing is said of it where no signature is wanted. Whoever answers says it where any definition for such a peer takes
signatures: which one the peer means is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack, unpack

from ....crypto.signatures import HASHES
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ..sa import OpeningSa
from ..tasks import Kind
from .feature import Feature, Part, Role, Talk

_NUMBER = int(NotifyType.SIGNATURE_HASH_ALGORITHMS)


def _ask(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return _told(talk.sa.connection.auth.hashes)


def _answer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    """To who has said it, too."""
    if not talk.sa.handshake.asked.hashes:
        return []
    return _told(talk.context.connections.hashes(talk.sa.path))


def _told(hashes: Sequence[int]) -> Sequence[Notify]:
    return [Notify(_NUMBER, pack(f"!{len(hashes)}H", *hashes))] if hashes else []


def _take(talk: Talk[OpeningSa]) -> None:
    """Numbers that are not known here are passed over, and so is half a number."""
    notify = talk.said.notify(_NUMBER)
    if notify is not None:
        count = len(notify.data) // 2
        numbers = frozenset(unpack(f"!{count}H", notify.data[: 2 * count])).intersection(HASHES)
        talk.sa.handshake.asked = talk.sa.handshake.asked._replace(hashes=numbers)


FEATURE = Feature(
    "signatures",
    (
        Part(Kind.INIT, Role.INITIATOR, offer=_ask, take=_take),
        Part(Kind.INIT, Role.RESPONDER, offer=_answer, take=_take),
    ),
)
