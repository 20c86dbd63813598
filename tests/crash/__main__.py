# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.crash [--kills N] [--seed N]``: kill two managers at random moments, on a kernel with ESP.

Between two namespaces stands a tunnel whose ends are redefined all the time, so that rekeys of both kinds and changes
of networks are always under way, begun by either end. A ping of 100 packets a second passes through it. Either
manager, or both, are killed: after a random number of things done (see mortal_manager.py), from the first one of their
start on, or at a random time. After each kill both ends must agree on their SAs again, and the IKE SA must still
descend from the first one; not one packet may be lost, and none may leave in clear. What fails is told with all that
happened around it at both ends (see evidence.py).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.packet_watch import Flood, Watch, namespace

from . import ENGINE, ROOT
from .definitions import VARIANTS, definition
from .evidence import Evidence, Scene, Span, spans_of

from engine.errors import EngineError  # isort: skip
from engine.manager.client import Client  # isort: skip

ROUND = 25  # kills, after which the packets are counted
# How fast things are is the machine's affair, which may be a busy one; these only end what hangs.
PATIENCE = 900.0  # seconds until a manager serves or answers
LOOKS = 600  # at both ends, with a tenth of a second between them, until they agree
NEVER_AGAIN = re.compile(r"ike down|ike failed|child down|child failed|internal error|set up anew")
# A collision of rekeys makes IKE SAs that never carried anything; their end is told too.
HARMLESS = re.compile(r"reason=(peer_deleted|replaced|stopped) ")


class Failed(Exception):
    """Something was lost.

    :ivar spans: when; nothing for just now.
    """

    def __init__(self, problem: str, spans: list[Span] | None = None) -> None:
        super().__init__(problem)
        self.spans = spans


class End:
    """One end: a namespace and the manager in it."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.space = f"crash{number}"
        self.log = folder / "log"
        self.lives = 0
        self.established = self.rekeys = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._told = 0
        folder.mkdir()

    @property
    def scene(self) -> Scene:
        """Where to observe it."""
        return Scene(f"end {self.number}", self.space, f"v{self.number}", self.log)

    def start(self, steps: int) -> None:
        """Start the manager, which is to kill itself after so many steps; 0 for not at all."""
        options = ["--database", str(self.folder / "definitions.sqlite"), "--runtime-dir", str(self.folder)]
        command = [sys.executable, "-m", "tests.crash.mortal_manager", str(steps), *options]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.space, *command], cwd=ROOT, stderr=log, stdout=log
            )
        self.lives += 1

    def kill(self) -> None:
        """Kill it, if it is not dead yet."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def serves(self) -> bool:
        """Wait until it serves; False when it has died instead."""
        began = time.time()
        while time.time() < began + PATIENCE:
            if self.process.poll() is not None:
                if self.process.returncode != -signal.SIGKILL:
                    raise Failed(f"end {self.number} ended with {self.process.returncode}")
                return False
            try:
                self.call("log.level")
            except (EngineError, OSError):
                time.sleep(0.02)
            else:
                return True
        raise Failed(f"end {self.number} does not serve", [Span(began, began)])

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the manager."""
        with Client(str(self.folder / "control.sock")) as client:
            return client.call(method, params, PATIENCE)

    def apply(self, state: str, variant: int) -> None:
        """Define the tunnel in one of its variants."""
        self.call("tunnels.apply", definitions=[definition(self.number, variant)], state=state)

    def sas(self) -> tuple[list[str], set[tuple[str, str]]]:
        """(initiators' SPIs of established IKE SAs, SPIs in and out of the Child SAs)."""
        (tunnel,) = self.call("tunnels.list", names=["t"], verbose=True)["tunnels"]
        ike = [sa["initiator_spi"] for sa in tunnel["ike_sas"] if sa["state"] == "established"]
        return ike, {(sa["spi_in"], sa["spi_out"]) for sa in tunnel["children"][0]["sas"]}

    def kernel(self) -> set[str]:
        """The SPIs in the kernel, but those that are only reserved."""
        text = subprocess.run(
            ["ip", "-n", self.space, "xfrm", "state"], capture_output=True, text=True, check=True
        ).stdout
        blocks = re.split(r"\n(?=src)", text)
        return {match[1] for block in blocks if "aead" in block and (match := re.search(r"spi (0x[0-9a-f]{8})", block))}

    def news(self) -> list[str]:
        """The lines that came into its log since the last call."""
        with self.log.open() as log:
            log.seek(self._told)
            lines = log.readlines()
            self._told = log.tell()
        return lines


def lay_wire() -> None:
    """Two namespaces, a wire, a network behind each."""
    run = [f"netns add crash{number}" for number in (1, 2)]
    run.append("link add v1 netns crash1 type veth peer name v2 netns crash2")
    _ip("\n".join(run))
    for us, them in ((1, 2), (2, 1)):
        lines = [
            "link set lo up",
            f"addr add 192.0.2.{us}/24 dev v{us}",
            f"addr add 10.{us}.0.1/24 dev lo",
            f"link set v{us} up",
            f"route add 10.{them}.0.0/24 via 192.0.2.{them} src 10.{us}.0.1",
        ]
        _ip("\n".join(lines), "-n", f"crash{us}")


def _ip(lines: str, *options: str) -> None:
    subprocess.run(["ip", *options, "-batch", "-"], input=lines + "\n", text=True, check=True)


def ping() -> Flood:
    """A hundred packets a second, until it is ended."""
    return Flood(namespace("crash1"), "10.1.0.1", "10.2.0.1")


def agree(ends: tuple[End, End], kill: str) -> None:
    """Both ends have the same IKE SA and Child SAs, and the kernels have these and no others."""
    began, state = time.time(), ""
    for _look in range(LOOKS):
        try:
            (ike1, sas1), (ike2, sas2) = (end.sas() for end in ends)
            if len(ike1) == 1 and ike1 == ike2 and sas1 and sas1 == {(out, into) for into, out in sas2}:
                names = {spi for pair in sas1 for spi in pair}
                if ends[0].kernel() == names == ends[1].kernel():
                    return
            state = f"{ike1} {sas1} {ends[0].kernel()} and {ike2} {sas2} {ends[1].kernel()}"
        except (EngineError, OSError):
            state = "one of them is dead"
            revive(ends, 0)
        time.sleep(0.1)
    raise Failed(f"after {kill} the ends do not agree: {state}", [Span(began, began)])


def revive(ends: tuple[End, End], steps: int) -> None:
    """Have both serve; whoever is dead is started, for so many steps at first."""
    for end in ends:
        if end.process.poll() is not None:
            end.start(steps)
    for end in ends:
        while not end.serves():
            end.start(0)


def check_logs(ends: tuple[End, End]) -> None:
    """The first IKE SA was the only one that was set up, and no child was ever without a successor."""
    for end in ends:
        for line in end.news():
            at, _stamp, level, text = (*line.rstrip().split(" ", 3), "", "", "")[:4]
            if level not in ("info", "warning", "error"):
                continue
            end.established += text.startswith("ike established")
            end.rekeys += " rekeyed " in text
            if end.established > 1:
                raise Failed(f"end {end.number} set up another IKE SA", [Span(float(at), float(at))])
            if NEVER_AGAIN.search(text) and not HARMLESS.search(f"{text} "):
                raise Failed(f"end {end.number}: {text}", [Span(float(at), float(at))])


def one_kill(ends: tuple[End, End], chance: random.Random, evidence: Evidence) -> str:
    """Set something going, kill, start again; what was done."""
    victims = chance.choice([ends[:1], ends[1:], ends])
    # Who is to kill itself has to be started for it: the kill of the time before did that.
    for end in ends:
        if chance.random() < 0.7:
            variant = chance.randrange(VARIANTS)
            evidence.note(f"end {end.number} is told variant {variant}")
            try:
                end.apply("active" if end.number == 1 else "present", variant)
            except (EngineError, OSError, ConnectionError):
                continue  # it died of it, which is what it is here for
    time.sleep(chance.choice([0.0, 0.01, 0.05, 0.2]) * chance.random())
    how = []
    for end in victims:
        how.append(f"end {end.number} {'itself' if end.process.poll() is not None else 'by time'}")
        end.kill()
    evidence.note(f"dead: {', '.join(how)}")
    revive(ends, chance.choice([0, chance.randint(1, 40), chance.randint(10, 200)]))
    evidence.note("both serve")
    return ", ".join(how)


class Trial:
    """Two ends, the packets between them, and the kills.

    :ivar kills: so many so far; ``packets``: of the floods that have ended.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.packets = 0
        self._chance = random.Random(seed)
        self._ends = End(1, folder / "1"), End(2, folder / "2")
        self._evidence = Evidence(
            [Scene(f"end {end.number}", end.space, f"v{end.number}", end.log) for end in self._ends]
        )
        self._watches = [Watch(namespace(end.space), f"v{end.number}") for end in self._ends]
        self._flood: Flood | None = None
        self._began = time.monotonic()

    @property
    def kills(self) -> int:
        return sum(end.lives for end in self._ends) - len(self._ends)

    def begin(self) -> None:
        """Bring the tunnel up."""
        for end in self._ends:
            end.start(0)
            if not end.serves():
                raise Failed("it died of nothing")
        self._ends[1].apply("present", 0)
        self._ends[0].apply("active", 0)
        agree(self._ends, "the start")

    def go_on(self, kills: int) -> None:
        """Kill so often, and look at what became of the packets."""
        self._flood = flood = ping()
        goal = self.kills + kills
        while self.kills < goal:
            how = one_kill(self._ends, self._chance, self._evidence)
            agree(self._ends, how)
            self._evidence.note("both agree")
        sent, lost = flood.end()
        self.packets += sent
        check_logs(self._ends)
        clear = [seen for watch in self._watches for seen in watch.seen]
        passed = time.monotonic() - self._began
        counts = f"{lost} lost, {sum(watch.count for watch in self._watches)} in clear"
        print(f"{self.kills:5} kills, {self.packets:7} packets, {counts}, {passed:6.0f} s", flush=True)
        if clear:
            raise Failed(f"in clear: {clear}", [Span(seen.wall, seen.wall) for seen in clear])
        if lost:
            raise Failed(f"{lost} of {sent} packets were lost")

    @property
    def rekeys(self) -> int:
        """How many rekeys were reported."""
        return sum(end.rekeys for end in self._ends)

    def story(self, spans: list[Span] | None) -> str:
        """What happened then and while packets were lost, or just now."""
        if self._flood is not None:
            self._flood.kill()
        spans = [*(spans or ()), *(spans_of(self._flood.open) if self._flood else ())]
        return self._evidence.story(spans or [Span(time.time(), time.time())])

    def close(self) -> None:
        """End everything."""
        if self._flood is not None:
            self._flood.kill()
        for one in (*self._watches, self._evidence):
            one.close()
        for end in self._ends:
            end.kill()


def run(kills: int, seed: int, folder: Path) -> int:
    """Kill so often; the exit status."""
    lay_wire()
    trial = Trial(seed, folder)
    try:
        trial.begin()
        while (left := kills - trial.kills) > 0:
            trial.go_on(min(left, ROUND))
    except Failed as failure:
        print(f"FAILED: {failure}\n{trial.story(failure.spans)}\nFAILED: {failure}", flush=True)
        return 1
    finally:
        trial.close()
    print(f"nothing was lost, and nothing was in clear; {trial.rekeys} rekeys were reported meanwhile", flush=True)
    return 0


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many, default %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random moments, default: the time")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    os.environ["PYTHONPATH"] = str(ENGINE)
    with tempfile.TemporaryDirectory(prefix="fleet-ipsec-crash-") as folder:
        return run(arguments.kills, arguments.seed, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
