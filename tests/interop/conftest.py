# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sites, made once; a folder for each test; the peers' logs beside a failure; a table where one is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import libreswan, ours, sites, strongswan, table


def pytest_configure(config: pytest.Config) -> None:
    """FLEET_INTEROP_TABLE names the file that is to tell what passed."""
    if path := os.environ.get("FLEET_INTEROP_TABLE"):
        config.pluginmanager.register(table.Outcomes(Path(path)))


@pytest.fixture(scope="session", autouse=True)
def wire() -> Iterator[None]:
    """The two sites."""
    for daemon in (strongswan.DAEMON, libreswan.DAEMON):
        if not Path(daemon).exists():
            raise pytest.UsageError(f"{daemon} is not here: these tests are run by: make interop")
    sites.make_sites()
    yield
    sites.remove_sites()


@pytest.fixture
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ours.Manager]:
    """Our manager at the left site."""
    with ours.running(sites.LEFT, tmp_path / "ours") as running:
        yield running
        _show_on_failure(request, running.log)


@pytest.fixture
def charon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[strongswan.StrongSwan]:
    """strongSwan at the right site; its parameter are further lines of strongswan.conf."""
    options = getattr(request, "param", "")
    with strongswan.running(sites.RIGHT, tmp_path / "strongswan", options) as running:
        yield running
        _show_on_failure(request, running.log)


@pytest.fixture
def manager_with_ml_kem(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ours.Manager]:
    """Our manager at the left site, on the Python that runs the tests: the machine's own library may have no ML-KEM."""
    pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mlkem", reason="cryptography before 48")
    with ours.running(sites.LEFT, tmp_path / "ours", sys.executable) as running:
        yield running
        _show_on_failure(request, running.log)


@pytest.fixture
def newer_charon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[strongswan.StrongSwan]:
    """A newer strongSwan at the right site, which fragments what is larger than a packet of 600 octets."""
    tree, lacking = strongswan.NEWER, strongswan.NEWER / "lacking"
    if not (tree / ".stamp").exists():
        why = lacking.read_text(encoding="utf-8").strip() if lacking.exists() else "make peers gets it"
        pytest.skip(f"there is no newer strongSwan here: {why}")
    with strongswan.running(sites.RIGHT, tmp_path / "strongswan", "fragment_size = 600", tree) as running:
        yield running
        _show_on_failure(request, running.log)


@pytest.fixture(scope="module")
def libreswan_daemon(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[libreswan.Libreswan]:
    """Libreswan at the right site, started once; by default as it is shipped, without IKEv1."""
    ikev1 = getattr(request, "param", "drop")
    with libreswan.running(sites.RIGHT, tmp_path_factory.mktemp("libreswan") / ikev1, ikev1) as running:
        yield running


@pytest.fixture
def pluto(libreswan_daemon: libreswan.Libreswan, request: pytest.FixtureRequest) -> Iterator[libreswan.Libreswan]:
    """Libreswan at the right site, without connections."""
    yield libreswan_daemon
    _show_on_failure(request, libreswan_daemon.log)
    libreswan_daemon.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


def _show_on_failure(request: pytest.FixtureRequest, log: Path) -> None:
    if request.node.stash.get(FAILED, False):
        print(f"--- {log}\n{log.read_text(encoding='utf-8', errors='replace')[-8000:]}")
