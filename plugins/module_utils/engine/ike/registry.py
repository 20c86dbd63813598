# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All IKE SAs of an endpoint, of whatever version: whose is a message, an SA in the kernel, a tunnel."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from .actions import Path
from .connection import Connection
from .sa import AnyChild, AnySa, Opening


class Registry:
    """All IKE SAs of the endpoint, by our SPI and by tunnel.

    Those that strangers opened stand apart until their peer is authenticated: there may be thousands of them, which
    nobody who looks at a tunnel is to go through, and the tunnel is only a guess.
    """

    def __init__(self) -> None:
        self.by_spi: dict[bytes, AnySa] = {}
        self.by_tunnel: dict[str, list[AnySa]] = {}
        self.openings: dict[Opening, AnySa] = {}
        self.by_child_spi: dict[tuple[str, int], tuple[AnySa, AnyChild]] = {}
        self.superseded: set[str] = set()  # tunnels that may have superseded children
        self._by_inbound_spi: dict[int, tuple[AnySa, AnyChild]] = {}
        self._by_outbound_spi: dict[tuple[str, int], tuple[AnySa, AnyChild]] = {}
        self._half_open: dict[str, dict[int, AnySa]] = {}
        self._instances: dict[str, dict[str, None]] = {}
        self._numbers = 0

    def number(self) -> int:
        """A number never used before, for an IKE SA or a child."""
        self._numbers += 1
        return self._numbers

    def number_after(self, highest: int) -> None:
        """Another process gave numbers up to this one."""
        self._numbers = max(self._numbers, highest)

    def add(self, sa: AnySa) -> None:
        """Enter a new IKE SA."""
        self.by_spi[sa.local_spi] = sa
        self._enter_tunnel(sa)

    def resume(self, sa: AnySa) -> None:
        """Enter an IKE SA that another process had, with its children."""
        self.add(sa)
        for child in sa.children.values():
            self.enter_child(sa, child)
            if child.superseded:
                self.superseded.add(sa.connection.name)

    def rename(self, sa: AnySa, connection: Connection) -> None:
        """The tunnel of an IKE SA goes by another name now."""
        if sa.connection.name in self.superseded:
            self.superseded.add(connection.name)
        self._leave_tunnel(sa)
        sa.connection = connection
        self._enter_tunnel(sa)

    def enter_child(self, sa: AnySa, child: AnyChild) -> None:
        """The child is one of this IKE SA."""
        both = sa, child
        self.by_child_spi[child.sa.local_address, child.sa.spi_in] = both
        self._by_inbound_spi[child.sa.spi_in] = both
        self._by_outbound_spi[child.sa.remote_address, child.sa.spi_out] = both

    def forget_child(self, child: AnyChild) -> None:
        """The child is nobody's any more."""
        self.by_child_spi.pop((child.sa.local_address, child.sa.spi_in), None)
        # At each address of ours the kernel chooses for itself, too.
        if self._by_inbound_spi.get(child.sa.spi_in, (None, None))[1] is child:
            del self._by_inbound_spi[child.sa.spi_in]
        outbound = child.sa.remote_address, child.sa.spi_out
        # Peers choose these, and two behind one NAT may have chosen the same one.
        if self._by_outbound_spi.get(outbound, (None, None))[1] is child:
            del self._by_outbound_spi[outbound]

    def owner(self, destination: str, spi: int) -> tuple[AnySa, AnyChild] | None:
        """The child that has this SA, in either direction."""
        return self.by_child_spi.get((destination, spi)) or self._by_outbound_spi.get((destination, spi))

    def receiving(self, spi: int) -> tuple[AnySa, AnyChild] | None:
        """The child that receives under this SPI, at whatever address of ours."""
        return self._by_inbound_spi.get(spi)

    def open(self, sa: AnySa, path: Path, datagram: bytes) -> None:
        """Enter an IKE SA that a stranger opened.

        Until :meth:`close` it is known which IKE_SA_INIT request did: it may be sent again.
        """
        self.by_spi[sa.local_spi] = sa
        self._half_open.setdefault(sa.connection.name, {})[sa.number] = sa
        sa.opening = _opening(path, datagram)
        self.openings[sa.opening] = sa

    def admit(self, sa: AnySa, connection: Connection) -> None:
        """The peer is authenticated, and it turned out to which tunnel it belongs."""
        self._leave_tunnel(sa)
        sa.connection = connection
        self._enter_tunnel(sa)

    def replace(self, old: AnySa, new: AnySa) -> None:
        """What was being opened is established, and goes on as ``new`` in the same place."""
        self.by_spi[new.local_spi] = new
        sas = self.by_tunnel[new.connection.name]
        sas[sas.index(old)] = new
        if old.opening is not None:
            new.opening, old.opening = old.opening, None
            self.openings[new.opening] = new

    def turn_away(self, sa: AnySa) -> None:
        """The peer failed to authenticate: no tunnel has to do with it."""
        self._leave_tunnel(sa)

    def opened_by(self, path: Path, datagram: bytes) -> AnySa | None:
        """The IKE SA that this very IKE_SA_INIT request opened.

        Other octets under the same SPI open another one: whoever forged a cookie or a group to be tried
        instead must not lock the initiator out (RFC 7296 section 2.1).
        """
        return self.openings.get(_opening(path, datagram)) if self.openings else None

    def close(self, sa: AnySa) -> None:
        """The first exchange of this IKE SA is over."""
        if sa.opening is not None:
            self.openings.pop(sa.opening, None)
            sa.opening = None

    def remove(self, sa: AnySa) -> None:
        """Forget an IKE SA."""
        self.close(sa)
        self.by_spi.pop(sa.local_spi, None)
        self._leave_tunnel(sa)

    def of_tunnel(self, name: str) -> list[AnySa]:
        """A copy of the list of IKE SAs of a tunnel: those that we began, and those whose peer is authenticated."""
        return list(self.by_tunnel.get(name, ()))

    def instances(self, definition: str) -> Collection[str]:
        """The instances of a definition for many peers that have IKE SAs, those that are there longest first."""
        return self._instances.get(definition, {}).keys()

    def half_open(self, name: str) -> list[AnySa]:
        """Those that strangers opened and that are going to be of this tunnel, as far as can be told."""
        return list(self._half_open.get(name, {}).values())

    def strangers(self) -> list[AnySa]:
        """All that are half-open."""
        return [sa for sas in self._half_open.values() for sa in sas.values()]

    def _enter_tunnel(self, sa: AnySa) -> None:
        name, definition = sa.connection.name, sa.connection.definition
        self.by_tunnel.setdefault(name, []).append(sa)
        if definition:
            self._instances.setdefault(definition, {})[name] = None

    def _leave_tunnel(self, sa: AnySa) -> None:
        name = sa.connection.name
        if self._half_open.get(name, {}).pop(sa.number, None) is not None:
            if not self._half_open[name]:
                del self._half_open[name]
            return
        sas = self.by_tunnel.get(name, [])
        if sa in sas:
            sas.remove(sa)
        if not sas:
            self.by_tunnel.pop(name, None)
            self.superseded.discard(name)
            self._leave_definition(name, sa.connection.definition)

    def _leave_definition(self, name: str, definition: str) -> None:
        instances = self._instances.get(definition, {})
        instances.pop(name, None)
        if not instances:
            self._instances.pop(definition, None)


def _opening(path: Path, datagram: bytes) -> Opening:
    return path.remote_address, path.remote_port, hashlib.sha256(datagram).digest()
