# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes to what is behind peers: who needs which, which of them are lost, and which were not possible so far.

An address of this host inside the local networks makes a route possible. It comes and goes as it likes: what a child
is in need of stays wanted meanwhile.
"""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import suppress

from ..child_sa import ChildSa
from ..errors import KernelError
from ..kernel.routes import Route, Routes, sources_of
from ..selector import Selector

Way = tuple[int, frozenset[Selector]]  # the request ID of a child, and what is behind its peer


class ChildRoutes:
    """The routes of children that have no interface.

    :param routes: those of the kernel.
    """

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._ways: dict[Way, tuple[ChildSa, list[Route]]] = {}
        self._users: Counter[Route] = Counter()
        # What a manager before left, as long as it is not known whether anybody needs it.
        self._standing = set(routes.ours())

    def clear(self) -> None:
        """Remove every route of ours."""
        for route in self._routes.ours():
            self._routes.remove(route)
        self._standing.clear()
        self._ways.clear()
        self._users.clear()

    def open(self, child: ChildSa) -> None:
        """Routes to the networks behind the peer, where this host needs them to send at all. An interface has its own.

        Those that are not possible now are made as soon as they are, see :meth:`open_late`.

        :raises KernelError: there is no way to the peer.
        """
        key = _key(child)
        if key not in self._ways and not child.if_id:
            self._ways[key] = child, []
            self._fill(key)

    def shut(self, child: ChildSa) -> None:
        """Take them back.

        :raises KernelError: the kernel refused.
        """
        for route in self._give_up(child):
            self._routes.remove(route)

    def tidy(self) -> None:
        """Remove the routes that a manager before left and that nobody needs any more."""
        needed = {route.destination for route in self._users}
        for route in self._standing:
            if route.destination not in needed:
                self._routes.remove(route)
        self._standing.clear()

    def lost(self) -> list[tuple[ChildSa, list[Route]]]:
        """The children whose routes are not all there, with those that are not."""
        if not self._users:
            return []
        standing = set(self._routes.ours())
        lost = ((child, [route for route in routes if route not in standing]) for child, routes in self._ways.values())
        return [(child, routes) for child, routes in lost if routes]

    def mend(self, child: ChildSa) -> None:
        """Put routes of a child back that :meth:`lost` told, by the way to the peer as it is now.

        :raises KernelError: it cannot be done now, or not all of it; they stay wanted.
        """
        key = _key(child)
        _child, before = self._ways[key]
        self._give_up(child)
        try:
            self.open(child)
        except KernelError:
            self._want(key, before)
            raise
        # One that somebody else has in our stead does as well.
        left = [route for route in before if not self._possible(child, route)]
        self._want(key, left)
        if left:
            local = ", ".join(sorted(map(str, child.local_selectors)))
            raise KernelError(
                f"set the route to {left[0].destination}",
                errno.EADDRNOTAVAIL,
                f"no address of this host lies inside {local} any more",
            )

    def open_late(self) -> list[tuple[ChildSa, list[Route]]]:
        """Make the routes that were not possible when their children came up and are now; which that are.

        What the kernel still refuses is left for the next time.
        """
        lacking = {key: child for key, (child, _routes) in self._ways.items() if self._lacks(key)}
        if not lacking:
            return []
        addresses = self._routes.local_addresses()
        found = []
        for key, child in lacking.items():
            if self._lacks(key, addresses):
                found.append((child, self._try(key)))
        return [(child, routes) for child, routes in found if routes]

    def _lacks(self, key: Way, addresses: list[str] | None = None) -> bool:
        """Whether there are networks without a route; given addresses: that they make possible."""
        child, routes = self._ways[key]
        selectors = child.remote_selectors if addresses is None else sources_of(child, addresses)
        held = {route.destination for route in routes}
        return child.mode == "tunnel" and any(str(net) not in held for each in selectors for net in each.networks())

    def _try(self, key: Way) -> list[Route]:
        _child, routes = self._ways[key]
        count = len(routes)
        with suppress(KernelError):
            self._fill(key)
        return routes[count:]

    def _fill(self, key: Way) -> None:
        """Make the routes of a way that are possible and that it has not yet."""
        child, routes = self._ways[key]
        held = {route.destination for route in routes}
        for route in self._routes.routes_for(child):
            if route.destination in held:
                continue
            try:
                if route not in self._standing:
                    self._routes.add(route)
            except KernelError as exc:
                if exc.errno != errno.EEXIST:  # an operator's own route to the network does as well
                    raise
            else:
                self._want(key, [route])

    def _possible(self, child: ChildSa, route: Route) -> bool:
        possible = sources_of(child, self._routes.local_addresses())
        return any(route.destination == str(net) for each in possible for net in each.networks())

    def _want(self, key: Way, routes: list[Route]) -> None:
        """Want these too; those in the place of which others came, of another source or link, are left out."""
        _child, wanted = self._ways[key]
        there = {route.destination for route in wanted}
        fresh = [route for route in routes if route.destination not in there]
        wanted += fresh
        self._users.update(fresh)

    def _give_up(self, child: ChildSa) -> list[Route]:
        """Want the routes of a way no more; those that nobody else wants."""
        _child, routes = self._ways.pop(_key(child), (child, []))
        self._users.subtract(routes)
        unused = [route for route in routes if not self._users[route]]
        for route in unused:
            del self._users[route]
        return unused


def _key(child: ChildSa) -> Way:
    return child.reqid, frozenset(child.remote_selectors)
