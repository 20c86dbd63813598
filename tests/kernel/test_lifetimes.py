# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Octets and packets that an SA may carry: the kernel counts, a rekey comes before the end, and the end is one."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from manager_site import Manager, in_clear, ping, watched
from namespaces import Namespace

pytestmark = pytest.mark.usefixtures("esp")

PACKET = 84  # octets of a ping, which the kernel counts padded and with what ESP adds


def pinged(space: Namespace, count: int) -> str:
    with space.entered():
        command = ["ping", "-n", "-q", "-c", str(count), "-i", "0.02", "-W", "2", "10.2.0.1"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def generations(manager: Manager) -> set[str]:
    return {sa["spi_out"] for sa in manager.sas()}


@pytest.mark.parametrize(
    "limit", [{"lifetime_bytes": 200 * PACKET}, pytest.param({"lifetime_packets": 150}, marks=pytest.mark.nightly)]
)
def test_a_rekey_comes_before_the_limit_and_nothing_is_lost(
    managers: tuple[Manager, Manager], limit: dict[str, int]
) -> None:
    a, b = managers
    b.apply("present")
    a.apply("active", children=[{"name": "lan", "local": ["10.1.0.0/24"], "remote": ["10.2.0.0/24"], **limit}])
    a.established()
    first = generations(a)
    assert "300 received" in pinged(a.space, 300)
    assert len(generations(a)) == 1 and not generations(a) & first


def test_behind_the_limit_nothing_is_sent_until_there_are_new_keys(managers: tuple[Manager, Manager]) -> None:
    """The peer's manager is halted, so that no rekey can be: at the limit the kernel ends the SA."""
    a, b = managers
    b.apply("present")
    child = {"name": "lan", "local": ["10.1.0.0/24"], "remote": ["10.2.0.0/24"], "lifetime_packets": 50}
    a.apply("active", children=[child])
    a.established()
    first = generations(a)
    watches = watched(a, b)
    b.process.send_signal(signal.SIGSTOP)
    try:
        received = int(pinged(a.space, 80).split(" received")[0].rpartition(" ")[2])
    finally:
        b.process.send_signal(signal.SIGCONT)
    assert 40 <= received <= 50
    deadline = time.monotonic() + 60
    while ping(a.space, "10.2.0.1") < 3:
        assert time.monotonic() < deadline, (a.folder / "log").read_text()
        time.sleep(0.2)
    assert in_clear(watches) == 0
    assert not generations(a) & first
