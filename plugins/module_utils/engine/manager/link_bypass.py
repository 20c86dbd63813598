# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what passes by the tunnels in step with this host's links."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..child_sa import ChildSa
from ..definition.bypass import LOCAL_LINKS, NONE, Sides
from ..definition.parsing import Definition
from ..definition.peer import addresses_of
from ..errors import EngineError
from ..kernel.child_values import HOLD
from ..kernel.link_networks import LinkNetwork
from ..newer_python import zip
from ..selector import Selector
from .bypass_selectors import Piece, caught, pieces, shut_in, touches
from .host import KernelHost
from .log import Log


class LinkBypass:
    """What passes by each tunnel.

    :param words_of: the option ``bypass`` of a tunnel.
    """

    def __init__(self, host: KernelHost, words_of: Callable[[str], list[str]], log: Log) -> None:
        self._host = host
        self._words_of = words_of
        self._log = log
        self._links: tuple[LinkNetwork, ...] = ()
        self._default: frozenset[int] = frozenset()

    def look(self) -> bool:
        """Read the links; whether they differ from before."""
        before = self._links, self._default
        try:
            self._links = self._host.link_networks()
            self._default = self._host.default_links()
        except EngineError as exc:
            # What is known stays: better an address too much than no word to the next host.
            self._log.error(f"cannot list this host's links: {exc}")
        return (self._links, self._default) != before

    def passing(self, child: ChildSa) -> ChildSa:
        """``child`` with what passes by it."""
        passes = () if child.if_id or child.mode not in ("tunnel", HOLD) else self._pieces(child)
        return child if passes == child.passes else replace(child, passes=passes)

    def _pieces(self, child: ChildSa) -> tuple[Piece, ...]:
        words = self._words_of(child.tunnel)
        defined = child.defined or (child.local_selectors, child.remote_selectors)
        if words == [LOCAL_LINKS] and not touches(defined, self._links):
            return ()
        return pieces(words, defined, self._links, self._outside(child))

    def _outside(self, child: ChildSa) -> set[int]:
        """The links that lead to the peer, and to everybody else."""
        if child.mode == HOLD:
            return set(self._default)  # where many peers are nobody knows
        own = {link.index for link in self._links if link.address == child.local_address and not link.loopback}
        return own | self._default | self._host.links_to(child.remote_address)

    def warnings(self, definitions: Sequence[Definition]) -> list[str]:
        """Which links a definition without a bypass takes the packets of, and which it shuts out of all tunnels."""
        found = []
        based = [definition for definition in definitions if definition.document["interface"] is None]
        tunnels = [sides for definition in definitions for sides in definition.selectors]
        for definition in based:
            if definition.document["bypass"] == [NONE]:
                links = [link for sides in definition.selectors for link in caught(sides, self._links)]
                if links:
                    found.append(
                        f"tunnel {definition.name}: takes what this host and those on its own links {_named(links)} "
                        "send to each other, perhaps this login, too; bypass: local_links lets it pass"
                    )
            links = self._shut_in(definition, tunnels)
            if links:
                found.append(
                    f"tunnel {definition.name}: its local and remote networks overlap, so that what comes in clear "
                    f"from this host's own links {_named(links)} is not forwarded into tunnels; give it an "
                    "interface, or narrower networks"
                )
        return found

    def _shut_in(self, definition: Definition, tunnels: list[Sides]) -> list[LinkNetwork]:
        document = definition.document
        words = [_selector(word) for word in document["bypass"] if word not in (LOCAL_LINKS, NONE)]
        # What a bypass names comes in unprotected as well.
        links = [link for link in self._links if not any(word.contains(_selector(str(link.network))) for word in words)]
        sides = [
            sides
            for child, sides in zip(document["children"], definition.selectors, strict=True)
            if child["mode"] == "tunnel" and shut_in(sides, links, tunnels)
        ]
        if not sides:
            return []
        outside = self._default.union(*map(self._host.links_to, addresses_of(document)))
        outside |= {link.index for link in links if link.address == document["local"]["address"]}
        inside = [link for link in links if link.index not in outside]
        return [link for each in sides for link in shut_in(each, inside, tunnels)]


def _named(links: Iterable[LinkNetwork]) -> str:
    return ", ".join(dict.fromkeys(f"{link.link} ({link.network})" for link in links))


def _selector(network: str) -> Selector:
    return Selector.from_network(ipaddress.ip_network(network))
