# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer with keys that wants more and more of a manager, and what the manager has of that: counted, never timed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any, NamedTuple

from engine.ike.actions import Path, Send
from engine.ike.endpoint import Endpoint
from engine.ike.v2.sa import IkeSa
from engine.manager.runtime import Runtime
from engine.wire.header import INITIATOR
from engine.wire.v2.message import encode_payloads, encode_sealed
from runtime_world import World

from tests.seeded_entropy import SeededEntropy

CREATE, INFORMATIONAL = 36, 37
_EXCHANGE_AT = 18


class Counts(NamedTuple):
    """What a manager has, and what it has done so far."""

    ike: int
    children: int
    kernel_sas: int
    policies: int
    kernel_calls: int
    journal: int
    lines: int
    reserved: int


class Crowd:
    """Engines that are all the same peer, ``left``, to the manager ``right``; each has an IKE SA of its own.

    :param peer: its identity.
    """

    def __init__(self, folder: Folder, peer: str = "10.0.0.1", **changes: Any) -> None:
        self.world = World(folder)
        self.folder = folder
        for runtime, end in ((self.world.left, "local"), (self.world.right, "remote")):
            self.world.define(runtime, "present", **{end: {"address": "10.0.0.1", "id": peer}}, **changes)
        del self.world.wire.at["10.0.0.1"]
        self._spis = itertools.count(0xD0000001)
        self.ends: list[Endpoint] = []
        self.written = 0
        journal = self.right.journal
        write = journal._write

        def counted(payload: bytes) -> int:
            self.written += len(payload)
            return write(payload)

        journal._write = counted

    @property
    def right(self) -> Runtime:
        return self.world.right

    def engine(self) -> Endpoint:
        """One more of them, which has another IKE SA: so it does not say that this is its first one."""
        engine = Endpoint(SeededEntropy(len(self.ends) + 10), lambda *_which: next(self._spis))
        connection = self.world.left.endpoint.connections.get("t")
        engine.define(connection)
        engine.define(replace(connection, name="another", children=()))
        engine.registry.by_tunnel["another"] = [None]
        self.ends.append(engine)
        return engine

    def hand(self, engine: Endpoint, actions: Sequence[Any], deaf: bool = False, deletes: bool = True) -> None:
        """Let what an engine says travel, and what is said in return, until nobody says anything more.

        :param deaf: whether it heeds nothing of that; ``deletes``: whether it says that it has deleted something.
        """
        waiting = [action for action in actions if isinstance(action, Send)]
        while waiting:
            for action in waiting:
                if deletes or action.datagram[_EXCHANGE_AT] != INFORMATIONAL:
                    self.right.datagram(action.datagram, _back(action.path))
            waiting = []
            flying, self.world.wire.flying = self.world.wire.flying, []
            for datagram, path in () if deaf else flying:
                owner = next((one for one in self.ends if datagram[:8] in one.registry.by_spi), engine)
                said = owner.receive(datagram, _back(path), self.world.now)
                waiting += [action for action in said if isinstance(action, Send)]

    def tick(self, seconds: float) -> None:
        """Let time pass for the manager; nobody answers what it says meanwhile."""
        end = self.world.now + seconds
        while (due := self.right.next_deadline()) <= end:
            self.world.now = max(self.world.now, due)
            self.right.wake()
            self.world.wire.flying.clear()
        self.world.now = end

    def open(self) -> Endpoint:
        """One more IKE SA with its first child, without INITIAL_CONTACT."""
        engine = self.engine()
        self.hand(engine, engine.start("t", self.world.now))
        return engine

    def say(self, engine: Endpoint, exchange: int, payloads: Sequence[Any]) -> None:
        """A request by hand in the IKE SA of an engine, whose answer nobody heeds."""
        sa = self.sa(engine)
        seal = sa.protection.seal
        octets = encode_sealed(
            sa.spi_i, sa.spi_r, exchange, INITIATOR if sa.initiator else 0, sa.next_id, *encode_payloads(payloads),
            seal.sealed_length, lambda head, plain: seal.seal(head, plain, SeededEntropy(sa.next_id)),
        )  # fmt: skip
        sa.next_id += 1
        self.hand(engine, [Send(octets, sa.path)], deaf=True)

    @staticmethod
    def sa(engine: Endpoint) -> IkeSa:
        """The newest one of an engine."""
        return engine.registry.by_tunnel["t"][-1]

    def counts(self) -> Counts:
        registry, gateway = self.right.endpoint.registry, self.right.host.gateway
        return Counts(
            len(registry.by_spi), len(registry.by_child_spi), len(gateway.sas), len(gateway.held), len(gateway.calls),
            self.written, self.world.log.getvalue().count("\n"), len(gateway.reserved),
        )  # fmt: skip


def _back(path: Path) -> Path:
    """The same way from the other end."""
    return Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
