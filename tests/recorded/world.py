# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends of a simulated wire, the wire itself and the time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.kept_records import KeptRecords

from .chance import Chance
from .definitions import EAST, WEST
from .engine_face import (
    Action,
    ChildSa,
    Connection,
    Endpoint,
    InputError,
    InstallFailed,
    InstallInbound,
    InstallOutbound,
    KernelError,
    Path,
    RemoveSas,
    SeededEntropy,
    Send,
    Settings,
)
from .trace import Trace, path_text

PUBLIC = "198.51.100.7"
BEGIN = 1000.0
HISTORY = 24  # datagrams that a hostile wire remembers


@dataclass
class Weather:
    """What the wire does, as probabilities, and what kernels refuse.

    :ivar slowest: seconds that a datagram may take; many of them: they overtake each other.
    :ivar hostile: damaged, reflected and repeated datagrams.
    """

    loss: float = 0.0
    doubling: float = 0.0
    slowest: float = 0.01
    hostile: float = 0.0
    refusing: float = 0.0


class Host:
    """One end: an engine that can die, the SAs of its kernel, its definitions and what is kept of it."""

    def __init__(self, world: World, name: str, seed: int, settings: Settings) -> None:
        self.world, self.name = world, name
        self.installed: dict[int, ChildSa] = {}
        self.defined: dict[str, Connection] = {}
        self.asleep = False
        self._settings, self._seed, self._lives = settings, seed, 0
        self._spi = (seed % 200 + 1) << 24
        self._kept = KeptRecords()
        self.engine = self._new_engine()

    def define(self, connection: Connection) -> None:
        """Add or replace a definition."""
        self.defined[connection.name] = connection
        self.call(f"define {connection.name}", lambda _now: self.engine.define(connection))

    def undefine(self, name: str) -> None:
        """Forget a definition."""
        self.defined.pop(name, None)
        self.call(f"undefine {name}", lambda _now: self.engine.undefine(name))

    def rename(self, old: str, new: Connection) -> None:
        """The tunnel goes by another name."""
        self.defined.pop(old, None)
        self.call(f"rename {old} {new.name}", lambda _now: self.engine.rename(old, new.name))
        self.define(new)

    def call(self, what: str, verb: Callable[[float], list[Action] | None]) -> None:
        """Call a verb and do what it asks."""
        self.perform(self.ask(what, verb))

    def ask(self, what: str, verb: Callable[[float], list[Action] | None]) -> list[Action]:
        """Call a verb; what it returned, noted and kept but not performed."""
        trace, now = self.world.trace, self.world.now
        trace.say(now, self.name, what)
        try:
            actions = verb(now) or []
        except InputError as error:
            trace.say(now, self.name, f"refused: {error}")
            actions = []
        trace.returned(actions)
        trace.lines.append(f"    deadline {self.engine.next_deadline()!r}")
        changes = self._kept.take(self.engine)
        trace.records.extend(f"{key.part} {key.ike} {key.child} {text}" for key, text in changes.items())
        return actions

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what the engine asks."""
        refused: list[ChildSa] = []
        for action in actions:
            if isinstance(action, Send):
                self.world.send(action)
            elif isinstance(action, (InstallInbound, InstallOutbound)):
                if self.world.chance.happens(self.world.weather.refusing):
                    refused.append(action.child)
                self.installed[action.child.number] = action.child
            elif isinstance(action, RemoveSas):
                self.installed.pop(action.child.number, None)
        for child in refused:
            self.installed.pop(child.number, None)
            event = InstallFailed(child, "out of memory")
            self.call(f"kernel {event.problem} {child.number}", lambda now, e=event: self.engine.kernel_event(e, now))

    def rise(self) -> None:
        """Go on in another process, with what was kept."""
        self._lives += 1
        self.engine = self._new_engine()
        for connection in self.defined.values():
            self.engine.define(connection)
        self.call("resume", self._resume)

    def _resume(self, now: float) -> list[Action]:
        actions, problems = self.engine.resume(self._kept.records(), now)
        for tunnel, problem in sorted(problems.items()):
            self.world.trace.say(now, self.name, f"lost {tunnel}: {problem}")
        return actions

    def _new_engine(self) -> Endpoint:
        return Endpoint(SeededEntropy(1000 * self._seed + self._lives), self._reserve, self._settings)

    def _reserve(self, _local: str, _remote: str, _protocol: int, _reqid: int) -> int:
        if self.world.chance.happens(self.world.weather.refusing / 2):
            raise KernelError("reserve an SPI", 12, "out of memory")
        self._spi += 1
        return self._spi


class Nat:
    """In front of east: its packets come from :data:`PUBLIC` and another port."""

    def __init__(self) -> None:
        self.offset = 20000

    def translate(self, path: Path) -> Path | None:
        """A path as its receiver sees it; None where the mapping is gone."""
        if path.remote_address == EAST:
            return path._replace(remote_address=PUBLIC, remote_port=path.remote_port + self.offset)
        if path.local_address == PUBLIC:
            port = path.local_port - self.offset
            return path._replace(local_address=EAST, local_port=port) if port in (500, 4500) else None
        return path


class World:
    """Both ends, strangers, the wire between them and the time."""

    def __init__(self, chance: Chance, seed: int, weather: Weather, settings: Settings) -> None:
        self.chance, self.weather, self.trace = chance, weather, Trace()
        self.now = BEGIN
        self.nat: Nat | None = None
        self._wire: list[tuple[float, int, bytes, Path]] = []
        self._copies = 0
        self._history: list[tuple[bytes, Path]] = []
        self.east = Host(self, "east", 3 * seed, settings)
        self.west = Host(self, "west", 3 * seed + 1, settings)
        self.strangers = Host(self, "strangers", 3 * seed + 2, Settings())

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        """All that have an engine."""
        return self.east, self.west, self.strangers

    def send(self, action: Send) -> None:
        """Put a datagram on the wire."""
        path = reverse(action.path)
        there = self.nat.translate(path) if self.nat is not None else path
        if there is None or self.chance.happens(self.weather.loss):
            return
        self._put(action.datagram, there)
        if self.chance.happens(self.weather.doubling):
            self._put(action.datagram, there)
        if self.weather.hostile:
            self._history = [*self._history[-HISTORY:], (action.datagram, there)]
            if self.chance.happens(self.weather.hostile):
                self._attack()

    def run(self, seconds: float) -> None:
        """Let the time pass."""
        end = round(self.now + seconds, 6)
        while (when := self._next()) is not None and when <= end:
            self.now = max(self.now, when)
            while self._wire and self._wire[0][0] <= self.now:
                _when, _copy, datagram, path = heapq.heappop(self._wire)
                self._arrive(datagram, path)
            for host in self.hosts:
                deadline = None if host.asleep else host.engine.next_deadline()
                if deadline is not None and deadline <= self.now:
                    host.call("tick", host.engine.tick)
        self.now = end

    def _next(self) -> float | None:
        due = [host.engine.next_deadline() for host in self.hosts if not host.asleep]
        times = [when for when in due if when is not None] + [entry[0] for entry in self._wire[:1]]
        return min(times, default=None)

    def _arrive(self, datagram: bytes, path: Path) -> None:
        by_address = {EAST: self.east, WEST: self.west}
        host = by_address.get(path.local_address, self.strangers)
        if not host.asleep:
            host.call(
                f"receive {path_text(path)} {datagram[:24].hex()}", lambda now: host.engine.receive(datagram, path, now)
            )

    def _put(self, datagram: bytes, path: Path) -> None:
        self._copies += 1
        when = round(self.now + self.chance.between(0.004, self.weather.slowest), 6)
        heapq.heappush(self._wire, (when, self._copies, datagram, path))

    def _attack(self) -> None:
        """Somebody on the way repeats, damages or reflects what passed lately."""
        datagram, path = self.chance.one_of(self._history)
        kind = self.chance.below(6)
        octets = bytearray(datagram)
        if kind == 0:
            octets[self.chance.below(len(octets))] ^= 1 << self.chance.below(8)
        elif kind == 1:
            octets[17] = self.chance.one_of((0x10, 0x21, 0x30))
        elif kind == 2:
            path = reverse(path)
        elif kind == 3:
            path = path._replace(remote_port=path.remote_port + 1 + self.chance.below(9))
        elif kind == 4:
            del octets[self.chance.below(len(octets)) :]
        self._put(bytes(octets), path)


def reverse(path: Path) -> Path:
    """The same way, seen from its other end."""
    return Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
