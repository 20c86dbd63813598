# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.crash [--kills N] [--seed N]``: kill two managers at random moments, on a kernel with ESP.

Between two namespaces stands a tunnel whose ends are redefined all the time, so that rekeys of both kinds and changes
of networks are always under way, begun by either end. A ping of 100 packets a second passes through it. Either
manager, or both, are killed: after a random number of things done (see mortal_manager.py), from the first one of their
start on, or at a random time. After each kill both ends must agree on their SAs again, and the IKE SA must still
descend from the first one; not one packet may be lost, and none may leave in clear.
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

from engine.errors import EngineError  # isort: skip
from engine.manager.client import Client  # isort: skip

IKE = (
    ["aes256gcm16-sha384-x25519", "aes128gcm16-sha256-ecp256"],
    ["aes128gcm16-sha256-ecp256", "aes256gcm16-sha384-x25519"],
)
ESP = (["aes256gcm16-x25519", "aes128gcm16-x25519"], ["aes128gcm16-x25519", "aes256gcm16-x25519"])
ROUND = 25  # kills, after which the packets are counted
PATIENCE = 60.0
NEVER_AGAIN = re.compile(r"(?:ike down|ike failed|child down|child failed|internal error|set up anew).*")
# A collision of rekeys makes IKE SAs that never carried anything; their end is told too.
HARMLESS = re.compile(r"reason=(peer_deleted|replaced|stopped) ")


class Failed(Exception):
    """Something was lost."""


class End:
    """One end: a namespace and the manager in it."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.space = f"crash{number}"
        self.log = folder / "log"
        self.lives = 0
        folder.mkdir()

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
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def serves(self) -> bool:
        """Wait until it serves; False when it has died instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if self.process.returncode != -signal.SIGKILL:
                    raise Failed(f"end {self.number} ended with {self.process.returncode}: {self.tail()}")
                return False
            try:
                self.call("log.level")
            except (EngineError, OSError):
                time.sleep(0.02)
            else:
                return True
        raise Failed(f"end {self.number} does not serve: {self.tail()}")

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the manager."""
        with Client(str(self.folder / "control.sock")) as client:
            return client.call(method, params, PATIENCE)

    def apply(self, state: str, variant: int) -> None:
        """Define the tunnel; what is different about a variant has to be rekeyed, or be another child."""
        us, them = self.number, 3 - self.number
        networks = range(1 + (variant >> 2 & 1))  # the first one stays
        child = {
            "name": "lan",
            "local": [f"10.{us}.{number}.0/24" for number in networks],
            "remote": [f"10.{them}.{number}.0/24" for number in networks],
            "lifetime": 600,
            "proposals": ESP[variant & 1],
        }
        tunnel = {
            "name": "t",
            "local": {"address": f"192.0.2.{us}"},
            "remote": {"address": f"192.0.2.{them}"},
            "auth": {"secret": "a secret of two managers that are killed"},
            "ike": {"proposals": IKE[variant >> 1 & 1], "lifetime": 1200, "retransmit_timeout": 600},
            "children": [child],
        }
        self.call("tunnels.apply", definitions=[tunnel], state=state)

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

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text()[-10000:]


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
    deadline = time.monotonic() + PATIENCE
    while True:
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
        if time.monotonic() > deadline:
            raise Failed(f"after {kill} the ends do not agree: {state}\n{ends[0].tail()}\n----\n{ends[1].tail()}")
        time.sleep(0.1)


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
    both = "\n----\n".join(end.tail() for end in ends)
    for end in ends:
        text = end.log.read_text()
        if text.count("ike established") > 1:
            raise Failed(f"end {end.number} set up another IKE SA:\n{both}")
        for line in NEVER_AGAIN.findall(text):
            if not HARMLESS.search(f"{line} "):
                raise Failed(f"end {end.number}: {line}\n{both}")


def one_kill(ends: tuple[End, End], chance: random.Random) -> str:
    """Set something going, kill, start again; what was done."""
    victims = chance.choice([ends[:1], ends[1:], ends])
    # Who is to kill itself has to be started for it: the kill of the time before did that.
    for end in ends:
        if chance.random() < 0.7:
            try:
                end.apply("active" if end.number == 1 else "present", chance.randrange(8))
            except (EngineError, OSError, ConnectionError):
                continue  # it died of it, which is what it is here for
    time.sleep(chance.choice([0.0, 0.01, 0.05, 0.2]) * chance.random())
    how = []
    for end in victims:
        how.append(f"end {end.number} {'itself' if end.process.poll() is not None else 'by time'}")
        end.kill()
    revive(ends, chance.choice([0, chance.randint(1, 40), chance.randint(10, 200)]))
    return ", ".join(how)


def run(kills: int, seed: int, folder: Path) -> None:
    """Kill so often.

    :raises Failed: something was lost.
    """
    chance = random.Random(seed)
    lay_wire()
    ends = End(1, folder / "1"), End(2, folder / "2")
    for end in ends:
        end.start(0)
        if not end.serves():
            raise Failed("it died of nothing")
    pings = None
    watches = [Watch(namespace(end.space), f"v{end.number}") for end in ends]
    try:
        ends[1].apply("present", 0)
        ends[0].apply("active", 0)
        agree(ends, "the start")
        began, packets = time.monotonic(), 0
        pings = ping()
        while (done := sum(end.lives for end in ends) - 2) < kills:
            how = one_kill(ends, chance)
            agree(ends, how)
            if (sum(end.lives for end in ends) - 2) // ROUND > done // ROUND:
                sent, lost = pings.end()
                packets += sent
                check_logs(ends)
                print(
                    f"{sum(end.lives for end in ends) - 2:5} kills, {packets:7} packets, {lost} lost,"
                    f" {sum(watch.count for watch in watches)} in clear,"
                    f" {time.monotonic() - began:6.0f} s",
                    flush=True,
                )
                clear = [seen for watch in watches for seen in watch.seen]
                if clear:
                    raise Failed(f"in clear: {clear}\n{ends[0].tail()}\n{ends[1].tail()}")
                if lost:
                    raise Failed(f"{lost} of {sent} packets were lost\n{ends[0].tail()}\n{ends[1].tail()}")
                pings = ping()
        rekeys = sum(end.log.read_text().count("rekeyed") for end in ends)
        print(f"nothing was lost, and nothing was in clear; {rekeys} rekeys were reported meanwhile", flush=True)
    finally:
        if pings is not None:
            pings.kill()
        for watch in watches:
            watch.close()
        for end in ends:
            end.kill()


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many, default %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random moments, default: the time")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    os.environ["PYTHONPATH"] = str(ENGINE)
    with tempfile.TemporaryDirectory(prefix="fleet-ipsec-crash-") as folder:
        # Compiled once, outside of the tree: a manager is started a thousand times.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
        try:
            run(arguments.kills, arguments.seed, Path(folder))
        except Failed as failure:
            print(f"FAILED: {failure}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
