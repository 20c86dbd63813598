# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child SAs: what IKE_AUTH and CREATE_CHILD_SA have in common when they make, install and remove one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Union

from ...child_sa import ChildSa, Limits
from ...crypto.keys import child_keys
from ...crypto.negotiation import Choice
from ...errors import CHILD, IkeError, KernelError
from ...secret import Secret
from ...selector import Selector
from ...wire.v2.numbers import NotifyType, ProtocolId
from ...wire.v2.sa import Proposal
from ..actions import (
    InstallInbound,
    InstallOutbound,
    PointPolicies,
    ReleaseSpi,
    RemovePolicies,
    RemoveSas,
    ResetPolicies,
    YieldPolicies,
)
from ..connection import IP_PROTOCOLS, ChildConfig
from ..context import Context
from . import child_wanted, supersede, twins
from .child import SENDING, Child, ChildState
from .features import ipcomp, nat
from .generations import generations, heirs_of, newer_definitions, staying, successor_of
from .sa import EitherSa, IkeSa
from .tasks import ChildTask, DeleteAtPeer, NewChild
from .traffic import Narrowed, same_selectors
from .tunnel_sas import sas_of

AH = IP_PROTOCOLS[ProtocolId.AH]
Policies = Union[PointPolicies, ResetPolicies, RemovePolicies, None]  # what becomes of those of a child that goes


def reserve_spi(context: Context, sa: EitherSa, config: ChildConfig) -> bytes:
    """An SPI for what we are going to receive, 4 octets.

    :raises IkeError: scope child, when the kernel gives none.
    """
    try:
        spi = context.spis(sa.path.local_address, sa.path.remote_address, config.protocol, config.reqid)
    except KernelError as exc:
        raise IkeError(NotifyType.TEMPORARY_FAILURE, str(exc), CHILD, reason="kernel_refused") from exc
    return spi.to_bytes(4, "big")


def release_spi(context: Context, sa: EitherSa, config: ChildConfig, spi: bytes) -> None:
    """Give back an SPI that no SA came of."""
    if spi:
        number = int.from_bytes(spi, "big")
        context.actions.append(ReleaseSpi(sa.path.local_address, sa.path.remote_address, config.protocol, number))
        ipcomp.give_up(context, sa, spi)


def close_at_peer(sa: IkeSa, task: ChildTask) -> None:
    """The peer has made a child that we cannot accept: have it closed there."""
    sa.queue.append(DeleteAtPeer(task.terms, task.spi, reason="replaced"))


def as_made(child: Child) -> ChildConfig:
    """What it takes to close a child at the peer: its definition, unless that is of another protocol by now."""
    return child.config if child.config.protocol == child.sa.protocol else child.terms


def check_choice(sa: IkeSa, choice: Choice) -> int:
    """The peer's SPI as a number.

    :raises IkeError: scope child, when it has the wrong size, is reserved (RFC 4303 section 2.1) or in use already, or
        when what was chosen cannot reach the peer.
    """
    if IP_PROTOCOLS[choice.protocol] == AH and nat.encapsulation(sa) is not None:
        story = "there is a NAT between the two ends, whose changes AH takes for forgery (RFC 3948 section 3)"
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, story, CHILD, reason="ah_behind_nat")
    spi = int.from_bytes(choice.spi, "big")
    if len(choice.spi) != 4 or spi < 256:
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, f"the peer's SPI {choice.spi.hex()} is not usable", CHILD)
    if any(child.sa.spi_out == spi for child in sa.children.values()):
        raise IkeError(NotifyType.NO_PROPOSAL_CHOSEN, f"the peer's SPI {choice.spi.hex()} is in use already", CHILD)
    return spi


def make(
    context: Context,
    sa: IkeSa,
    narrowed: Narrowed,
    choice: Choice,
    spi_in: bytes,
    nonces: tuple[bytes, bytes],
    secrets: Sequence[Secret],
    started_exchange: bool,
) -> Child:
    """Derive the keys and enter the child into the IKE SA; nothing is installed yet.

    :param nonces: of the exchange's initiator and responder.
    :param secrets: of the exchange's own key exchange and of additional ones, empty without one.
    :param started_exchange: whether we sent the request of this exchange: its initiator's keys are ours to send with.
    """
    config = narrowed.config
    spi_out = check_choice(sa, choice)
    protection = sa.protection
    keys = child_keys(protection.prf, protection.keys.d, choice, *nonces, secrets[0] if secrets else None, secrets[1:])
    initiator, responder = (keys.encr_i, keys.integ_i), (keys.encr_r, keys.integ_r)
    outgoing, incoming = (initiator, responder) if started_exchange else (responder, initiator)
    number = context.registry.number()
    cpi_in, cpi_out = ipcomp.take(sa, spi_in)
    child_sa = ChildSa(
        sa.connection.name, config.name, number, config.reqid, sa.path.local_address, sa.path.remote_address,
        IP_PROTOCOLS[choice.protocol], config.mode, int.from_bytes(spi_in, "big"), spi_out,
        narrowed.local, narrowed.remote, choice.encr, choice.integ,
        incoming[0], outgoing[0], incoming[1], outgoing[1],
        nat.encapsulation(sa), choice.esn, config.replay_window, _kernel_limits(config),
        config.if_id, _defined(narrowed), cpi_in=cpi_in, cpi_out=cpi_out,
        priority=config.priority, copied=config.copied, offload=config.offload,
    )  # fmt: skip
    child = Child(
        number, config, child_sa, ChildState.INSTALLED, context.now, context.now + context.spread(config.lifetime),
        context.now + config.lifetime, min(nonces),
        started_exchange, group=choice.ke.transform_id if choice.ke is not None else 0,
    )  # fmt: skip
    adopt(context, sa, child)
    twins.look_later(context, sa, child)
    return child


def _defined(narrowed: Narrowed) -> tuple[tuple[Selector, ...], tuple[Selector, ...]] | None:
    config = narrowed.config
    same = same_selectors(narrowed.local, config.local) and same_selectors(narrowed.remote, config.remote)
    return None if same else (config.local, config.remote)


def _kernel_limits(config: ChildConfig) -> Limits:
    """Soft limits at 90 %, and a hard time limit somewhat after ours, should the manager not be there."""
    soft_bytes, soft_packets = config.lifetime_bytes * 9 // 10, config.lifetime_packets * 9 // 10
    return Limits(
        soft_bytes, config.lifetime_bytes, soft_packets, config.lifetime_packets, hard_seconds=int(config.lifetime) + 60
    )


def adopt(context: Context, sa: IkeSa, child: Child) -> None:
    """Make the child one of this IKE SA."""
    sa.children[child.number] = child
    context.registry.enter_child(sa, child)
    context.touch(sa)


def forget(context: Context, sa: IkeSa, child: Child) -> None:
    """The child is no longer one of this IKE SA."""
    child.state = ChildState.GONE
    sa.children.pop(child.number, None)
    context.registry.forget_child(child)


def install(context: Context, sa: IkeSa, child: Child) -> None:
    """Install both directions; inbound first, so that nothing the peer may already send is lost."""
    context.actions += [InstallInbound(child.sa), InstallOutbound(child.sa)]


def take_up(context: Context, sa: IkeSa, child: Child) -> None:
    """Install a child that we answered with. The peer does not receive on it before it has our answer.

    Where older ones carry its packets, in this IKE SA or in another, those go on sending until they are closed, or it
    is proven that the peer has the answer: it asks the next thing, or answers what we ask after a moment.
    """
    if not supersede.older_in_use(context, sa, child):
        install(context, sa, child)
        return
    child.state, child.proof_at = ChildState.ANSWERED, context.now + context.settings.switch_pause
    for older in heirs_of(context, child):
        # Of several that may not be there at the peer's end, the newest is the one that it closes others for.
        heir = successor_of(older)
        free = heir is None or heir.proof_at
        if older.number not in sa.children and older.state in SENDING and free:
            older.successor = child
            _touch_owner(context, older)
    context.actions.append(InstallInbound(child.sa))
    context.touch(sa)


def _let_send(context: Context, sa: IkeSa) -> None:
    """An older one is gone: have those send that were made beside it, unless others carry their packets."""
    for other in sas_of(context, sa.connection.name):
        for child in [child for child in other.children.values() if child.proof_at]:
            if not (supersede.older_in_use(context, other, child) or supersede.newer_in_use(context, other, child)):
                switch_to(context, child)
                context.touch(other)


def report_up(context: Context, sa: IkeSa, child: Child) -> None:
    """A child came up that replaces none."""
    context.report("child_up", sa, child, child=child.config.name)


def switch_to(context: Context, child: Child) -> None:
    """A child that only received so far now sends too."""
    if child.state is ChildState.ANSWERED:
        child.state, child.proof_at = ChildState.INSTALLED, 0.0
        context.actions.append(InstallOutbound(child.sa))
        closing = [other for other in generations(context, child) if other.state is ChildState.DELETING]
        if any(other.number > child.number for other in closing):
            # By itself the newest one stands, but the peer does not receive on that any more.
            context.actions.append(PointPolicies(child.sa))
        _touch_owner(context, child)


def _touch_owner(context: Context, child: Child) -> None:
    """What became of the child is to be kept, in another IKE SA than the one that this is about, maybe."""
    owner = context.registry.by_child_spi.get((child.sa.local_address, child.sa.spi_in))
    if owner is not None:
        context.touch(owner[0])


def step_aside(context: Context, closing: Collection[Child]) -> None:
    """These are about to be closed at the peer's end: have other generations send from now on."""
    leaving = [child for child in closing if _sends(child)]
    for child in closing:
        child.state = ChildState.DELETING
    for child in leaving:
        _relieve(context, child)


def _relieve(context: Context, child: Child) -> None:
    heirs = [*heirs_of(context, child), *newer_definitions(context, child)]
    sending = [heir for heir in heirs if heir.state in SENDING] or [heir for heir in heirs if _sends(heir)]
    if not sending:
        # One that only receives so far may not be there at the peer's end yet.
        waiting = [heir for heir in heirs if heir.number > child.number or heir.state is not ChildState.REKEYED]
        if waiting:
            switch_to(context, max(waiting, key=lambda one: one.number))
    for heir in sorted(sending, key=lambda one: (not one.superseded, one.number)):
        context.actions.append(PointPolicies(heir.sa))
    if not all(_same_selectors(heir, child) and heir.config.reqid == child.config.reqid for heir in heirs):
        context.actions.append(YieldPolicies(child.sa))  # its policies would come before those of wider ones


def _sends(child: Child) -> bool:
    """Whether our packets leave through it; of one that the peer rekeyed until that one's Delete comes."""
    answered = child.successor is not None and child.successor.state is ChildState.ANSWERED
    return child.state in SENDING or (child.state is ChildState.REKEYED and answered)


def _hand_on(context: Context, child: Child) -> None:
    """It goes: its successor sends, unless that may not be there at the peer's end yet and others send."""
    heir = child.successor
    if heir is not None and not (heir.proof_at and any(other.state in SENDING for other in heirs_of(context, child))):
        switch_to(context, heir)


def remove(context: Context, sa: IkeSa, child: Child, reason: str, story: str) -> None:
    """Take a child down; its successor, if it has one, takes over without a gap."""
    heirs, policies = _withdraw(context, sa, child)
    _go_back(context, child, heirs)
    if isinstance(policies, PointPolicies):
        context.actions += [policies, RemoveSas(child.sa)]
    else:
        context.actions += [RemoveSas(child.sa), *([policies] if policies else ())]
    if not staying(context, child):
        context.report("child_down", sa, child, child=child.config.name, reason=reason, story=story)


def _go_back(context: Context, child: Child, heirs: Sequence[Child]) -> None:
    """What took over is gone before those that it replaced: where nothing else is left, they are to stay."""
    if all(heir.state is ChildState.REKEYED and heir.successor is child for heir in heirs):
        for heir in heirs:
            heir.state, heir.successor = ChildState.INSTALLED, None
            heir.rekey_at = max(heir.rekey_at, context.now + context.settings.switch_pause)
            _touch_owner(context, heir)


def _withdraw(context: Context, sa: IkeSa, child: Child) -> tuple[list[Child], Policies]:
    """Take a child out of use: its heirs, which go on without a gap, and what becomes of its policies."""
    _hand_on(context, child)
    forget(context, sa, child)
    _let_send(context, sa)
    heirs = heirs_of(context, child)
    return heirs, _what_becomes_of_policies(sa, child, heirs)


def make_anew(context: Context, sa: IkeSa, child: Child) -> None:
    """Somebody else deleted an SA of this child: negotiate another in its place, then tell the peer that it is closed.

    What is gone is never installed once more: under the same keys, its nonces and its replay window would begin anew.
    Its policies hold its place meanwhile, so that nothing leaves in clear.
    """
    if child.state is ChildState.DELETING:
        return  # its Delete is out; the answer takes the rest
    heirs, policies = _withdraw(context, sa, child)
    if isinstance(policies, RemovePolicies):
        policies = ResetPolicies(child.sa)
    context.actions += [*([policies] if policies else ()), RemoveSas(child.sa)]
    stopped = child_wanted.being_stopped(sa, child.config.name)
    if sa.alive and sa.makes_children and not (child.superseded or stopped):
        sa.queue.append(NewChild(child.config))
    sa.queue.append(DeleteAtPeer(as_made(child), child.sa.spi_in.to_bytes(4, "big")))
    if not heirs:
        story = "somebody else deleted its SAs from this host's kernel; it is negotiated anew"
        context.report("child_down", sa, child, child=child.config.name, reason="kernel_disturbed", story=story)


def not_installed(context: Context, sa: IkeSa, child: Child, problem: str) -> None:
    """The kernel refused a child and has rolled it back: so do we, and the peer is told."""
    forget(context, sa, child)
    policies = _what_becomes_of_policies(sa, child, heirs_of(context, child))
    if policies is not None:
        context.actions.append(policies)
    sa.queue.append(DeleteAtPeer(as_made(child), child.sa.spi_in.to_bytes(4, "big")))
    context.touch(sa)
    context.report("child_failed", sa, child, child=child.config.name, reason="kernel_refused", story=problem)


def _what_becomes_of_policies(sa: IkeSa, child: Child, heirs: Sequence[Child]) -> Policies:
    """Where the child's policies go with its SAs: to another generation behind them, back to a trap, or away."""
    shared = [heir for heir in heirs if _same_selectors(heir, child)]
    sending = [heir for heir in heirs if heir.state is not ChildState.ANSWERED]
    if any(heir in sending for heir in shared):
        # Where the newest one has other selectors, what stands behind it has the rest of the places.
        return PointPolicies(max(sending, key=lambda heir: heir.number).sa)
    if shared:
        return None  # it points them to itself when it begins to send
    return ResetPolicies(child.sa) if _keeps_trap(child) and not sa.retired else RemovePolicies(child.sa)


def clear(context: Context, sa: IkeSa, child: Child) -> None:
    """An operator wants it gone: the SAs, and the policies where nobody else wants them."""
    forget(context, sa, child)
    _let_send(context, sa)
    context.actions += [RemoveSas(child.sa), RemovePolicies(child.sa)]
    context.report("child_down", sa, child, child=child.config.name, reason="stopped", story="stopped by an operator")


def _same_selectors(one: Child, other: Child) -> bool:
    return (one.sa.local_selectors, one.sa.remote_selectors) == (other.sa.local_selectors, other.sa.remote_selectors)


def _keeps_trap(child: Child) -> bool:
    """Whether the child's policies are those that its definition keeps in place while it is down."""
    config = child.config
    local, remote = child.sa.local_selectors, child.sa.remote_selectors
    same = same_selectors(local, config.local) and same_selectors(remote, config.remote)
    return config.start in ("auto", "trap") and same


def refuse_in_retired(sa: IkeSa) -> None:
    """The peer wants a child, or fresh keys for one, in an IKE SA that an operator removed.

    It is about to be closed, if late, so the answer is that of RFC 7296 section 2.25.1: the child lives on.

    :raises IkeError: TEMPORARY_FAILURE, scope child.
    """
    if sa.retired:
        story = "an operator removed this IKE SA: what is up stays until its lifetime is over, nothing new is made"
        # To NO_ADDITIONAL_SAS strongSwan closes the IKE SA at once, with all its children, to begin afresh.
        raise IkeError(NotifyType.TEMPORARY_FAILURE, story, CHILD, reason="stopped")


def answer_proposal(choice: Choice, spi: bytes) -> Proposal:
    """The chosen proposal as our answer states it: with our SPI."""
    proposal = choice.proposal
    return Proposal(proposal.number, proposal.protocol, spi, proposal.transforms)
