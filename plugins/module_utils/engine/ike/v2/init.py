# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_SA_INIT (RFC 7296 section 1.2): both roles, a wrong key exchange group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...crypto.keys import check_nonces, derive_ike
from ...crypto.negotiation import Choice, check_answer_ike, choose_ike, offer_ike
from ...errors import IkeError, a_few
from ...wire.header import RESPONSE
from ...wire.header import SIZE as HEADER_OCTETS
from ...wire.v2.cert import CERTREQ
from ...wire.v2.ke import KE
from ...wire.v2.message import encode_message
from ...wire.v2.nonce import Nonce
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import NotifyType, notify_name
from ...wire.v2.sa import SA
from ..actions import Path, Send
from ..connection import Connection
from ..context import Context
from .exchange import unprotected
from .features import rows
from .features.feature import Place, Role, Talk
from .incoming import Incoming
from .initiation import NONCE_OCTETS, protect, restart
from .sa import Handshake, OpeningSa, State
from .tasks import Auth, Init, Kind, Request

PAYLOAD_HEAD = 4


def begin(context: Context, sa: OpeningSa, task: Init) -> list[Any]:
    """The initiator's request."""
    handshake = sa.handshake
    if handshake.exchange is None:
        handshake.offered = handshake.offered or sa.connection.proposals
        handshake.group = handshake.group or handshake.offered[0].ke[0].transform_id
        handshake.exchange = context.entropy.key_exchange(handshake.group)
    talk = Talk(context, sa)
    return [
        *rows.FEATURES.offers(talk, Kind.INIT, Role.INITIATOR, Place.FIRST),
        SA(offer_ike(handshake.offered)),
        KE(handshake.group, handshake.exchange.public),
        Nonce(handshake.nonce_i),
        *rows.FEATURES.offers(talk, Kind.INIT, Role.INITIATOR),
    ]


def answered(context: Context, sa: OpeningSa, got: Incoming, request: Request[Init]) -> None:
    """The initiator has the responder's choice, public value and nonce: derive the keys, go on to IKE_AUTH."""
    handshake = sa.handshake
    if got.header.responder_spi == bytes(8):
        raise IkeError(0, "the responder's SPI is zero")
    choice = _without_spi(check_answer_ike(handshake.offered, got.payloads.need(SA)))
    ke = got.payloads.need(KE)
    rows.FEATURES.agree(choice, got.payloads)
    rows.FEATURES.accept(sa.connection, got.payloads)
    exchange = handshake.exchange
    if exchange is None or choice.ke is None or not ke.group == choice.ke.transform_id == handshake.group:
        raise IkeError(0, f"the key exchange is of group {ke.group}, not of the chosen one")
    nonce = got.payloads.need(Nonce).data
    check_nonces(choice, nonce)
    shared = exchange.finish(ke.data)
    # From here on nothing fails: what an answer of no use left here would keep the one of the peer out.
    sa.spi_r, handshake.nonce_r = got.header.responder_spi, nonce
    (handshake.sent,), handshake.received = request.datagrams, got.datagram
    _install_keys(sa, choice, shared)
    handshake.choice, handshake.exchange = choice, None
    handshake.asked = handshake.asked.requesting(got.payloads.all(CERTREQ))
    sa.next_id = 1
    sa.queue.insert(0, Auth())
    rows.FEATURES.take(Talk(context, sa, got.payloads), Kind.INIT, Role.INITIATOR)


def with_group(context: Context, sa: OpeningSa, got: Incoming, request: Request[Init]) -> None:
    """The responder wants another key exchange group (section 1.2); only one that we offer is taken."""
    data = got.payloads.need_notify(NotifyType.INVALID_KE_PAYLOAD).data
    group = int.from_bytes(data, "big") if len(data) == 2 else 0
    offered = {row.transform_id for proposal in sa.handshake.offered for row in proposal.ke}
    if group not in offered or group == sa.handshake.group:
        story = f"the peer insists on key exchange group {group}, which is not among those allowed here"
        raise IkeError(0, story, reason="invalid_key_exchange")
    handshake = restart(sa)
    handshake.group = group
    handshake.exchange = None


def refused(context: Context, sa: OpeningSa, got: Incoming, request: Request[Init]) -> None:
    """Any other error answer. It is not authenticated, so anybody could have sent it: note it and keep trying."""
    error = got.payloads.need_error()
    reason = "no_proposal_chosen" if error.type == NotifyType.NO_PROPOSAL_CHOSEN else "protocol_error"
    offered = a_few(sa.handshake.offered)
    raise IkeError(
        0, f"the peer refused IKE_SA_INIT with {notify_name(error.type)}; offered was {offered}", reason=reason
    )


def respond(context: Context, got: Incoming) -> OpeningSa | None:
    """Answer a peer's IKE_SA_INIT request; the new half-open IKE SA, or None when it got only a notify.

    :raises IkeError: whose notify is to be sent unprotected.
    """
    if _demanded(context, got) or _full(context, got.path):
        return None
    try:
        return _open(context, got)
    except IkeError as exc:
        # Nothing is half-open then, and yet there was work, which whoever forges a source is not to get for nothing.
        context.refusals.enter(got.path.remote_address, context.now)
        exc.tunnels = context.connections.candidates(got.path)
        raise


def _demanded(context: Context, got: Incoming, room: int | None = None) -> bool:
    """Whether the initiator has to do something else first, and was told so."""
    demand = rows.FEATURES.demand(context, got, room)
    if demand:
        unprotected(context, got.header, got.path, demand)
    return bool(demand)


def _open(context: Context, got: Incoming) -> OpeningSa | None:
    """The half-open IKE SA that this request opens; what is cheap to refuse is refused before anything dear is done."""
    header, payloads, path = got.header, got.payloads, got.path
    ke, nonce = payloads.need(KE), payloads.need(Nonce)
    connection, choice = _choose(context, payloads.need(SA), path)
    check_nonces(choice, nonce.data)
    rows.FEATURES.agree(choice, payloads)
    if choice.ke is None or ke.group != choice.ke.transform_id:
        wanted = choice.ke.transform_id if choice.ke else 0
        unprotected(context, header, path, [Notify(NotifyType.INVALID_KE_PAYLOAD, wanted.to_bytes(2, "big"))])
        return None
    handshake = Handshake(nonce_i=nonce.data, choice=choice, received=got.datagram)
    spis = header.initiator_spi, bytes(8)
    sa = OpeningSa(0, connection, False, State.START, path, *spis, context.now, handshake)
    sa.expected_id = 1
    talk = Talk(context, sa, payloads)
    rows.FEATURES.take(talk, Kind.INIT, Role.RESPONDER)
    # What comes before what is made for this answer alone; the peer's value stands for ours of the same size.
    head, besides = SA((choice.proposal,)), context.connections.requests(path)
    certain = [head, ke, *besides, *rows.FEATURES.offers(talk, Kind.INIT, Role.RESPONDER)]
    room = header.length - HEADER_OCTETS - _octets(certain) - PAYLOAD_HEAD - NONCE_OCTETS
    if _demanded(context, got, room):
        return None
    public, shared = context.entropy.answer(ke.group, ke.data)
    sa.number, sa.spi_r = context.registry.number(), context.entropy.octets(8)
    handshake.nonce_r = context.entropy.octets(NONCE_OCTETS)
    _install_keys(sa, choice, shared)
    offers = rows.FEATURES.offers(talk, Kind.INIT, Role.RESPONDER)
    answer = [head, KE(ke.group, public), Nonce(handshake.nonce_r), *besides, *offers]
    for payload in rows.FEATURES.offers(talk, Kind.INIT, Role.RESPONDER, Place.IF_ROOM):
        room -= _octets([payload])
        if room >= 0:
            answer.append(payload)
    handshake.sent = encode_message(sa.spi_i, sa.spi_r, header.exchange, RESPONSE, 0, answer)
    sa.answer, sa.answer_to = (handshake.sent,), 0
    context.actions.append(Send(handshake.sent, path, sa.connection.dscp))
    sa.expires_at = context.now + context.settings.half_open_lifetime
    context.registry.open(sa, path, got.datagram)
    context.half_open.enter(path.remote_address)
    context.touch(sa)
    return sa


def _octets(payloads: Sequence[Any]) -> int:
    return sum(PAYLOAD_HEAD + len(payload.encode()) for payload in payloads)


def _full(context: Context, path: Path) -> bool:
    settings, half_open = context.settings, context.half_open
    return half_open.total >= settings.half_open_limit or (
        half_open.of(path.remote_address) >= settings.half_open_per_peer
    )


def _without_spi(choice: Choice) -> Choice:
    if choice.spi:
        raise IkeError(NotifyType.INVALID_SYNTAX, "a proposal with an SPI in IKE_SA_INIT")
    return choice


def _choose(context: Context, offered: SA, path: Path) -> tuple[Connection, Choice]:
    """The most specific definition that has a proposal in common with the peer; who has none hears of the first one.

    However many are defined, two of them are looked at: the first, which usually fits, and what the index finds.
    """
    first = context.connections.for_path(path)
    if first is None:
        story = f"no tunnel is defined between {path.local_address} and {path.remote_address}"
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, story, reason="no_matching_tunnel")
    try:
        return first, _without_spi(choose_ike(first.proposals, offered.proposals))
    except IkeError:
        other = context.connections.fitting(path, offered.proposals)
        if other is None or other is first:
            raise
    return other, _without_spi(choose_ike(other.proposals, offered.proposals))


def _install_keys(sa: OpeningSa, choice: Choice, shared: Any) -> None:
    handshake = sa.handshake
    keys = derive_ike(choice, shared, handshake.nonce_i, handshake.nonce_r, sa.spi_i, sa.spi_r)
    sa.protection = protect(choice, keys, sa.initiator)
