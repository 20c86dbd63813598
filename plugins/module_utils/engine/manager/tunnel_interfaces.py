# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces of route-based tunnels: each stands as long as its tunnel is defined, whether that is up or not.

So what is routed into it is dropped while the tunnel is down, and never leaves in clear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..definition.interface import if_id_of
from ..definition.schema import Problems
from ..errors import InputError
from ..kernel.interfaces import ALIAS, Interface
from .host import KernelHost
from .plan import Step
from .store import Stored


class TunnelInterfaces:
    """Which interfaces stand, by tunnel."""

    def __init__(self, host: KernelHost) -> None:
        self._host = host
        self._standing: dict[str, Interface] = {}
        self._incomplete: set[str] = set()

    def vet(self, steps: Iterable[Step]) -> None:
        """Refuse a plan whose interfaces cannot be made, before anything is changed.

        :raises MissingError: this kernel has no XFRM interfaces, with the remedy.
        :raises Problems: naming each name that another program's link has.
        """
        made = {interface.name for interface in self._standing.values()}
        wanted = [
            (step.name, interface["name"])
            for step in steps
            if step.after and (interface := step.after.definition.document["interface"])
        ]
        new = [(tunnel, name) for tunnel, name in wanted if name not in made]
        if new:
            self._host.require_interfaces()
        taken = [(tunnel, name) for tunnel, name in new if self._host.foreign_link(name)]
        if taken:
            problem, remedy = "is a link that is there already and not ours", "choose another name, or remove that link"
            raise Problems(
                InputError(f"definitions[{tunnel}].interface.name", name, problem, remedy) for tunnel, name in taken
            )

    def sweep(self, rows: Iterable[Stored]) -> None:
        """Remove interfaces that an earlier run made and nobody defines any more; the others stay untouched.

        Of a tunnel whose definition cannot be read, that it has none may be what cannot be read.

        :raises KernelError: the kernel refused.
        """
        rows = list(rows)
        wanted = {(interface.name, interface.if_id) for row in rows if (interface := interface_of(row))}
        unknown = {f"{ALIAS}{row.owner}/{row.name}" for row in rows if row.unreadable and interface_of(row) is None}
        for link in self._host.own_links():
            if (link.name, link.if_id) not in wanted and link.alias not in unknown:
                self._host.remove_interface(link.name, link.alias)

    def stand(self, row: Stored) -> None:
        """Have the interface of this tunnel stand as it is defined, and no other of this tunnel.

        :raises EngineError: the kernel refused, or the name is another program's.
        """
        wanted, before = interface_of(row), self._standing.get(row.name)
        if wanted == before and row.name not in self._incomplete:
            return
        if before is not None and (wanted is None or wanted.name != before.name):
            self.take(row.name)
            before = None
        if wanted is not None:
            self._standing[row.name] = wanted
            self._incomplete.add(row.name)
            self._host.make_interface(wanted, before)
            self._incomplete.discard(row.name)

    def lacking(self, tunnels: Collection[str] | None) -> dict[str, str]:
        """By tunnel, what its interface lacks, in words; of these tunnels or of all.

        :raises KernelError: the kernel refused to tell.
        """
        wanted = {name: interface for name, interface in self._standing.items() if tunnels is None or name in tunnels}
        if not wanted:
            return {}
        lacking = self._host.lacking_interfaces(list(wanted.values()))
        return {name: lacking[interface.name] for name, interface in wanted.items() if interface.name in lacking}

    def astray(self) -> list[str]:
        """The tunnels whose routes have another source address than they would be given now.

        :raises KernelError: the kernel refused to tell.
        """
        names = self._host.astray_interfaces(list(self._standing.values())) if self._standing else ()
        return [tunnel for tunnel, interface in self._standing.items() if interface.name in names]

    def mend(self, tunnel: str) -> None:
        """Put back what :meth:`lacking` told of a tunnel, or right what :meth:`astray` did.

        :raises EngineError: the kernel refused, or the name is another program's by now.
        """
        interface = self._standing[tunnel]
        self._host.make_interface(interface, interface)

    def take(self, tunnel: str) -> None:
        """Remove the interface of this tunnel, if it has one.

        :raises KernelError: the kernel refused.
        """
        self._incomplete.discard(tunnel)
        interface = self._standing.pop(tunnel, None)
        if interface is not None:
            self._host.remove_interface(interface.name, interface.alias)


def interface_of(row: Stored) -> Interface | None:
    """The interface that a tunnel is to have, None for a policy-based one."""
    options = row.definition.document["interface"]
    if options is None:
        return None
    return Interface(
        options["name"],
        if_id_of(row.definition.document, row.number),
        row.owner,
        row.name,
        options["mtu"],
        tuple(options["addresses"]),
        tuple(options["routes"]),
        tuple(dict.fromkeys(selector for local, _remote in row.definition.selectors for selector in local)),
    )
