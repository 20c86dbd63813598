# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runtimes of managers with a wire between them, without sockets, clock and kernel."""

from __future__ import annotations

import io

from engine.definition.parsing import parse_definition
from engine.ike.actions import Path
from engine.ike.settings import Settings
from engine.manager.log import Log
from engine.manager.plan import make_plan
from engine.manager.resolver import Answer
from engine.manager.runtime import Runtime
from engine.manager.store import Put, Store
from fake_kernel import FakeHost
from manager_lab import SECRET


class Wire:
    """Stands for the sockets of all residents: datagrams travel when the test says so."""

    def __init__(self) -> None:
        self.at: dict[str, Runtime] = {}
        self.flying: list[tuple[bytes, Path]] = []
        self.keepalives: list[Path] = []
        self.natt = False
        self.broken: set[str] = set()

    def for_path(self, path: Path) -> Wire:
        return self

    def send(self, datagram: bytes, path: Path, dscp: int = 0) -> None:
        if path.remote_address in self.broken:
            raise OSError(101, "Network is unreachable")
        self.flying.append((datagram, path))

    def send_keepalive(self, path: Path) -> None:
        self.keepalives.append(path)

    def deliver(self) -> int:
        count = 0
        while self.flying:
            datagram, path = self.flying.pop(0)
            count += 1
            if path.remote_address in self.at:
                there = Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
                self.at[path.remote_address].datagram(datagram, there)
        return count


class Names:
    """Stands for the name service of the left end.

    :ivar known: addresses by name; ``hangs``: whether nothing is answered just now; ``asked``: all questions so far.
    """

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.hangs = False
        self.asked: list[str] = []
        self._open: dict[str, None] = {}

    def ask(self, name: str) -> None:
        self.asked.append(name)
        self._open[name] = None

    def answers(self) -> list[Answer]:
        found = [] if self.hangs else list(self._open)
        for name in found:
            del self._open[name]
        return [
            Answer(name, tuple(self.known.get(name, ())), "" if name in self.known else "Name or service not known")
            for name in found
        ]


class World:
    """Two residents with one clock."""

    def __init__(self, folder) -> None:
        self.now = 1000.0
        self.names = Names()
        self.wire = Wire()
        self.log = io.StringIO()
        self.left = self._runtime(folder / "left", "10.0.0.1", self.names)
        self.right = self._runtime(folder / "right", "10.0.0.2")

    def _runtime(self, folder, address: str, names: Names | None = None) -> Runtime:
        host = FakeHost(str(folder), journal=False)
        store = Store(str(folder / "definitions.sqlite"))
        log = Log("debug", False, self.log)
        runtime = Runtime(store, host, self.wire, log, Settings(), lambda: self.now, names)
        runtime.begin()
        self.wire.at[address] = runtime
        return runtime

    def define(self, runtime: Runtime, wanted: str = "active", **changes: object) -> None:
        ours, theirs = ("10.0.0.1", "10.0.0.2") if runtime is self.left else ("10.0.0.2", "10.0.0.1")
        networks = ("10.1.0.0/16", "10.2.0.0/16") if runtime is self.left else ("10.2.0.0/16", "10.1.0.0/16")
        raw = {
            "name": "t",
            "local": {"address": ours},
            "remote": {"address": theirs},
            "auth": {"secret": SECRET},
            "children": [{"name": "lan", "local": [networks[0]], "remote": [networks[1]]} | changes.pop("child", {})],
        } | changes
        (row,) = runtime.store.commit([Put("me", wanted, parse_definition(raw))]).values()
        runtime.tunnels.adopt(row)

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass and datagrams travel."""
        end = self.now + seconds
        while True:
            self.wire.deliver()
            for runtime in (self.left, self.right):
                runtime.wake()
            if self.wire.flying:
                continue
            due = min(runtime.next_deadline() for runtime in (self.left, self.right))
            if due > end:
                break
            self.now = max(self.now, due)
        self.now = end

    def in_use(self, runtime: Runtime) -> str:
        """The address of the peer that its tunnel is up with."""
        return runtime.tunnels.condition("t").address

    def close(self) -> None:
        """Close what both have open."""
        for runtime in (self.left, self.right):
            runtime.host.close()
            runtime.store.close()

    def state(self, runtime: Runtime) -> str:
        return runtime.tunnels.condition("t").state


def outbound(runtime: Runtime) -> dict:
    return {remote: spi for (_unused, remote), (_unused, spi) in runtime.host.gateway.policies.items()}


def change(runtime: Runtime, **changes: object) -> str:
    """Redefine the tunnel as ``tunnels.apply`` does; the impact."""
    row = runtime.tunnels.rows["t"]
    document = row.definition.stored() | changes
    params = {"definitions": [document], "state": "present", "purge": False, "owner": "me"}
    (step,) = make_plan(params, {"t": row}, lambda name: runtime.tunnels.condition(name).running()).steps
    (after,) = runtime.store.commit([step.after]).values()
    runtime.tunnels.carry_out(step, after)
    return step.impact


def lan(runtime: Runtime, **changes: object) -> list[dict]:
    return [runtime.tunnels.rows["t"].definition.document["children"][0] | changes]
