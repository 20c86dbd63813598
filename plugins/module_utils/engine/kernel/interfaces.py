# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XFRM interfaces: a link for each route-based tunnel, with its addresses and the routes that lead into it.

Whatever is routed into such a link is looked up among the policies of its ID alone, and what its SAs carried comes
out of it. The kernel keeps our name in the link's alias; links without it belong to others and are never touched.
"""

from __future__ import annotations

import errno
import socket
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import KernelError, MissingError
from ..newer_python import dataclass
from ..selector import Selector
from .addresses import family_of, packed
from .features import Feature
from .links import ROUTE_PROTOCOL, Links

ALIAS = "fleet.ipsec:"
KIND = "xfrm"
FEATURE = "XFRM interfaces"
# Behind an operator's own IPv4 routes, before those of policies (routes.py).
METRIC = 1024

_UP = 0x1
_ANYWHERE = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))


@dataclass(frozen=True, slots=True)
class Interface:
    """A link as it is wanted.

    :ivar if_id: what joins it with its SAs and policies; never 0.
    :ivar addresses: its own, as ADDRESS/PREFIX.
    :ivar routes: networks that are reached through it, in canonical text.
    :ivar inside: what its tunnel may send from, for the source address of those routes.
    """

    name: str
    if_id: int
    owner: str
    tunnel: str
    mtu: int
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    inside: tuple[Selector, ...] = ()

    @property
    def alias(self) -> str:
        """How the kernel is told whose it is."""
        return f"{ALIAS}{self.owner}/{self.tunnel}"


class Link(NamedTuple):
    """A link of this namespace; ``kind`` and ``alias`` are empty and ``if_id`` is 0 where there is none."""

    index: int  # type: ignore[assignment]  # the field hides tuple.index
    name: str
    kind: str
    if_id: int
    alias: str
    mtu: int
    up: bool

    @property
    def ours(self) -> bool:
        """Whether we made it."""
        return self.kind == KIND and self.alias.startswith(ALIAS)


class Interfaces:
    """The XFRM interfaces of this network namespace.

    :raises MissingError: without pyroute2.
    """

    def __init__(self) -> None:
        self._links = Links()

    def close(self) -> None:
        """Close the socket; interfaces stay."""
        self._links.close()

    def feature(self) -> Feature:
        """Whether this kernel has such links; nothing is made to find out."""
        try:
            # No kernel takes a name with a slash; one that has no such links never comes to look at it.
            self._add("no/name", 1)
        except KernelError as exc:
            if exc.errno == errno.EOPNOTSUPP:
                remedy = "load it: modprobe xfrm_interface (kernel option CONFIG_XFRM_INTERFACE, Linux 4.19 or newer)"
                return Feature(FEATURE, False, "this kernel has no XFRM interfaces", remedy)
            if exc.errno == errno.EPERM:
                raise MissingError("no permission to make network interfaces", "run as root (become: true)") from None
            if exc.errno != errno.EINVAL:
                raise
        return Feature(FEATURE, True)

    def find(self, name: str) -> Link | None:
        """The link of this name, whoever made it."""
        rows = self._links.do(f"look for the interface {name}", "get_links", ifname=name)
        return _link(rows[0]) if rows else None

    def ours(self) -> list[Link]:
        """Every interface that we made."""
        return [link for link in self._all() if link.ours]

    def names(self) -> list[str]:
        """Every XFRM interface by name, whoever made it."""
        return [link.name for link in self._all()]

    def lacking(self, wanted: Iterable[Interface]) -> dict[str, str]:
        """By name, what the interfaces lack that are wanted, in words; those that lack nothing are left out."""
        links = {link.name: link for link in self._all()}
        addresses, routes = self._held_addresses(), self._held_routes()
        found = {}
        for each in wanted:
            link = links.get(each.name)
            if link is None or not link.ours or link.if_id != each.if_id:
                found[each.name] = f"the interface {each.name}"
            elif not link.up or link.mtu != each.mtu:
                found[each.name] = f"the settings of the interface {each.name}"
            elif missing := set(each.addresses) - addresses[link.index]:
                found[each.name] = f"the address {min(missing)} of the interface {each.name}"
            elif missing := set(each.routes) - routes[link.index].keys():
                found[each.name] = f"the route to {min(missing)} through the interface {each.name}"
        return found

    def astray(self, wanted: Iterable[Interface]) -> set[str]:
        """The names of those with a route of which the source address is not what it would be now.

        Addresses of other links come and go: with one of them the kernel takes it from the routes, or them with it.
        """
        bound = [each for each in wanted if each.routes and not all(map(_is_whole, each.inside))]
        if not bound:
            return set()
        addresses, routes = self._links.addresses(), self._held_routes()
        indexes = {link.name: link.index for link in self._all() if link.ours}
        return {
            each.name
            for each in bound
            for destination, source in self._wanted_routes(each, addresses).items()
            if routes[indexes.get(each.name, 0)].get(destination, source) != source
        }

    def _held_addresses(self) -> defaultdict[int, set[str]]:
        """The addresses of every link, by its index."""
        found: defaultdict[int, set[str]] = defaultdict(set)
        for row in self._links.do("list the addresses", "get_addr"):
            found[row["index"]].add(_address_text(row))
        return found

    def _held_routes(self) -> defaultdict[int, dict[str, str | None]]:
        """Destination and source address of our routes, by the index of the link that they lead through."""
        found: defaultdict[int, dict[str, str | None]] = defaultdict(dict)
        for family, anywhere in _ANYWHERE:
            for row in self._links.do("list the routes", "get_routes", family=family, proto=ROUTE_PROTOCOL):
                destination = f"{row.get_attr('RTA_DST') or anywhere}/{row['dst_len']}"
                found[row.get_attr("RTA_OIF")][destination] = row.get_attr("RTA_PREFSRC")
        return found

    def _all(self) -> list[Link]:
        # A kernel without them does not know the kind that it is to pick by, and lists everything.
        rows = self._links.do("list the interfaces", "get_links", kind=KIND)
        return [link for link in map(_link, rows) if link.kind == KIND]

    def apply(self, wanted: Interface, before: Interface | None = None) -> None:
        """Make the link, or bring it to what is wanted; what stays the same is not touched, so that no packet is lost.

        :param before: what was wanted so far: addresses in it are taken away. Others that the link has are not ours.
        :raises KernelError: EEXIST when the name belongs to another program's link; else in the kernel's words.
        """
        link = self._usable(wanted)
        if link is not None and link.if_id != wanted.if_id:
            # The ID of a link cannot be changed.
            self._delete(link)
            link = None
        if link is None:
            self._add(wanted.name, wanted.if_id)
            link = self._usable(wanted)
            if link is None:
                raise KernelError(f"make the interface {wanted.name}", errno.ENODEV, "it vanished at once")
        self._settle(link, wanted)
        self._reach(link, wanted)
        if self._leave(link, wanted, before):
            # With the last address of a subnet the kernel drops the others of that subnet, and their routes.
            self._reach(link, wanted)

    def remove(self, name: str, alias: str) -> bool:
        """Remove an interface, with its addresses and routes; False when none of that name has our alias."""
        link = self.find(name)
        if link is None or not link.ours or link.alias != alias:
            return False
        self._delete(link)
        return True

    def _usable(self, wanted: Interface) -> Link | None:
        link = self.find(wanted.name)
        # Between making and naming it we may have been killed.
        half_made = link is not None and (link.kind, link.if_id, link.alias, link.up) == (KIND, wanted.if_id, "", False)
        if link is None or link.ours or half_made:
            return link
        raise KernelError(
            f"make the interface {wanted.name}", errno.EEXIST, "a link of that name is there, which is not ours"
        )

    def _add(self, name: str, if_id: int) -> None:
        self._links.do(f"make the interface {name}", "link", "add", ifname=name, kind=KIND, xfrm_if_id=if_id)

    def _delete(self, link: Link) -> None:
        try:
            self._links.do(f"remove the interface {link.name}", "link", "del", index=link.index)
        except KernelError as exc:
            if exc.errno != errno.ENODEV:
                raise

    def _settle(self, link: Link, wanted: Interface) -> None:
        """Alias, MTU, and up."""
        words: dict[str, Any] = {}
        if link.alias != wanted.alias:
            words["ifalias"] = wanted.alias
        if link.mtu != wanted.mtu:
            words["mtu"] = wanted.mtu
        if not link.up:
            words["state"] = "up"
        if words:
            self._links.do(f"set up the interface {wanted.name}", "link", "set", index=link.index, **words)

    # Addresses and routes

    def _reach(self, link: Link, wanted: Interface) -> None:
        """Add the addresses and routes that are missing, change the source address of those that have another."""
        held = self._addresses(link)
        for address in wanted.addresses:
            if address not in held:
                self._address("add", link, address, errno.EEXIST)
        routes = self._routes(link)
        addresses = self._links.addresses() if wanted.routes else []
        for destination, source in self._wanted_routes(wanted, addresses).items():
            if destination not in routes:
                self._route("add", link, destination, source)
            elif routes[destination] != source:
                self._route("replace", link, destination, source)

    def _leave(self, link: Link, wanted: Interface, before: Interface | None) -> bool:
        """Take away what is no longer wanted; whether there was anything."""
        routes = self._routes(link).keys() - set(wanted.routes)
        for destination in routes:
            self._route("del", link, destination, None)
        addresses = set(before.addresses if before else ()) - set(wanted.addresses)
        for address in addresses:
            self._address("del", link, address, errno.EADDRNOTAVAIL)
        return bool(routes or addresses)

    def _addresses(self, link: Link) -> set[str]:
        rows = self._links.do(f"list the addresses of {link.name}", "get_addr", index=link.index)
        return {_address_text(row) for row in rows}

    def _address(self, verb: str, link: Link, text: str, forgiven: int) -> None:
        address, _slash, prefix = text.partition("/")
        try:
            self._links.do(
                f"{verb} the address {text} of {link.name}",
                *("addr", verb), index=link.index, address=address, prefixlen=int(prefix), family=family_of(address),
            )  # fmt: skip
        except KernelError as exc:
            if exc.errno != forgiven:
                raise

    def _routes(self, link: Link) -> dict[str, str | None]:
        """Destination and source address of every route of ours through this link."""
        found = {}
        for family, anywhere in _ANYWHERE:
            what = f"list the routes through {link.name}"
            for row in self._links.do(what, "get_routes", family=family, oif=link.index, proto=ROUTE_PROTOCOL):
                destination = f"{row.get_attr('RTA_DST') or anywhere}/{row['dst_len']}"
                found[destination] = row.get_attr("RTA_PREFSRC")
        return found

    def _wanted_routes(self, wanted: Interface, addresses: list[str]) -> dict[str, str | None]:
        versions = {6 if ":" in destination else 4 for destination in wanted.routes}
        sources = {version: self._source(wanted, version, addresses) for version in versions}
        return {destination: sources[6 if ":" in destination else 4] for destination in wanted.routes}

    def _source(self, wanted: Interface, version: int, addresses: list[str]) -> str | None:
        """The address that packets of this host's own leave with, None for the kernel's choice.

        The kernel takes an address of the link, else any; where the tunnel may not send from all, that may be wrong.
        """
        inside = tuple(selector for selector in wanted.inside if selector.family == version)
        if any(map(_is_whole, inside)):
            return None
        own = [address.partition("/")[0] for address in wanted.addresses]
        return next((address for address in [*own, *addresses] if _may_send(address, inside)), None)

    def _route(self, verb: str, link: Link, destination: str, source: str | None) -> None:
        words = {
            "dst": destination,
            "oif": link.index,
            "proto": ROUTE_PROTOCOL,
            "priority": METRIC,
            "family": family_of(destination),
        }
        if source:
            words["prefsrc"] = source
        try:
            self._links.do(f"{verb} the route to {destination} through {link.name}", "route", verb, **words)
        except KernelError as exc:
            if verb != "del" or exc.errno != errno.ESRCH:
                raise


def _address_text(row: Any) -> str:
    return f"{row.get_attr('IFA_LOCAL') or row.get_attr('IFA_ADDRESS')}/{row['prefixlen']}"


def _may_send(address: str, inside: tuple[Selector, ...]) -> bool:
    octets = packed(address)
    return any(len(octets) == len(selector.first) and selector.first <= octets <= selector.last for selector in inside)


def _is_whole(selector: Selector) -> bool:
    return not any(selector.first) and selector.last == b"\xff" * len(selector.last)


def _link(row: Any) -> Link:
    info = row.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else ""
    data = info.get_attr("IFLA_INFO_DATA") if kind == KIND else None
    return Link(
        row["index"],
        row.get_attr("IFLA_IFNAME"),
        kind or "",
        data.get_attr("IFLA_XFRM_IF_ID") or 0 if data else 0,
        row.get_attr("IFLA_IFALIAS") or "",
        row.get_attr("IFLA_MTU"),
        bool(row["flags"] & _UP),
    )
