# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is ours in each of the kernel's tables, compared with what stands there, and put back.

SAs are the exception: one that is gone is never installed again, under the same keys. Its child is negotiated anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future

from ..child_sa import ChildSa
from ..errors import EngineError
from ..ike.actions import KernelEvent, Vanished
from ..ike.endpoint import Endpoint
from ..ike.views import ChildStage, ChildView
from ..kernel.routes import Route
from ..kernel.values import Place, Policy
from .desired_policies import DesiredPolicies
from .host import KernelHost
from .log import Log
from .losses import Loss, Name, ends_of, inbound, lost_policies
from .repairs import Outcome
from .tunnel_interfaces import TunnelInterfaces


def _mended(losses: list[Loss], problems: dict[str, str]) -> Outcome:
    """An outcome, of losses with a problem by what was lost."""
    refused = [_because(loss, problems[loss.what]) for loss in losses if loss.what in problems]
    return Outcome([loss for loss in losses if loss.what not in problems], refused)


def _because(loss: Loss, problem: object) -> Loss:
    return loss._replace(what=f"{loss.what}: {problem}")


class Links:
    """The interfaces of route-based tunnels, with their addresses and routes."""

    def __init__(self, interfaces: TunnelInterfaces, log: Log) -> None:
        self._interfaces = interfaces
        self._log = log

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """See :class:`.repairs.Mender`."""
        return [Loss(tunnel, what) for tunnel, what in self._interfaces.lacking(tunnels).items()]

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """See :class:`.repairs.Mender`."""
        losses, problems = self.lacking(tunnels), {}
        for loss in losses:
            try:
                self._interfaces.mend(loss.tunnel)
            except EngineError as exc:
                problems[loss.what] = str(exc)
        if tunnels is None:
            self._follow_addresses()
        return _mended(losses, problems)

    def _follow_addresses(self) -> None:
        """Give routes the source addresses that this host has by now; of these nobody took anything."""
        for tunnel in self._interfaces.astray():
            try:
                self._interfaces.mend(tunnel)
                self._log.info("the routes through the interface have another source address", tunnel=tunnel)
            except EngineError as exc:
                self._log.warning(f"the routes keep their source address: {exc}", tunnel=tunnel)


class Routes:
    """The routes to what is behind peers, of tunnels without an interface."""

    def __init__(self, host: KernelHost, log: Log) -> None:
        self._host = host
        self._log = log

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """See :class:`.repairs.Mender`."""
        return [_lost_route(child, route) for child, routes in self._lost(tunnels) for route in routes]

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """See :class:`.repairs.Mender`. Those that became possible were lost by nobody, and are made too."""
        losses: list[Loss] = []
        problems: dict[Loss, str] = {}
        for child, routes in self._lost(tunnels):
            found = [_lost_route(child, route) for route in routes]
            losses += found
            try:
                self._host.mend_way(child)
            except EngineError as exc:
                problems |= dict.fromkeys(found, str(exc))
        # What could not be done of one may have been done of another: what counts is what is there now.
        left = problems.keys() & set(self.lacking(tunnels)) if problems else frozenset()
        for child, routes in self._host.open_late_ways():
            for route in routes:
                self._log.info(f"the route to {route.destination} became possible and is set", tunnel=child.tunnel)
        refused = [_because(loss, problems[loss]) for loss in losses if loss in left]
        return Outcome([loss for loss in losses if loss not in left], refused)

    def _lost(self, tunnels: Collection[str] | None) -> list[tuple[ChildSa, list[Route]]]:
        return [lost for lost in self._host.lost_ways() if tunnels is None or lost[0].tunnel in tunnels]


def _lost_route(child: ChildSa, route: Route) -> Loss:
    return Loss(child.tunnel, f"the route to {route.destination}", child.child)


class Sas:
    """The SAs of children.

    :param hear: takes in what the kernel has told and nobody has read yet.
    :param tell: has the protocol take an event of the kernel.
    """

    def __init__(
        self, host: KernelHost, endpoint: Endpoint, hear: Callable[[], None], tell: Callable[[KernelEvent], None]
    ) -> None:
        self._host = host
        self._endpoint = endpoint
        self._hear = hear
        self._tell = tell

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """See :class:`.repairs.Mender`."""
        return [_loss(child) for child, _name in self._lost(tunnels)]

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """See :class:`.repairs.Mender`."""
        # One that reached a limit is told by an event that may not be read yet.
        self._hear()
        losses = []
        for child, name in self._lost(tunnels):
            losses.append(_loss(child))
            # IKE knows a child by its own SPIs.
            self._tell(Vanished(*(name if name[1] == child.sa.protocol else inbound(child.sa))))
        return Outcome(losses)

    def _lost(self, tunnels: Collection[str] | None) -> list[tuple[ChildView, Name]]:
        """The children of which an SA is gone, each once, with that one."""
        expected = {name: child for child in self._children(tunnels) for name in ends_of(child)}
        standing = self._host.gateway.standing_sas(list(expected)) if expected else set()
        lost = {child.number: (child, name) for name, child in expected.items() if name not in standing}
        return list(lost.values())

    def _children(self, tunnels: Collection[str] | None) -> Iterator[ChildView]:
        endpoint = self._endpoint
        for sa in endpoint.sas() if tunnels is None else [sa for name in tunnels for sa in endpoint.of_tunnel(name)]:
            yield from [child for child in sa.children if child.stage is not ChildStage.ENDING]


def _loss(child: ChildView) -> Loss:
    return Loss(child.sa.tunnel, f"SAs of the child {child.name}, which is negotiated anew", child.name)


class Policies:
    """The policies of tunnels, and those that let neighbours pass."""

    def __init__(self, host: KernelHost, policies: DesiredPolicies) -> None:
        self._host = host
        self._policies = policies

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """See :class:`.repairs.Mender`."""
        places, held = self._held(tunnels)
        return list(lost_policies(self._policies, self._policies.compare(held, places)).values())

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """See :class:`.repairs.Mender`."""
        places, held = self._held(tunnels)
        lost = self._policies.audit(held, places)
        refused = {place: refusal.problem for refusal in self._policies.settle() for place in refusal.places}
        back = lost_policies(self._policies, (repair for repair in lost if repair.place not in refused))
        mended = list(back.values())
        left = []
        for problem in dict.fromkeys(refused.values()):
            still = lost_policies(self._policies, (each for each in lost if refused.get(each.place) is problem))
            left += [_because(loss, problem) for loss in still.values()]
        if tunnels is None and self._host.prepare():
            mended.append(Loss("", "policies that let neighbours pass"))
        return Outcome(mended, left)

    def _held(self, tunnels: Collection[str] | None) -> tuple[list[Place] | None, list[Policy]]:
        """Where to look, and what stands there."""
        if tunnels is None:
            return None, self._host.gateway.standing_policies()
        places = self._policies.places_of(tunnels)
        return places, self._host.gateway.policies_at(places)


class Rules:
    """What stands without any tunnel: eroutes set by hand, their rules, and the table that guards protected networks.

    ``nft`` takes its time, so this is done beside the loop.
    """

    def __init__(self, host: KernelHost) -> None:
        self._host = host
        self._work: Future[list[str]] | None = None

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """See :class:`.repairs.Mender`; no tunnel has any of it."""
        return []

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """See :class:`.repairs.Mender`."""
        if tunnels is not None:
            return Outcome([], working=self._work is not None)
        if self._work is None:
            self._work = self._host.mend_rules()
        if not self._work.done():
            return Outcome([], working=True)
        work, self._work = self._work, None
        try:
            return Outcome([Loss("", what) for what in work.result()])
        except EngineError as exc:
            return Outcome([], [Loss("", str(exc))])
