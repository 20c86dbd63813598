# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers in one process that are killed at any step, with packets passing at every step of either.

The kernels outlive them, as do their journals and databases; the clock is ours, so that a seed tells everything.
"""

from __future__ import annotations

import heapq
import io
import itertools
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path as Folder
from typing import Any

from engine.child_sa import ChildSa
from engine.ike.actions import Path
from engine.ike.settings import Settings
from engine.kernel.policies import network_text
from engine.kernel.values import Policy
from engine.manager.log import Log
from engine.manager.plan import make_plan, stored_changes
from engine.manager.retry import Retry
from engine.manager.runtime import Runtime
from engine.manager.store import Store
from engine.wire.header import Header
from fake_kernel import FakeHost

from tests.crash.definitions import VARIANTS, definition
from tests.crash.evidence import describe_frame
from tests.seeded_entropy import SeededEntropy

# What kills may come before and after: everything that is seen from outside.
VERBS = (
    "reserve", "release", "install_inbound", "install_outbound", "set_policies", "delete_policies", "remove_sas",
    "discard", "cleanup",
)  # fmt: skip
LATENCY = (0.0002, 0.004)  # seconds that a datagram takes, most of them in the loop of who gets it
AWAY = (0.2, 3.0)  # seconds until a dead one is started again
PATIENT = partial(Settings, suspicious_tries=1000)


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class Lost(AssertionError):
    """A packet was lost, or left in clear."""


class End:
    """A manager with its kernel, its journal and its database.

    :ivar runtime: the manager, None while it is dead. :ivar left: steps until it is killed, 0 for never.
    """

    def __init__(self, world: World, number: int, folder: Folder) -> None:
        self.world, self.number = world, number
        self.address = f"192.0.2.{number}"
        self.left = 0
        self.runtime: Runtime | None = None
        self._database = str(folder / "definitions.sqlite")
        self.host = FakeHost(str(folder), journal=False)
        for name in VERBS:
            verb = getattr(self.host.gateway, name)
            setattr(self.host.gateway, name, self._around(verb, name))
        self.host.registry.record = self._around(self.host.registry.record, "registry")

    def start(self, steps: int) -> None:
        """Begin, to be killed after so many steps."""
        self.left = steps
        self.world.tell(self, f"starts for {steps} steps")
        runtime = Runtime(Store(self._database), self.host, self, self.world.log, PATIENT(), lambda: self.world.now)
        runtime.journal._write = self._around(runtime.journal._write, "journal")
        runtime.store.commit = self._around(runtime.store.commit, "database")
        runtime.endpoint.entropy = SeededEntropy(self.world.chance.randrange(1 << 60))
        runtime.tunnels.retry = Retry(self.world.chance.random)
        self.runtime = runtime
        self.during(runtime.begin)

    def during(self, doing: Callable[[], object]) -> bool:
        """Have it do something; whether it lives."""
        if self.runtime is None:
            return False
        try:
            doing()
        except Killed:
            self.die()
        return self.runtime is not None

    def die(self) -> None:
        """Be killed now."""
        runtime, self.runtime = self.runtime, None
        runtime.journal.close()
        runtime.store.close()
        self.world.tell(self, "is dead")

    def apply(self, state: str, variant: int) -> None:
        """As ``tunnels.apply`` does; see tests/crash."""
        runtime = self.runtime
        params = {
            "definitions": [definition(self.number, variant)],
            "state": state,
            "purge": False,
            "owner": "",
            "names": [],
        }
        tunnels = runtime.tunnels
        repaired = runtime.repairs.mend({"t"} & tunnels.rows.keys())
        plan = make_plan(params, dict(tunnels.rows), lambda name: tunnels.condition(name).running(), repaired)
        changes = stored_changes(plan.steps)
        outcome = runtime.store.commit(changes) if changes else {}
        with runtime.policies.together():
            for step in plan.steps:
                tunnels.carry_out(step, outcome.get(step.name) or tunnels.rows.get(step.name))

    # The sockets

    def for_path(self, path: Path) -> End:
        """All of them are one."""
        return self

    def send(self, datagram: bytes, path: Path, dscp: int = 0) -> None:
        """Put it on the wire."""
        self._around(self.world.send, "send")(self, datagram, path)

    # Steps

    def _around(self, doing: Callable[..., Any], name: str) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            self._step(f"before {name}")
            try:
                outcome = doing(*arguments)
            except Killed:
                raise
            except Exception as exc:
                self.world.tell(self, f"{name} failed: {exc}")
                raise
            self.world.tell(self, f"{name} {' '.join(_word(each) for each in arguments)}".rstrip())
            self.world.probe(self)
            self._step(f"after {name}")
            return outcome

        return stepped

    def _step(self, where: str) -> None:
        if self.left < 0:
            raise Killed  # what is in a ``finally`` is not done by a dead process
        self.left -= 1
        if self.left == 0:
            self.left = -1
            self.world.tell(self, f"is killed {where}")
            raise Killed
        self.left = max(self.left, 0)

    # Packets

    def sends_with(self) -> ChildSa | None:
        """The SA that a packet takes.

        :raises Lost: it leaves in clear.
        """
        there = [policy for place, policy in self.host.gateway.held.items() if _is_for(place, "out", self.number)]
        if not there or not there[0].templates:
            raise Lost(f"end {self.number} sends in clear")
        template = there[0].templates[0]
        sas = self.host.gateway.sas
        if template.spi:
            return sas.get((template.destination, template.spi))
        return next((sa for (address, _spi), sa in sas.items() if address == template.destination), None)

    def takes(self, sent: ChildSa) -> str:
        """Why it does not take a packet; empty if it does."""
        sa = self.host.gateway.sas.get((self.address, sent.spi_out))
        if sa is None:
            return f"has no SA {sent.spi_out:#x}"
        if sa.encryption_in.reveal() != sent.encryption_out.reveal():
            return f"has other keys for {sent.spi_out:#x}"
        there = [policy for place, policy in self.host.gateway.held.items() if _is_for(place, "in", 3 - self.number)]
        if not there or all(template.reqid != sa.reqid for template in there[0].templates):
            return f"lets nothing of {sent.spi_out:#x} in"
        return ""


def _is_for(place: Any, direction: str, source: int) -> bool:
    selector, way, _if_id = place
    return (
        way == direction
        and network_text(selector.source, selector.source_prefix) == f"10.{source}.0.0/24"
        and network_text(selector.destination, selector.destination_prefix) == f"10.{3 - source}.0.0/24"
    )


def _word(value: Any) -> str:
    if isinstance(value, bytes) and (value.startswith(b'["') or not value):
        return "".join(f"\n              {line}" for line in describe_frame(value))
    if isinstance(value, ChildSa):
        return f"{value.spi_in:#x}/{value.spi_out:#x}"
    if isinstance(value, list):
        return ",".join(_policy(each) for each in value if isinstance(each, Policy))
    return ""


def _policy(policy: Policy) -> str:
    selector, spi = policy.selector, policy.templates[0].spi if policy.templates else 0
    return f"{policy.direction}:{network_text(selector.source, selector.source_prefix)}:{spi:#x}"


class World:
    """Both ends, the wire, the time, and what happened."""

    def __init__(self, folder: Folder, seed: int) -> None:
        self.now = 1000.0
        self.chance = random.Random(seed)
        self.text = io.StringIO()
        self.log = Log("debug", False, self.text)
        self.log.write = self._logged
        self.events: list[str] = []
        self.probing = False
        self.probes = 0
        self._count = itertools.count()
        self._wire: list[tuple[float, int, End, bytes, Path]] = []
        self._starts: dict[int, float] = {}
        self._steps = 0
        for number in (1, 2):
            (folder / str(number)).mkdir()
        self.ends = End(self, 1, folder / "1"), End(self, 2, folder / "2")
        self.who: End | None = None

    def _logged(self, level: str, message: str, fields: dict[str, Any]) -> None:
        told = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ""))
        self.events.append(f"{self.now:9.4f}       {level} {message} {told}")

    def tell(self, end: End, what: str) -> None:
        """Note an event."""
        self.events.append(f"{self.now:9.4f} end {end.number} {what}")

    def send(self, end: End, datagram: bytes, path: Path) -> None:
        """Put a datagram on the wire."""
        header = Header.parse(datagram)
        kind = "answer" if header.is_response else "request"
        self.tell(end, f"IKE {kind} {header.exchange} {header.message_id} of {header.initiator_spi.hex()}")
        there = Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
        other = self.ends[2 - end.number]
        heapq.heappush(
            self._wire, (self.now + self.chance.uniform(*LATENCY), next(self._count), other, datagram, there)
        )

    def probe(self, end: End | None = None) -> None:
        """A packet each way, now."""
        if not self.probing:
            return
        self.probes += 1
        for sender, receiver in (self.ends, self.ends[::-1]):
            sent = sender.sends_with()
            if sent is None:
                raise Lost(f"end {sender.number} has no SA to send with")
            why = receiver.takes(sent)
            if why:
                raise Lost(f"end {sender.number} sends with {sent.spi_out:#x}, end {receiver.number} {why}")

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; whether ``until`` came true."""
        end = self.now + seconds
        while not until():
            due = [self._wire[0][0]] if self._wire else []
            due += list(self._starts.values())
            due += [each.runtime.next_deadline() for each in self.ends if each.runtime is not None]
            if not due or min(due) > end:
                self.now = max(self.now, end)
                return until()
            self.now = max(self.now, min(due))
            self._turn()
        return True

    def _turn(self) -> None:
        for number, when in list(self._starts.items()):
            if when <= self.now:
                del self._starts[number]
                self.ends[number - 1].start(self._steps)
                if self.ends[number - 1].runtime is None:
                    self._steps = 0
                    self._starts[number] = self.now + self.chance.uniform(*AWAY)
        while self._wire and self._wire[0][0] <= self.now:
            _at, _count, to, datagram, path = heapq.heappop(self._wire)
            if to.runtime is not None:
                to.during(partial(to.runtime.datagram, datagram, path))
        for end in self.ends:
            if end.runtime is not None and end.runtime.next_deadline() <= self.now:
                end.during(end.runtime.wake)
        self.bury()

    def bury(self) -> None:
        """Whoever died is started again in a while."""
        for end in self.ends:
            if end.runtime is None and end.number not in self._starts:
                self._starts[end.number] = self.now + self.chance.uniform(*AWAY)

    def agree(self) -> bool:
        """Both ends have the same IKE SA and Child SAs, and the kernels have these and no others.

        One whose Delete is out may stay: the peer that has it no more says nothing to that.
        """
        if any(end.runtime is None for end in self.ends):
            return False
        found = []
        for end in self.ends:
            sas = [sa for sa in end.runtime.endpoint.registry.by_spi.values() if sa.alive]
            pairs = {(child.sa.spi_in, child.sa.spi_out) for sa in sas for child in sa.children.values()}
            kernel = {spi for _address, spi in end.host.gateway.sas}
            if len(sas) != 1 or kernel != {spi for pair in pairs for spi in pair}:
                return False
            found.append(([sa.spi_i for sa in sas], pairs))
        (ike1, sas1), (ike2, sas2) = found
        return ike1 == ike2 and len(ike1) == 1 and bool(sas1) and sas1 == {(out, into) for into, out in sas2}

    def settle(self) -> None:
        """Run until both agree; who dies on the way lives from then on."""
        self._steps = 0
        if not self.run(120.0, self.agree):
            raise Lost("the ends do not agree")
        self.probe()

    def begin(self) -> None:
        """Bring the tunnel up."""
        for end in self.ends:
            end.start(0)
        self.ends[1].apply("present", 0)
        self.ends[0].apply("active", 0)
        self.settle()
        self.probing = True

    def kill(self) -> None:
        """Set something going, kill, start again, as tests/crash does."""
        chance = self.chance
        victims = chance.choice([self.ends[:1], self.ends[1:], self.ends])
        for end in self.ends:
            if chance.random() < 0.7:
                variant = chance.randrange(VARIANTS)
                self.tell(end, f"is told variant {variant}")
                end.during(partial(end.apply, "active" if end.number == 1 else "present", variant))
        self.bury()
        self._steps = 0
        self.run(chance.choice([0.0, 0.01, 0.05, 0.2]) * chance.random())
        for end in victims:
            if end.runtime is not None:
                end.die()
        self.bury()
        self._steps = chance.choice([0, chance.randint(1, 40), chance.randint(10, 200)])
        self.run(60.0, lambda: all(end.runtime is not None for end in self.ends))
        self.settle()

    def close(self) -> None:
        """End everything."""
        self.probing = False
        for end in self.ends:
            if end.runtime is not None:
                end.die()
            end.host.close()


def hunt(folder: Folder, seed: int, kills: int) -> World:
    """Kill so often; the world, in which nothing was lost.

    :raises Lost: with all that happened lately.
    """
    world = World(folder, seed)
    try:
        world.begin()
        for _unused in range(kills):
            world.kill()
    except Lost as lost:
        told = "\n".join(world.events[-300:])
        raise Lost(f"seed {seed}: {lost}\n{told}\nseed {seed}: {lost}") from None
    finally:
        world.close()
    return world
