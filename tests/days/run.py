# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.days.run ROW SECONDS FOLDER``: one run, inside a guest with simulated time.

What happened is left in the folder: the logs of both ends, what was captured in clear, ``verdict.json``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ..interop import ours, sites
from ..interop.sites import LEFT, RIGHT, Site
from . import verdict
from .peers import SECRET, Peer, peer_of
from .rows import Row, row_named
from .traffic import ClearWatch, Traffic

from engine.errors import EngineError  # isort: skip
from engine.manager.client import Client  # isort: skip

WORK = Path("/run/days")
OFF = 30  # seconds that a rebooted host is away
ASK_EVERY = 30  # seconds between looks at the listing while all is well
ASK_WHILE_LOST = 5  # the same while packets are lost, but for the first seconds, which are all looked at
FIRST = 120  # seconds that the tunnel may take to come up at first
SETTLE = 180  # seconds that a rekey may take which is under way at the end
POLICY = 600  # seconds that a rebooted peer without policies is kept from sending


class Ours:
    """Our end: the manager, and what its listing says."""

    def __init__(self, row: Row, folder: Path) -> None:
        folder.mkdir()
        self.log = folder / "manager.log"
        self._manager = ours.Manager(LEFT, folder)
        self._folder = folder
        # OpenIKED on Linux talks PF_KEY, which knows no authenticated encryption, and we offer nothing else by default.
        child = {"proposals": "compat"} if row.peer == "openiked" else {}
        self._tunnel = ours.definition(LEFT, RIGHT, SECRET, **child)
        if row.starts == "theirs":
            self._tunnel["role"] = "responder"

    def start(self) -> None:
        """Start it, the first time or again."""
        self._manager.start()

    def define(self) -> None:
        """Define the tunnel, which lasts through reboots."""
        self._manager.define(self._tunnel, "active")

    def kill(self) -> None:
        """Kill it and lose what a reboot loses; the definitions stay."""
        self._manager.kill()
        shutil.rmtree(self._folder / "run")

    def end(self) -> None:
        """End it."""
        self._manager.kill()

    def tunnel(self) -> dict[str, Any]:
        """The tunnel as listed."""
        with Client(str(self._manager.control)) as client:
            return client.call("tunnels.list", {"names": ["peer"], "verbose": True})["tunnels"][0]

    def says(self) -> int:
        """What the listing says of the tunnel, as :mod:`verdict` has it."""
        try:
            tunnel = self.tunnel()
        except (EngineError, OSError):
            return verdict.NOT_ACTIVE
        # With a reason it says itself that the peer may be gone.
        return verdict.ACTIVE if tunnel["state"] == "active" and not tunnel["reason"] else verdict.NOT_ACTIVE

    def count(self) -> tuple[int, int]:
        """(IKE SAs, Child SAs) as listed."""
        tunnel = self.tunnel()
        return len(tunnel["ike_sas"]), sum(len(child["sas"]) for child in tunnel["children"])


def flush(site: Site) -> None:
    """Empty a rebooted host's kernel."""
    site.run("ip", "xfrm", "state", "flush")
    site.run("ip", "xfrm", "policy", "flush")


def kernel_sas(site: Site) -> int:
    """ESP SAs in a site's kernel, apart from SPIs that are only reserved."""
    blocks = re.split(r"\n(?=src)", site.states())
    return sum("proto esp" in block and re.search(r"\b(?:aead|enc) ", block) is not None for block in blocks)


class Run:
    """One run; :meth:`drive` goes through its seconds."""

    def __init__(self, row: Row, seconds: int, folder: Path) -> None:
        self._row = row
        self._seconds = seconds
        self._folder = folder
        WORK.mkdir()
        self._ours = Ours(row, WORK / "ours")
        self._theirs: Peer = peer_of(row, WORK / "theirs")
        for end in (self._ours, self._theirs):
            end.log.symlink_to(folder / end.log.name)  # kept, whatever becomes of this guest
        self._traffic = Traffic(seconds + FIRST)
        self._said = bytearray(seconds)
        self._silent: set[str] = set()
        self._reboots: list[verdict.Reboot] = []
        self._next = 0.0

    def start(self) -> None:
        """Set both ends up and wait for the first packets.

        :raises RuntimeError: there are none.
        """
        # A passive end first: the other one's first attempt is to find it.
        if self._row.starts == "ours":
            self._theirs.start()
            self._define()
        else:
            self._define()
            self._theirs.start()
        self._next = time.monotonic()
        for second in range(self._seconds, self._seconds + FIRST):
            self._second(second)
            if self._traffic.passed(second):
                return
        tunnel = self._ours.tunnel()
        raise RuntimeError(f"the tunnel did not come up: {tunnel['state']}, {tunnel['story']}")

    def drive(self) -> verdict.Verdict:
        """Go through the run's seconds, its reboots and its end; what it proves."""
        watch = ClearWatch(self._folder)
        time.sleep(1)
        self._next = time.monotonic()
        began = time.time()
        ours_down, theirs_down = self._seconds // 3, self._seconds * 2 // 3
        missing = 0
        for second in range(self._seconds):
            if second == ours_down:
                self._down(LEFT)
            elif second == ours_down + OFF:
                self._back(LEFT, second)
            elif second == theirs_down:
                self._down(RIGHT)
            elif second == theirs_down + OFF:
                self._back(RIGHT, second)
            elif RIGHT.name in self._silent and theirs_down + OFF < second:
                self._let_peer_send(second - theirs_down - OFF)
            self._second(second)
            # The packet of a second is at its end before the next: what is lost is lost by now.
            if self._traffic.lost(second):
                missing += 1
                ask = missing <= ASK_WHILE_LOST or missing % ASK_WHILE_LOST == 0
                self._said[second] = self._ours.says() if ask else self._said[second - 1]
            elif missing or second % ASK_EVERY == 0:
                missing = 0
                self._said[second] = self._ours.says()
            if second % (self._seconds // 12) == 0:
                lost = sum(fates[:second].count(verdict.LOST) for fates in self._traffic.fates.values())
                print(f"{self._row.name}: {verdict.clock(second)}, {lost} packets missing", flush=True)
        left = self._left()
        clear = {name: [int(moment - began) for moment in moments] for name, moments in watch.end().items()}
        fates = {name: fates[: self._seconds] for name, fates in self._traffic.fates.items()}
        (self._folder / "fates.txt").write_text(history(fates, self._said), encoding="utf-8")
        return verdict.judge(
            fates,
            self._said,
            self._reboots,
            self._row.starts,
            self._row.breaks_first,
            left,
            (clear[LEFT.name], clear[RIGHT.name]),
            len(re.findall("child rekeyed|ike established", self._ours.log.read_text(encoding="utf-8"))),
        )

    def end(self) -> None:
        """End both daemons, and keep what they listed last."""
        (self._folder / "left.txt").write_text(
            f"{json.dumps(self._ours.tunnel(), indent=1)}\n{LEFT.states()}\n{self._theirs.listing()}\n{RIGHT.states()}",
            encoding="utf-8",
        )
        self._theirs.kill()
        self._ours.end()

    def _define(self) -> None:
        self._ours.start()
        self._ours.define()

    def _second(self, second: int) -> None:
        self._traffic.send(second, self._silent)
        self._next += 1
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._traffic.collect(second)

    def _down(self, site: Site) -> None:
        print(f"{self._row.name}: {site.name} is rebooted", flush=True)
        self._silent.add(site.name)
        (self._ours if site is LEFT else self._theirs).kill()
        flush(site)

    def _back(self, site: Site, second: int) -> None:
        if site is LEFT:
            self._ours.start()
            self._silent.remove(site.name)
        else:
            self._theirs.start()
        side = "ours" if site is LEFT else "theirs"
        self._reboots.append(verdict.Reboot(side, second - OFF, second))

    def _let_peer_send(self, waited: int) -> None:
        """A peer that waits for us has no policy as yet, and would send in clear what is not meant to be."""
        if waited > POLICY or f"src {RIGHT.network}" in RIGHT.run("ip", "xfrm", "policy", "list", "dir", "out"):
            self._silent.remove(RIGHT.name)

    def _left(self) -> verdict.Left:
        """What SAs there are once nothing is under way."""
        for _second in range(SETTLE):
            left = verdict.Left(
                *self._ours.count(), *self._theirs.count(), our_kernel=kernel_sas(LEFT), their_kernel=kernel_sas(RIGHT)
            )
            if not left.problem():
                break
            time.sleep(1)
        return left


def history(fates: dict[str, bytearray], said: bytearray) -> str:
    """Each stretch of seconds in which something was missing or the listing changed, a line each."""
    lines = []
    before = None
    last_said = verdict.NOT_ASKED
    for second, word in enumerate(said):
        last_said = word or last_said
        now = (*(("-", "lost", "passed", "late")[way[second]] for way in fates.values()), last_said)
        if now != before:
            ways = " ".join(f"{name}:{fate}" for name, fate in zip(fates, now[:-1], strict=True))
            lines.append(f"{verdict.clock(second)} {ways} {('?', 'no', 'active')[last_said]}\n")
            before = now
    return "".join(lines)


def main() -> int:
    """One run; 0 when it proved what it is to prove."""
    row, seconds, folder = row_named(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    sites.make_sites()
    run = Run(row, seconds, folder)
    try:
        run.start()
        result = run.drive()
        run.end()
    except (AssertionError, RuntimeError, OSError, EngineError, subprocess.SubprocessError):
        result = verdict.Verdict(problems=[traceback.format_exc()])
    (folder / "verdict.json").write_text(json.dumps(result.document(), indent=1), encoding="utf-8")
    print(f"{row.name}: {'; '.join(result.problems) or 'passed'}", flush=True)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
