# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which policies the kernel is to have, and why: the one place that lays and deletes policies of tunnels.

Whoever needs policies *claims* them: what holds the place of a child that is down, each Child SA that lives. Several
claim the same place (a selector, a direction, an interface): the one that ranks first stands there. A change is
a change of claims; :meth:`DesiredPolicies.settle` then has the kernel follow, by replacement, and deletes what nobody
claims any more, last. So there is no moment without a policy for what is claimed before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from ..child_sa import ChildSa
from ..errors import EngineError
from ..kernel.registry import rest_reqid
from ..kernel.values import OUT, Place, Policy
from .host import KernelHost
from .log import Log
from .policy_claims import CLOSES, LEFT, RECEIVES, SENDS, YIELDS, Claim, Claimant, Standing, Way, place_of, way_of
from .standing_in import StandIns, let_in, peer_of

_FRESH_AUDITS = 2  # of everything, each minute, for which the peer may still send by a wider child


class Refusal(NamedTuple):
    """Policies of a claimant that cannot stand, and why."""

    claimant: Claimant
    problem: EngineError
    places: tuple[Place, ...] = ()


class Repair(NamedTuple):
    """A place where the kernel had something else than it was to have: what it held, and what was wanted there."""

    place: Place
    held: Policy | None
    wanted: Policy | None


class DesiredPolicies:
    """The claims, and the kernel's policies as they follow them.

    :param passing: completes each child by what passes by it.
    :ivar replaced: how many policies were set since the start; ``deleted`` likewise.
    """

    def __init__(self, host: KernelHost, log: Log, passing: Callable[[ChildSa], ChildSa] = lambda child: child) -> None:
        self._passing = passing
        self._host = host
        self._log = log
        self._claims: dict[Claimant, Claim] = {}
        self._at: dict[Place, tuple[Claimant, ...]] = {}
        self._of_child: dict[int, set[Claimant]] = {}
        self._narrowed: Counter[int] = Counter()
        self._stand_ins = StandIns()
        self._fresh: dict[Claimant, int] = {}
        self._users: Counter[Way] = Counter()
        self._dirty: dict[Place, None] = {}
        self._free: dict[Place, None] = {}
        # Where the kernel had policies of ours, and has them unless somebody else took them.
        self._ours: set[Place] = set()
        self._shut: dict[Way, ChildSa] = {}
        self._later: list[Callable[[], None]] = []
        self._held_back = 0
        self._latest = 0
        self.replaced = self.deleted = 0

    # Claims

    def __contains__(self, claimant: Claimant) -> bool:
        return claimant in self._claims

    def claim(self, claimant: Claimant, rank: tuple[int, int], child: ChildSa, lives: bool = False) -> None:
        """Want the policies of ``child``, in the place of what this claimant wanted before; see :meth:`settle`.

        :raises KernelError: its selectors cannot be policies; nothing is changed then.
        """
        child = self._passing(child)
        before = self._claims.get(claimant)
        if before is not None and (before.rank, before.child, before.lives) == (rank, child, lives):
            return
        policies = {place_of(policy): policy for policy in self._host.gateway.policies_of(child)}
        claim = Claim(claimant, rank, child, policies, lives)
        self._users[way_of(child)] += 1
        if rank[0] == SENDS:
            self._latest = max(self._latest, rank[1])
        with self._watching({**policies, **self._others(claim, before)}):
            if before is not None:
                self._leave(before)
            self._claims[claimant] = claim
            self._of_child.setdefault(child.reqid, set()).add(claimant)
            self._narrowed[child.reqid] += claim.narrowed
            for place in policies:
                self._at[place] = (*self._at.get(place, ()), claimant)
            self._stand_ins.enter(claim)
            if claim.carries and (before is None or not before.carries):
                self._fresh[claimant] = _FRESH_AUDITS

    def renew(self, tunnel: str | None = None) -> None:
        """What passes by a tunnel, or by any, may be something else now; see :meth:`settle`."""
        for claim in list(self._claims.values()):
            if tunnel in (None, claim.child.tunnel):
                self.claim(claim.claimant, claim.rank, claim.child, claim.lives)

    def rename(self, claimant: Claimant, tunnel: str) -> None:
        """A claimant is of a tunnel of another name now."""
        claim = self._claims.get(claimant)
        if claim is not None:
            self.claim(claimant, claim.rank, replace(claim.child, tunnel=tunnel), claim.lives)

    def first_rank(self) -> tuple[int, int]:
        """The rank of a Child SA that is to send from now on, before all that do so far, but not before newer ones."""
        return SENDS, self._latest + 1

    def drop(self, claimant: Claimant) -> None:
        """Want nothing any more; see :meth:`settle`."""
        claim = self._claims.get(claimant)
        if claim is not None:
            with self._watching(self._others(None, claim)):
                self._leave(claim)
                self._fresh.pop(claimant, None)

    def _others(self, claim: Claim | None, before: Claim | None) -> dict[Place, None]:
        """The places where a claim, or the end of the one before, may change what stands, besides its own."""
        found = dict.fromkeys(before.policies if before is not None else ())
        for each in (claim, before):
            if each is not None:
                found |= dict.fromkeys(self._stand_ins.within(each))
            if each is not None and each.carries:
                for name in self._of_child.get(each.child.reqid, ()):
                    found |= dict.fromkeys(self._claims[name].policies)
        return found

    def of(self, claimant: Claimant) -> Claim | None:
        """What it claims."""
        return self._claims.get(claimant)

    def claims_at(self, place: Place) -> list[Claim]:
        """Who claims a place; the one that stands there first.

        Of several children it is the one whose definition is the narrowest: a peer may narrow a wide one to just what
        another one, within it, is for.
        """
        claims = [self._claims[name] for name in self._at.get(place, ())]
        if len(claims) < 2:
            return claims
        narrowest: dict[int, int] = {}
        for claim in claims:
            reqid, priority = claim.child.reqid, claim.policies[place].priority
            narrowest[reqid] = min(priority, narrowest.get(reqid, priority))
        staying = [claim for claim in claims if claim.rank[0] not in (RECEIVES, CLOSES)]
        ranked = [narrowest[claim.child.reqid] for claim in staying or claims]
        # What wider ones negotiated is neither sent nor let in there.
        first = min(ranked)
        return sorted((claim for claim in claims if narrowest[claim.child.reqid] <= first), key=_rank, reverse=True)

    def places(self) -> Iterator[Place]:
        """Every place that somebody claims."""
        return iter(list(self._at))

    def standing(self, place: Place) -> Standing | None:
        """What is to stand at a place; None where there is to be nothing."""
        claims = self.claims_at(place)
        if not claims or claims[0].rank[0] == RECEIVES:
            return None
        first, policy, child = claims[0], claims[0].policies[place], claims[0].child
        if policy.templates and not first.lives and self._narrowed[child.reqid]:
            # What the peer did not let into the SAs there are asks for one of its own: it must not find those.
            rest = policy.templates[0]._replace(reqid=rest_reqid(child.reqid))
            policy = policy._replace(templates=(rest, *policy.templates[1:]))
        elif policy.templates and self._may_yield(first):
            found = self._stand_ins.find(first, place)
            if found is not None:
                policy, child = policy._replace(templates=found[1].templates), found[0].child
        if place[1] != OUT:
            # What a wider child of the same peer has there comes from nobody else.
            for claim in (self._claims[name] for name in self._at[place]):
                close = peer_of(claim.child) == peer_of(first.child) or any(claim is each for each in claims)
                if close and claim.lives and policy.templates and claim.policies[place].templates:
                    policy = let_in(policy, claim.policies[place].templates)
            for claim, wide in self._stand_ins.around(first, place) if first.carries and policy.templates else ():
                # What the peer sent by a wider one before it went over to this one arrives yet, or the other way round.
                whole = self._of_child[claim.child.reqid]
                going_over = not self._fresh.keys().isdisjoint((first.claimant, claim.claimant))
                if going_over or all(self._claims[name].lives for name in whole):
                    policy = let_in(policy, wide.templates)
        return Standing(first, policy, child)

    def _may_yield(self, claim: Claim) -> bool:
        """Whether its packets may go by the SA of another child."""
        kind, reqid = claim.rank[0], claim.child.reqid
        return kind == CLOSES or (kind in (LEFT, YIELDS) and not self._sends(reqid))

    def _sends(self, reqid: int) -> bool:
        return any(self._claims[name].carries for name in self._of_child.get(reqid, ()))

    def _leave(self, claim: Claim) -> None:
        del self._claims[claim.claimant]
        reqid = claim.child.reqid
        self._of_child[reqid].discard(claim.claimant)
        self._narrowed[reqid] -= claim.narrowed
        if not self._of_child[reqid]:
            del self._of_child[reqid], self._narrowed[reqid]
        self._stand_ins.leave(claim)
        for place in claim.policies:
            left = tuple(name for name in self._at[place] if name != claim.claimant)
            if left:
                self._at[place] = left
            else:
                del self._at[place]
        way = way_of(claim.child)
        self._users[way] -= 1
        if not self._users[way]:
            del self._users[way]
            self._shut[way] = claim.child

    @contextmanager
    def _watching(self, places: Iterable[Place]) -> Iterator[None]:
        """Note where something else is to stand afterwards."""
        before = {place: self.standing(place) for place in places}
        yield
        for place, stood in before.items():
            stands = self.standing(place)
            if (stood and stood.policy) != (stands and stands.policy):
                self._dirty[place] = None

    # The kernel

    def trust(self) -> None:
        """Take the kernel to have what is claimed so far: of a manager before, to be compared by :meth:`audit`."""
        self._dirty.clear()

    def look_again(self, places: Iterable[Place]) -> None:
        """Have the next :meth:`settle` compare these places with the kernel, whatever is known of them."""
        self._dirty.update(dict.fromkeys(places))

    def install_outbound(self, claimant: Claimant) -> None:
        """Add the SA that sends of a claimant, a Child SA, and point its policies to it, all or nothing.

        :raises EngineError: the kernel refused; its policies are as before, and its claim is to be dropped.
        """
        claim = self._claims[claimant]
        stands = [(place, self.standing(place)) for place in claim.policies]
        wanted = [there.policy for _place, there in stands if there is not None and there.claim is claim]
        self._host.gateway.install_outbound(claim.child, wanted, self._ours)
        self.replaced += len(wanted)
        self._stand(wanted)
        for place, there in stands:
            if there is not None and there.claim is claim:
                self._dirty.pop(place, None)

    def settle(self) -> list[Refusal]:
        """Have the kernel follow the claims: create and replace, then delete what nobody claims; what was refused.

        Work grows with the places where something changed.
        """
        dirty, self._dirty = self._dirty, {}
        wanted: dict[tuple[Claimant, int], tuple[ChildSa, list[Policy]]] = {}
        for place in dirty:
            stands = self.standing(place)
            if stands is not None:
                whose = stands.claim.claimant, stands.child.spi_out
                wanted.setdefault(whose, (stands.child, []))[1].append(stands.policy)
                self._free.pop(place, None)
            else:
                self._free[place] = None
        refusals = []
        for (claimant, _spi), (child, policies) in wanted.items():
            refused = self._set(self._claims[claimant], child, policies)
            if refused:
                refusals.append(Refusal(claimant, next(iter(refused.values())), tuple(refused)))
        if not self._held_back:
            self._delete()
        return refusals

    def _set(self, claim: Claim, child: ChildSa, policies: list[Policy]) -> dict[Place, EngineError]:
        """Set policies of a claim; where that was refused, and why.

        What is laid for the first time stands as a whole or not at all. Where some of it has stood, one place that is
        refused keeps none of the others open.
        """
        try:
            self.replaced += self._host.gateway.set_policies(policies, child, self._ours)
        except EngineError as exc:
            if len(policies) == 1 or self._ours.isdisjoint(claim.policies):
                return dict.fromkeys(map(place_of, policies), exc)
            return {place: why for policy in policies for place, why in self._set(claim, child, [policy]).items()}
        self._stand(policies)
        return {}

    def _stand(self, policies: Iterable[Policy]) -> None:
        """The kernel took these; of what passes by a tunnel it is not known, as others may have decided that before."""
        self._ours.update(place_of(policy) for policy in policies if policy.templates)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is inside is one change: nothing is deleted before all of it is carried out."""
        self._held_back += 1
        try:
            yield
        finally:
            self._held_back -= 1
            for refusal in self.settle():
                self._log.error(str(refusal.problem), claimant=" ".join(map(str, refusal.claimant)))

    def afterwards(self, doing: Callable[[], None]) -> None:
        """Do something when what is to be deleted has been."""
        self._later.append(doing)

    def places_of(self, tunnels: Collection[str]) -> list[Place]:
        """The places that these tunnels claim, each once."""
        claims = (claim for claim in self._claims.values() if claim.child.tunnel in tunnels)
        return list(dict.fromkeys(place for claim in claims for place in claim.policies))

    def audit(self, held: Iterable[Policy], places: Iterable[Place] | None = None) -> list[Repair]:
        """As :meth:`compare`; :meth:`settle` then repairs what was found."""
        held = list(held)
        found = self.compare(held, places)
        for policy in held:
            place = place_of(policy)
            if place not in self._ours and place in self._at and self._host.gateway.owns(policy):
                self._ours.add(place)
        if places is None:
            self._age()
        self.look_again(repair.place for repair in found)
        return found

    def _age(self) -> None:
        """Let children that have sent for long enough have their places for themselves."""
        for claimant, left in list(self._fresh.items()):
            self._fresh[claimant] = left - 1
            if left == 1:
                claim = self._claims[claimant]
                with self._watching({**claim.policies, **dict.fromkeys(self._stand_ins.within(claim))}):
                    del self._fresh[claimant]

    def compare(self, held: Iterable[Policy], places: Iterable[Place] | None = None) -> list[Repair]:
        """Where what stands is not what is wanted.

        :param held: the kernel's policies, of :meth:`..kernel.gateway.Gateway.standing_policies`.
        :param places: those to look at; None for all, and then policies of ours that nobody claims are told as well.
        """
        there = {place_of(policy): policy for policy in held}
        found = []
        for place in self.places() if places is None else places:
            stands = self.standing(place)
            wanted = stands.policy if stands is not None else None
            policy = there.get(place)
            passes = wanted is not None and not wanted.templates
            if passes and policy is not None and place not in self._ours and not self._host.gateway.owns(policy):
                continue  # whether those packets pass by the tunnel is decided by others
            if wanted is not None and (policy is None or not _serves(policy, wanted)):
                found.append(Repair(place, policy, wanted))
        if places is None:
            found += [
                Repair(place, policy, None)
                for place, policy in there.items()
                if place not in self._at and self._host.gateway.owns(policy)
            ]
        return found

    def _delete(self) -> None:
        free, self._free = self._free, {}
        self._ours.difference_update(free)
        try:
            if free:
                self.deleted += self._host.gateway.delete_policies(list(free))
        except EngineError as exc:
            self._log.error(str(exc))
        shut, self._shut = self._shut, {}
        for way, child in shut.items():
            if way not in self._users:
                try:
                    self._host.shut_way(child)
                except EngineError as exc:
                    self._log.error(str(exc), tunnel=child.tunnel)
        later, self._later = self._later, []
        for doing in later:
            doing()


def _rank(claim: Claim) -> tuple[int, int]:
    return claim.rank


def _serves(held: Policy, wanted: Policy) -> bool:
    """Whether what stands is what is wanted; a group of SAs may stand there in the place of one."""
    same = (held.priority, held.action) == (wanted.priority, wanted.action)
    chain = len(wanted.templates) or 1
    return same and held.templates[:chain] == wanted.templates
