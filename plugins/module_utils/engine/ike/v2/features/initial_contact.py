# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INITIAL_CONTACT (RFC 7296 section 2.4): whoever says it has no other IKE SA between the two identities."""

from __future__ import annotations

from collections.abc import Sequence

from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ...connection import NEVER
from .. import lifecycle
from ..sa import IkeSa, OpeningSa
from ..tasks import Kind
from .feature import Feature, Part, Role, Talk

_NUMBER = int(NotifyType.INITIAL_CONTACT)


def _offer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    """Said where we have no other one, in whatever tunnel."""
    context, connection = talk.context, talk.sa.connection
    names = {connection.name, *context.connections.sharing_identities(connection)}
    first = sum(len(context.registry.by_tunnel.get(name, ())) for name in names) == 1
    return [Notify(_NUMBER)] if first else []


def _take(talk: Talk[IkeSa]) -> None:
    """What we still have is of no use to the peer; where several have one identity, it may be another one's."""
    if talk.sa.connection.unique != NEVER and talk.said.notify(_NUMBER) is not None:
        lifecycle.drop_older(talk.context, talk.sa)


FEATURE = Feature(
    "initial_contact",
    (Part(Kind.AUTH, Role.INITIATOR, offer=_offer), Part(Kind.AUTH, Role.RESPONDER, take=_take)),
)
