# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenIKED's daemon at one site, run by hand from Debian's package.

It drops its privileges to a user ``_iked``, reads keys below ``/etc/iked`` and starts its parts by its own path, so it
belongs in a guest or an overlay. It sets flows up with its SAs only: before, and after its end, packets leave in clear.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .sites import Site, end, wait_until

DAEMON = "/usr/sbin/iked"
USER = "_iked"
KEYS = Path("/etc/iked/private")


@dataclass(frozen=True)
class Peer:
    """What OpenIKED is told of the other side.

    :ivar extra: further words of the policy, before the identities, such as ``childsa … group curve25519``.
    :ivar active: whether this side starts the tunnel, as soon as it is told of it.
    """

    local: Site
    remote: Site
    secret: str
    extra: str = ""
    active: bool = False

    def configuration(self) -> str:
        """The policy in iked.conf's words."""
        words = [
            f'ikev2 "peer" {"active" if self.active else "passive"} esp',
            f"from {self.local.network} to {self.remote.network}",
            f"local {self.local.address} peer {self.remote.address}",
            self.extra,
            f"srcid {self.local.identity} dstid {self.remote.identity}",
            f'psk "{self.secret}"',
        ]
        return " ".join(word for word in words if word) + "\n"


class OpenIked:
    """The daemon at a site."""

    def __init__(self, site: Site, folder: Path, peer: Peer) -> None:
        self.site = site
        self.folder = folder
        self.control = folder / "iked.sock"
        self.configuration = folder / "iked.conf"
        self.log = folder / "iked.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self.configuration.write_text(peer.configuration(), encoding="utf-8")
        self.configuration.chmod(0o600)
        _make_user()

    def start(self) -> None:
        """Start it, the first time or again; what it was told of is set up at once."""
        self.control.unlink(missing_ok=True)
        command = [DAEMON, "-d", "-v", "-f", str(self.configuration), "-s", str(self.control)]
        self._process = self.site.start(command, self.log, dict(os.environ))
        wait_until("OpenIKED's control socket", self.control.exists)

    def kill(self) -> None:
        """Kill it as a fault would; its other processes end with it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Have it close everything and end."""
        if self._process is not None:
            end(self._process)

    def sas(self) -> str:
        """Its IKE SAs, Child SAs and flows, as text."""
        return self.site.run("/usr/sbin/ikectl", "-s", str(self.control), "show", "sa")

    def ike_states(self) -> set[str]:
        """The SPIs of its established IKE SAs."""
        return set(re.findall(r"^iked_sas: .*?(0x\w+/0x\w+).*\bESTABLISHED\b", self.sas(), re.MULTILINE))


def _make_user() -> None:
    """What the package's own installation would do: a user, and a key of this host."""
    known = subprocess.run(["getent", "passwd", USER], stdout=subprocess.DEVNULL, check=False).returncode == 0
    if not known:
        command = ["useradd", "--system", "--user-group", "--home-dir", "/var/empty", "--shell", "/bin/false", USER]
        subprocess.run(command, check=True)
    Path("/var/empty").mkdir(exist_ok=True)
    for folder in ("ca", "certs", "crls", "private", "pubkeys/fqdn"):
        (KEYS.parent / folder).mkdir(parents=True, exist_ok=True)
    if not (KEYS / "local.key").exists():
        subprocess.run(
            ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(KEYS / "local.key")],
            check=True,
        )
        (KEYS / "local.key").chmod(0o600)
        command = ["openssl", "ec", "-in", str(KEYS / "local.key"), "-pubout", "-out", str(KEYS.parent / "local.pub")]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
