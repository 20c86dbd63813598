# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests against a real kernel, in network namespaces of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "unit" / "engine" / "manager"))

from engine.errors import EngineError
from engine.kernel.client import XfrmClient
from engine.kernel.features import probe, require_esp
from esp_site import Site, make_site
from manager_site import Manager, running
from namespaces import Namespace, connect
from shunt_host import Host


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


@pytest.fixture
def pair(namespaces_work: None) -> Iterator[tuple[Namespace, Namespace]]:
    """Two gateways, 192.0.2.1 and .2 (2001:db8::1 and ::2), with 10.1.0.1/24 and 10.2.0.1/24 behind them."""
    a, b = Namespace(), Namespace()
    connect(a, b)
    for number, (gateway, device) in enumerate(((a, "v0"), (b, "v1")), 1):
        other = 3 - number
        gateway.ip(
            f"addr add 192.0.2.{number}/24 dev {device}",
            f"addr add 2001:db8::{number}/64 dev {device} nodad",
            f"addr add 10.{number}.0.1/24 dev lo",
            f"addr add fd00:{number}::1/64 dev lo nodad",
            f"link set {device} up",
            f"route add 10.{other}.0.0/24 via 192.0.2.{other} src 10.{number}.0.1",
            f"route add fd00:{other}::/64 via 2001:db8::{other} src fd00:{number}::1",
        )
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def sites(pair: tuple[Namespace, Namespace], tmp_path) -> Iterator[tuple[Site, Site]]:
    """The two gateways, each with what is installed and seen there."""
    pair[0].run("ping -c1 -W2 192.0.2.2 >/dev/null; ping -6 -c1 -W2 2001:db8::2 >/dev/null")  # neighbours known
    a = make_site(pair[0], str(tmp_path / "a"), 1, "v0")
    b = make_site(pair[1], str(tmp_path / "b"), 2, "v1")
    yield a, b
    for site in (a, b):
        site.gateway.close()
        for sock in (site.wire, *site.sockets.values()):
            sock.close()


@pytest.fixture
def managers(pair: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[tuple[Manager, Manager]]:
    """A manager that runs on each of the two gateways."""
    a, b = (Manager(space, tmp_path / str(number), number) for number, space in enumerate(pair, 1))
    with running(a, b):
        yield a, b


@pytest.fixture
def site(namespaces_work: None, tmp_path: Path) -> Iterator[Host]:
    """A host for eroutes by hand."""
    made = Host(str(tmp_path / "run"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole_ipsec(namespaces_work: None) -> None:
    """For tests whose packets need all that a kernel can have of IPsec."""
    space = Namespace()
    try:
        with space.entered():
            client = XfrmClient()
            lacking = [feature.problem for feature in probe(client) if not feature.available]
            client.close()
    finally:
        space.close()
    if lacking:
        pytest.skip("; ".join(lacking))
