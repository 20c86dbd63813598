# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges of the handshake (RFC 9370), in IKE_INTERMEDIATE (RFC 9242), each with keys of its own.

An attacker who breaks one of the methods has not broken the others. Since no exchange before IKE_AUTH is authenticated,
what went over the wire in these is signed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....crypto.keys import rederive_ike
from ....crypto.negotiation import Choice
from ....crypto.registry import KeyExchangeMethod
from ....errors import IKE, IkeError
from ....newer_python import dataclass
from ....secret import Secret
from ....wire.header import SIZE as HEADER_OCTETS
from ....wire.v2.ke import KE
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType, PayloadType, notify_name
from ....wire.v2.payloads import Payloads
from ...context import Context
from ..incoming import Incoming
from ..initiation import protect
from ..sa import OpeningSa, State
from ..tasks import Intermediate, Kind, Request
from .feature import Feature, Part, Role, Sent, Slot, Talk

_SUPPORTED = int(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)
_SEALED = (PayloadType.SK, PayloadType.SKF)
_NEXT_PAYLOAD, _LENGTH = 16, slice(24, 28)  # of the IKE header
_HEAD = 4  # octets in front of any payload
_PAYLOAD_LENGTH = slice(HEADER_OCTETS + 2, HEADER_OCTETS + _HEAD)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handshake has come.

    :ivar left: the methods still to come.
    :ivar by_initiator: what covers the initiator's messages so far (IntAuth_i); ``by_responder``: the responder's.
    :ivar shared: the secret of which the responder makes new keys when its answer is sealed.
    """

    left: tuple[KeyExchangeMethod, ...] = ()
    by_initiator: bytes = b""
    by_responder: bytes = b""
    shared: Secret | None = None


PROGRESS: Slot[Progress] = Slot(Progress())


# IKE_SA_INIT: both ends say that they can do it


def _ask(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return [Notify(_SUPPORTED)] if any(proposal.more for proposal in talk.sa.handshake.offered) else []


def _agree(choice: Choice, said: Payloads) -> None:
    if choice.more and said.notify(_SUPPORTED) is None:
        story = "the peer wants additional key exchanges without the exchange in which they are done"
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, story, reason="no_proposal_chosen")


def _begun(talk: Talk[OpeningSa]) -> None:
    if more := _more(talk.sa):
        PROGRESS.put(talk.sa.handshake, Progress(more))
        _queue(talk.context, talk.sa, more[0])


def _asked(talk: Talk[OpeningSa]) -> None:
    if more := _more(talk.sa):
        PROGRESS.put(talk.sa.handshake, Progress(more))
        talk.sa.state = State.INTERMEDIATE


def _answer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return [Notify(_SUPPORTED)] if _more(talk.sa) else []


def _more(sa: OpeningSa) -> tuple[KeyExchangeMethod, ...]:
    choice = sa.handshake.choice
    return choice.more if choice is not None else ()


# IKE_INTERMEDIATE: one for each of them


def _queue(context: Context, sa: OpeningSa, method: KeyExchangeMethod) -> None:
    sa.queue.insert(0, Intermediate(context.entropy.key_exchange(method.transform_id)))


def begin(context: Context, sa: OpeningSa, task: Intermediate) -> list[Any]:
    """The initiator's next key exchange."""
    return [KE(task.exchange.group, task.exchange.public)]


def respond(context: Context, sa: OpeningSa, got: Incoming) -> list[Any]:
    """The responder's half; new keys are made when the answer is sealed with those of now."""
    handshake = sa.handshake
    progress = PROGRESS.of(handshake)
    method, ke = progress.left[0], _ke_of(progress, got)
    public, shared = context.entropy.answer(method.transform_id, ke.data)
    covered = _covered(sa, Role.INITIATOR, progress.by_initiator, got.datagram, got.chain)
    PROGRESS.put(handshake, replace(progress, left=progress.left[1:], by_initiator=covered, shared=shared))
    if len(progress.left) == 1:
        sa.state = State.INIT_ANSWERED
    return [KE(method.transform_id, public)]


def answered(context: Context, sa: OpeningSa, got: Incoming, request: Request[Intermediate]) -> None:
    """The initiator has the secret, and makes new keys of it for what comes next."""
    handshake = sa.handshake
    progress = PROGRESS.of(handshake)
    ke = _ke_of(progress, got)
    shared = request.task.exchange.finish(ke.data)
    covered = _covered(sa, Role.RESPONDER, progress.by_responder, got.datagram, got.chain)
    PROGRESS.put(handshake, replace(progress, left=progress.left[1:], by_responder=covered))
    _make_keys(sa, shared)
    if len(progress.left) > 1:
        _queue(context, sa, progress.left[1])


def refused(context: Context, sa: OpeningSa, got: Incoming, request: Request[Intermediate]) -> None:
    """An error answer ends the attempt."""
    error = got.payloads.error()
    name = notify_name(error.type) if error is not None else "nothing"
    raise IkeError(0, f"the peer answered an additional key exchange with {name}", IKE)


def _ke_of(progress: Progress, got: Incoming) -> KE:
    ke, method = got.payloads.need(KE), progress.left[0]
    if ke.group != method.transform_id:
        story = f"the additional key exchange is of method {ke.group}, agreed is {method}"
        raise IkeError(NotifyType.INVALID_SYNTAX, story, IKE)
    if got.header.next_payload not in _SEALED:
        raise IkeError(NotifyType.INVALID_SYNTAX, "an additional key exchange with payloads in clear", IKE)
    return ke


def _request_sealed(talk: Talk[OpeningSa], sent: Sent) -> None:
    handshake = talk.sa.handshake
    progress = PROGRESS.of(handshake)
    covered = _covered(talk.sa, Role.INITIATOR, progress.by_initiator, sent.datagram, sent.chain)
    PROGRESS.put(handshake, replace(progress, by_initiator=covered))


def _answer_sealed(talk: Talk[OpeningSa], sent: Sent) -> None:
    sa = talk.sa
    handshake = sa.handshake
    progress = PROGRESS.of(handshake)
    covered = _covered(sa, Role.RESPONDER, progress.by_responder, sent.datagram, sent.chain)
    PROGRESS.put(handshake, replace(progress, by_responder=covered, shared=None))
    if progress.shared is not None:
        _make_keys(sa, progress.shared)


def _make_keys(sa: OpeningSa, shared: Secret) -> None:
    """The keys of what comes next (RFC 9370 section 2.2.2)."""
    handshake = sa.handshake
    nonces = handshake.nonce_i, handshake.nonce_r
    choice, prf, keys, _seal, _open = sa.protected
    keys = rederive_ike(prf, keys.d, choice, shared, *nonces, sa.spi_i, sa.spi_r)
    sa.protection = protect(choice, keys, sa.initiator)


# IKE_AUTH: what both ends sign besides


def _covered(sa: OpeningSa, sender: Role, before: bytes, datagram: bytes, chain: bytes) -> bytes:
    """What covers one end's messages, with one more (RFC 9242 section 3.3.2); the keys are those that sealed it.

    :param datagram: the message, or its first fragment; ``chain``: its payloads in clear.
    """
    # The heads as they were of one message with no more than its payloads.
    head = bytearray(datagram[: HEADER_OCTETS + _HEAD])
    head[_NEXT_PAYLOAD] = PayloadType.SK
    head[_LENGTH] = (HEADER_OCTETS + _HEAD + len(chain)).to_bytes(4, "big")
    head[_PAYLOAD_LENGTH] = (_HEAD + len(chain)).to_bytes(2, "big")
    protection = sa.protected
    key = protection.keys.pi if sender is Role.INITIATOR else protection.keys.pr
    return protection.prf.primitive.digest(key.reveal(), before + bytes(head) + chain)


def _signed(sa: OpeningSa, message_id: int) -> bytes:
    """IntAuth; nothing where there was no such exchange."""
    if not _more(sa):
        return b""
    progress = PROGRESS.of(sa.handshake)
    return progress.by_initiator + progress.by_responder + message_id.to_bytes(4, "big")


FEATURE = Feature(
    "intermediate",
    (
        Part(Kind.INIT, Role.INITIATOR, offer=_ask, take=_begun),
        Part(Kind.INIT, Role.RESPONDER, offer=_answer, take=_asked),
        Part(Kind.INTERMEDIATE, Role.INITIATOR, sealed=_request_sealed),
        Part(Kind.INTERMEDIATE, Role.RESPONDER, sealed=_answer_sealed),
    ),
    agree=_agree,
    signed=_signed,
    slot=PROGRESS,
)
