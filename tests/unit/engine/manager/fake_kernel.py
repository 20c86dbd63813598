# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that only records, and a manager process that uses it: ``python3 fake_kernel.py --database …``."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import pickle
import socket
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "plugins" / "module_utils"))

from engine.errors import KernelError, MissingError
from engine.kernel.changes import Foreign
from engine.kernel.child_values import child_policies
from engine.kernel.interfaces import Link
from engine.kernel.link_networks import LinkNetwork
from engine.kernel.policies import is_pass, network_text
from engine.kernel.registry import Registry
from engine.kernel.values import Policy, Usage
from engine.manager.policy_claims import place_of


def verb(method):
    """Count the call, refuse it if the test wants that, and write down what the kernel then holds."""

    @functools.wraps(method)
    def wrapped(self, *args):
        self.calls.append(method.__name__)
        if method.__name__ in self.refuse:
            if method.__name__ == "install_outbound":
                self.sas.pop((args[0].local_address, args[0].spi_in), None)
            raise KernelError(method.__name__, 22, "refused by the test")
        try:
            return method(self, *args)
        finally:
            if self.journal is not None:
                state = {"call": method.__name__, "sas": len(self.sas), "policies": len(self.policies)}
                with self.journal.open("a") as stream:
                    stream.write(json.dumps(state) + "\n")
                self.survive()

    return wrapped


class FakeGateway:
    """Keeps SAs and policies in dictionaries and checks what the kernel would check.

    :ivar refuse: names of verbs that fail, for tests of roll-back.
    """

    def __init__(self, journal: Path | None = None) -> None:
        self.sas: dict[tuple[str, int], object] = {}
        self.reserved: set[tuple[str, int]] = set()
        self.held: dict[tuple, Policy] = {}
        self.calls: list[str] = []
        self.refuse: set[str] = set()
        self.waiting: list[object] = []
        self.journal = journal
        self._spis = itertools.count(0xC0000001)
        self._read, self._write = os.pipe()
        if journal is not None and self._memory.exists():
            self.sas, self.held = pickle.loads(self._memory.read_bytes())  # noqa: S301 (our own)
            taken = [spi for _address, spi in self.sas]
            self._spis = itertools.count(max([0xC0000000, *taken]) + 0x1000)

    @property
    def policies(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What goes out: (local, remote) network -> (request ID, SPI)."""
        return {
            (network_text(s.source, s.source_prefix), network_text(s.destination, s.destination_prefix)): (
                policy.templates[0].reqid,
                policy.templates[0].spi,
            )
            for (s, direction, _if_id), policy in self.held.items()
            if direction == "out" and policy.templates
        }

    @property
    def _memory(self) -> Path:
        return self.journal.with_suffix(".memory")

    def survive(self) -> None:
        """A kernel outlives the managers: keep what is installed, without keys, for the next one."""
        sas = {name: SimpleNamespace(reqid=spec.reqid) for name, spec in self.sas.items()}
        fresh = self._memory.with_suffix(".fresh")
        fresh.write_bytes(pickle.dumps((sas, self.held)))
        fresh.replace(self._memory)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def push(self, event: object) -> None:
        self.waiting.append(event)
        os.write(self._write, b"x")

    def events(self) -> list[object]:
        if self.waiting:
            os.read(self._read, 4096)
        events, self.waiting = self.waiting, []
        return events

    @verb
    def reserve(self, local_address, remote_address, protocol, mode, reqid):
        spi = next(self._spis)
        self.reserved.add((local_address, spi))
        return spi

    @verb
    def release(self, local_address, protocol, spi):
        self.reserved.discard((local_address, spi))

    @verb
    def forget_hold(self, local_address, remote_address, protocol, mode, reqid):
        """Nothing is held here."""

    @verb
    def install_inbound(self, spec):
        if (spec.local_address, spec.spi_in) not in self.reserved:
            raise KernelError("add the inbound SA", 17, "the SPI was not reserved")
        self.reserved.discard((spec.local_address, spec.spi_in))
        self.sas[(spec.local_address, spec.spi_in)] = spec

    @verb
    def install_outbound(self, spec, wanted, ours=()):
        self.sas[(spec.remote_address, spec.spi_out)] = spec
        self._set(wanted, ours)

    @verb
    def set_policies(self, wanted, spec, ours=()):
        return self._set(wanted, ours)

    @verb
    def delete_policies(self, places):
        ours = [place for place in places if place in self.held and self.owns(self.held[place])]
        for place in ours:
            del self.held[place]
        return len(ours)

    @verb
    def remove_sas(self, spec):
        self.sas.pop((spec.remote_address, spec.spi_out), None)
        self.sas.pop((spec.local_address, spec.spi_in), None)

    @verb
    def usage_all(self):
        return {(address, 50, spi): Usage(bytes=84, packets=1) for address, spi in self.sas}

    def held_sas(self):
        return [
            SimpleNamespace(
                destination=address,
                protocol=50,
                spi=spi,
                reqid=spec.reqid,
                larval=False,
                hold=False,
                bytes=0,
                packets=0,
            )
            for (address, spi), spec in self.sas.items()
        ]

    def standing_sas(self, names):
        return {name for name in names if (name[0], name[2]) in self.sas}

    def held_policies(self):
        return [policy for policy in self.held.values() if self.owns(policy)]

    def standing_policies(self):
        return list(self.held.values())

    def policies_at(self, places):
        return [self.held[place] for place in places if place in self.held]

    def owns(self, policy):
        return bool(policy.templates) or is_pass(policy)

    def policies_of(self, spec):
        return child_policies(spec)

    @verb
    def discard(self, sas, policies):
        for sa in sas:
            self.sas.pop((sa.destination, sa.spi), None)
        for policy in policies:
            self.held.pop(place_of(policy), None)

    @verb
    def cleanup(self, keep_reqids=frozenset()):
        sas = {name: spec for name, spec in self.sas.items() if spec.reqid in keep_reqids}
        policies = {place: held for place, held in self.held.items() if held.reqid in keep_reqids}
        counts = len(self.sas) - len(sas), len(self.held) - len(policies)
        self.sas, self.held = sas, policies
        return counts

    def _set(self, wanted, ours):
        for policy in wanted:
            held = self.held.get(place_of(policy))
            if held is not None and not self.owns(held) and place_of(policy) not in ours:
                raise KernelError("set the policy", 17, "another program has these selectors already")
        different = [policy for policy in wanted if self.held.get(place_of(policy)) != policy]
        self.held |= {place_of(policy): policy for policy in different}
        return len(different)


class FakeChanges:
    """What others do to the kernel: a test sends the table that they empty, as a datagram."""

    def __init__(self, host: FakeHost, path: str) -> None:
        self._host = host
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._socket.bind(path)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Foreign]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                kind = self._socket.recv(100).decode()
                self._host.lose(kind)
                found.append(Foreign(kind, f"all {kind} were flushed", "vandal (process 4711)"))
        return found


class FakeHost:
    """Stands for KernelHost."""

    def __init__(self, runtime_dir: str, guard: str = "", journal: bool = True) -> None:
        self.registry = Registry(runtime_dir)
        self.gateway = FakeGateway(Path(runtime_dir) / "kernel.jsonl" if journal else None)
        self.esp = True
        self.xfrm_interfaces = True
        self.interfaces: dict[str, object] = {}
        self.made: list[tuple[object, object]] = []
        self.ways: list[object] = []
        self.lost: list[object] = []
        self.networks: tuple[LinkNetwork, ...] = ()
        self.changes = FakeChanges(self, str(Path(runtime_dir) / "foreign"))

    def lose(self, kind: str) -> None:
        """Others empty a table."""
        if kind == "routes":
            self.lost = list(self.ways)
        elif kind == "links":
            self.interfaces.clear()
        elif kind == "policies":
            self.gateway.held.clear()
        elif kind == "sas":
            self.gateway.sas.clear()

    def lost_ways(self) -> list:
        return [(spec, [SimpleNamespace(destination=str(spec.remote_selectors[0]))]) for spec in self.lost]

    def mend_way(self, spec) -> None:
        self.lost.remove(spec)

    def open_late_ways(self) -> list:
        return []

    def lacking_interfaces(self, wanted) -> dict[str, str]:
        return {each.name: f"the interface {each.name}" for each in wanted if each.name not in self.interfaces}

    def astray_interfaces(self, wanted) -> set[str]:
        return set()

    def mend_rules(self) -> Future:
        done = Future()
        done.set_result([])
        return done

    def close(self) -> None:
        self.changes.close()
        self.gateway.close()
        self.registry.close()

    def prepare_socket(self, port) -> None:
        """The sockets of a test need no permission."""

    def prepare(self) -> int:
        """Nothing is caught here."""
        return 0

    def cleanup(self) -> tuple[int, int]:
        return self.gateway.cleanup()

    def source_address(self, remote: str) -> str | None:
        return None if remote.startswith("192.0.2.") else "127.0.0.1"

    def link_networks(self) -> tuple[LinkNetwork, ...]:
        return self.networks

    def links_to(self, *remotes: str) -> frozenset[int]:
        return frozenset({1}) if self.networks else frozenset()

    def default_links(self) -> frozenset[int]:
        return self.links_to()

    def open_way(self, spec) -> None:
        self.ways.append(spec)

    def tidy_ways(self) -> None:
        """Nothing was left by anybody."""

    def shut_way(self, spec) -> None:
        self.ways = [way for way in self.ways if way.reqid != spec.reqid]

    def require_interfaces(self) -> None:
        if not self.xfrm_interfaces:
            raise MissingError("this kernel has no XFRM interfaces", "modprobe xfrm_interface")

    def foreign_link(self, name: str) -> bool:
        return name in ("lo", "eth0")

    def own_links(self) -> list:
        return [
            Link(index, each.name, "xfrm", each.if_id, each.alias, each.mtu, True)
            for index, each in enumerate(self.interfaces.values())
        ]

    def make_interface(self, wanted, before) -> None:
        self.interfaces[wanted.name] = wanted
        self.made.append((wanted, before))

    def remove_interface(self, name: str, alias: str) -> None:
        if name in self.interfaces and self.interfaces[name].alias == alias:
            del self.interfaces[name]

    def require_esp(self) -> None:
        if not self.esp:
            raise MissingError("this kernel has no ESP", "modprobe esp4")

    def features(self) -> dict:
        return {"ESP for IPv4": {"available": self.esp, "problem": "", "remedy": ""}}


if __name__ == "__main__":
    from engine.manager.command import parser
    from engine.manager.service import Options, close, serve

    run, arguments = (close, sys.argv[2:]) if sys.argv[1] == "close" else (serve, sys.argv[1:])
    sys.exit(run(Options.of(parser().parse_args(["manager", *arguments])), FakeHost))
