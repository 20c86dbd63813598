# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that only counts what it is asked, and that asks for tunnels as the real one does: by acquire events.

What a manager costs beside it is its own. Of what is installed only the policies are kept, which the manager keeps in
mind itself, so that its looks at everything find everything.
"""

from __future__ import annotations

import cProfile
import itertools
import os
import select
from collections import Counter, deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import Any

from engine.child_sa import ChildSa
from engine.kernel.child_values import child_policies
from engine.kernel.events import AcquireEvent
from engine.kernel.registry import Registry
from engine.kernel.values import Place, Policy
from engine.manager.policy_claims import place_of


class CountingGateway:
    """Stands for :class:`engine.kernel.gateway.Gateway`.

    A pipe takes the place of the netlink socket. Octets in it are orders of the benchmark: ``g`` has packets come for
    the next batch of trapped children, at most ``window`` of them under way at a time; ``p`` begins a profile and
    ``e`` ends it.

    :param pipe: (read end, write end) of that pipe.
    :param told: descriptor that gets one line when all children of a batch are up.
    :param batches: how many children each ``g`` brings up.
    :ivar calls: how often each verb was called.
    """

    def __init__(self, pipe: tuple[int, int], told: int, window: int, batches: list[int]) -> None:
        self.calls: Counter[str] = Counter()
        self.profile = cProfile.Profile()
        self._read, self._write = pipe
        self._told = told
        self._window = window
        self._batches = deque(batches)
        self._goals = deque(itertools.accumulate(batches))
        self._trapped: deque[ChildSa] = deque()
        self._asked = 0
        self._limit = 0
        self._held: dict[Place, Policy] = {}
        self._spis = itertools.count(0xC0000001)

    def close(self) -> None:
        """Nothing is ours to close: both ends are the benchmark's."""

    def fileno(self) -> int:
        """What to watch for events."""
        return self._read

    def events(self) -> list[AcquireEvent]:
        """One acquire for each octet that waits, or a window full of them at an order."""
        wanted = 0
        waiting = select.select([self._read], [], [], 0)[0]
        for order in os.read(self._read, 4096).decode() if waiting else "":
            if order == "g":
                self._limit += self._batches.popleft()
                wanted += self._window
            elif order == "n":
                wanted += 1
            elif order == "p":
                self.profile.enable()
            elif order == "e":
                self.profile.disable()
        return [event for event in map(self._acquire, range(wanted)) if event is not None]

    def _acquire(self, _turn: int) -> AcquireEvent | None:
        if self._asked == self._limit:
            return None
        self._asked += 1
        spec = self._trapped.popleft()
        ends = spec.local_address, spec.remote_address
        return AcquireEvent(spec.reqid, *ends, 50, spec.local_selectors[0], spec.remote_selectors[0])

    def reserve(self, local_address: str, remote_address: str, protocol: int, mode: str, reqid: int) -> int:
        """An SPI."""
        self.calls["reserve"] += 1
        return next(self._spis)

    def release(self, local_address: str, protocol: int, spi: int) -> None:
        """Give an SPI back."""
        self.calls["release"] += 1

    def forget_hold(self, local_address: str, remote_address: str, protocol: int, mode: str, reqid: int) -> None:
        """Let packets ask anew."""
        self.calls["forget_hold"] += 1

    def install_inbound(self, spec: ChildSa) -> None:
        """Add the SA that receives."""
        self.calls["install_inbound"] += 1

    def install_outbound(self, spec: ChildSa, wanted: Sequence[Policy], ours: Collection[Place] = ()) -> None:
        """Add the SA that sends; with it the child is up, and the next may come."""
        self.calls["install_outbound"] += 1
        self._held.update((place_of(policy), policy) for policy in wanted)
        if self._goals and self.calls["install_outbound"] == self._goals[0]:
            self._goals.popleft()
            os.write(self._told, b"up\n")
        if self._asked < self._limit:
            os.write(self._write, b"n")

    def set_policies(self, wanted: Sequence[Policy], spec: ChildSa, ours: Collection[Place] = ()) -> int:
        """Without an SA they wait for the first packet, which starts the child."""
        self.calls["set_policies"] += 1
        self._held.update((place_of(policy), policy) for policy in wanted)
        if not spec.spi_out:
            self._trapped.append(spec)
        return len(wanted)

    def delete_policies(self, places: Sequence[Any]) -> int:
        """Delete policies."""
        self.calls["delete_policies"] += 1
        for place in places:
            self._held.pop(place, None)
        return len(places)

    def remove_sas(self, spec: ChildSa) -> None:
        """Delete both SAs."""
        self.calls["remove_sas"] += 1

    def held_sas(self) -> list[Any]:
        """Nothing is kept here."""
        return []

    held_policies = held_sas

    def standing_sas(self, names: Sequence[Any]) -> set[Any]:
        """All of them: nobody takes any away."""
        self.calls["standing_sas"] += 1
        return set(names)

    def standing_policies(self) -> list[Policy]:
        """What the manager set."""
        self.calls["standing_policies"] += 1
        return list(self._held.values())

    def policies_at(self, places: Sequence[Place]) -> list[Policy]:
        """The same, at these places."""
        self.calls["policies_at"] += 1
        return [self._held[place] for place in places if place in self._held]

    def owns(self, policy: Policy) -> bool:
        """Never asked: nothing is held."""
        return False

    def policies_of(self, spec: ChildSa) -> list[Policy]:
        """As the real one has them, for the manager keeps them in mind."""
        return child_policies(spec)

    def usage_all(self) -> dict[Any, Any]:
        """Counters of every SA."""
        self.calls["usage_all"] += 1
        return {}

    def cleanup(self, keep_reqids: frozenset[int] = frozenset()) -> tuple[int, int]:
        """Remove leftovers."""
        self.calls["cleanup"] += 1
        return 0, 0


class Silence:
    """Nobody else does anything to this kernel."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        """Never readable."""
        return self._read

    def read(self) -> list[Any]:
        """Never asked."""
        return []

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


class CountingHost:
    """Stands for :class:`engine.manager.host.KernelHost`."""

    def __init__(self, runtime_dir: str, gateway: CountingGateway) -> None:
        self.registry = Registry(runtime_dir)
        self.gateway = gateway
        self.changes = Silence()

    def close(self) -> None:
        """Close the registry."""
        self.changes.close()
        self.registry.close()

    def link_networks(self) -> tuple[Any, ...]:
        """No tunnel of a benchmark holds a network of this host."""
        return ()

    def links_to(self, *remotes: str) -> frozenset[int]:
        """Never asked then."""
        return frozenset()

    def default_links(self) -> frozenset[int]:
        """Likewise of no matter."""
        return frozenset()

    def prepare_socket(self, port: Any) -> None:
        """A socket of a benchmark needs no bypass: there are no policies."""

    def prepare(self) -> int:
        """Nothing is caught here."""
        return 0

    def cleanup(self) -> tuple[int, int]:
        """Remove leftovers."""
        return self.gateway.cleanup()

    def source_address(self, remote: str) -> str | None:
        """Never asked: every definition names its local address."""
        return None

    def open_way(self, spec: ChildSa) -> None:
        """Add routes."""

    def shut_way(self, spec: ChildSa) -> None:
        """Remove routes."""

    def tidy_ways(self) -> None:
        """Nobody left any."""

    def lost_ways(self) -> list[Any]:
        """None of them."""
        return []

    def open_late_ways(self) -> list[Any]:
        """None of them."""
        return []

    def mend_rules(self) -> Future[list[str]]:
        """There are none."""
        done: Future[list[str]] = Future()
        done.set_result([])
        return done

    def own_links(self) -> list[Any]:
        """No interface."""
        return []

    def require_esp(self) -> None:
        """This kernel takes everything."""

    def features(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}
