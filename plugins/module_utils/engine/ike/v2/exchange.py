# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers of an IKE SA: Message IDs, protection, retransmission (RFC 7296 sections 2.1 to 2.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ...errors import IkeError
from ...wire.header import INITIATOR, RESPONSE, Header
from ...wire.v2.message import Message, encode_message
from ...wire.v2.numbers import ExchangeType, PayloadType
from ...wire.v2.sealed import Sealed, SealedFragment
from ..actions import Path, Send
from ..context import Context
from . import message_size
from .features import fragmentation
from .features.fragmentation import Whole, seal_message
from .incoming import Incoming
from .sa import EitherSa
from .tasks import DeleteAtPeer, DeleteChild, Inform, Init, NewChild, RekeyChild, Request, T

# What comes of these is gone with the IKE SA; that of others may outlive it, or is not there before the peer has them.
_ENDS_WITH_IT = (NewChild, RekeyChild, DeleteChild, DeleteAtPeer, Inform)


def send_request(context: Context, sa: EitherSa, exchange: int, payloads: Sequence[Any], task: T) -> Request[T]:
    """Send our next request and remember it until its answer comes."""
    flags = INITIATOR if sa.initiator else 0
    if exchange == ExchangeType.IKE_SA_INIT:
        datagrams: tuple[bytes, ...] = (encode_message(sa.spi_i, bytes(8), exchange, flags, 0, payloads),)
    else:
        datagrams = seal_message(context, sa, exchange, flags, sa.next_id, payloads)
    pause = context.settings.retransmit[0]
    request = sa.request = Request(sa.next_id, datagrams, task, 1, context.now + pause)
    send(context, sa, datagrams, sa.path)
    context.touch(sa)
    return request


def send(context: Context, sa: EitherSa, datagrams: Sequence[bytes], path: Path) -> None:
    """All datagrams of one message."""
    dscp = sa.connection.dscp
    context.actions += [Send(datagram, path, dscp) for datagram in datagrams]


def send_answer(context: Context, sa: EitherSa, got: Incoming, payloads: Sequence[Any]) -> None:
    """Answer the peer's request the way it came (RFC 7296 section 2.11) and keep the answer for its retransmissions."""
    header = got.header
    flags = RESPONSE | (INITIATOR if sa.initiator else 0)
    sa.answer = seal_message(context, sa, header.exchange, flags, header.message_id, payloads)
    sa.answer_to, sa.answered_digest = header.message_id, hashlib.sha256(got.datagram).digest()
    sa.expected_id = header.message_id + 1
    sa.answered_under = sa.protection.open if sa.protection is not None else None
    send(context, sa, sa.answer, got.path)


def last_word(context: Context, sa: EitherSa, payload: Any, path: Path | None = None) -> None:
    """One more request, whose answer is not waited for, since the IKE SA ends here and now.

    It does not wait for the answer of an outstanding one either, which goes once more before it: a peer takes requests
    in their order. That one stays what it is, for its end has to be seen to.

    :param path: where the peer is, if not where this IKE SA has it.
    """
    path = path or sa.path
    if sa.request is not None:
        if isinstance(sa.request.task, _ENDS_WITH_IT):
            send(context, sa, sa.request.datagrams, path)
        sa.next_id += 1
    flags = INITIATOR if sa.initiator else 0
    send(context, sa, seal_message(context, sa, ExchangeType.INFORMATIONAL, flags, sa.next_id, [payload]), path)
    context.touch(sa)


def repeats_answer(context: Context, sa: EitherSa, header: Header, datagram: bytes, path: Path) -> bool:
    """Whether this is a retransmission of the last answered request; if so, repeat the answer.

    Other octets under the same Message ID are not a retransmission and get nothing, unless the peer divides the same
    message in another way.

    :raises IkeError: with notify 0, for a fragment that is forged.
    """
    if header.message_id != sa.answer_to:
        return False
    if hashlib.sha256(datagram).digest() == sa.answered_digest or (
        header.next_payload == PayloadType.SKF and fragmentation.repeats(sa, Message.read(header, datagram))
    ):
        send(context, sa, sa.answer, path)
    return True


def retransmit(context: Context, sa: EitherSa) -> bool:
    """Send the outstanding request again; False when patience has run out."""
    request = sa.request
    if request is None:
        return False
    pause = pause_after(context, sa, request.tries)
    if pause <= 0:
        return False
    request.deadline = context.now + pause
    request.tries += 1
    send(context, sa, request.datagrams, sa.path)
    hint = message_size.hint(sa, request)
    about_size = {"size": message_size.size(request), "hint": hint} if hint else {}
    context.report("retransmit", sa, exchange=request.task.kind.label, tries=request.tries, **about_size)
    return True


def pause_after(context: Context, sa: EitherSa, tries: int) -> float:
    """How long to wait after one more sending of a request that was sent ``tries`` times; 0: patience has run out."""
    pauses = context.settings.retransmit
    longest = pauses[-1]
    waited = sum(pauses[:tries]) + longest * max(0, tries - len(pauses))
    left = _patience(context, sa) - waited
    return max(0.0, min(pauses[tries] if tries < len(pauses) else longest, left))


def _patience(context: Context, sa: EitherSa) -> float:
    """How long the outstanding request may be without an answer.

    The first one of an IKE SA has less time where the peer may be at another address.
    """
    whole, settings = sa.connection.retransmit_timeout, context.settings
    first = sa.request is not None and isinstance(sa.request.task, Init)
    if first and sa.connection.other_addresses and sa.replaces is None:
        return min(whole, sum(settings.retransmit[: settings.suspicious_tries - 1]))
    return whole


def unprotected(context: Context, header: Header, path: Path, payloads: Sequence[Any]) -> None:
    """Answer a request of a stranger without keeping any state.

    Its source may be forged: a victim must not be sent more octets through us than the forger spent.
    """
    spis = header.initiator_spi, header.responder_spi
    datagram = encode_message(*spis, header.exchange, RESPONSE, header.message_id, payloads)
    if len(datagram) <= header.length:
        context.actions.append(Send(datagram, path))


def opened(context: Context, sa: EitherSa, header: Header, datagram: bytes) -> Whole | None:
    """What a protected message of the peer holds; None as long as fragments of it lack.

    :raises IkeError: with notify 0 when it is not protected or fails its integrity check.
    """
    message = Message.read(header, datagram)
    sealed = message.sealed
    if isinstance(sealed, SealedFragment):
        return fragmentation.take(context, sa, header, message, datagram)
    if not isinstance(sealed, Sealed) or sa.protection is None:
        raise IkeError(0, "a message that must be protected is not")
    chain = sa.protection.open.open(message.sealed_head, sealed.body)
    if sa.partials:
        fragmentation.drop(context, sa, header.is_response)  # whatever came of it in fragments, this is all of it
    return Whole(sealed.inner_next_payload, chain, datagram)
