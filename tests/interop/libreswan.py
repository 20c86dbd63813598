# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libreswan's IKE daemon at one site, run by hand from Debian's packages.

Pluto flushes every policy of its network namespace when it starts, and runs
``/usr/libexec/ipsec/addconn`` by that very path.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .sites import Site, end, wait_until

PROGRAMS = "/usr/libexec/ipsec"
DAEMON = f"{PROGRAMS}/pluto"


@dataclass(frozen=True)
class Peer:
    """What Libreswan is told of the other side.

    :ivar ike: proposals; empty for its own. ``esp`` likewise.
    :ivar remote_id: the other side's identity when it is not the site's.
    :ivar secrets: further lines of ipsec.secrets.
    :ivar extra: further lines of the connection; a key may stand in it only once.
    :ivar auth: lines of how both ends prove who they are.
    """

    local: Site
    remote: Site
    secret: str
    ike: str = "aes_gcm256-sha2_384-dh31"
    esp: str = "aes_gcm256"
    family: int = 4
    mode: str = "tunnel"
    encapsulated: bool = False
    version: int = 2
    remote_id: str = ""
    secrets: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    auth: tuple[str, ...] = ("authby=secret",)

    @property
    def other(self) -> str:
        """The other side's identity."""
        return self.remote_id or self.remote.identity

    def configuration(self) -> str:
        """The connection in ipsec.conf's words; a blank line would end it."""
        six = self.family == 6
        lines = [
            f"left={self.local.address6 if six else self.local.address}",
            f"right={self.remote.address6 if six else self.remote.address}",
            f"leftid=@{self.local.identity}",
            f"rightid=@{self.other}",
            f"type={self.mode}",
            f"encapsulation={'yes' if self.encapsulated else 'auto'}",
            f"ikev2={'insist' if self.version == 2 else 'no'}",
            *self.auth,
            "auto=add",
            # Its script would set up routes; what passes is decided by the policies alone here.
            "leftupdown=%disabled",
            *self.extra,
        ]
        if self.ike:
            lines.append(f"ike={self.ike}")
        if self.esp:
            lines.append(f"esp={self.esp}")
        if self.mode == "tunnel":
            lines += [
                f"leftsubnet={self.local.network6 if six else self.local.network}",
                f"rightsubnet={self.remote.network6 if six else self.remote.network}",
            ]
        return "conn peer\n" + "".join(f"    {line}\n" for line in lines)


class Libreswan:
    """The daemon at a site; :func:`running` makes one that runs.

    :param ikev1: what it does with IKEv1: ``drop``, ``reject`` or ``accept``.
    """

    def __init__(self, site: Site, folder: Path, ikev1: str = "drop") -> None:
        self.site = site
        self.folder = folder
        self.control = folder / "pluto.ctl"
        self.log = folder / "pluto.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        subprocess.run(["certutil", "-N", "-d", f"sql:{folder}", "--empty-password"], check=True)
        (folder / "ipsec.conf").write_text(f"config setup\n    ikev1-policy={ikev1}\n", encoding="utf-8")
        (folder / "ipsec.secrets").touch()

    def start(self) -> None:
        """Start it, the first time or again."""
        for left_over in (self.control, self.folder / "pluto.pid"):
            left_over.unlink(missing_ok=True)
        command = [DAEMON, "--nofork", "--config", str(self.folder / "ipsec.conf"), "--rundir", str(self.folder)]
        command += ["--nssdir", str(self.folder), "--secretsfile", str(self.folder / "ipsec.secrets")]
        command += ["--logfile", str(self.log), "--no-dnssec", "--nhelpers", "0", "--ipsecdir", str(self.folder)]
        self._process = self.site.start(command, self.folder / "output.log", dict(os.environ))
        wait_until("Libreswan's control socket", self.control.exists)
        self.whack("--listen")

    def kill(self) -> None:
        """Kill it as a fault would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Have it close everything and end."""
        if self._process is not None:
            end(self._process)

    def whack(self, *words: str) -> str:
        """Tell the daemon something; fails the test when it fails."""
        return self.site.run(f"{PROGRAMS}/whack", "--ctlsocket", str(self.control), *words)

    def load(self, peer: Peer) -> None:
        """Load a connection and its secret."""
        secrets = self.folder / "ipsec.secrets"
        lines = [f'@{peer.local.identity} @{peer.other} : PSK "{peer.secret}"', *peer.secrets]
        secrets.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        configuration = self.folder / "peer.conf"
        configuration.write_text("config setup\n" + peer.configuration(), encoding="utf-8")
        self.whack("--rereadsecrets")
        options = ["--config", str(configuration), "--ctlsocket", str(self.control)]
        self.site.run(f"{PROGRAMS}/addconn", *options, "peer")
        # It succeeds whatever it found wrong.
        assert '"peer":' in self.whack("--status"), self.log.read_text(encoding="utf-8")[-2000:]

    def trust(self, name: str, certificate: bytes) -> None:
        """Know an authority, under a name of the test's."""
        file = self.folder / "authority.pem"
        file.write_bytes(certificate)
        self._nss("certutil", "-A", "-a", "-n", name, "-t", "CT,,", "-i", str(file))

    def own(self, archive: bytes) -> None:
        """Have a key with its certificates (PKCS#12 without a password), under the name that it has there."""
        file = self.folder / "own.p12"
        file.write_bytes(archive)
        self._nss("pk12util", "-i", str(file), "-W", "", "-K", "")

    def _nss(self, *command: str) -> None:
        done = subprocess.run([*command, "-d", f"sql:{self.folder}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"

    def forget(self) -> None:
        """Drop the connection and whatever SAs it has."""
        self.whack("--delete", "--name", "peer")

    def initiate(self) -> subprocess.CompletedProcess[str]:
        """Set the tunnel up from this side; returns what whack said and its status."""
        control = ["--ctlsocket", str(self.control)]
        return self.site.attempt(f"{PROGRAMS}/whack", *control, "--initiate", "--name", "peer", timeout=30)

    def states(self) -> str:
        """Its states, a line each."""
        return self.whack("--showstates")

    def established(self) -> bool:
        """Whether an IKE SA with an installed Child SA stands."""
        return "IPsec SA established" in self.states() or "ESTABLISHED_CHILD_SA" in self.states()

    def ike_states(self) -> set[str]:
        """The serial numbers of its established IKE SAs."""
        return set(re.findall(r"#(\d+): .*STATE_V2_ESTABLISHED_IKE_SA", self.states()))


@contextmanager
def running(site: Site, folder: Path, ikev1: str = "drop") -> Iterator[Libreswan]:
    """Start the daemon at a site and end it afterwards; for its word on IKEv1 see :class:`Libreswan`."""
    daemon = Libreswan(site, folder, ikev1)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.end()
