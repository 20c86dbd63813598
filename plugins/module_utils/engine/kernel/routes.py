# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes to the networks behind peers, for children whose packets pass no interface of their own."""

from __future__ import annotations

import errno
import socket
from types import TracebackType
from typing import NamedTuple

from ..child_sa import ChildSa
from ..errors import KernelError
from ..selector import Selector
from .addresses import family_of, packed
from .link_networks import LinkNetwork, link_networks
from .links import ROUTE_PROTOCOL, Links

# Behind the routes of an operator, which have metric 0 (IPv4) or up to 1024 (IPv6), and those of interfaces.
ROUTE_METRIC = 2048


class Route(NamedTuple):
    """A route to a remote network, with the source address that local packets to it take."""

    destination: str
    source: str
    interface: int
    gateway: str | None = None


class Routes:
    """Routes and addresses of this network namespace; a context manager.

    :raises MissingError: without pyroute2.
    """

    def __init__(self) -> None:
        self._links = Links()

    def __enter__(self) -> Routes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._links.close()

    def local_addresses(self) -> list[str]:
        """Every usable address of this host but loopback and link-local ones, in the kernel's order."""
        return self._links.addresses()

    def source_address(self, remote: str) -> str:
        """The address that packets to ``remote`` leave with.

        :raises KernelError: ENETUNREACH and the like, when there is no route.
        """
        source, _interface, _gateway = self._way(remote)
        if not source:
            raise KernelError(f"find the way to {remote}", errno.EADDRNOTAVAIL, "the route has no source address")
        return source

    def interface_to(self, remote: str) -> int | None:
        """The index of the link that packets to ``remote`` leave by, None where there is no way."""
        try:
            return self._way(remote)[1]
        except KernelError:
            return None

    def link_networks(self) -> tuple[LinkNetwork, ...]:
        """See :func:`.link_networks.link_networks`."""
        return link_networks(self._links)

    def _way(self, remote: str) -> tuple[str | None, int, str | None]:
        family = family_of(remote)
        row = self._links.do(f"find the way to {remote}", "route", "get", dst=remote, family=family)[0]
        return row.get_attr("RTA_PREFSRC"), row.get_attr("RTA_OIF"), row.get_attr("RTA_GATEWAY")

    def routes_for(self, child: ChildSa) -> list[Route]:
        """Routes a tunnel child is in need of: one per remote network, by the way to the peer, with one of our
        addresses inside the local selectors as source.

        None for transport mode, for networks that hold the peer itself (its packets need the way they have), and
        where this host has no address inside the local selectors.

        :raises KernelError: when there is no way to the peer.
        """
        if child.mode != "tunnel":
            return []
        sources = sources_of(child, self.local_addresses())
        if not sources:
            return []
        _source, interface, gateway = self._way(child.remote_address)
        octets = len(packed(child.remote_address))
        return [
            Route(str(net), source, interface, gateway if len(selector.first) == octets else None)
            for selector, source in sources.items()
            for net in selector.networks()
        ]

    def add(self, route: Route) -> None:
        """Add a route of ours, or change the one we have.

        :raises KernelError: in the kernel's words; EEXIST when another has this very route.
        """
        try:
            self._change("add", route)
        except KernelError as exc:
            if exc.errno != errno.EEXIST or route.destination not in {held.destination for held in self.ours()}:
                raise
            self._change("replace", route)

    def remove(self, route: Route) -> bool:
        """Remove a route of ours; False when there is none. Routes of others are never touched."""
        try:
            self._change("del", route)
        except KernelError as exc:
            if exc.errno in (errno.ESRCH, errno.ENOENT):
                return False
            raise
        return True

    def _change(self, verb: str, route: Route) -> None:
        words = {
            "dst": route.destination,
            "oif": route.interface,
            "proto": ROUTE_PROTOCOL,
            "priority": ROUTE_METRIC,
            "family": family_of(route.destination),
            "prefsrc": route.source,
        }
        if route.gateway:
            words["gateway"] = route.gateway
        self._links.do(f"{verb} the route to {route.destination}", "route", verb, **words)

    def ours(self) -> list[Route]:
        """Every route of ours in this namespace but those of our interfaces, which come and go with them."""
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for row in self._links.do("list the routes", "get_routes", family=family, proto=ROUTE_PROTOCOL):
                if row.get_attr("RTA_PRIORITY") == ROUTE_METRIC and row.get_attr("RTA_DST"):
                    found.append(
                        Route(
                            f"{row.get_attr('RTA_DST')}/{row['dst_len']}",
                            row.get_attr("RTA_PREFSRC") or "",
                            row.get_attr("RTA_OIF"),
                            row.get_attr("RTA_GATEWAY"),
                        )
                    )
        return found


def sources_of(child: ChildSa, addresses: list[str]) -> dict[Selector, str]:
    """The networks behind the peer to which this host can have a route, each with its source address.

    :param addresses: those of this host; the first one inside the local selectors is taken.
    """
    mine = [(text, packed(text)) for text in addresses]
    peer = packed(child.remote_address)
    found = {}
    for selector in child.remote_selectors:
        source = next((text for text, octets in mine if _inside(octets, child, selector.family)), None)
        holds_peer = len(peer) == len(selector.first) and selector.first <= peer <= selector.last
        if source is not None and not holds_peer:
            found[selector] = source
    return found


def _inside(octets: bytes, child: ChildSa, family: int) -> bool:
    return any(
        selector.family == family and len(octets) == len(selector.first) and selector.first <= octets <= selector.last
        for selector in child.local_selectors
    )
