# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan's IKE daemon at one site, run by hand from Debian's packages: the machine's suite, or a newer one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .sites import Site, end, wait_until

DAEMON = "/usr/sbin/charon-systemd"
SWANCTL = "/usr/sbin/swanctl"
NEWER = Path(__file__).resolve().parents[2] / ".cache/newer-peers"  # tests/setup/newer-peers.sh
# Runs a program of a folder that holds all of a system's /usr that it needs.
WITHIN = 'mount --make-rprivate / && mount --bind "$0/usr" /usr && exec "$@"'
# What IKEv2 with pre-shared keys needs; the default list costs seconds to load.
PLUGINS = "nonce openssl aes ctr ccm random pem pkcs1 pkcs8 pubkey x509 revocation constraints kdf hmac"
PLUGINS += " kernel-netlink socket-default vici"


@dataclass(frozen=True)
class Peer:
    """What strongSwan is told of the other side.

    :ivar ike: proposals; ``default`` for its own. ``esp`` likewise, empty where ``child_extra`` names other ones.
    :ivar ppks: post-quantum preshared keys: name and key.
    :ivar extra: further lines of the connection; ``child_extra``: of its child.
    :ivar ours: how it authenticates itself, and ``theirs`` the other side; ``files``: keys and certificates, by their
        paths in swanctl's folder.
    """

    local: Site
    remote: Site
    secret: str
    ike: str = "aes256gcm16-prfsha384-x25519"
    esp: str = "aes256gcm16-x25519"
    family: int = 4
    mode: str = "tunnel"
    encapsulated: bool = False
    mobike: bool = False
    ppks: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()
    child_extra: tuple[str, ...] = ()
    ours: tuple[str, ...] = ("auth = psk",)
    theirs: tuple[str, ...] = ("auth = psk",)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def configuration(self) -> str:
        """The connection in swanctl.conf's words; addresses and networks of the wanted family."""
        six = self.family == 6
        local, remote = (site.address6 if six else site.address for site in (self.local, self.remote))
        local_net, remote_net = (site.network6 if six else site.network for site in (self.local, self.remote))
        selectors = f"local_ts = {local_net}\n remote_ts = {remote_net}" if self.mode == "tunnel" else ""
        return f"""\
connections {{
 peer {{
  version = 2
  local_addrs = {local}
  remote_addrs = {remote}
  proposals = {self.ike}
  mobike = {"yes" if self.mobike else "no"}
  encap = {"yes" if self.encapsulated else "no"}
  {_lines(self.extra)}
  local {{
   {_lines(self.ours)}
   id = {self.local.identity}
  }}
  remote {{
   {_lines(self.theirs)}
   id = {self.remote.identity}
  }}
  children {{
   net {{
    mode = {self.mode}
    {f"esp_proposals = {self.esp}" if self.esp else ""}
    {selectors}
    {_lines(self.child_extra)}
   }}
  }}
 }}
}}
secrets {{
 {_secret("ike-peer", self.remote.identity, self.secret) if self.secret else ""}
 {_lines(tuple(_secret(f"ppk-{name}", name, key) for name, key in self.ppks))}
}}
"""


def _secret(section: str, identity: str, secret: str) -> str:
    return f'{section} {{\n  id = {identity}\n  secret = "{secret}"\n }}'


def _lines(lines: tuple[str, ...]) -> str:
    return "\n".join(lines)


class StrongSwan:
    """The daemon at a site; :func:`running` makes one that runs.

    :param options: further lines of strongswan.conf, such as ``send_vendor_id = yes``.
    :param tree: a folder with another release than the machine's.
    """

    def __init__(self, site: Site, folder: Path, options: str = "", tree: Path | None = None) -> None:
        self.site = site
        self._within = within(tree) if tree is not None else []
        self.folder = folder
        self.socket = f"unix://{folder}/vici"
        self.log = folder / "charon.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "strongswan.conf").write_text(_settings(folder, options), encoding="utf-8")

    def start(self) -> None:
        """Start it, the first time or again."""
        (self.folder / "vici").unlink(missing_ok=True)
        configuration = self.folder / "strongswan.conf"
        environment = {**os.environ, "STRONGSWAN_CONF": str(configuration), "SWANCTL_DIR": str(self.folder)}
        self._process = self.site.start([*self._within, DAEMON], self.folder / "output.log", environment)
        wait_until("strongSwan's control socket", (self.folder / "vici").exists)

    def kill(self) -> None:
        """Kill it as a fault would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Have it close everything and end."""
        if self._process is not None:
            end(self._process)

    def swanctl(self, *words: str) -> str:
        """Run swanctl against this daemon; fails the test when it fails."""
        places = [f"SWANCTL_DIR={self.folder}", f"STRONGSWAN_CONF={self.folder}/strongswan.conf"]
        return self.site.run("env", *places, *self._within, SWANCTL, *words, "--uri", self.socket)

    def load(self, peer: Peer) -> None:
        """Load a connection and its credentials."""
        for name, octets in peer.files.items():
            file = self.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(octets)
        path = self.folder / "swanctl.conf"
        path.write_text(peer.configuration(), encoding="utf-8")
        self.swanctl("--load-all", "--noprompt", "--file", str(path))

    def initiate(self) -> subprocess.CompletedProcess[str]:
        """Set the tunnel up from this side; returns what swanctl said and its status."""
        words = ["--initiate", "--child", "net", "--timeout", "20", "--uri", self.socket]
        return self.site.attempt(*self._within, SWANCTL, *words)

    def sas(self) -> str:
        """Its IKE SAs and Child SAs, as text."""
        return self.swanctl("--list-sas")

    def established(self) -> bool:
        """Whether an IKE SA with an installed Child SA stands."""
        text = self.sas()
        return "ESTABLISHED" in text and "INSTALLED" in text


def within(tree: Path) -> list[str]:
    """The words before a command that run it in a folder with another release than the machine's."""
    return ["unshare", "-m", "sh", "-c", WITHIN, str(tree)]


def _settings(folder: Path, options: str) -> str:
    return f"""\
swanctl {{
 load = pem pkcs1 pkcs8 pubkey x509 openssl random nonce
}}
charon-systemd {{
 load = {PLUGINS}
 port = 500
 port_nat_t = 4500
 cookie_threshold = 0
 block_threshold = 0
 {options}
 journal {{
  default = -1
 }}
 filelog {{
  log {{
   path = {folder}/charon.log
   default = 1
   ike = 2
   flush_line = yes
  }}
 }}
 plugins {{
  vici {{
   socket = unix://{folder}/vici
  }}
 }}
}}
"""


@contextmanager
def running(site: Site, folder: Path, options: str = "", tree: Path | None = None) -> Iterator[StrongSwan]:
    """Start the daemon at a site and end it afterwards; for options and tree see :class:`StrongSwan`."""
    daemon = StrongSwan(site, folder, options, tree)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.end()
