# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which living child takes the packets of a narrower one that is not up yet.

Where a child's networks were split, narrowed under another name or got another child within them, the narrower places
have no SA of their own at first, maybe for long: until the peer is changed, too. What carried those packets so far
lives and goes on to do so. Both are children of one tunnel and the peer is the same, so no packet comes to anybody whom
its definition does not name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..child_sa import ChildSa
from ..kernel.policies import covers
from ..kernel.values import AH, Place, Policy, Template
from ..newer_python import zip
from .nesting import Nesting
from .policy_claims import Claim, Claimant

Peer = tuple[str, str]
_ANY = {4: "0.0.0.0", 6: "::"}
_NULL = "ecb(cipher_null)"


def peer_of(child: ChildSa) -> Peer:
    """The tunnel and the address of its peer."""
    return child.tunnel, child.remote_address


class StandIns:
    """The claims of each peer: those that carry packets, and the places of those that do not."""

    def __init__(self) -> None:
        self._carried: defaultdict[Peer, Nesting] = defaultdict(Nesting)
        self._idle: defaultdict[Peer, Nesting] = defaultdict(Nesting)
        self._at: dict[tuple[Peer, Place], dict[Claimant, Claim]] = {}

    def enter(self, claim: Claim) -> None:
        """Know a claim."""
        peer = peer_of(claim.child)
        if not claim.carries:
            for place in claim.policies:
                self._idle[peer].add(place)
            return
        for place, policy in claim.policies.items():
            if policy.templates:
                self._carried[peer].add(place)
                self._at.setdefault((peer, place), {})[claim.claimant] = claim

    def leave(self, claim: Claim) -> None:
        """Know it no more."""
        peer = peer_of(claim.child)
        nesting = self._carried if claim.carries else self._idle
        for place, policy in claim.policies.items():
            if claim.carries and not policy.templates:
                continue
            nesting[peer].remove(place)
            if claim.carries:
                del self._at[peer, place][claim.claimant]
                if not self._at[peer, place]:
                    del self._at[peer, place]
        if not nesting[peer]:
            del nesting[peer]

    def within(self, claim: Claim) -> Iterator[Place]:
        """The places of other children of the peer within those of this one."""
        peer = peer_of(claim.child)
        for nesting in (self._idle.get(peer), self._carried.get(peer)):
            if nesting is not None:
                for place in claim.policies:
                    yield from nesting.within(place)

    def around(self, claim: Claim, place: Place) -> Iterator[tuple[Claim, Policy]]:
        """Those that carry what a place of this claim is for, each with its own policy."""
        peer = peer_of(claim.child)
        carried = self._carried.get(peer)
        if carried is not None:
            for wide in carried.around(place):
                for other in self._at[peer, wide].values():
                    yield other, other.policies[wide]

    def find(self, claim: Claim, place: Place) -> tuple[Claim, Policy] | None:
        """Who stands in for a claim at a place, with its own policy.

        Those that are being closed come last; of the others it is the narrowest, of several the newest.
        """
        wanted = claim.policies[place].templates[-1]
        found = [
            ((other.rank[0], -policy.priority, other.rank), other, policy)
            for other, policy in self.around(claim, place)
            if other.rank[0] > claim.rank[0]
            and policy.templates[-1].protocol == wanted.protocol
            and _takes(other, place)
        ]
        if not found:
            return None
        _order, other, policy = max(found, key=lambda each: each[0])
        return other, policy


def _takes(claim: Claim, place: Place) -> bool:
    """Whether what is sent there is protected, as far as its protocol does that, and does not pass by the child."""
    encryption = claim.child.encryption
    if encryption is None and claim.child.protocol != AH:
        return False
    if encryption is not None and encryption.kernel == _NULL:
        return False
    if not claim.child.passes:
        return True
    passes = [each for each, policy in claim.policies.items() if not policy.templates]
    return not any(each[1:] == place[1:] and covers(each[0], place[0]) for each in passes)


def let_in(policy: Policy, others: Sequence[Template]) -> Policy:
    """``policy``, so that it lets in what comes by a chain of ``others``, too.

    The kernel compares one chain, so it has to leave out what the two differ in, as long as both live.
    """
    if [(t.protocol, t.mode) for t in others] != [(t.protocol, t.mode) for t in policy.templates]:
        return policy
    both = tuple([_either(mine, other) for mine, other in zip(policy.templates, others, strict=True)])
    return policy._replace(templates=both) if both != policy.templates else policy


def _either(mine: Template, other: Template) -> Template:
    if other.reqid != mine.reqid and not (mine.shared and not mine.reqid):
        mine = mine._replace(reqid=0, shared=True)
    if other.source != mine.source:
        mine = mine._replace(source=_ANY[6 if ":" in mine.source else 4], shared=True)
    return mine
