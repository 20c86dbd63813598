# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what passes by the tunnels in step with this host's links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..errors import EngineError
from ..kernel.link_networks import LinkNetwork
from ..kernel.spec import ChildSpec
from .bypass import LOCAL_LINKS, NONE, Piece, caught, pieces, touches
from .definition import Definition
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

    def passing(self, spec: ChildSpec) -> ChildSpec:
        """``spec`` with what passes by it."""
        passes = () if spec.if_id or spec.mode != "tunnel" else self._pieces(spec)
        return spec if passes == spec.passes else replace(spec, passes=passes)

    def _pieces(self, spec: ChildSpec) -> tuple[Piece, ...]:
        words = self._words_of(spec.tunnel)
        defined = spec.defined or (spec.local_selectors, spec.remote_selectors)
        if words == [LOCAL_LINKS] and not touches(defined, self._links):
            return ()
        return pieces(words, defined, self._links, self._outside(spec))

    def _outside(self, spec: ChildSpec) -> set[int]:
        """The links that lead to the peer, and to everybody else."""
        own = {link.index for link in self._links if link.address == spec.local_address and not link.loopback}
        return own | self._default | self._host.links_to(spec.remote_address)

    def warnings(self, definitions: Iterable[Definition]) -> list[str]:
        """Which links a definition without a bypass takes the packets of."""
        found = []
        for definition in definitions:
            document = definition.document
            if document["bypass"] != [NONE] or document["interface"] is not None:
                continue
            links = {
                f"{link.link} ({link.network})": None
                for defined in definition.selectors
                for link in caught(defined, self._links)
            }
            if links:
                found.append(
                    f"tunnel {definition.name}: takes what this host and those on its own links {', '.join(links)} "
                    "send to each other, perhaps this login, too; bypass: local_links lets it pass"
                )
        return found
