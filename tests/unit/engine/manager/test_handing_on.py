# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that stay open from one manager to the next, as systemd keeps them: what arrives meanwhile waits in them."""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys

import pytest
from engine.ike.actions import Path
from engine.manager.sockets import Ports
from engine.manager.systemd import Systemd
from manager_lab import HERE, Process
from test_manager_pair import established, eventually, spis

LOOP = "127.0.0.9"


class Keeper:
    """What systemd does: it takes notifications and keeps the descriptors that come with them."""

    def __init__(self, folder) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(10)
        self.kept: list[int] = []
        self.texts: list[str] = []

    def read(self) -> str:
        text, ancillary, _flags, _address = self._socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
        for _level, kind, data in ancillary:
            assert kind == socket.SCM_RIGHTS
            self.kept += array.array("i", data).tolist()
        self.texts.append(text.decode())
        return self.texts[-1]

    def until_ready(self) -> None:
        while "READY=1" not in self.read():
            pass

    def run(self, process: Process) -> None:
        """Start a manager with what is kept, from descriptor 3 on."""
        # High enough to be in nobody's way while they are put in their places.
        sources = [os.dup2(one, 100 + place) for place, one in enumerate(self.kept)]
        moves = " ".join(f"{3 + place}<&{one}" for place, one in enumerate(sources))
        listen = f"LISTEN_PID=$$ LISTEN_FDS={len(sources)} " if sources else ""
        words = [sys.executable, str(HERE / "fake_kernel.py"), *process.arguments]
        script = f"exec {moves}; export NOTIFY_SOCKET={self.address} {listen}; exec {' '.join(words)}"
        with process.log.open("a") as log:
            process.process = subprocess.Popen(["bash", "-c", script], pass_fds=sources, stdout=log, stderr=log)
        for one in sources:
            os.close(one)
        self.until_ready()

    def close(self) -> None:
        self._socket.close()
        for one in self.kept:
            os.close(one)


@pytest.fixture
def keeper(tmp_path):
    made = Keeper(tmp_path)
    yield made
    made.close()


def test_what_arrives_between_two_managers_is_served_by_the_second(keeper, tmp_path, free_ports):
    left = Process(tmp_path / "left", "127.0.0.2", *free_ports)
    right = Process(tmp_path / "right", "127.0.0.3", *free_ports)
    try:
        keeper.run(left)
        assert len(keeper.kept) == 2 and any("FDPOLL=0" in text for text in keeper.texts)
        right.start()
        _ours, theirs = established(left, right)
        before = spis(right)
        left.stop(signal.SIGKILL)
        # Its request for new keys is sent while nobody is there to read it; a closed port would refuse it.
        child = theirs["children"][0] | {"replay_window": 256}
        right.apply(theirs | {"children": [child]})
        refused = right.call("manager.info")["counts"].get("icmp_errors", 0)
        keeper.run(left)
        eventually(lambda: spis(right) != before and len(spis(right)) == 1)
        assert refused == 0
    finally:
        for manager in (left, right):
            if manager.process is not None and manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait(10)


def test_sockets_that_fit_are_taken_and_others_closed(free_ports):
    ike, natt = free_ports
    fitting, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _unused in range(2))
    fitting.bind((LOOP, ike))
    other.bind((LOOP, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((LOOP, 0))
        peer.sendto(b"waits", (LOOP, ike))
        ports = Ports([LOOP], ike, natt, [fitting, other])
        found: list[tuple[bytes, Path]] = []
        try:
            assert {port.socket.fileno() == fitting.fileno() for port in ports if not port.natt} == {True}
            assert other.fileno() == -1
            for port in ports:
                port.drain(lambda octets, path: found.append((octets, path)), lambda *_error: None)
            # What came before its destination was asked for is dropped; the next one is not.
            peer.sendto(b"comes", (LOOP, ike))
            for port in ports:
                port.drain(lambda octets, path: found.append((octets, path)), lambda *_error: None)
        finally:
            ports.close()
    assert found[-1][0] == b"comes" and found[-1][1][:2] == (LOOP, ike)


def test_descriptors_for_another_process_are_left_alone():
    assert Systemd({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid() + 1)}).kept() == []
    assert Systemd({}).kept() == []
