# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the world that can be killed at any action, and go on with what was kept."""

from __future__ import annotations

import json
from typing import Any

from engine.ike.action_codec import freeze_actions, thaw_actions
from engine.ike.actions import Action, InstallInbound, InstallOutbound, PointPolicies, Report, Send
from engine.ike.connection import Connection
from engine.ike.endpoint import Endpoint
from engine.ike.v2.features import ipcomp
from engine.wire.header import Header
from engine.wire.v2.numbers import ExchangeType

from tests.kept_records import KeptRecords
from tests.seeded_entropy import SeededEntropy

from .world import Host, World


class Mortal:
    """Makes a host of the world one that can be killed: what is kept of it goes through JSON, as a file would hold it.

    :ivar kill_at: how many more actions it performs before it is killed; None for none at all.
    """

    def __init__(self, host: Host, sealed: dict[tuple[bytes, bytes], bytes]) -> None:
        self.host = host
        self.kept = KeptRecords()
        self.undone: list[Any] = []
        self.kill_at: int | None = None
        self.deaths = 0
        self._sealed = sealed
        self._connections = list(host.engine.connections)
        self._settings = host.engine.settings
        host.do = self.do

    def redefine(self, connection: Connection) -> None:
        """Change the definition, for the lives to come as well."""
        self._connections = [connection]
        self.host.engine.define(connection)

    def do(self, actions: list[Action]) -> None:
        """Keep first, then perform; and be killed on the way if that is due."""
        self.kept.take(self.host.engine)
        self.undone = json.loads(json.dumps(freeze_actions(actions)))
        for action in actions:
            if self.kill_at is not None:
                self.kill_at -= 1
                if self.kill_at < 0:
                    self.die()
                    return
            self._perform(action)
        self.undone = []

    def _perform(self, action: Action) -> None:
        host = self.host
        if isinstance(action, Send):
            self._watch(action.datagram)
            host.world.send(action)
        elif isinstance(action, Report):
            host.reports.append(action)
        host.kernel.perform(action)

    def _watch(self, datagram: bytes) -> None:
        """What is sealed with one IV is one message: the same octets each time it is sent."""
        header = Header.parse(datagram)
        if header.next_payload != 46 or header.exchange == ExchangeType.IKE_INTERMEDIATE:
            return  # what comes after an additional key exchange is sealed with other keys
        iv = datagram[32:40]
        key = (header.initiator_spi + header.responder_spi + bytes([header.from_initiator]), iv)
        assert self._sealed.setdefault(key, datagram) == datagram, "one IV for two messages"

    def die(self) -> None:
        """Be killed, and go on in a new life."""
        self.kill_at = None
        self.deaths += 1
        host, now = self.host, self.host.world.now
        old = host.engine
        host.engine = Endpoint(SeededEntropy(1000 * self.deaths + int(host.address[-1])), old.spis, self._settings)
        for connection in self._connections:
            host.engine.define(connection)
        actions, problems = host.engine.resume(self.kept.records(), now)
        assert not problems
        self._redo()
        self.do(actions)
        self._sweep()

    def _redo(self) -> None:
        living = {
            child.number: child.sa for sa in self.host.engine.registry.by_spi.values() for child in sa.children.values()
        }
        kernel = self.host.kernel
        for action in thaw_actions(self.undone, living.get):
            if isinstance(action, InstallInbound) and action.child.spi_in in kernel.inbound:
                continue
            if isinstance(action, InstallOutbound) and action.child.spi_out in kernel.outbound:
                action = PointPolicies(action.child)
            faults = list(kernel.faults)
            self._perform(action)
            # What was gone already may be taken away again, and a reservation may have timed out.
            kernel.faults = faults
        self.undone = []

    def _sweep(self) -> None:
        """As an adopting manager: nothing of the kernel's that no IKE SA knows stays."""
        kernel = self.host.kernel
        needed, reserved = set(), set()
        for sa in self.host.engine.registry.by_spi.values():
            needed |= {child.sa.spi_in for child in sa.children.values()}
            reserved |= {
                int.from_bytes(getattr(task, "spi", b""), "big") for task in ([sa.request.task] if sa.request else [])
            }
            reserved |= {cpi for _spi, cpi, _theirs in ipcomp.RESERVED.of(sa).ipcomp}
        assert set(kernel.inbound) == needed, "what is kept stands in the kernel, and nothing else does"
        kernel.reserved &= reserved


def mortal_world(world: World) -> tuple[World, Mortal, Mortal]:
    sealed: dict[tuple[bytes, bytes], bytes] = {}
    mortals = Mortal(world.east, sealed), Mortal(world.west, sealed)
    for mortal in mortals:
        mortal.do([])
    return world, *mortals
