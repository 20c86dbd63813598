# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on the kernel's tables, ours beside ``ip``; for a network namespace of its own.

``python -m tests.bench.table_work TUNNELS ROUNDS policies`` prints one JSON object of seconds,
``{"install": [ours, theirs], …}``, as its last line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.child_sa import ChildSa
from engine.classic.views import read_tables
from engine.crypto.registry import Kind, by_name
from engine.kernel.client import XfrmClient, delete_policy_index, set_policy
from engine.kernel.gateway import Gateway
from engine.kernel.policies import kernel_selectors, network_text, policies
from engine.kernel.registry import Registry
from engine.kernel.values import ESP, OUT, Policy, Template
from engine.secret import Secret
from engine.selector import parse_selector

from .ip_text import eroutes
from .rounds import medians, seconds

HERE = "192.0.2.1"
REPLACED = 300  # policies that are replaced, of them all: each costs the kernel a walk through its tables
_LAN = (parse_selector("172.16.0.0/16"),)
_CIPHER, _KEY = by_name(Kind.ENCR, "aes256gcm16"), 36
THRESHOLDS = "hthresh4 16 24"  # the prefix lengths of the tunnels, local and remote
_HOLD_SECONDS = 3600  # reserved SPIs have to outlive the run

Pair = tuple[float, float]


class Bench:
    """Tunnels of a hub: one network here, a network and an address for each peer."""

    def __init__(self, tunnels: int, rounds: int, directory: Path) -> None:
        self.rounds = rounds
        self.directory = directory
        self.registry = Registry(str(directory))
        self.gateway = Gateway(self.registry)
        self.client = XfrmClient()
        self.specs = [self._spec(number) for number in range(tunnels)]

    def _spec(self, number: int) -> ChildSa:
        name, high, low = f"t{number:05}", number >> 8, number & 255
        reqid = self.registry.allocate("bench", name, "lan")
        remote = (parse_selector(f"10.{high}.{low}.0/24"),)
        return ChildSa(
            name,
            "lan",
            0,
            reqid,
            HERE,
            f"198.18.{high}.{low}",
            ESP,
            "tunnel",
            0,
            0,
            _LAN,
            remote,
            None,
            None,
            owner="bench",
        )

    def with_sas(self) -> list[ChildSa]:
        """The same tunnels with SPIs and keys."""
        keys = {f"encryption_{way}": Secret(os.urandom(_KEY)) for way in ("in", "out")}
        return [
            replace(spec, spi_in=0xC0000000 + n, spi_out=0xC1000000 + n, encryption=_CIPHER, **keys)
            for n, spec in enumerate(self.specs)
        ]

    def compare(self, ours: Callable[[], float], theirs: Callable[[], float]) -> Pair:
        """Medians of seconds, side by side."""
        found = medians(self.rounds, {"ours": ours, "theirs": theirs})
        return found["ours"], found["theirs"]

    def there_and_back(
        self, ours: tuple[Callable[[], object], Callable[[], object]], theirs: tuple[list[str], list[str]]
    ) -> tuple[Pair, Pair]:
        """The same for something that is made and undone in every round.

        :param theirs: commands.
        :returns: of the making, of the undoing.
        """
        undone: dict[str, list[float]] = {"ours": [], "theirs": []}

        def round_of(who: str, make: Callable[[], object], undo: Callable[[], object]) -> float:
            made = seconds(make)
            undone[who].append(seconds(undo))
            return made

        make, undo = (partial(_run, command) for command in theirs)
        made = self.compare(partial(round_of, "ours", *ours), partial(round_of, "theirs", make, undo))
        return made, (_median(undone["ours"]), _median(undone["theirs"]))

    # Installing and removing

    def policies(self) -> dict[str, Pair]:
        """What a tunnel manager does with policies, and ``ip -batch`` with as many lines."""
        add = self._batch("add", (f"policy add {_line(p)}" for spec in self.specs for p in _policies(spec)))
        remove = self._batch("delete", (f"policy delete {_where(p)}" for spec in self.specs for p in _policies(spec)))

        def trap() -> None:
            for spec in self.specs:
                self.gateway.set_policies(self.gateway.policies_of(spec), spec)

        def forget() -> None:
            for spec in self.specs:
                self._delete_policies(spec)

        install, removal = self.there_and_back((trap, forget), (add, remove))
        return {"install": install, "remove": removal}

    def replacing(self, thresholds: str = "") -> dict[str, Pair]:
        """One outbound policy after the other replaced, as a rekey does, while all of them stand.

        :param thresholds: what ``ip xfrm policy set`` is told first.
        """
        if thresholds:
            _run(["ip", "xfrm", "policy", "set", *thresholds.split()])
        outbound = [p for spec in self.specs[::-1][:REPLACED] for p in _policies(spec) if p.direction == OUT]
        lines = self._batch("update", (f"policy update {_line(p)}" for p in outbound))
        with self._installed():
            both = self.compare(
                lambda: seconds(lambda: [self.client.do(set_policy(p)) for p in outbound]),
                lambda: seconds(lambda: _run(lines)),
            )
        return {"replace": (both[0] / len(outbound), both[1] / len(outbound))}

    def spis(self) -> dict[str, Pair]:
        """SPIs reserved, and given back."""
        wish = "mode tunnel min 0xc0000000 max 0xcfffffff"
        lines = (
            f"state allocspi src {s.remote_address} dst {HERE} proto esp reqid {s.reqid} {wish}" for s in self.specs
        )
        allocate = self._batch("allocspi", lines)
        taken: dict[str, list[float]] = {"ours": [], "theirs": []}
        held: list[int] = []

        def reserve() -> None:
            for spec in self.specs:
                held.append(self.gateway.reserve(spec.local_address, spec.remote_address, 50, "tunnel", spec.reqid))

        def ours() -> float:
            held.clear()
            reserved = seconds(reserve)
            taken["ours"].append(seconds(lambda: [self.gateway.release(HERE, 50, spi) for spi in held]))
            return reserved

        def theirs() -> float:
            reserved = seconds(lambda: _run(allocate))
            spis = [sa.spi for sa in self.client.dump_sas()]
            lines = self._batch("free", (f"state delete dst {HERE} proto esp spi {spi}" for spi in spis))
            taken["theirs"].append(seconds(lambda: _run(lines)))
            return reserved

        reserve_both = self.compare(ours, theirs)
        return {"reserve": reserve_both, "release": (_median(taken["ours"]), _median(taken["theirs"]))}

    def sas(self) -> dict[str, Pair]:
        """Whole tunnels on a kernel with ESP: both SAs and three policies each."""
        specs = self.with_sas()
        add = self._batch("up", (line for spec in specs for line in _up(spec)))
        remove = self._batch("down", (line for spec in specs for line in _down(spec)))

        def up() -> None:
            for spec in specs:
                self.gateway.install_inbound(spec)
                self.gateway.install_outbound(spec, self.gateway.policies_of(spec))

        def down() -> None:
            for spec in specs:
                self._delete_policies(spec)
                self.gateway.remove_sas(spec)

        install, removal = self.there_and_back((up, down), (add, remove))
        return {"up": install, "down": removal}

    # Reading

    def facts(self) -> dict[str, Pair]:
        """Eroutes of policies over reserved SPIs, which the machine's kernel has without ESP, too."""
        with self.in_the_kernel():
            return {"facts": self._compare_facts()}

    @contextmanager
    def in_the_kernel(self) -> Iterator[None]:
        """Policies of all tunnels, and two reserved SPIs for each."""
        Path("/proc/sys/net/core/xfrm_acq_expires").write_text(str(_HOLD_SECONDS))
        with self._installed():
            for spec in self.specs:
                self.client.reserve_spi(spec.remote_address, HERE, 50, "tunnel", spec.reqid)
            # What sends has a destination of its own; choosing SPIs for so many takes the kernel longer than all else.
            low = range(0xD0000000, 0xD0000000 + len(self.specs))
            for spi, spec in zip(low, self.specs, strict=True):
                self.client.reserve_spi(HERE, spec.remote_address, 50, "tunnel", spec.reqid, spi, spi)
            yield

    def sa_facts(self) -> dict[str, Pair]:
        """Eroutes with their SAs, on a kernel with ESP."""
        specs = self.with_sas()
        for spec in specs:
            self.gateway.install_inbound(spec)
            self.gateway.install_outbound(spec, self.gateway.policies_of(spec))
        try:
            return {"facts": self._compare_facts()}
        finally:
            for spec in specs:
                self._delete_policies(spec)
                self.gateway.remove_sas(spec)

    def _compare_facts(self) -> Pair:
        found: dict[str, list[dict]] = {}

        def ours() -> None:
            found["ours"] = [eroute.row() for eroute in read_tables(str(self.directory)).eroutes]

        def theirs() -> None:
            found["theirs"] = eroutes(_text("policy"), _text("state"))

        both = self.compare(lambda: seconds(ours), lambda: seconds(theirs))
        check_same(found["ours"], found["theirs"], len(self.specs))
        return both

    # Parts

    def _delete_policies(self, spec: ChildSa) -> None:
        self.gateway.delete_policies([(p.selector, p.direction, p.if_id) for p in self.gateway.policies_of(spec)])

    @contextmanager
    def _installed(self) -> Iterator[None]:
        """All policies stand."""
        for spec in self.specs:
            self.gateway.set_policies(self.gateway.policies_of(spec), spec)
        try:
            yield
        finally:
            self.client.batch([delete_policy_index(policy) for policy in self.client.dump_policies()])

    def _batch(self, name: str, lines: Iterator[str]) -> list[str]:
        path = self.directory / name
        path.write_text("".join(f"xfrm {line}\n" for line in lines))
        return ["ip", "-batch", str(path)]


def check_same(ours: list[dict], theirs: list[dict], count: int) -> None:
    """The contest is void unless both found the same.

    :raises RuntimeError: they did not.
    """
    keys = theirs[0].keys() if theirs else ()
    if len(ours) != count or [{key: row[key] for key in keys} for row in ours] != theirs:
        raise RuntimeError(f"the eroutes differ: {len(ours)} of ours, {len(theirs)} of ip, {count} tunnels")


def _policies(spec: ChildSa) -> list[Policy]:
    template = Template(spec.local_address, spec.remote_address, spec.spi_out, spec.protocol, spec.mode, spec.reqid)
    (selector,) = kernel_selectors(spec.local_selectors, spec.remote_selectors)
    return policies(selector, template)


def _where(policy: Policy) -> str:
    s = policy.selector
    source, destination = network_text(s.source, s.source_prefix), network_text(s.destination, s.destination_prefix)
    return f"src {source} dst {destination} dir {policy.direction}"


def _line(policy: Policy) -> str:
    (t,) = policy.templates
    spi = f"spi {t.spi} " if t.spi else ""
    template = f"tmpl src {t.source} dst {t.destination} proto esp {spi}reqid {t.reqid} mode tunnel"
    return f"{_where(policy)} priority {policy.priority} {template}"


def _up(spec: ChildSa) -> Iterator[str]:
    mode = f"mode tunnel reqid {spec.reqid} flag af-unspec"
    ways = (
        (
            spec.remote_address,
            spec.local_address,
            spec.spi_in,
            spec.encryption_in,
            f"replay-window {spec.replay_window}",
        ),
        (spec.local_address, spec.remote_address, spec.spi_out, spec.encryption_out, ""),
    )
    for source, destination, spi, key, window in ways:
        cipher = f"aead '{_CIPHER.kernel}' 0x{key.reveal().hex()} {_CIPHER.icv_bits}"
        yield f"state add src {source} dst {destination} proto esp spi {spi} {mode} {window} {cipher}"
    for policy in _policies(spec):
        yield f"policy add {_line(policy)}"


def _down(spec: ChildSa) -> Iterator[str]:
    for policy in reversed(_policies(spec)):
        yield f"policy delete {_where(policy)}"
    yield f"state delete dst {spec.remote_address} proto esp spi {spec.spi_out}"
    yield f"state delete dst {spec.local_address} proto esp spi {spec.spi_in}"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _text(what: str) -> str:
    done = subprocess.run(["ip", "-s", "xfrm", what], check=True, capture_output=True, text=True)
    return done.stdout


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


WORK: dict[str, Callable[[Bench], dict[str, Pair]]] = {
    "policies": Bench.policies,
    "replacing": Bench.replacing,
    "replacing, hashed": lambda bench: bench.replacing(THRESHOLDS),
    "spis": Bench.spis,
    "sas": Bench.sas,
    "facts": Bench.facts,
    "sa facts": Bench.sa_facts,
}


def main(tunnels: int, rounds: int, what: str) -> None:
    """Do one part and print its figures."""
    with tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-") as directory:
        bench = Bench(tunnels, rounds, Path(directory))
        print(json.dumps(WORK[what](bench)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
