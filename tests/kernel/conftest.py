# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests against a real kernel, in network namespaces of their own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "unit" / "engine" / "manager"))

from engine.errors import EngineError
from engine.kernel.client import XfrmClient
from engine.kernel.features import require_esp

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


class Namespace:
    """A network namespace with its loopback up. ``with space.entered():`` does what is inside in it."""

    def __init__(self) -> None:
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("unshare", CLONE_NEWNET)
            self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        finally:
            _call("setns", home, CLONE_NEWNET)
            os.close(home)

    @contextmanager
    def entered(self) -> Iterator[None]:
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call("setns", self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, CLONE_NEWNET)
            os.close(home)

    def run(self, script: str) -> str:
        """Run a shell script inside; fails the test when it fails."""
        with self.entered():
            done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def close(self) -> None:
        os.close(self.fd)


def _obstacle() -> str:
    if os.geteuid() != 0:
        return "needs root"
    try:
        Namespace().close()
    except (OSError, subprocess.CalledProcessError) as exc:
        return f"needs network namespaces: {exc}"
    return ""


@pytest.fixture(scope="session")
def namespaces_work() -> None:
    obstacle = _obstacle()
    if obstacle:
        pytest.skip(obstacle)


@pytest.fixture(scope="session")
def esp(namespaces_work: None) -> None:
    """For tests whose packets are encrypted by the kernel itself."""
    space = Namespace()
    try:
        with space.entered():
            require_esp(XfrmClient())
    except EngineError as exc:
        pytest.skip(str(exc))
    finally:
        space.close()


@pytest.fixture
def space(namespaces_work: None) -> Iterator[Namespace]:
    """A fresh namespace."""
    made = Namespace()
    yield made
    made.close()


def connect(a: Namespace, b: Namespace, near: str = "v0", far: str = "v1") -> None:
    """Join two namespaces by a veth pair: ``near`` in ``a``, ``far`` in ``b``."""
    me = os.getpid()
    a.run(f"ip link add {near} type veth peer name {far}; ip link set {far} netns /proc/{me}/fd/{b.fd}")


@pytest.fixture
def pair(namespaces_work: None) -> Iterator[tuple[Namespace, Namespace]]:
    """Two gateways, 192.0.2.1 and .2 (2001:db8::1 and ::2), with 10.1.0.1/24 and 10.2.0.1/24 behind them."""
    a, b = Namespace(), Namespace()
    connect(a, b)
    for number, (gateway, device) in enumerate(((a, "v0"), (b, "v1")), 1):
        other = 3 - number
        gateway.run(
            f"ip addr add 192.0.2.{number}/24 dev {device}; ip addr add 2001:db8::{number}/64 dev {device} nodad;"
            f"ip addr add 10.{number}.0.1/24 dev lo; ip addr add fd00:{number}::1/64 dev lo nodad;"
            f"ip link set {device} up;"
            f"ip route add 10.{other}.0.0/24 via 192.0.2.{other} src 10.{number}.0.1;"
            f"ip route add fd00:{other}::/64 via 2001:db8::{other} src fd00:{number}::1"
        )
    yield a, b
    a.close()
    b.close()
