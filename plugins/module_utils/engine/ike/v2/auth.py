# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_AUTH (RFC 7296 sections 1.2 and 2.15), by whatever method: both roles, and the first Child SA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...crypto.auth import Statement, Verified, signed_octets
from ...crypto.evidence import Evidence, Presented, Proof
from ...crypto.keys import IkeKeys
from ...crypto.negotiation import Choice, check_answer_esp, choose_esp, choose_ike, offer_esp
from ...crypto.proposals import EspProposal
from ...errors import CHILD, IKE, IkeError, a_few
from ...identity import Identity
from ...wire.v2.auth import AUTH
from ...wire.v2.cert import CERT, CERTREQ
from ...wire.v2.ident import IDi, IDr
from ...wire.v2.ke import KE
from ...wire.v2.notify import Notify
from ...wire.v2.numbers import NotifyType, notify_name
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..connection import ChildConfig, Connection
from ..connections import FEW
from ..context import Context
from . import child_selectors, children, fallback, instances, key_exchange, lifecycle, surplus
from .child import Child
from .features import rows
from .features.feature import ChildTalk, Claim, Role, Talk
from .incoming import Incoming
from .sa import Handshake, IkeSa, OpeningSa
from .tasks import Auth, ChildTask, DeleteChild, Kind, NewChild, Request
from .traffic import Narrowed, check_answer, covers_packet, in_words, narrow

NAME_IN_STORY = 200  # characters
CANDIDATES = 64  # definitions whose secrets are tried for one peer; nobody can tell by name which of more is meant

# What an error in the answer means: to IKE_AUTH, and in place of a child.
_REASONS: dict[int, str] = {
    NotifyType.AUTHENTICATION_FAILED: "authentication_failed",
    NotifyType.NO_PROPOSAL_CHOSEN: "no_proposal_chosen",
    NotifyType.TS_UNACCEPTABLE: "selectors_refused",
}
_REASONS_OF_CHILDREN: dict[int, str] = {
    NotifyType.NO_PROPOSAL_CHOSEN: "no_proposal_chosen",
    NotifyType.TS_UNACCEPTABLE: "selectors_refused",
    NotifyType.INVALID_KE_PAYLOAD: "invalid_key_exchange",
    NotifyType.NO_ADDITIONAL_SAS: "no_additional_sas",
    NotifyType.TEMPORARY_FAILURE: "peer_busy",
    NotifyType.STATE_NOT_FOUND: "peer_busy",  # it has forgotten what was begun, which is to be begun again
}


@lru_cache(maxsize=16)
def _name(identity: Identity) -> str:
    """What a peer calls itself, for stories: each of many candidates tells one."""
    text = str(identity)
    return text if len(text) <= NAME_IN_STORY else f"{text[:NAME_IN_STORY]}…"


def begin(context: Context, sa: OpeningSa, task: Auth) -> list[Any]:
    """The initiator's request: who we are, the proof, and the first child if one is wanted."""
    connection, handshake = sa.connection, sa.handshake
    sa.protection = sa.protected._replace(keys=rows.FEATURES.keys(sa))
    protection = sa.protected
    mine = IDi(connection.local_id)

    def prove(keys: IkeKeys) -> Statement:
        octets = _octets(sa, Role.INITIATOR, keys, mine, sa.next_id)
        return connection.auth.prove(protection.prf, octets, handshake.asked)

    proof, certificates = prove(protection.keys)
    payloads: list[Any] = [mine, *certificates, *connection.auth.requests]
    if connection.remote_id is not None:
        payloads.append(IDr(connection.remote_id))
    payloads.append(AUTH(*proof))
    payloads += rows.FEATURES.besides(sa, lambda keys: prove(keys).proof.data)
    payloads += rows.FEATURES.offers(Talk(context, sa), Kind.AUTH, Role.INITIATOR)
    if handshake.wanted:
        config = handshake.wanted[0]
        first = NewChild(config, children.reserve_spi(context, sa, config))
        handshake.first, handshake.first_offer = first, fallback.first_offer(config)
        local, remote = child_selectors.asked_selectors(sa, config)
        payloads += [
            *rows.FEATURES.child_offers(ChildTalk(context, sa, config, first.spi)),
            SA(offer_esp(handshake.first_offer, first.spi, with_ke=False)),
            *child_selectors.selector_payloads(local, remote, True),
        ]
    return payloads


def answered(context: Context, opening: OpeningSa, got: Incoming, request: Request[Auth]) -> None:
    """The responder proved itself: the IKE SA is up, and its child unless it was refused."""
    handshake, connection, payloads = opening.handshake, opening.connection, got.payloads
    remote, proof = payloads.need(IDr), payloads.one(AUTH)
    if connection.remote_id is not None and not connection.remote_id.matches(remote.identity):
        story = f"the peer is {remote.identity}, not {connection.remote_id}"
        raise IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason="peer_not_authenticated")
    claim = rows.FEATURES.claim(opening, connection, payloads, proof)
    presented = _presented(context, remote, payloads)
    verified = _proven(opening, connection, presented, remote, claim, request.message_id)
    _adopt(opening, claim)
    sa = lifecycle.establish(context, opening, connection.local_id, remote.identity, verified.path)
    rows.FEATURES.take(Talk(context, sa, payloads), Kind.AUTH, Role.INITIATOR)
    _first_child_answered(context, sa, handshake, payloads)
    first = handshake.first
    for config in handshake.wanted:
        # Asked for, stopped and asked for again: the first one is on its way out by now.
        if first is None or first.config.name != config.name or first.reason == "stopped":
            sa.queue.append(NewChild(config))


def refused(context: Context, sa: OpeningSa, got: Incoming, request: Request[Auth]) -> None:
    """An error answer without AUTH ends the attempt (section 2.21.2)."""
    error = got.payloads.need_error().type
    reason = _REASONS.get(error, "protocol_error")
    us = f"{sa.connection.local_id} to {sa.connection.remote_id or sa.path.remote_address}"
    story = f"the peer answered IKE_AUTH from {us} with {notify_name(error)}{rows.FEATURES.told(sa)}"
    raise IkeError(0, story, IKE, reason=reason)


def respond(context: Context, opening: OpeningSa, got: Incoming) -> list[Any]:
    """The responder checks the initiator's proof, gives its own and makes the first child.

    :raises IkeError: AUTHENTICATION_FAILED; the same for an unknown identity and for a wrong secret.
    """
    handshake, payloads, message_id = opening.handshake, got.payloads, got.header.message_id
    remote, wish = payloads.need(IDi), payloads.one(IDr)
    connection, verified, claim = _authenticate(context, opening, remote, got, wish.identity if wish else None)
    name = instances.name_for(context, connection, remote.identity, got.path)
    surplus.check_allowance(context, name, IKE)
    mine = IDr(connection.local_id)
    octets = _octets(opening, Role.RESPONDER, claim.keys, mine, message_id)
    asked = handshake.asked.requesting(payloads.all(CERTREQ))
    proof, certificates = verified.answering.prove(opening.protected.prf, octets, asked)
    lifecycle.drop_siblings(context, opening)
    connection = instances.tunnel_of(context, connection, name, remote.identity)
    context.registry.admit(opening, connection)
    _adopt(opening, claim)
    reply: list[Any] = [mine, *certificates, AUTH(*proof)]
    context.half_open.leave(opening.path.remote_address)
    opening.path = got.path  # the peer may have gone on to the NAT traversal port, with or without a NAT
    sa = lifecycle.establish(context, opening, connection.local_id, remote.identity, verified.path)
    talk = Talk(context, sa, payloads)
    rows.FEATURES.take(talk, Kind.AUTH, Role.RESPONDER)
    reply += rows.FEATURES.offers(talk, Kind.AUTH, Role.RESPONDER)
    if payloads.one(SA) is not None:
        try:
            reply += _first_child(context, sa, handshake, payloads)
        except IkeError as exc:
            # The IKE SA stands even if its child does not (section 1.2).
            context.report("child_failed", sa, reason=exc.reason, story=exc.story)
            reply.append(Notify(exc.notify or NotifyType.NO_PROPOSAL_CHOSEN, exc.data))
    instances.settle_unique(context, sa)
    surplus.close_ike_sas(context, sa)
    return reply


def _authenticate(
    context: Context, sa: OpeningSa, remote: IDi, got: Incoming, wish: Identity | None
) -> tuple[Connection, Verified, Claim]:
    """The tunnel that the peer proves to belong to, what to prove ourselves with, and how it was proven."""
    peer, proof = remote.identity, got.payloads.one(AUTH)
    presented = _presented(context, remote, got.payloads)
    failure: IkeError | None = None
    names: list[str] = []
    for tried, connection in enumerate(context.connections.for_identities(sa.path, peer, wish)):
        if tried == CANDIDATES:
            story = (
                f"more than {tried} tunnels are defined for peer {_name(peer)}; the first {tried} have other secrets"
            )
            failure = IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason="peer_not_authenticated")
            break
        try:
            _check_choice(connection, sa, peer)
            claim = rows.FEATURES.claim(sa, connection, got.payloads, proof)
            message_id = got.header.message_id
            return connection, _proven(sa, connection, presented, remote, claim, message_id), claim
        except IkeError as exc:
            failure = exc
            names.append(connection.name)
    if failure is None:
        us = f" with us as {_name(wish)}" if wish else ""
        story = f"no tunnel is defined here for peer identity {_name(peer)}{us}"
        failure = IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason="no_matching_tunnel")
    failure.tunnels = tuple(names) if len(names) <= FEW else ()
    raise failure


def _presented(context: Context, remote: IDi | IDr, payloads: Payloads) -> Presented:
    """What the peer shows of itself, whatever it proves by that."""
    return Presented(remote.identity, payloads.all(CERT), context.unix_time)


def _check_choice(connection: Connection, sa: OpeningSa, peer: Identity) -> None:
    """What was agreed before the peer had a name must be good enough for the tunnel it turns out to belong to."""
    if connection is sa.connection:
        return
    try:
        choose_ike(connection.proposals, (sa.protected.choice.proposal,))
    except IkeError as exc:
        story = f"peer {_name(peer)} belongs to {connection.name}: {exc.story}"
        raise IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason="no_proposal_chosen") from exc


def _proven(
    sa: OpeningSa, connection: Connection, presented: Presented, remote: IDi | IDr, claim: Claim, message_id: int
) -> Verified:
    """What comes of the peer's AUTH, which proves that it is the one defined.

    :raises IkeError: AUTHENTICATION_FAILED.
    """
    sender = Role.RESPONDER if sa.initiator else Role.INITIATOR

    def holds(keys: IkeKeys, proof: AUTH) -> Verified | None:
        octets = _octets(sa, sender, keys, remote, message_id)
        return auth.verify(sa.protected.prf, Evidence(presented, octets, Proof(proof.method, proof.data)))

    auth, proof, peer, reason = connection.auth, claim.proof, _name(remote.identity), "peer_not_authenticated"
    if proof is None:
        story = f"peer {peer} wants to authenticate with EAP, defined here is {auth.defined}"
    elif not auth.takes(proof.method):
        story = f"peer {peer} authenticates with method {proof.method}, defined here is {auth.defined}"
    else:
        verified = holds(claim.keys, proof)
        if verified is not None:
            return verified
        wrong = f"the {auth.credential}"
        if claim.added:
            wrong = f"{wrong} or {claim.added}"
        if claim.plain is not None and holds(*claim.plain) is not None:
            wrong, reason = claim.added, claim.reason
        story = f"{wrong} of peer {peer} is not the one defined here for {connection.name}"
    raise IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason=reason)


def _octets(sa: OpeningSa, sender: Role, keys: IkeKeys, identity: IDi | IDr, message_id: int) -> bytes:
    """What one end signs in the IKE_AUTH exchange of that Message ID."""
    handshake = sa.handshake
    began = sender is Role.INITIATOR
    message = handshake.sent if began is sa.initiator else handshake.received
    nonce, key = (handshake.nonce_r, keys.pi) if began else (handshake.nonce_i, keys.pr)
    octets = signed_octets(sa.protected.prf, message, nonce, key, identity.encode())
    return octets + rows.FEATURES.signed(sa, message_id)


def _adopt(sa: OpeningSa, claim: Claim) -> None:
    """Go on with what the peer has proven."""
    sa.protection = sa.protected._replace(keys=claim.keys)
    for slot, value in claim.kept:
        slot.put(sa, value)


def _first_child(context: Context, sa: IkeSa, handshake: Handshake, payloads: Payloads) -> list[Any]:
    tsi, tsr = payloads.one(TSi), payloads.one(TSr)
    if tsi is None or tsr is None:
        raise IkeError(NotifyType.INVALID_SYNTAX, "a child without traffic selectors", CHILD)
    asked = rows.FEATURES.asked_child(sa, payloads, tsr.selectors, tsi.selectors)
    narrowed = narrow(sa.connection.children, asked.local, asked.remote, asked.mode)
    instances.check_packets(context, sa, narrowed)
    choice = choose_esp(narrowed.config.proposals, payloads.need(SA).proposals, with_ke=False)
    spi = reserve(context, sa, narrowed, choice)
    answer = child_payloads(ChildTalk(context, sa, narrowed.config, spi, payloads), narrowed, choice)
    nonces = (handshake.nonce_i, handshake.nonce_r)
    child = children.make(context, sa, narrowed, choice, spi, nonces, (), started_exchange=False)
    children.take_up(context, sa, child)
    children.report_up(context, sa, child)
    return answer


def reserve(context: Context, sa: IkeSa, narrowed: Narrowed, choice: Choice) -> bytes:
    """Responder: our SPI for the child that the peer asked for, whose own is good."""
    children.check_choice(sa, choice)
    return children.reserve_spi(context, sa, narrowed.config)


def child_payloads(talk: ChildTalk, narrowed: Narrowed, choice: Choice) -> list[Any]:
    """Responder: the SA and selectors of the child, and what optional features say of it; before it is made."""
    return [
        *rows.FEATURES.child_offers(talk),
        SA((children.answer_proposal(choice, talk.spi),)),
        *child_selectors.selector_payloads(narrowed.local, narrowed.remote, False),
    ]


def _first_child_answered(context: Context, sa: IkeSa, handshake: Handshake, payloads: Payloads) -> None:
    task = handshake.first
    if task is None:
        return
    nonces = handshake.nonce_i, handshake.nonce_r
    try:
        child = child_from_answer(context, sa, task, handshake.first_offer, payloads, nonces)
    except IkeError as exc:
        if payloads.one(SA) is not None:
            children.close_at_peer(sa, task)
        children.release_spi(context, sa, task.config, task.spi)
        sa.unfit += (task.config.name,)
        context.report("child_failed", sa, child=task.config.name, reason=exc.reason, story=exc.story)
        return
    new_child_up(context, sa, task, child)


def new_child_up(context: Context, sa: IkeSa, task: NewChild, child: Child) -> None:
    """A child that we asked for is there; an operator may have thought better of it meanwhile."""
    children.install(context, sa, child)
    children.report_up(context, sa, child)
    if task.reason == "stopped":
        sa.queue.append(DeleteChild(child, reason="stopped"))
    if task.reason == "superseded":
        child.superseded = True
        config = next((one for one in sa.connection.children if one.name == task.config.name), None)
        if config is not None and sa.makes_children:
            sa.queue.append(NewChild(config))


def child_from_answer(
    context: Context,
    sa: IkeSa,
    task: ChildTask,
    offered: Sequence[EspProposal],
    payloads: Payloads,
    nonces: tuple[bytes, bytes],
) -> Child:
    """Initiator: the child that the peer's answer describes.

    :param task: without a key exchange in IKE_AUTH, where the child has none of its own; ``offered``: its proposals.
    :raises IkeError: scope child, when it refused or answered outside of our offer.
    """
    config = task.terms
    error = payloads.error()
    if error is not None:
        raise child_refusal(config, offered, error.type)
    answer, tsi, tsr = payloads.one(SA), payloads.one(TSi), payloads.one(TSr)
    if answer is None or tsi is None or tsr is None:
        raise IkeError(0, "the answer lacks the SA or the selectors of the child", CHILD)
    asked = rows.FEATURES.asked_child(sa, payloads, tsi.selectors, tsr.selectors)
    if asked.mode != config.mode:
        story = f"the peer chose {asked.mode} mode, {config.name} is defined in {config.mode} mode"
        raise IkeError(0, story, CHILD, reason="mode_refused")
    choice = check_answer_esp(offered, answer, with_ke=task.exchange is not None)
    secrets = key_exchange.finish(task, choice, payloads.one(KE))
    if choice.spi in task.closed:
        raise IkeError(0, f"the peer has already closed {config.name} again", CHILD, reason="peer_deleted")
    narrowed = Narrowed(config, asked.local, asked.remote)
    check_answer(*narrowed)
    instances.check_packets(context, sa, narrowed)
    if isinstance(task, NewChild) and task.packet is not None and not covers_packet(narrowed, task.packet):
        story = f"the peer made another Child SA of {config.name} than the packet needs"
        raise IkeError(0, story, CHILD, reason="selectors_refused")
    rows.FEATURES.child_answered(ChildTalk(context, sa, config, task.spi, payloads))
    return children.make(context, sa, narrowed, choice, task.spi, nonces, secrets, started_exchange=True)


def child_refusal(config: ChildConfig, offered: Sequence[EspProposal], number: int) -> IkeError:
    """What a notify in place of a child means, and what it was answered to."""
    reason = _REASONS_OF_CHILDREN.get(number, "protocol_error")
    story = f"the peer refused child {config.name} with {notify_name(number)}"
    if reason == "no_proposal_chosen":
        story += f"; offered was {a_few(offered)}"
    elif reason == "selectors_refused":
        story += f"; asked for was {in_words(config.local, config.remote, config.mode)}"
    # A peer that found our request malformed has ended the IKE SA with it (section 2.21.3).
    scope = IKE if number == NotifyType.INVALID_SYNTAX else CHILD
    return IkeError(0, story, scope, reason=reason)
