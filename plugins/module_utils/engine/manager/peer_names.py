# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host names that tunnels have for their peers, and the addresses that these stand for.

What a name stood for last holds until it stands for something else: where the name service is down, what is known goes
on. Time is handed in, in seconds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ..definition.peer import is_name
from .log import Log
from .resolver import Resolver

PATIENCE = 10.0  # for which a start waits for the name service
REFRESH = 60.0  # after which the names of tunnels that are not up are looked up again


class PeerNames:
    """Names by tunnel, and what is known of each name."""

    def __init__(self, resolver: Resolver, log: Log) -> None:
        self._resolver = resolver
        self._log = log
        self._names: dict[str, tuple[str, ...]] = {}
        self._tunnels: dict[str, set[str]] = {}
        self._known: dict[str, tuple[str, ...]] = {}
        self._problems: dict[str, str] = {}
        self._asked: set[str] = set()
        self._waiting: dict[str, float] = {}
        self._refresh_at = 0.0

    def define(self, tunnel: str, names: Sequence[str]) -> None:
        """The tunnel has these names; those that nothing is known of are looked up."""
        if self.of(tunnel) == tuple(names):
            return
        self.forget(tunnel)
        if names:
            self._names[tunnel] = tuple(names)
        for name in names:
            self._tunnels.setdefault(name, set()).add(tunnel)
        self._ask(name for name in names if name not in self._known)

    def forget(self, tunnel: str) -> None:
        """The tunnel has none any more, and nobody waits for them."""
        self._waiting.pop(tunnel, None)
        for name in self._names.pop(tunnel, ()):
            self._tunnels[name].discard(tunnel)
            if not self._tunnels[name]:
                del self._tunnels[name]
                self._known.pop(name, None)
                self._problems.pop(name, None)

    def of(self, tunnel: str) -> tuple[str, ...]:
        """The names of a tunnel."""
        return self._names.get(tunnel, ())

    def shown(self, tunnel: str) -> dict[str, list[str]]:
        """What each of them stood for last."""
        return {name: list(self._known.get(name, ())) for name in self.of(tunnel)}

    def addresses(self, places: Iterable[str], local: str | None) -> tuple[str, ...]:
        """What places stand for, in their order: addresses as they are, names for what they stood for last.

        :param local: our address, of whose family they have to be; None for any.
        """
        found: dict[str, None] = {}
        for place in places:
            found |= dict.fromkeys(self._known.get(place, ()) if is_name(place) else (place,))
        return tuple(address for address in found if local is None or _family(address) == _family(local))

    def story(self, tunnel: str) -> str:
        """Why there is no address for any of its names."""
        return "; ".join(f"{name}: {self._why(name)}" for name in self.of(tunnel))

    def _why(self, name: str) -> str:
        if name in self._problems:
            return self._problems[name]
        if name in self._known:
            return f"{', '.join(self._known[name])} is not of the family of local.address"
        return f"the name service has not answered for {PATIENCE:.0f} s"

    def ask(self, tunnel: str) -> None:
        """Look its names up again."""
        self._ask(self.of(tunnel))

    def wait(self, tunnel: str, now: float) -> None:
        """Look its names up, and tell by :meth:`ready` when that is over."""
        self.ask(tunnel)
        self._waiting.setdefault(tunnel, now + PATIENCE)

    def cease(self, tunnel: str) -> None:
        """Nobody waits for its names any more."""
        self._waiting.pop(tunnel, None)

    def _ask(self, names: Iterable[str]) -> None:
        for name in names:
            self._asked.add(name)
            self._resolver.ask(name)

    def take(self) -> list[str]:
        """Take in what the name service answered; the tunnels with names that stand for something else now."""
        others: dict[str, None] = {}
        for name, addresses, problem in self._resolver.answers():
            self._asked.discard(name)
            if name not in self._tunnels:
                continue
            if not addresses:
                if self._problems.get(name) != problem:
                    self._problems[name] = problem
                    self._log.warning("a peer's name cannot be looked up", name=name, problem=problem)
                continue
            self._problems.pop(name, None)
            if self._known.get(name) != addresses:
                self._known[name] = addresses
                self._log.info("a peer's name was looked up", name=name, addresses=" ".join(addresses))
                others |= dict.fromkeys(sorted(self._tunnels[name]))
        return list(others)

    def ready(self, now: float) -> list[str]:
        """The tunnels whose wait is over: all their names are answered, or it takes too long."""
        over = [
            tunnel
            for tunnel, deadline in self._waiting.items()
            if now >= deadline or self._asked.isdisjoint(self.of(tunnel))
        ]
        for tunnel in over:
            del self._waiting[tunnel]
        return over

    def next_deadline(self) -> float | None:
        """When a wait has taken too long, or names are due again; None where no tunnel has any."""
        return min([self._refresh_at, *self._waiting.values()]) if self._names else None

    def due(self, now: float) -> list[str]:
        """The tunnels whose names are to be looked up again, where they are not up."""
        if now < self._refresh_at:
            return []
        self._refresh_at = now + REFRESH
        return list(self._names)


def _family(address: str) -> int:
    return ipaddress.ip_address(address.partition("%")[0]).version
