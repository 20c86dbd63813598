# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan's charon doing the same handshakes, as the figures to beat.

Two daemons of Debian's packages in two network namespaces, a core each, all logging off. Their SAs go to
``kernel-libipsec``, charon's ESP in user space, which needs no ESP in the machine's kernel: like a real kernel, and
unlike the stand-in beside our manager, it is work that charon itself does.  One definition serves all tunnels, where
our managers have one for each.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .handshakes import SETTLE_SECONDS, TUNNELS, WARM, Handshakes, per_handshake
from .measure import cores, taken
from .rounds import seconds

DAEMON, SWANCTL = "/usr/sbin/charon-systemd", "/usr/sbin/swanctl"
PLUGINS = "/usr/lib/ipsec/plugins"
NEEDED = ("openssl", "kernel-libipsec", "kernel-netlink", "socket-default", "vici", "kdf", "nonce", "random")
INITIATOR, RESPONDER = "10.255.0.1", "10.255.0.2"
PAUSE = 0.0025  # seconds between two initiations: less than both sides can do, so nothing piles up
PATIENCE = 60.0

_SETTINGS = """
charon-systemd {{
  load = {plugins}
  install_routes = no
  install_virtual_ip = no
  reuse_ikesa = no
  cookie_threshold = 0
  block_threshold = 0
  syslog {{ daemon {{ default = -1 }} }}
  journal {{ default = -1 }}
  plugins {{ vici {{ socket = unix://{socket} }} }}
}}
"""
_CONNECTION = """
connections {{
{connections}
}}
secrets {{
{secrets}
}}
"""
_ONE = """
  {name} {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha384-x25519
    unique = never
    local {{
      auth = psk
      id = {local_id}
    }}
    remote {{
      auth = psk
      id = {remote_id}
    }}
    children {{
      lan {{
        local_ts = {local_net}
        remote_ts = {remote_net}
        esp_proposals = aes256gcm16
      }}
    }}
  }}
"""
_SECRET = """
  ike-{name} {{
    secret = "a shared secret of the benchmark, number {number:05}"
    {owner}
  }}
"""


def missing(tree: str) -> str:
    """Why charon cannot be measured here; empty if it can.

    :param tree: where strongSwan's packages are: ``/`` if installed, else the folder that they were unpacked to.
    """
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    wanted = [DAEMON, SWANCTL, *(f"{PLUGINS}/libstrongswan-{name}.so" for name in NEEDED)]
    if not all(Path(tree, path.lstrip("/")).exists() for path in wanted):
        packages = "charon-systemd strongswan-swanctl strongswan-libcharon libstrongswan"
        more = "libcharon-extra-plugins libstrongswan-standard-plugins"
        return f"needs Debian's packages {packages} {more}, installed or unpacked to a folder"
    return ""


def handshakes(tree: str) -> Handshakes:
    """As :func:`tests.bench.handshakes.handshakes`, of charon."""
    with _pair(tree) as daemons:
        initiator = daemons[0]
        initiator.bring_up(WARM)
        for daemon in daemons:
            daemon.await_sas(WARM)
        before = [taken(daemon.pid) for daemon in daemons]
        initiator.bring_up(TUNNELS)
        time.sleep(SETTLE_SECONDS)
        after = [taken(daemon.pid) for daemon in daemons]
        for daemon in daemons:
            daemon.await_sas(WARM + TUNNELS)
    return per_handshake(before, after)


class _Daemon:
    """One charon in a network namespace of its own, and its vici socket."""

    def __init__(self, tree: str, directory: Path, namespace: str, cpu: int | None, connection: str) -> None:
        settings, self._swanctl = directory / "strongswan.conf", directory / "swanctl.conf"
        address = str(directory / "vici")
        settings.write_text(_SETTINGS.format(plugins=" ".join(NEEDED), socket=address))
        environment = os.environ | {"STRONGSWAN_CONF": str(settings)}
        self._quiet = quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
        pin = None if cpu is None else functools.partial(os.sched_setaffinity, 0, {cpu})
        inside = ["ip", "netns", "exec", namespace, *_seeing(tree)]
        self._process = subprocess.Popen([*inside, DAEMON], preexec_fn=pin, **quiet)
        try:
            self._vici = _connect(address)
            load = [SWANCTL, "--load-all", "--noprompt", "--uri", f"unix://{address}", "--file", str(self._swanctl)]
            self._load = [*inside, *load]
            self.load(connection)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, connections: str) -> None:
        """Tell it these connections and secrets, and no others."""
        self._swanctl.write_text(connections)
        subprocess.run(self._load, check=True, **self._quiet)

    def bring_up(self, count: int) -> None:
        """Begin a handshake every :data:`PAUSE` seconds."""
        for _unused in range(count):
            # No time limit: charon answers at once and goes on by itself.
            self._command("initiate", {"child": "lan", "ike": "bench", "timeout": "-1"})
            time.sleep(PAUSE)

    def await_sas(self, count: int) -> None:
        """Wait until so many IKE SAs are up and none is half open."""
        deadline = time.monotonic() + PATIENCE
        wanted = f"total{count}half-open0"
        while wanted not in (answer := _flat(self._command("stats", {}))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"charon does not bring {count} IKE SAs up: {answer}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()

    def _command(self, name: str, values: dict[str, str]) -> bytes:
        """One request of the vici protocol, as its README describes it, and the octets of the answer."""
        packet = struct.pack("!BB", 0, len(name)) + name.encode()
        for key, value in values.items():
            packet += struct.pack("!BB", 3, len(key)) + key.encode() + struct.pack("!H", len(value)) + value.encode()
        self._vici.sendall(struct.pack("!I", len(packet)) + packet)
        (size,) = struct.unpack("!I", self._vici.recv(4, socket.MSG_WAITALL))
        return self._vici.recv(size, socket.MSG_WAITALL)


def _seeing(tree: str) -> list[str]:
    """What to put before a command so that it finds an unpacked strongSwan where an installed one would be."""
    if tree == "/":
        return []
    mount = f"mount -t overlay overlay -o lowerdir={shlex.quote(tree)}/usr:/usr /usr"
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]


def _flat(answer: bytes) -> str:
    """The printable characters of an answer, to look for words in."""
    return "".join(chr(octet) for octet in answer if 0x21 <= octet < 0x7F)


def _connect(address: str) -> socket.socket:
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(address)
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def _pair(tree: str) -> Iterator[tuple[_Daemon, _Daemon]]:
    first, second = cores()
    sides = (
        ("i", INITIATOR, "i.example.net", "10.10.0.0/16", second),
        ("r", RESPONDER, "r.example.net", "10.11.0.0/16", first),
    )
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-")))
        namespaces = [stack.enter_context(_namespace(f"bench-{os.getpid()}-{side[0]}")) for side in sides]
        _ip("-n", namespaces[0], "link", "add", "v", "type", "veth", "peer", "name", "v", "netns", namespaces[1])
        daemons = []
        for namespace, ours, theirs in zip(namespaces, sides, reversed(sides), strict=True):
            _ip("-n", namespace, "address", "add", f"{ours[1]}/24", "dev", "v")
            _ip("-n", namespace, "link", "set", "v", "up")
            directory = root / ours[0]
            directory.mkdir()
            one = _ONE.format(
                name="bench",
                local=ours[1],
                remote=theirs[1],
                local_id=ours[2],
                remote_id=theirs[2],
                local_net=ours[3],
                remote_net=theirs[3],
            )
            text = _CONNECTION.format(connections=one, secrets=_SECRET.format(name="bench", number=0, owner=""))
            daemons.append(_Daemon(tree, directory, namespace, ours[4], text))
            stack.callback(daemons[-1].stop)
        yield daemons[0], daemons[1]


def loading(tree: str, count: int) -> tuple[float, float]:
    """Seconds of ``swanctl --load-all`` with so many connections: into an empty daemon, and once more."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-")))
        namespace = stack.enter_context(_namespace(f"bench-{os.getpid()}-l"))
        daemon = _Daemon(tree, root, namespace, cores()[0], "connections { }\n")
        stack.callback(daemon.stop)
        text = _many(count)
        return seconds(lambda: daemon.load(text)), seconds(lambda: daemon.load(text))


def _many(count: int) -> str:
    """The connections that :func:`tests.bench.managers.initiating` defines for our manager."""
    numbers = range(count)
    connections = [
        _ONE.format(
            name=f"t{n:05}", local=f"127.1.{n >> 8}.{n & 255}", remote="127.0.0.3", local_id=f"i{n:05}.example.net",
            remote_id=f"r{n:05}.example.net", local_net=f"10.{n >> 8}.{n & 255}.0/24",
            remote_net=f"11.{n >> 8}.{n & 255}.0/24",
        )
        for n in numbers
    ]  # fmt: skip
    secrets = [_SECRET.format(name=f"t{n:05}", number=n, owner=f"id = r{n:05}.example.net") for n in numbers]
    return _CONNECTION.format(connections="".join(connections), secrets="".join(secrets))


@contextlib.contextmanager
def _namespace(name: str) -> Iterator[str]:
    _ip("netns", "add", name)
    try:
        yield name
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
