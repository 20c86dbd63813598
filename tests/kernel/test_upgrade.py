# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the engine of the last release to the one of now under a stream of packets, and back."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from manager_site import ENGINE, Manager, identity, in_clear, kernel, ping, watched

from tests.packet_watch import Flood

pytestmark = pytest.mark.usefixtures("esp")
RELEASE = "dce5db2cc4a2f5ade5789553184888f00b59ac73"  # 0.1.0
ROOT = ENGINE.parents[1]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The engine of release 0.1.0, out of the history of this tree."""
    command = ["git", "-c", "safe.directory=*", "archive", RELEASE, "plugins/module_utils/engine"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the history that has release 0.1.0 is not here")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tmp_path / "released")  # noqa: S202 - our own
    return tmp_path / "released" / "plugins" / "module_utils"


def switched(manager: Manager, engine: Path, number: int = signal.SIGTERM) -> None:
    """Go on with another engine, at the files of the one before."""
    assert manager.end(number) in (0, -signal.SIGKILL)
    manager.engine = engine
    manager.start()


def go_back(manager: Manager) -> str:
    """Hand the definitions of before to the release before; what was defined since."""
    command = [sys.executable, "-m", "engine", "go-back", "--database", str(manager.folder / "definitions.sqlite")]
    environment = os.environ | {"PYTHONPATH": str(ENGINE)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.nightly
def test_an_upgrade_loses_no_packet_and_the_way_back_is_open(managers: tuple[Manager, Manager], released: Path) -> None:
    a, b = managers
    for manager in managers:
        switched(manager, released)
    b.apply("present")
    a.apply("active")
    a.established()
    before = identity(a), identity(b)
    watches = watched(a, b)
    flood = Flood(a.space.entered, "10.1.0.1", "10.2.0.1")
    time.sleep(0.5)
    for manager, number in ((a, signal.SIGTERM), (b, signal.SIGKILL)):
        switched(manager, ENGINE, number)
    time.sleep(0.5)
    sent, lost = flood.end()
    assert in_clear(watches) == 0
    assert not lost and sent > 90
    assert (identity(a), identity(b)) == before
    # They go on, also with what release 0.1.0 does not know.
    proposals = ["aes128gcm16-sha256-ecp256", "aes256gcm16-sha384-x25519"]
    assert a.apply("active", ike={"proposals": proposals})["impact"] == "rekey"
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    # And back, one after the other: the tunnel is set up anew. One has defined something since, the other has not.
    switched(b, released)
    a.end(signal.SIGTERM)
    assert "since then: changed t;" in go_back(a)
    a.engine = released
    a.start()
    a.established()
    assert ping(a.space, "10.2.0.1") == 3 and ping(b.space, "10.1.0.1") == 3
    a.call("manager.stop", keep=False)
    assert a.process.wait(20) == 0 and kernel(a.space) == ""
