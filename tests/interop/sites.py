# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sites in network namespaces: a gateway each, a network behind it, a wire between."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import eventually

PING_TIMEOUT = 5  # seconds


@dataclass(frozen=True)
class Site:
    """One gateway: its name is also its namespace's; the network behind it sits on its loopback."""

    name: str
    address: str
    address6: str
    network: str
    inside: str
    network6: str
    inside6: str

    @property
    def identity(self) -> str:
        """The IKE identity (ID_FQDN)."""
        return f"{self.name}.interop.example"

    def run(self, *command: str, timeout: float = 60) -> str:
        """Run a command in the site; fails the test when it fails."""
        done = self.attempt(*command, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(command)} in {self.name}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in the site and return what came of it."""
        return subprocess.run(
            [*self.enter, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @property
    def enter(self) -> list[str]:
        """The words before a command that runs in the site."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def start(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a daemon in the site; its output goes to a file."""
        with log.open("ab") as sink:
            return subprocess.Popen(
                [*self.enter, *command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
            )

    def ping(self, source: str, target: str) -> bool:
        """Whether one echo from one inside address to another is answered."""
        command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", str(PING_TIMEOUT), "-I", source, target]
        return self.attempt(*command).returncode == 0

    def states(self) -> str:
        """The kernel's SAs, without keys."""
        return self.run("ip", "-s", "xfrm", "state", "list", "nokeys")


LEFT = Site("left", "192.0.2.1", "2001:db8::1", "10.11.0.0/24", "10.11.0.1", "fd00:11::/64", "fd00:11::1")
RIGHT = Site("right", "192.0.2.2", "2001:db8::2", "10.22.0.0/24", "10.22.0.1", "fd00:22::/64", "fd00:22::1")


def _batch(site: Site, *lines: str) -> None:
    subprocess.run(["ip", "-n", site.name, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def make_sites() -> None:
    """Make both sites and the wire between them."""
    for site in (LEFT, RIGHT):
        subprocess.run(["ip", "netns", "add", site.name], check=True)
    _batch(LEFT, f"link add wire type veth peer name wire netns {RIGHT.name}")
    for site, peer in ((LEFT, RIGHT), (RIGHT, LEFT)):
        _batch(
            site,
            "link set lo up",
            f"addr add {site.inside}/32 dev lo",
            f"addr add {site.inside6}/128 dev lo nodad",
            f"addr add {site.address}/24 dev wire",
            f"addr add {site.address6}/64 dev wire nodad",
            "link set wire up",
            # What is not taken by a policy leaves in clear and gets no answer: no route leads back.
            f"route add {peer.network} via {peer.address} src {site.inside}",
            f"route add {peer.network6} via {peer.address6} src {site.inside6}",
        )


def remove_sites() -> None:
    """Delete both namespaces and with them all they held."""
    for site in (LEFT, RIGHT):
        subprocess.run(["ip", "netns", "delete", site.name], check=True)


def wait_until(what: str, probe: Callable[[], bool], timeout: float = 30) -> None:
    """Wait for a named condition; fails the test when it does not come true."""
    eventually(probe, timeout, what)


def end(process: subprocess.Popen[bytes], timeout: float = 20) -> int:
    """End a daemon by SIGTERM and return its exit status; one that does not end is killed and fails the test."""
    process.terminate()
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
