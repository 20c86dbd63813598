# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried, in order, where a peer refuses keys: other offers, then another IKE SA beside the one that lives.

A peer may refuse in CREATE_CHILD_SA what it took in IKE_AUTH: there a child has no key exchange of its own
(RFC 7296 section 1.2), so ends that differ in that alone agree until the first rekey. What lives must not die of it:

1. the whole offer of the definition;
2. of its key exchange groups the one that the IKE SA was made with, which the peer is known to take;
3. its proposals without a key exchange, if it has any;
4. a new IKE SA beside the old one, whose IKE_AUTH makes the child anew before anything ends (``beside.py``).

All of them in a row, and again after a while for as long as the child lives. A peer that is merely busy
(TEMPORARY_FAILURE, section 2.25) is left alone for longer each time: it may have been told to let this child end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...child_sa import KernelAlgorithm
from ...crypto.proposals import EspProposal
from ...crypto.registry import Algorithm
from ..connection import IP_PROTOCOLS, ChildConfig
from ..context import Context
from ..views import Refusal
from . import beside, child_wanted, supersede
from .child import Child
from .generations import serves
from .sa import IkeSa
from .tasks import ChildTask, NewChild, RekeyChild

# Refusals that another offer may mend.
_OF_THE_OFFER = ("no_proposal_chosen", "invalid_key_exchange")
# Refusals of a child as it is defined at either end, or of one more: the peer may be told otherwise any time.
_OF_THE_CHILD = (*_OF_THE_OFFER, "selectors_refused", "no_additional_sas")
# Refusals that time alone mends.
_BUSY = ("peer_busy", "kernel_refused")
# How often a peer may put off a new child before another IKE SA is tried.
_PATIENCE = 4


def offer(sa: IkeSa, task: ChildTask) -> tuple[EspProposal, ...]:
    """The proposals of this attempt at a child."""
    return _offers(sa, task.terms.proposals)[task.rung]


def first_offer(config: ChildConfig) -> tuple[EspProposal, ...]:
    """The proposals of IKE_AUTH, where a child has no key exchange of its own; what differs in that alone once."""
    offers: list[EspProposal] = []
    for proposal in config.proposals:
        plain = proposal.without_ke
        if plain not in offers:
            offers.append(plain)
    return tuple(offers)


def _offers(sa: IkeSa, proposals: tuple[EspProposal, ...]) -> list[tuple[EspProposal, ...]]:
    group = sa.protection.choice.ke
    proven = tuple(
        replace(proposal, ke=(group,)) for proposal in proposals if group is not None and group in proposal.ke
    )
    plain = tuple(proposal for proposal in proposals if not proposal.ke)
    return list(dict.fromkeys(offer for offer in (proposals, proven, plain) if offer or offer is proposals))


def child_refused(context: Context, sa: IkeSa, task: RekeyChild, reason: str, story: str) -> None:
    """The peer gives a living child no fresh keys: say so, and do what comes next."""
    child = task.child
    child.refusal = _note(child.refusal, reason, story)
    left = child.expires_at - context.now
    _tell(context, sa, child, child.refusal, left)
    if _another_offer(sa, task, reason):
        return
    child.rekey_at = context.now + context.back_off(reason, child.refusal.times, left)
    if child.superseded:
        return  # another IKE SA would be one of the new definition, which is being tried anyway
    if reason not in _BUSY and (_as_agreed(child) or left < child.config.lifetime * context.settings.rekey_margin / 2):
        beside.begin(context, sa, child.config.name)


def ike_refused(context: Context, sa: IkeSa, reason: str, story: str) -> None:
    """The peer gives a living IKE SA no fresh keys."""
    if sa.superseded:
        # It lives as long as its children, and what takes its place is being tried.
        sa.rekey_at = context.now + context.back_off(reason, 2)
        context.report("setback", sa, reason=reason, story=story)
        return
    sa.refusal = _note(sa.refusal, reason, story)
    left = sa.expires_at - context.now
    _tell(context, sa, None, sa.refusal, left)
    sa.rekey_at = context.now + context.back_off(reason, sa.refusal.times, left)
    if reason not in _BUSY:
        beside.begin(context, sa)


def put_off(context: Context, sa: IkeSa, task: NewChild) -> None:
    """The peer has no time for a new child: ask again later, and later still, if it is wanted then."""
    config = child_wanted.still_wanted(sa, task)
    if config is None:
        return
    times = task.times + 1
    pause = context.back_off("peer_busy", times)
    due = context.now + pause
    sa.queue.append(NewChild(config, not_before=due, times=times, packet=task.packet))
    if times >= _PATIENCE and not _serves(sa):
        beside.begin(context, sa, config.name)


def new_child_refused(context: Context, sa: IkeSa, task: NewChild, reason: str, story: str) -> None:
    """The peer makes no such child in this IKE SA."""
    if _another_offer(sa, task, reason):
        return
    if task.packet is not None:
        # The others go on as they are.
        packet = " === ".join(map(str, task.packet))
        story = f"packets such as {packet} are of child {task.config.name}, but it has no SA for them: {story}"
        context.report("child_failed", sa, child=task.config.name, reason=reason, story=story, packet=packet)
        return
    if reason in _OF_THE_OFFER:
        story += _about_pfs(sa, task.config)
    context.report("child_failed", sa, child=task.config.name, reason=reason, story=story)
    if sa.replaces is not None and task.config.name not in sa.unfit:
        sa.unfit += (task.config.name,)
    # IKE_AUTH makes a child on other terms. Where others live in this IKE SA, it is not given up for one more.
    name = task.config.name
    if reason in _OF_THE_OFFER and not _serves(sa) and name not in sa.unfit and task.reason != "stopped":
        beside.begin(context, sa, name)


def ask_later(context: Context, sa: IkeSa, task: NewChild, reason: str) -> None:
    """Ask once more after a while, and later still each time, for a child that the peer refused and somebody wants.

    Until then nobody who starts it has it asked for, however many packets wait for it.
    """
    config = child_wanted.still_wanted(sa, task)
    if not sa.alive or config is None or task.packet is not None:
        return
    times = task.times + 1
    if config in supersede.awaited(context, sa.connection.name):
        pause = context.back_off(reason, times)  # what it is to take over from goes on meanwhile
    elif reason in _OF_THE_CHILD and sa.replaces is None:
        pause = context.back_off("peer_busy", times)
    else:
        return
    sa.queue.append(NewChild(config, not_before=context.now + pause, times=times))


def _about_pfs(sa: IkeSa, config: ChildConfig) -> str:
    """What is to be said of a refusal where the peer took another child, which IKE_AUTH made without a key exchange."""
    if not any(serves(child) and not child.group for child in sa.children.values()):
        return ""
    if all(proposal.ke for proposal in config.proposals):
        return "; it may be without PFS, on which this definition insists: it has no proposal without a key exchange"
    if not any(proposal.ke for proposal in config.proposals):
        return "; it may insist on PFS, for which this definition has no proposal with a key exchange"
    return ""


def asked_in_vain(context: Context, child: Child) -> None:
    """We refused the peer fresh keys for a child, which is going to end there: soon try what we would have.

    Not at once: the peer may have other means, too, and both ends should not go about it at the same moment.
    """
    if child.refusal is None:
        left = child.expires_at - context.now
        child.rekey_at = min(child.rekey_at, context.now + context.back_off("peer_busy", 1, left))


def _serves(sa: IkeSa) -> bool:
    """Whether something lives in this IKE SA that is to stay there."""
    return any(serves(child) for child in sa.children.values())


def _note(before: Refusal | None, reason: str, story: str) -> Refusal:
    return Refusal(reason, story, before.times + 1 if before is not None else 1)


def _tell(context: Context, sa: IkeSa, child: Child | None, refusal: Refusal, left: float) -> None:
    """Tell of it at once, whatever may still help; that a peer is busy once is nothing."""
    data: dict[str, Any] = {"reason": refusal.reason, "story": refusal.story}
    if child is not None:
        data = {"child": child.config.name} | data
    if refusal.serious:
        context.report("rekey_refused", sa, child, **data, ends_in=max(0, int(left)))
    else:
        context.report("setback", sa, child, **data)


def _as_agreed(child: Child) -> bool:
    """Whether the peer has once taken what is offered now.

    Where the definition has changed, what the peer refuses are other algorithms. It would do so in another IKE SA, too,
    for which some peers give up the old one: that is for the end, when there is nothing to lose any more.
    """
    encryption, integrity = child.sa.encryption, child.sa.integrity
    return any(
        (encryption is None or _has(proposal.encr, encryption))
        and (integrity is None or _has(proposal.integ, integrity))
        for proposal in child.config.proposals
        if IP_PROTOCOLS[proposal.protocol] == child.sa.protocol
    )


def _has(rows: Iterable[Algorithm], wanted: KernelAlgorithm) -> bool:
    """Whether an algorithm is among these, which are all of its kind."""
    return any(row.name == wanted.name for row in rows)


def _another_offer(sa: IkeSa, task: ChildTask, reason: str) -> bool:
    """Ask again at once with the next offer, if there is one that may be taken."""
    rung = task.rung + 1
    idle = sa.retired or (sa.superseded and isinstance(task, NewChild))
    if reason not in _OF_THE_OFFER or idle or rung >= len(_offers(sa, task.terms.proposals)):
        return False
    sa.queue.insert(0, task.with_offer(rung))
    return True
