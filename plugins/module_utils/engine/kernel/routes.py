# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and routes, the one place that touches pyroute2.

Imported at the first use: it costs a tenth of a second that tasks without routes need not pay.
"""

from __future__ import annotations

import errno
import importlib
import socket
from types import ModuleType, TracebackType
from typing import NamedTuple, Self

from ..errors import KernelError, MissingError
from .spec import ChildSpec

# Marks our routes (rtm_protocol): a number that no routing daemon has been given.
ROUTE_PROTOCOL = 166
# Behind the routes of an operator, which have metric 0 (IPv4) or up to 1024 (IPv6).
ROUTE_METRIC = 2048

_TENTATIVE, _DEPRECATED = 0x40, 0x20
_AF = {4: socket.AF_INET, 6: socket.AF_INET6}


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
        self._pyroute2 = _pyroute2()
        self._link = self._pyroute2.IPRoute()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._link.close()

    def local_addresses(self) -> list[str]:
        """Every usable address of this host but link-local ones, in the kernel's order."""
        found = []
        for row in self._link.get_addr():
            flags = row.get_attr("IFA_FLAGS") or row["flags"]
            # With a peer address IFA_ADDRESS is the other end's.
            address = row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS")
            if address and not flags & _TENTATIVE and not _link_local(address):
                found.append(address)
        return found

    def source_address(self, remote: str) -> str:
        """The address that packets to ``remote`` leave with.

        :raises KernelError: ENETUNREACH and the like, when there is no route.
        """
        source, _interface, _gateway = self._way(remote)
        if not source:
            raise KernelError(f"find the way to {remote}", errno.EADDRNOTAVAIL, "the route has no source address")
        return source

    def _way(self, remote: str) -> tuple[str | None, int, str | None]:
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        try:
            rows = self._link.route("get", dst=remote, family=family)
        except self._pyroute2.NetlinkError as exc:
            raise KernelError(f"find the way to {remote}", exc.code, str(exc)) from None
        row = rows[0]
        return row.get_attr("RTA_PREFSRC"), row.get_attr("RTA_OIF"), row.get_attr("RTA_GATEWAY")

    def routes_for(self, spec: ChildSpec) -> list[Route]:
        """Routes a tunnel child is in need of: one per remote network, by the way to the peer, with one of our
        addresses inside the local selectors as source.

        None for transport mode, for networks that hold the peer itself (its packets need the way they have), and
        where this host has no address inside the local selectors.

        :raises KernelError: when there is no way to the peer.
        """
        if spec.mode != "tunnel":
            return []
        _source, interface, gateway = self._way(spec.remote_address)
        mine = [(text, _packed(text)) for text in self.local_addresses()]
        peer = _packed(spec.remote_address)
        found: list[Route] = []
        for selector in spec.remote_selectors:
            source = next((text for text, octets in mine if _inside(octets, spec, selector.family)), None)
            same_family = len(peer) == len(selector.first)
            if source is None or (same_family and selector.first <= peer <= selector.last):
                continue
            via = gateway if same_family else None
            found += [Route(str(net), source, interface, via) for net in selector.networks()]
        return found

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
        family = socket.AF_INET6 if ":" in route.destination else socket.AF_INET
        words = {
            "dst": route.destination,
            "oif": route.interface,
            "proto": ROUTE_PROTOCOL,
            "priority": ROUTE_METRIC,
            "family": family,
            "prefsrc": route.source,
        }
        if route.gateway:
            words["gateway"] = route.gateway
        try:
            self._link.route(verb, **words)
        except self._pyroute2.NetlinkError as exc:
            raise KernelError(f"{verb} the route to {route.destination}", exc.code, str(exc)) from None

    def ours(self) -> list[Route]:
        """Every route of ours in this namespace."""
        found = []
        for family in _AF.values():
            for row in self._link.get_routes(family=family):
                if row["proto"] == ROUTE_PROTOCOL and row.get_attr("RTA_DST"):
                    found.append(
                        Route(
                            f"{row.get_attr('RTA_DST')}/{row['dst_len']}",
                            row.get_attr("RTA_PREFSRC") or "",
                            row.get_attr("RTA_OIF"),
                            row.get_attr("RTA_GATEWAY"),
                        )
                    )
        return found


def _pyroute2() -> ModuleType:
    try:
        return importlib.import_module("pyroute2")
    except ImportError:
        raise MissingError("the Python package pyroute2 is missing", "install the package python3-pyroute2") from None


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _inside(octets: bytes, spec: ChildSpec, family: int) -> bool:
    return any(
        selector.family == family and len(octets) == len(selector.first) and selector.first <= octets <= selector.last
        for selector in spec.local_selectors
    )


def _link_local(address: str) -> bool:
    octets = _packed(address)
    if len(octets) == 4:
        return octets[:2] == b"\xa9\xfe"
    return octets[0] == 0xFE and octets[1] & 0xC0 == 0x80
