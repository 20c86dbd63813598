# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to the kernel floor: what the protocol engine says, in the kernel floor's values, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..child_sa import ChildSa
from ..errors import KernelError, MissingError
from ..ike.actions import Acquire, Expire, KernelEvent, MappingChanged
from ..ike.connection import ChildConfig
from ..kernel.bypass import bypass_policies, decapsulate_esp
from ..kernel.changes import Changes
from ..kernel.client import XfrmClient
from ..kernel.events import AcquireEvent, ExpireEvent
from ..kernel.events import Event as XfrmEvent
from ..kernel.features import holding, probe, require_esp
from ..kernel.gateway import Gateway
from ..kernel.interfaces import Interface, Interfaces, Link
from ..kernel.link_networks import LinkNetwork
from ..kernel.neighbours import forget_neighbours, let_neighbours_pass
from ..kernel.registry import Registry, child_reqid
from ..kernel.routes import Route, Routes
from .child_routes import ChildRoutes
from .sockets import Port
from .standing_rules import StandingRules

T = TypeVar("T")

# Addresses that nobody has (RFC 6890): the way to them is the way to anybody.
_ANYBODY = ("192.88.99.1", "100::1")


def trap_of(config: ChildConfig, owner: str, tunnel: str, local_address: str, remote_address: str) -> ChildSa:
    """The policies that hold a child's place while it is down."""
    return ChildSa(
        tunnel, config.name, 0, config.reqid, local_address, remote_address, config.protocol, config.mode, 0, 0,
        config.local, config.remote, None, None, if_id=config.if_id, owner=owner, priority=config.priority,
    )  # fmt: skip


def event_of(event: XfrmEvent) -> KernelEvent:
    """What the kernel tells, as the protocol engine takes it."""
    if isinstance(event, AcquireEvent):
        return Acquire(child_reqid(event.reqid), event.local, event.remote)
    if isinstance(event, ExpireEvent):
        return Expire(event.destination, event.protocol, event.spi, event.hard)
    return MappingChanged(event.spi, event.address, event.port)


class KernelHost:
    """The kernel of this network namespace and what else of this host the manager uses.

    Tests and benchmarks hand in an object with the same methods that only records.

    :ivar gateway: see :class:`..kernel.gateway.Gateway`; ``registry``: see :class:`..kernel.registry.Registry`;
        ``changes``: see :class:`..kernel.changes.Changes`.
    :param guard: see :class:`.standing_rules.StandingRules`.
    :raises MissingError: without the permission, a package, or XFRM in the kernel.
    """

    def __init__(self, runtime_dir: str, guard: str = "") -> None:
        self.registry = Registry(runtime_dir)
        self.gateway = Gateway(self.registry)
        self._client = XfrmClient()
        self.changes = Changes((self.gateway.port, self._client.port))
        # pyroute2 from 0.9 on turns an event loop of its own and refuses to where another one runs: in our thread.
        self._routing = ThreadPoolExecutor(1, "routes")
        self._routes = self._route(Routes)
        self._interfaces = self._route(Interfaces)
        self._rules = StandingRules(runtime_dir, guard)
        self._ruling = ThreadPoolExecutor(1, "rules")
        self._ways = self._route(ChildRoutes, self._routes)

    def close(self) -> None:
        """Close everything; SAs, policies and routes stay."""
        self._route(self._routes.close)
        self._route(self._interfaces.close)
        self._routing.shutdown()
        self._ruling.shutdown()
        self._client.close()
        self.changes.close()
        self.gateway.close()
        self.registry.close()

    def prepare_socket(self, port: Port) -> None:
        """Let IKE pass all policies, and have the kernel take ESP out of UDP at the NAT traversal port.

        :raises MissingError: without the permission or the kernel's support.
        """
        bypass_policies(port.socket)
        if port.natt:
            decapsulate_esp(port.socket)

    def prepare(self) -> int:
        """Let pass what no tunnel must ever catch; how many policies that took.

        :raises KernelError: the kernel refused.
        """
        return let_neighbours_pass(self._client)

    def cleanup(self) -> tuple[int, int]:
        """Remove what a manager left: (SAs, policies) removed."""
        removed = self.gateway.cleanup()
        forget_neighbours(self._client)
        self._route(self._ways.clear)
        return removed

    def source_address(self, remote: str) -> str | None:
        """The address that packets to ``remote`` leave from, None without a route."""
        try:
            return self._route(self._routes.source_address, remote)
        except KernelError:
            return None

    def link_networks(self) -> tuple[LinkNetwork, ...]:
        """See :func:`..kernel.link_networks.link_networks`."""
        return self._route(self._routes.link_networks)

    def links_to(self, *remotes: str) -> frozenset[int]:
        """The indexes of the links by which packets to these addresses leave."""
        return frozenset(
            index for remote in remotes if (index := self._route(self._routes.interface_to, remote)) is not None
        )

    def default_links(self) -> frozenset[int]:
        """The same of packets to everybody who has no route of its own."""
        return self.links_to(*_ANYBODY)

    def open_way(self, child: ChildSa) -> None:
        """See :meth:`.child_routes.ChildRoutes.open`."""
        self._route(self._ways.open, child)

    def open_late_ways(self) -> list[tuple[ChildSa, list[Route]]]:
        """See :meth:`.child_routes.ChildRoutes.open_late`."""
        return self._route(self._ways.open_late)

    def tidy_ways(self) -> None:
        """See :meth:`.child_routes.ChildRoutes.tidy`."""
        self._route(self._ways.tidy)

    def shut_way(self, child: ChildSa) -> None:
        """See :meth:`.child_routes.ChildRoutes.shut`."""
        self._route(self._ways.shut, child)

    def lost_ways(self) -> list[tuple[ChildSa, list[Route]]]:
        """See :meth:`.child_routes.ChildRoutes.lost`."""
        return self._route(self._ways.lost)

    def mend_way(self, child: ChildSa) -> None:
        """See :meth:`.child_routes.ChildRoutes.mend`."""
        self._route(self._ways.mend, child)

    def require_interfaces(self) -> None:
        """Fail where no route-based tunnel can ever come up.

        :raises MissingError: no XFRM interfaces in this kernel, with the remedy.
        """
        feature = self._route(self._interfaces.feature)
        if not feature.available:
            raise MissingError(feature.problem, feature.remedy)

    def lacking_interfaces(self, wanted: Sequence[Interface]) -> dict[str, str]:
        """See :meth:`..kernel.interfaces.Interfaces.lacking`."""
        return self._route(self._interfaces.lacking, wanted)

    def astray_interfaces(self, wanted: Sequence[Interface]) -> set[str]:
        """See :meth:`..kernel.interfaces.Interfaces.astray`."""
        return self._route(self._interfaces.astray, wanted)

    def foreign_link(self, name: str) -> bool:
        """Whether there is a link of this name that is not ours."""
        link = self._route(self._interfaces.find, name)
        return link is not None and not link.ours

    def own_links(self) -> list[Link]:
        """Every interface of ours."""
        return self._route(self._interfaces.ours)

    def make_interface(self, wanted: Interface, before: Interface | None) -> None:
        """See :meth:`..kernel.interfaces.Interfaces.apply`."""
        self._route(self._interfaces.apply, wanted, before)

    def remove_interface(self, name: str, alias: str) -> None:
        """See :meth:`..kernel.interfaces.Interfaces.remove`."""
        self._route(self._interfaces.remove, name, alias)

    def mend_rules(self) -> Future[list[str]]:
        """See :meth:`.standing_rules.StandingRules.mend`; done beside the caller."""
        return self._ruling.submit(self._rules.mend)

    def require_esp(self) -> None:
        """Fail where no tunnel can ever come up.

        :raises MissingError: no ESP in this kernel, with the remedy.
        """
        require_esp(self._client)

    def features(self) -> dict[str, dict[str, Any]]:
        """What this kernel offers, by name: ``{"available", "problem", "remedy"}``."""
        found = [*probe(self._client), self._route(self._interfaces.feature), holding()]
        return {
            feature.name: {"available": feature.available, "problem": feature.problem, "remedy": feature.remedy}
            for feature in found
        }

    def _route(self, verb: Callable[..., T], *arguments: Any) -> T:
        """Do one thing about routes and wait for it: a question or an order to the kernel, which answers at once."""
        return self._routing.submit(verb, *arguments).result()
