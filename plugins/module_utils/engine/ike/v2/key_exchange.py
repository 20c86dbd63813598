# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key exchange within CREATE_CHILD_SA, at either end (RFC 7296 sections 1.3 and 2.12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...crypto.exchange import KeyExchange
from ...crypto.negotiation import Choice
from ...crypto.registry import Algorithm, KeyExchangeMethod
from ...errors import CHILD, IkeError
from ...secret import Secret
from ...wire.v2.ke import KE
from ...wire.v2.numbers import NotifyType
from ..context import Context
from .child import Child
from .initiation import NONCE_OCTETS
from .sa import Creating, IkeSa


def guess(
    sa: IkeSa, allowed: Iterable[Algorithm], insisted: int = 0, replaced: Child | None = None
) -> Algorithm | None:
    """The group for the KE payload of a request: what the peer insists on, or chose last, or our first; None: none.

    Every round trip that a wrong guess costs is one more that a peer may get wrong. The peer is known to take, for a
    child, the group of the one before, whatever the IKE SA was rekeyed with meanwhile; else the group of this IKE SA.

    :param allowed: the groups on offer; ``insisted``: transform ID of the peer's INVALID_KE_PAYLOAD, 0 for none.
    :param replaced: the child that is rekeyed, if it is one.
    """
    rows = tuple(allowed)
    agreed = sa.protection.choice.ke
    chosen = agreed.transform_id if agreed is not None else 0
    for wanted in (insisted, replaced.group if replaced is not None else 0, chosen):
        for row in rows:
            if row.transform_id == wanted:
                return row
    return rows[0] if rows else None


def finish(task: Creating, choice: Choice, ke: KE | None) -> tuple[Secret, ...]:
    """Initiator: the shared secrets of an exchange we started, none when the peer chose a proposal without one.

    :param choice: what the peer chose of ours.
    :param ke: of the first answer; where additional key exchanges followed on it, all of them are over.
    :raises IkeError: scope child, when the KE payload of the answer does not go with that proposal or the request.
    """
    if task.steps is not None:
        return task.steps.secrets
    if choice.more:
        raise IkeError(0, "the peer does not go on with the additional key exchanges that it chose", CHILD)
    if choice.ke is None and ke is None:
        return ()
    return finish_one(task.exchange, choice.ke, ke)


def finish_one(exchange: KeyExchange | None, chosen: KeyExchangeMethod | None, ke: KE | None) -> tuple[Secret]:
    """Initiator: the shared secret of one key exchange.

    :param chosen: its method, as agreed.
    :raises IkeError: as :func:`finish`.
    """
    group = chosen.transform_id if chosen is not None else 0
    if exchange is None or ke is None or not ke.group == exchange.group == group:
        raise IkeError(0, "the key exchange of the answer is not that of the request", CHILD)
    return (exchange.finish(ke.data),)


def answer(
    context: Context, chosen: KeyExchangeMethod | None, ke: KE | None
) -> tuple[bytes, tuple[Secret, ...], list[Any]]:
    """Responder: our nonce, the shared secret if there is a key exchange, and the KE payload to answer with.

    :raises IkeError: INVALID_KE_PAYLOAD with the group we chose, when the peer's is of another one or lacking.
    """
    nonce = context.entropy.octets(NONCE_OCTETS)
    if chosen is None or not chosen.transform_id:
        return nonce, (), []
    if ke is None or ke.group != chosen.transform_id:
        raise IkeError(
            NotifyType.INVALID_KE_PAYLOAD, f"the key exchange has to be of group {chosen.name}", CHILD,
            chosen.transform_id.to_bytes(2, "big"), reason="invalid_key_exchange",
        )  # fmt: skip
    public, shared = context.entropy.answer(chosen.transform_id, ke.data)
    return nonce, (shared,), [KE(chosen.transform_id, public)]
