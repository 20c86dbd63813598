# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of SAs that IKE replaces: the SA that follows another on a rekey takes its place (RFC 7296 section 2.8).

Generations of a child share their request ID, protocol and destination; only the SPI differs. Each policy that demands
a group is told the new SPI in one message, so there is no packet that finds the group without its successor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..child_sa import ChildSa
from ..said import Said
from . import sa_chains
from .client import XfrmClient
from .values import OUT, KernelSelector, Policy, SaState, said_of

Members = tuple[Said, ...]


class Succession(NamedTuple):
    """What a new generation of a child means for groups.

    :ivar wanted: the child's own policies, each with the group that its SA is the first of.
    :ivar others: (held, wanted) of policies that demand a group in which the SA stands further out.
    :ivar replaced: (old, new) names of members; the old SA may stand for a while.
    """

    wanted: list[Policy]
    others: list[tuple[Policy | None, Policy]]
    replaced: list[tuple[Said, Said]]


class _Heir(NamedTuple):
    """A group before and after one of its members was followed by ``new``."""

    group: Members
    old: Said
    new: Said
    before: sa_chains.Chain
    after: sa_chains.Chain


def succeed(client: XfrmClient, groups: Iterable[Members], child: ChildSa, wanted: list[Policy]) -> Succession:
    """Which policies and groups follow the SAs of ``child``, which stand.

    :param wanted: the child's policies as they were without groups.
    """
    ends = (
        Said(child.protocol, child.spi_out, child.remote_address),
        Said(child.protocol, child.spi_in, child.local_address),
    )
    concerned = [members for members in groups if any(_kin(said, end) for said in members for end in ends)]
    if not concerned:
        return Succession(wanted, [], [])
    sas = _states(client, {*ends, *(said for members in concerned for said in members)})
    heirs = [heir for members in concerned for end in ends if (heir := _heir(members, end, sas, child.reqid))]
    if not heirs:
        return Succession(wanted, [], [])
    there = {_key(policy): policy for policy in client.dump_policies() if not policy.marked}
    mine = {_key(policy) for policy in wanted}
    heirs = [heir for heir in heirs if _takes_over(heir, [there[key] for key in mine & there.keys()])]
    return Succession(
        [_own(policy, there.get(_key(policy)), heirs) for policy in wanted],
        [pair for key, policy in there.items() if key not in mine for pair in _pointed(policy, heirs)],
        [(heir.old, heir.new) for heir in heirs if heir.old != heir.new],
    )


def _key(policy: Policy) -> tuple[KernelSelector, str, int]:
    """What the kernel has one policy of."""
    return policy.selector, policy.direction, policy.if_id


def _kin(said: Said, end: Said) -> bool:
    return (said.protocol, said.destination) == (end.protocol, end.destination)


def _states(client: XfrmClient, saids: Iterable[Said]) -> dict[Said, SaState]:
    found = (client.get_sa(s.destination, s.spi, s.protocol) for s in saids if s.protocol != sa_chains.TUN)
    return {said_of(sa): sa for sa in found if sa is not None}


def _heir(members: Members, end: Said, sas: Mapping[Said, SaState], reqid: int) -> _Heir | None:
    """The place of ``end`` in a group: its own, or that of an earlier generation."""
    for said in members:
        if _kin(said, end) and said in sas and sas[said].reqid == reqid and end in sas:
            after = tuple(end if member == said else member for member in members)
            return _Heir(members, said, end, sa_chains.transforms(members, sas), sa_chains.transforms(after, sas))
    return None


def _takes_over(heir: _Heir, held: Sequence[Policy]) -> bool:
    """A child may have several SAs at once, for selectors of their own: only one that gets the policies is a heir."""
    first, _sa = heir.before[0]
    return first != heir.old or any(sa_chains.carries(policy, heir.before) for policy in held)


def _own(policy: Policy, held: Policy | None, heirs: Sequence[_Heir]) -> Policy:
    """A policy of the child, with the chain that its SA is the first of."""
    for heir in heirs:
        said, first = heir.after[0]
        if said != heir.new or first is None or not sa_chains.leads_to(policy, first, ()):
            continue
        if held is not None and sa_chains.carries(held, heir.before):
            # A member that is gone stays demanded: nothing leaves with less than the group.
            first_template = policy.templates[0]._replace(optional=held.templates[0].optional)
            return policy._replace(templates=(first_template, *held.templates[1:]))
        return sa_chains.with_chain(policy, heir.after)
    return policy


def _pointed(policy: Policy, heirs: Sequence[_Heir]) -> Iterable[tuple[Policy, Policy]]:
    for heir in heirs:
        if heir.old != heir.new and policy.direction == OUT and sa_chains.carries(policy, heir.before):
            place = [said for said, _sa in heir.before].index(heir.old)
            if policy.templates[place].spi:
                templates = list(policy.templates)
                templates[place] = templates[place]._replace(spi=heir.new.spi)
                yield policy, policy._replace(templates=tuple(templates))
