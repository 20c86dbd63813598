# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a datagram to the row of the table, and from a failure to what it takes down."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

from ...errors import IKE, IkeError
from ...wire.header import Header
from ...wire.v2.delete import Delete
from ...wire.v2.message import Message, parse_payloads
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import ExchangeType, NotifyType, ProtocolId
from ...wire.v2.payloads import Payloads
from ..actions import Path
from ..context import Context
from ..sa import AnySa
from . import follow_up, lifecycle, proof, surplus, table
from .exchange import last_word, opened, repeats_answer, send_answer, send_request, unprotected
from .features import rows
from .features.feature import NOTHING, OWN_ORDER, Role, Talk
from .incoming import Incoming
from .sa import AUTHENTICATED, HALF_OPEN, EitherSa, IkeSa, OpeningSa, State
from .tasks import Init, Kind, Request, Task

# What nobody does on an IKE SA that lost a collision.
WORK = (Kind.NEW_CHILD, Kind.REKEY_CHILD, Kind.DELETE_CHILD, Kind.REKEY_IKE)

# What a peer that is authenticated has us make, as often as it likes.
MAKING = (Kind.NEW_CHILD, Kind.REKEY_CHILD, Kind.REKEY_IKE)

# Octets of a first message: several times what anybody has to say, and kept until the peer is authenticated.
LARGEST = 8192


def incoming(context: Context, header: Header, datagram: bytes, path: Path) -> None:
    """A message of this version: it is for an IKE SA that we have, opens one, or is nobody's."""
    sa = _addressee(context, header, datagram, path)
    if isinstance(sa, (OpeningSa, IkeSa)):
        receive(context, sa, header, datagram, path)
    elif sa is None and _opens(header):
        new_peer(context, header, datagram, path)


def refuse_newer(context: Context, header: Header, path: Path) -> None:
    """RFC 7296 section 2.5: a higher major version is told that ours is 2."""
    if not header.is_response and header.initiator_spi != bytes(8):
        unprotected(context, header, path, [Notify(NotifyType.INVALID_MAJOR_VERSION)])


def _addressee(context: Context, header: Header, datagram: bytes, path: Path) -> AnySa | None:
    """The IKE SA that a message is for: its initiator's SPI is ours, or its responder's."""
    if header.from_initiator:
        if header.responder_spi == bytes(8):
            return context.registry.opened_by(path, datagram)
        return context.registry.by_spi.get(header.responder_spi)
    return context.registry.by_spi.get(header.initiator_spi)


def _opens(header: Header) -> bool:
    return (
        header.exchange == ExchangeType.IKE_SA_INIT
        and header.from_initiator
        and not header.is_response
        and header.message_id == 0
        and header.responder_spi == bytes(8)
        and header.initiator_spi != bytes(8)
    )


def new_peer(context: Context, header: Header, datagram: bytes, path: Path) -> None:
    """An IKE_SA_INIT request that belongs to no IKE SA yet."""
    row = table.request_row(State.START, Kind.INIT)
    if row is None:
        raise ValueError("no row opens an IKE SA")
    try:
        if header.length > LARGEST:
            raise IkeError(
                NotifyType.INVALID_SYNTAX, f"a first message of {header.length} octets, not {LARGEST} at most"
            )
        payloads = Payloads(Message.read(header, datagram).payloads)
        _require(payloads, row.required)
        sa = row.handler(context, Incoming(header, payloads, datagram, path))
    except IkeError as exc:
        context.reject(path, exc)
        if exc.notify:
            unprotected(context, header, path, [Notify(exc.notify, exc.data)])
        return
    if sa is not None:
        _move(sa, State.START, row.next)
        sa.answered_digest = hashlib.sha256(datagram).digest()


def receive(context: Context, sa: EitherSa, header: Header, datagram: bytes, path: Path) -> None:
    """A message for an IKE SA that we have. What is forged or out of order is dropped without a trace on the SA.

    Nor is the IKE SA touched then: what is touched may have to be stored, which no stranger may bring about.
    """
    if header.from_initiator == sa.initiator or header.initiator_spi != sa.spi_i:
        return  # our own message reflected, or not of this IKE SA
    if sa.spi_r != bytes(8) and header.responder_spi not in (sa.spi_r, bytes(8)):
        return
    try:
        if header.is_response:
            _answer(context, sa, header, datagram, path)
        else:
            _request(context, sa, header, datagram, path)
    except IkeError as exc:
        _reject(context, sa, path, exc)


def _reject(context: Context, sa: EitherSa, path: Path, exc: IkeError) -> None:
    """Tell of a refused message in an IKE SA; whose that is of a peer that has not proven itself nobody knows yet."""
    if sa.initiator or sa.state in AUTHENTICATED:
        exc.tunnels = exc.tunnels or (sa.connection.name,)
    else:
        exc.tunnels = exc.tunnels or context.connections.candidates(sa.path)
    context.reject(path, exc)


def _request(context: Context, sa: EitherSa, header: Header, datagram: bytes, path: Path) -> None:
    if repeats_answer(context, sa, header, datagram, path):
        if isinstance(sa, IkeSa):
            proof.doubt(context, sa)
        return
    if header.message_id != sa.expected_id or header.exchange == ExchangeType.IKE_SA_INIT:
        return
    before = sa.state
    if before is State.REFUSED:
        return
    whole = opened(context, sa, header, datagram)
    if whole is None:
        return
    context.touch(sa)
    if isinstance(sa, IkeSa):
        lifecycle.heard(context, sa, path)
        proof.prove(context, sa)  # it asks the next thing when it has the answer to the one before
    got = Incoming(header, NOTHING, whole.datagram, path, whole.chain)
    served: tuple[Talk[EitherSa], Kind] | None = None
    try:
        said = Payloads(parse_payloads(whole.first, whole.chain))
        got = Incoming(header, said, whole.datagram, path, whole.chain)
        kind = table.request_kind(header.exchange, got.payloads)
        row = table.request_row(sa.state, kind) if kind else None
        if kind is None or row is None:
            _refuse(sa, header)
        _require(got.payloads, row.required)
        if kind in MAKING:
            surplus.check_allowance(context, sa.connection.name)
        if isinstance(sa, IkeSa) and sa.claims is not None and kind in WORK:
            # The peer works with its successor already: for it the collision is decided.
            lifecycle.inherit(context, sa.claims, sa)
        answer = row.handler(context, sa, got)
        _move(sa, before, row.next)
        sa = _now(sa)
        if answer is not None and kind in rows.FEATURES.kinds:
            talk = Talk(context, sa, got.payloads)
            if kind not in OWN_ORDER:
                rows.FEATURES.take(talk, kind, Role.RESPONDER)
                answer += rows.FEATURES.offers(talk, kind, Role.RESPONDER)
            served = talk, kind
    except IkeError as exc:
        sa = _now(sa)
        answer = _refusal(context, sa, exc)
    if answer is not None:
        send_answer(context, sa, got, answer)
        if served is not None:
            rows.FEATURES.sealed(*served, Role.RESPONDER, sa.answer[0], answer)
        if isinstance(sa, OpeningSa) and sa.state is State.REFUSED:
            lifecycle.keep_answer(context, sa)


def _now(sa: EitherSa) -> EitherSa:
    """The IKE SA after a handler, which may have established it."""
    return sa.became if isinstance(sa, OpeningSa) and sa.became is not None else sa


def _move(sa: EitherSa, before: State, after: State) -> None:
    """Enter the row's next state, unless the handler has already entered another one."""
    if sa.state is before:
        sa.state = after


def _refuse(sa: EitherSa, header: Header) -> NoReturn:
    if isinstance(sa, IkeSa):
        story = f"exchange {header.exchange} is not expected in state {sa.state.value}"
        raise IkeError(NotifyType.INVALID_SYNTAX, story)
    raise IkeError(0, f"exchange {header.exchange} before authentication")


def _refusal(context: Context, sa: EitherSa, exc: IkeError) -> list[Notify] | None:
    """The answer to a request that could not be served; None: drop it without an answer."""
    if exc.notify and sa.state in HALF_OPEN:
        # Authentication failed: answer, then only repeat that answer until the half-open time is over, counted so long.
        context.turn_away(sa, exc)
        sa.state = State.REFUSED
        return [Notify(exc.notify, exc.data)]
    _reject(context, sa, sa.path, exc)
    if not exc.notify or sa.state not in AUTHENTICATED:
        return None
    if _fatal(exc):
        lifecycle.end(context, sa, exc.reason, exc.story)
    return [Notify(exc.notify, exc.data)]


def _fatal(exc: IkeError) -> bool:
    """Whether the IKE SA ends with it: INVALID_SYNTAX in a protected message always does (section 2.21.3)."""
    return exc.scope == IKE or exc.notify == NotifyType.INVALID_SYNTAX


def _answer(context: Context, sa: EitherSa, header: Header, datagram: bytes, path: Path) -> None:
    request = sa.request
    if request is None or header.message_id != request.message_id:
        return
    task, kind = request.task, request.task.kind
    if header.exchange != table.purpose_of(task).exchange:
        return
    if isinstance(sa, OpeningSa) and isinstance(task, Init):
        context.touch(sa)
        _init_answer(context, sa, request, header, datagram, path)
        return
    whole = opened(context, sa, header, datagram)
    if whole is None:
        return
    context.touch(sa)
    before = sa.state
    sa.request = None
    sa.next_id += 1
    lifecycle.heard(context, sa, path)
    try:
        payloads = Payloads(parse_payloads(whole.first, whole.chain))
        if isinstance(sa, IkeSa):
            combined = follow_up.step(context, sa, task, payloads)
            if combined is None:
                return
            payloads = combined
        row = table.answer_row(sa.state, task, payloads)
        if row is None:
            raise IkeError(NotifyType.INVALID_SYNTAX, f"the answer to {kind.label} lacks what it must have")
        row.handler(context, sa, Incoming(header, payloads, whole.datagram, path, whole.chain), request)
        _move(sa, before, row.next)
        if kind in rows.FEATURES.kinds and kind not in OWN_ORDER and row.notify is None:
            rows.FEATURES.take(Talk(context, sa, payloads), kind, Role.INITIATOR)
    except IkeError as exc:
        fail(context, _now(sa), task, exc)


def _init_answer(
    context: Context, sa: OpeningSa, request: Request[Task], header: Header, datagram: bytes, path: Path
) -> None:
    """Nothing in it is authenticated: what is unusable is noted, and the request stays out (section 2.21.1)."""
    try:
        payloads = Payloads(Message.read(header, datagram).payloads)
        row = table.answer_row(sa.state, request.task, payloads)
        if row is None:
            raise IkeError(0, "the answer to IKE_SA_INIT lacks what it must have")
        row.handler(context, sa, Incoming(header, payloads, datagram, path), request)
    except IkeError as exc:
        if sa.handshake.setback != (exc.reason, exc.story):
            sa.handshake.setback = (exc.reason, exc.story)
            context.report("setback", sa, reason=exc.reason, story=exc.story)
        return
    sa.request = None
    sa.last_heard = context.now
    sa.state = row.next


def fail(context: Context, sa: EitherSa, task: Task, exc: IkeError) -> None:
    """A protected answer was a refusal or unusable: take down what it was about, no more."""
    purpose = table.PURPOSES[type(task)]
    if not _fatal(exc) and purpose.failed is not None:
        purpose.failed(context, sa, task, exc.reason, exc.story)
        return
    if exc.notify and sa.state in (State.AUTH_SENT, State.ESTABLISHED, State.REKEYED):
        # It is us who find fault, while the peer believes the IKE SA to be up: say so (section 2.21.2).
        unproven = exc.notify == NotifyType.AUTHENTICATION_FAILED
        last_word(context, sa, Notify(exc.notify) if unproven else Delete(ProtocolId.IKE, ()))
    lifecycle.end(context, sa, exc.reason, exc.story, task)


def pump(context: Context, sa: EitherSa) -> None:
    """Begin the next piece of queued work, if nothing is outstanding."""
    while sa.queue and sa.request is None and sa.state is not State.GONE:
        making = sa.making if isinstance(sa, IkeSa) else None
        due = (t for t in sa.queue if t.not_before <= context.now and (making is None or not making.holds(t)))
        task = next(due, None)
        if task is None:
            return
        sa.queue.remove(task)
        purpose = table.purpose_of(task)
        if sa.state not in purpose.states:
            continue
        try:
            payloads = purpose.begin(context, sa, task)
        except IkeError as exc:
            fail(context, sa, task, exc)
            continue
        if payloads is None:
            continue
        _send(context, sa, purpose.exchange, payloads, task)
        sa.state = purpose.next or sa.state


def _send(context: Context, sa: EitherSa, exchange: int, payloads: list[Any], task: Task) -> None:
    """Send our request, with what optional features have to say in it."""
    if task.kind not in rows.FEATURES.kinds:
        send_request(context, sa, exchange, payloads, task)
        return
    talk = Talk(context, sa)
    if task.kind not in OWN_ORDER:
        payloads += rows.FEATURES.offers(talk, task.kind, Role.INITIATOR)
    request = send_request(context, sa, exchange, payloads, task)
    rows.FEATURES.sealed(talk, task.kind, Role.INITIATOR, request.datagrams[0], payloads)


def _require(payloads: Payloads, required: tuple[type, ...]) -> None:
    kind = payloads.lacking(required)
    if kind is not None:
        raise IkeError(NotifyType.INVALID_SYNTAX, f"the message lacks its {kind.__name__} payload")
