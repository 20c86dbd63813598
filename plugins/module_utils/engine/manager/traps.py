# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that hold a child's place while it is down: nothing leaves in clear, and a packet can start it."""

from __future__ import annotations

from ..errors import EngineError, KernelError
from ..ike.actions import ChildSa
from ..ike.connection import Connection
from ..ike.v2.turn import Registry
from ..kernel.spec import ChildSpec
from .host import KernelHost, trap_of
from .store import Stored
from .wanted import holds_place


class Traps:
    """Which traps are laid, by tunnel and child.

    :param sas: the IKE SAs that run, for the policies that are in use.
    """

    def __init__(self, host: KernelHost, sas: Registry) -> None:
        self._host = host
        self._sas = sas
        self._laid: dict[str, dict[str, ChildSpec]] = {}

    def of(self, tunnel: str) -> frozenset[str]:
        """The children of a tunnel whose place is held."""
        return frozenset(self._laid.get(tunnel, ()))

    def laid(self) -> list[ChildSpec]:
        """All of them."""
        return [spec for specs in self._laid.values() for spec in specs.values()]

    def hold(self, child: ChildSa) -> bool:
        """Whether the policies of this child are the very ones that hold its place while it is down."""
        spec = self._laid.get(child.tunnel, {}).get(child.child)
        return spec is not None and _same_policies(spec, child)

    def lay(self, row: Stored, connection: Connection, local: str | None) -> None:
        """Hold the places of those children that want it, and no others.

        :param local: our address towards the peer, None if there is no way to it.
        :raises KernelError: with every refusal; what could be laid is.
        """
        remote = connection.remote_address
        wanted: dict[str, ChildSpec] = {}
        children = row.definition.document["children"]
        held = {child["name"] for child in children if holds_place(row.wanted, row.asked, child)}
        if local is not None and remote is not None:
            wanted = {
                child.name: trap_of(child, row.owner, row.name, local, remote)
                for child in connection.children
                if child.name in held
            }
        # Without a route a packet never comes to the policy that would start the child.
        on_demand = {child.name for child in connection.children if child.start == "trap"}
        laid = self._laid.get(row.name, {})
        refusals = self._take({name: spec for name, spec in laid.items() if wanted.get(name) != spec})
        self._laid[row.name] = kept = {name: spec for name, spec in wanted.items() if laid.get(name) == spec}
        for name in wanted.keys() - kept.keys():
            try:
                if not self._in_use(wanted[name]):
                    self._host.gateway.trap(wanted[name])
                if name in on_demand:
                    self._host.open_way(wanted[name])
                kept[name] = wanted[name]
            except EngineError as exc:
                refusals.append(str(exc))
        if refusals:
            raise KernelError("hold the place of a child that is down", 0, "; ".join(refusals))

    def take(self, tunnel: str) -> None:
        """Hold no place for this tunnel any more.

        :raises KernelError: the kernel refused to remove a policy.
        """
        refusals = self._take(self._laid.pop(tunnel, {}))
        if refusals:
            raise KernelError("remove policies", 0, "; ".join(refusals))

    def _take(self, specs: dict[str, ChildSpec]) -> list[str]:
        refusals = []
        for spec in specs.values():
            # Policies in use go when the child goes.
            if not self._in_use(spec):
                try:
                    self._host.gateway.remove_policies(spec)
                    self._host.shut_way(spec)
                except EngineError as exc:
                    refusals.append(str(exc))
        return refusals

    def _in_use(self, spec: ChildSpec) -> bool:
        return any(
            _same_policies(spec, child.sa) for sa in self._sas.of_tunnel(spec.tunnel) for child in sa.children.values()
        )


def _same_policies(spec: ChildSpec, child: ChildSa) -> bool:
    return (
        (spec.reqid, spec.if_id) == (child.reqid, child.if_id)
        and set(spec.local_selectors) == set(child.local_selectors)
        and set(spec.remote_selectors) == set(child.remote_selectors)
    )
