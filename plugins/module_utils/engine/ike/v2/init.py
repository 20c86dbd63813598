# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_SA_INIT (RFC 7296 section 1.2): both roles, cookies, a wrong key exchange group."""

from __future__ import annotations

from typing import Any

from ...crypto.keys import check_nonces, derive_ike
from ...crypto.negotiation import Choice, check_answer_ike, choose_ike, offer_ike
from ...crypto.sealer import Sealer
from ...errors import IkeError
from ...wire.header import RESPONSE
from ...wire.header import SIZE as HEADER_OCTETS
from ...wire.v2.ke import KE
from ...wire.v2.message import encode_message
from ...wire.v2.nonce import Nonce
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import ExchangeType, NotifyType
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ..actions import Path, Send
from ..connection import Connection
from ..context import Context
from . import nat
from .exchange import Incoming, unprotected
from .features import fragmentation
from .sa import Handshake, IkeSa, Kind, Request, State, Task

NONCE_OCTETS = 32
MAX_RESTARTS = 4  # cookies, groups and rekeyed cookie secrets; more is a peer playing games
COSTLY_OCTETS = 512  # a key exchange with MODP values from here on takes many milliseconds
COSTLY_WEIGHT = 10
PAYLOAD_HEAD = 4
CHILDLESS = Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED)  # an IKE SA without a child is fine with us (RFC 6023)
CHILDLESS_OCTETS = 8


def new_initiator(context: Context, connection: Connection, path: Path) -> IkeSa:
    """A new IKE SA that we initiate; its IKE_SA_INIT is queued."""
    sa = IkeSa(
        context.registry.number(), connection, True, State.START, path, context.entropy.octets(8), bytes(8),
        context.now,
        handshake=Handshake(nonce_i=context.entropy.octets(NONCE_OCTETS), wanted=connection.auto_children),
    )  # fmt: skip
    context.registry.add(sa)
    sa.queue.append(Task(Kind.INIT))
    context.touch(sa)
    context.report("ike_connecting", sa, role="initiator")
    return sa


def begin(context: Context, sa: IkeSa, task: Task) -> tuple[int, list[Any]]:
    """The initiator's request."""
    handshake = _handshake(sa)
    if handshake.exchange is None:
        handshake.offered = handshake.offered or sa.connection.proposals
        handshake.group = handshake.group or handshake.offered[0].ke[0].transform_id
        handshake.exchange = context.entropy.key_exchange(handshake.group)
    payloads: list[Any] = []
    if handshake.cookie:
        payloads.append(Notify(NotifyType.COOKIE, handshake.cookie))
    payloads += [
        SA(offer_ike(handshake.offered)),
        KE(handshake.group, handshake.exchange.public),
        Nonce(handshake.nonce_i),
        *nat.notifies(sa.spi_i, bytes(8), sa.path, sa.connection.encapsulation),
        *fragmentation.offer(sa.connection),
    ]
    return ExchangeType.IKE_SA_INIT, payloads


def answered(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """The initiator has the responder's choice, public value and nonce: derive the keys, go on to IKE_AUTH."""
    handshake = _handshake(sa)
    if got.header.responder_spi == bytes(8):
        raise IkeError(0, "the responder's SPI is zero")
    choice = _without_spi(check_answer_ike(handshake.offered, got.payloads.one(SA)))
    ke = got.payloads.one(KE)
    if choice.ke is None or ke.group != choice.ke.transform_id or ke.group != handshake.group:
        raise IkeError(0, f"the key exchange is of group {ke.group}, not of the chosen one")
    shared = handshake.exchange.finish(ke.data)
    sa.spi_r = got.header.responder_spi
    handshake.nonce_r = got.payloads.one(Nonce).data
    (handshake.sent,), handshake.received = request.datagrams, got.datagram
    _install_keys(sa, choice, shared)
    handshake.exchange = None
    fragmentation.agree(sa, got.payloads)
    sa.nat_local, sa.nat_remote = nat.detect(got.payloads, sa.spi_i, sa.spi_r, sa.path)
    if sa.nat_local or sa.nat_remote or sa.connection.encapsulation == "force":
        sa.nat = True
        nat.float_ports(sa, context.settings)
    sa.next_id = 1
    sa.queue.insert(0, Task(Kind.AUTH))


def with_cookie(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """The responder wants its cookie back (section 2.6): the same request again, cookie first."""
    cookie = got.payloads.notify(NotifyType.COOKIE).data
    if not 1 <= len(cookie) <= 64:
        raise IkeError(0, f"a cookie of {len(cookie)} octets")
    handshake = _restart(sa)
    handshake.cookie = cookie


def with_group(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """The responder wants another key exchange group (section 1.2); only one that we offer is taken."""
    data = got.payloads.notify(NotifyType.INVALID_KE_PAYLOAD).data
    group = int.from_bytes(data, "big") if len(data) == 2 else 0
    offered = {row.transform_id for proposal in _handshake(sa).offered for row in proposal.ke}
    if group not in offered or group == _handshake(sa).group:
        story = f"the peer insists on key exchange group {group}, which is not among those allowed here"
        raise IkeError(0, story, reason="invalid_key_exchange")
    handshake = _restart(sa)
    handshake.group = group
    handshake.exchange = None


def refused(context: Context, sa: IkeSa, got: Incoming, request: Request) -> None:
    """Any other error answer. It is not authenticated, so anybody could have sent it: note it and keep trying."""
    error = got.payloads.error()
    reason = "no_proposal_chosen" if error.type == NotifyType.NO_PROPOSAL_CHOSEN else "protocol_error"
    raise IkeError(0, f"the peer refused IKE_SA_INIT with {notify_name(error.type)}", reason=reason)


def notify_name(number: int) -> str:
    """The registered name of a notify type, or its number."""
    try:
        return NotifyType(number).name
    except ValueError:
        return f"notify {number}"


def respond(context: Context, got: Incoming) -> IkeSa | None:
    """Answer a peer's IKE_SA_INIT request; the new half-open IKE SA, or None when it got only a notify.

    :raises IkeError: whose notify is to be sent unprotected.
    """
    payloads, path = got.payloads, got.path
    offered, ke, nonce = payloads.one(SA), payloads.one(KE), payloads.one(Nonce)
    proven = _returns_cookie(context, got)
    if not proven and _under_load(context, ke, path):
        _demand_cookie(context, got)
        return None
    if _full(context, path):
        return None
    try:
        return _open(context, got, offered, ke, nonce, proven)
    except IkeError:
        # Nothing is half-open then, and yet there was work, which whoever forges a source is not to get for nothing.
        context.refusals.enter(path.remote_address, context.now)
        raise


def _open(context: Context, got: Incoming, offered: SA, ke: KE, nonce: Nonce, proven: bool) -> IkeSa | None:
    """The half-open IKE SA that this request opens; what is cheap to refuse is refused before anything dear is done."""
    header, payloads, datagram, path = got
    connection, choice = _choose(context, offered, path)
    check_nonces(choice, nonce.data)
    if choice.ke is None or ke.group != choice.ke.transform_id:
        wanted = choice.ke.transform_id if choice.ke else 0
        unprotected(context, header, path, [Notify(NotifyType.INVALID_KE_PAYLOAD, wanted.to_bytes(2, "big"))])
        return None
    room = header.length - _answer_octets(connection, payloads, choice)
    if room < 0 and not proven:
        # A forged source would be sent more octets through us than the forger spent.
        _demand_cookie(context, got)
        return None
    public, shared = context.entropy.answer(ke.group, ke.data)
    spi_r = context.entropy.octets(8)
    handshake = Handshake(nonce_i=nonce.data, nonce_r=context.entropy.octets(NONCE_OCTETS), received=datagram)
    sa = IkeSa(
        context.registry.number(), connection, False, State.START, path, header.initiator_spi, spi_r, context.now,
        handshake=handshake, expected_id=1,
    )  # fmt: skip
    _install_keys(sa, choice, shared)
    answer: list[Any] = [SA((choice.proposal,)), KE(ke.group, public), Nonce(handshake.nonce_r)]
    answer += connection.auth.requests
    if nat.does_traversal(payloads):
        sa.nat_local, sa.nat_remote = nat.detect(payloads, sa.spi_i, bytes(8), path)
        sa.nat = sa.nat_local or sa.nat_remote or connection.encapsulation == "force"
        answer += nat.notifies(sa.spi_i, spi_r, path, connection.encapsulation)
    fragmentation.agree(sa, payloads)
    answer += fragmentation.answer(connection, payloads)
    if room >= CHILDLESS_OCTETS:
        answer.append(CHILDLESS)
    handshake.sent = encode_message(sa.spi_i, spi_r, header.exchange, RESPONSE, 0, answer)
    sa.answer, sa.answer_to = (handshake.sent,), 0
    context.actions.append(Send(handshake.sent, path))
    sa.expires_at = context.now + context.settings.half_open_lifetime
    context.registry.open(sa, path, datagram)
    context.half_open.enter(path.remote_address)
    context.touch(sa)
    return sa


def _returns_cookie(context: Context, got: Incoming) -> bool:
    """Whether the initiator returned a cookie of ours: it is where it says it is."""
    cookie = got.payloads.notify(NotifyType.COOKIE)
    if cookie is None:
        return False
    nonce = got.payloads.one(Nonce).data
    return context.cookies.valid(cookie.data, nonce, got.header.initiator_spi, got.path, context.now)


def _demand_cookie(context: Context, got: Incoming) -> None:
    cookie = context.cookies.make(got.payloads.one(Nonce).data, got.header.initiator_spi, got.path, context.now)
    unprotected(context, got.header, got.path, [Notify(NotifyType.COOKIE, cookie)])


def _under_load(context: Context, ke: KE, path: Path) -> bool:
    """Whether so many attempts came to nothing, so far or for good, that the next one needs a cookie (section 2.6)."""
    settings, half_open, refusals, address = context.settings, context.half_open, context.refusals, path.remote_address
    weight = COSTLY_WEIGHT if len(ke.data) >= COSTLY_OCTETS else 1
    return (half_open.total + refusals.total(context.now)) * weight >= settings.cookie_threshold or (
        half_open.of(address) + refusals.of(address)
    ) * weight >= settings.cookie_threshold_per_peer


def _full(context: Context, path: Path) -> bool:
    settings, half_open = context.settings, context.half_open
    return half_open.total >= settings.half_open_limit or (
        half_open.of(path.remote_address) >= settings.half_open_per_peer
    )


def _answer_octets(connection: Connection, payloads: Payloads, choice: Choice) -> int:
    """Octets of the answer that this choice leads to, at least."""
    answer = [SA((choice.proposal,)), payloads.need(KE), *fragmentation.answer(connection, payloads)]
    if nat.does_traversal(payloads):
        answer += (payloads.notify(nat.SOURCE), payloads.notify(nat.DESTINATION))
    return HEADER_OCTETS + PAYLOAD_HEAD + NONCE_OCTETS + sum(PAYLOAD_HEAD + len(part.encode()) for part in answer)


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


def _install_keys(sa: IkeSa, choice: Choice, shared: Any) -> None:
    handshake = _handshake(sa)
    keys = derive_ike(choice, shared, handshake.nonce_i, handshake.nonce_r, sa.spi_i, sa.spi_r)
    sa.choice, sa.keys = choice, keys
    install_sealers(sa)


def install_sealers(sa: IkeSa) -> None:
    """Make the two sealers out of the keys; ``seal`` is for what we send."""
    choice, keys = sa.choice, sa.keys
    from_initiator = Sealer(choice.encr, choice.integ, keys.ei, keys.ai)
    from_responder = Sealer(choice.encr, choice.integ, keys.er, keys.ar)
    sa.seal, sa.open = (from_initiator, from_responder) if sa.initiator else (from_responder, from_initiator)


def _restart(sa: IkeSa) -> Handshake:
    handshake = _handshake(sa)
    handshake.restarts += 1
    if handshake.restarts > MAX_RESTARTS:
        raise IkeError(0, f"the peer had the negotiation restarted more than {MAX_RESTARTS} times")
    sa.queue.insert(0, Task(Kind.INIT))
    return handshake


def _handshake(sa: IkeSa) -> Handshake:
    if sa.handshake is None:
        raise ValueError("the handshake of this IKE SA is over")
    return sa.handshake
