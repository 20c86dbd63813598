# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that stay open from one manager to the next, as systemd keeps them: what arrives meanwhile waits in them."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest
from engine.ike.actions import Path
from engine.manager.sockets import Ports
from engine.manager.systemd import Systemd
from keeper import Keeper
from manager_lab import HERE, Process
from manager_pair import established, spis

from tests.waiting import eventually

LOOP = "127.0.0.9"


@pytest.fixture
def keeper(tmp_path):
    made = Keeper(tmp_path)
    yield made
    made.close()


def start(keeper: Keeper, manager: Process) -> None:
    with manager.log.open("a") as log:
        command = [sys.executable, str(HERE / "fake_kernel.py"), *manager.arguments]
        manager.process = keeper.run(command, log)


def test_what_arrives_between_two_managers_is_served_by_the_second(keeper, tmp_path, free_ports):
    left = Process(tmp_path / "left", "127.0.0.2", *free_ports)
    right = Process(tmp_path / "right", "127.0.0.3", *free_ports)
    try:
        start(keeper, left)
        assert len(keeper.kept) == 2 and any("FDPOLL=0" in text for text in keeper.texts)
        right.start()
        _ours, theirs = established(left, right)
        before = spis(right)
        left.stop(signal.SIGKILL)
        # Its request for new keys is sent while nobody is there to read it; a closed port would refuse it.
        child = theirs["children"][0] | {"replay_window": 256}
        right.apply(theirs | {"children": [child]})
        refused = right.call("manager.info")["counts"].get("icmp_errors", 0)
        start(keeper, left)
        eventually(lambda: spis(right) != before and len(spis(right)) == 1)
        assert refused == 0
    finally:
        for manager in (left, right):
            if manager.process is not None and manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait(10)


def test_all_sockets_of_a_manager_are_taken_by_the_next_again_and_again(free_ports):
    first = Ports([], *free_ports)
    sockets = [port.socket for port in first]
    for _turn in range(2):
        ports = Ports([], *free_ports, [socket.socket(fileno=os.dup(one.fileno())) for one in sockets])
        assert [port.socket.getsockname() for port in ports] == [one.getsockname() for one in sockets]
        ports.close()
    first.close()


def test_other_addresses_to_listen_at_have_the_kept_sockets_given_up(keeper, tmp_path, free_ports):
    everywhere = Process(tmp_path / "one", "0.0.0.0", *free_ports)
    here = Process(tmp_path / "one", "127.0.0.2", *free_ports)
    try:
        start(keeper, everywhere)
        everywhere.stop(signal.SIGKILL)
        start(keeper, here)
        assert len(keeper.kept) == 2 and any("FDSTOREREMOVE=1" in text for text in keeper.texts)
        assert {socket.socket(fileno=os.dup(one)).getsockname()[0] for one in keeper.kept} == {"127.0.0.2"}
    finally:
        for manager in (everywhere, here):
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
