# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets, log lines, systemd: the manager's edges one by one, with the real thing at the other end."""

from __future__ import annotations

import errno
import io
import select
import socket
import sys
import time

import pytest
from engine.bucket import Bucket
from engine.crypto import library
from engine.errors import MissingError
from engine.ike.actions import Path
from engine.kernel.addresses import is_local, towards
from engine.manager.log import BURST, Log
from engine.manager.service import Options, serve
from engine.manager.sockets import BATCH, MARKER, Port, Ports
from engine.manager.systemd import Systemd


def drained(port: Port, patience: float = 2.0) -> tuple[list[tuple[bytes, Path]], list[tuple[str, int, int]]]:
    received, refused = [], []
    deadline = time.monotonic() + patience
    while not received and not refused and time.monotonic() < deadline:
        poll = select.poll()
        poll.register(port.fileno(), select.POLLIN)
        poll.poll(100)
        port.drain(lambda octets, path: received.append((octets, path)), lambda *what: refused.append(what))
    return received, refused


@pytest.fixture
def ports(free_ports):
    opened = Ports([], *free_ports)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("family", "ours", "theirs"),
    [(socket.AF_INET, "127.0.0.77", "127.0.0.78"), (socket.AF_INET6, "::1", "::1")],
)
@pytest.mark.parametrize("natt", [False, True])
def test_answers_leave_from_the_address_asked(ports, free_ports, family, ours, theirs, natt):
    marker = MARKER if natt else b""
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(2)
        peer.bind((theirs, 0))
        peer.sendto(marker + b"question", (ours, free_ports[natt]))
        port = next(p for p in ports if p.natt == natt and p.family == (4 if family == socket.AF_INET else 6))
        ((octets, path),), _unused = drained(port)
        assert (octets, path) == (b"question", Path(ours, free_ports[natt], theirs, peer.getsockname()[1], natt))
        assert ports.for_path(path) is port
        port.send(b"answer", path)
        answer, source = peer.recvfrom(100)
        assert answer == marker + b"answer" and source[:2] == (ours, free_ports[natt])
        port.send_keepalive(path)
        assert peer.recv(100) == b"\xff"


@pytest.mark.parametrize(
    ("family", "ours", "asked"),
    [(socket.AF_INET, "127.0.0.77", (socket.IPPROTO_IP, 13)), (socket.AF_INET6, "::1", (socket.IPPROTO_IPV6, 66))],
)
def test_ike_carries_the_dscp_that_it_is_to_have(ports, free_ports, family, ours, asked):
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(2)
        peer.setsockopt(*asked, 1)  # IP_RECVTOS, IPV6_RECVTCLASS
        peer.bind((ours, 0))
        path = Path(ours, free_ports[0], ours, peer.getsockname()[1], False)
        found = []
        for dscp in (46, 0):
            ports.for_path(path).send(b"x", path, dscp)
            ancillary = peer.recvmsg(100, 100)[1]
            found.append(int.from_bytes(ancillary[0][2], sys.byteorder) >> 2)
        assert found == [46, 0]


@pytest.mark.parametrize("ours, theirs", [("192.0.2.77", "127.0.0.1"), ("2001:db8::77", "::1")])
def test_an_address_that_is_not_ours_is_told_as_such(ports, free_ports, ours, theirs):
    path = Path(ours, free_ports[0], theirs, 9, False)
    with pytest.raises(OSError, match="no address of this host") as caught:
        ports.for_path(path).send(b"x", path)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert not is_local(ours) and is_local(theirs)
    assert towards(theirs) == theirs


def test_keepalives_and_esp_go_no_further(ports, free_ports):
    port = next(p for p in ports if p.natt and p.family == 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for octets in (b"\xff", b"", b"\0\0\0", b"\xc0\0\0\1esp in udp", MARKER + b"ike"):
            peer.sendto(octets, ("127.0.0.1", free_ports[1]))
        received, _unused = drained(port)
    assert [octets for octets, _unused in received] == [b"ike"]


def test_one_turn_takes_a_batch_only(ports, free_ports):
    port = next(p for p in ports if not p.natt and p.family == 4)
    received: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for number in range(BATCH + 10):
            peer.sendto(bytes([number]), ("127.0.0.1", free_ports[0]))
    for expected in (BATCH, BATCH + 10):
        port.drain(lambda octets, path: received.append(octets), lambda *what: None)
        assert len(received) == expected


def test_a_closed_port_is_told_and_hinders_nobody_else(ports, free_ports):
    port = next(p for p in ports if not p.natt and p.family == 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a number that no UDP socket has
        number = closed.getsockname()[1]
        other.bind(("127.0.0.1", 0))
        other.settimeout(2)
        port.send(b"x", Path("127.0.0.1", free_ports[0], "127.0.0.99", number))
        time.sleep(0.05)
        # The pending error is of the first datagram; the second must leave all the same.
        port.send(b"y", Path("127.0.0.1", free_ports[0], *other.getsockname()))
        assert other.recv(10) == b"y"
        _unused, refused = drained(port)
    assert refused == [("127.0.0.99", number, errno.ECONNREFUSED)]


def test_taken_ports_and_foreign_addresses_are_told(ports, free_ports):
    with pytest.raises(MissingError, match="taken by another process.*ss -lunp"):
        Port("0.0.0.0", free_ports[0], False)
    with pytest.raises(MissingError, match="not an address of this host"):
        Port("192.0.2.1", free_ports[0], False)


def test_a_named_address_is_chosen_before_any(free_ports):
    opened = Ports(["127.0.0.21", "127.0.0.22"], *free_ports)
    path = Path("127.0.0.22", free_ports[0], "127.0.0.1", 500)
    assert opened.for_path(path).address == "127.0.0.22"
    assert opened.for_path(path._replace(local_address="127.0.0.23")) is None
    assert opened.for_path(path._replace(local_address="::1")) is None
    opened.close()


# Log


def test_formats():
    out = io.StringIO()
    Log("info", True, out).info("child up", tunnel="hq", ike=7, empty=None)
    assert out.getvalue() == "<6>child up tunnel=hq ike=7\n"
    out = io.StringIO()
    Log("info", False, out).warning("child failed", story='the "peer" said = no')
    assert out.getvalue().endswith(" warning child failed story=\"the 'peer' said = no\"\n")


def test_levels():
    out = io.StringIO()
    log = Log("warning", True, out)
    log.info("no")
    log.debug("no")
    log.error("yes")
    log.level = "debug"
    log.debug("yes")
    assert out.getvalue() == "<3>yes\n<7>yes\n"


def test_what_peers_send_cannot_forge_lines():
    out = io.StringIO()
    Log("info", True, out).info("rejected", story="a\n<0>all is lost\x1b[2J\u202e")
    assert out.getvalue().count("\n") == 1 and "\x1b" not in out.getvalue() and "\u202e" not in out.getvalue()


def test_lines_that_peers_cause_are_limited():
    out = io.StringIO()
    log = Log("info", True, out)
    for _unused in range(1000):
        log.peer("info", "rejected", "rejected", {}, 100.0)
    log.peer("info", "other", "another kind", {}, 100.0)
    assert len(out.getvalue().splitlines()) == BURST + 1
    log.peer("info", "rejected", "rejected", {}, 102.0)
    assert out.getvalue().splitlines()[-1] == f"<6>rejected suppressed={1000 - BURST}"


def test_a_broken_log_is_no_reason_to_stop():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EPIPE, "gone")

    Log("info", True, Gone()).error("nobody reads this")


def test_bucket():
    bucket = Bucket(2.0, 3)
    assert [bucket.take(10.0) for _unused in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5) for _unused in range(2)] == [True, False] and bucket.refused == 2
    assert sum(bucket.take(1000.0) for _unused in range(10)) == 3


# systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path, abstract):
    name = f"@fleet-{time.time_ns()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(1)
        systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
        assert systemd.watchdog == 15.0
        systemd.ready("3 tunnels")
        systemd.status("3 tunnels")  # unchanged: not sent again
        systemd.status("4 tunnels")
        systemd.alive()
        systemd.stopping()
        told = [manager.recv(200) for _unused in range(4)]
    assert told == [b"READY=1\nSTATUS=3 tunnels", b"STATUS=4 tunnels", b"WATCHDOG=1", b"STOPPING=1\nSTATUS=stopping"]


def test_without_systemd_nothing_is_told():
    systemd = Systemd({})
    systemd.ready("x")
    assert systemd.watchdog is None
    Systemd({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready("x")
    assert Systemd({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).watchdog is None


# what the host lacks


def test_without_cryptography_it_does_not_begin(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "PROBLEM", "No module named 'cryptography'")
    with pytest.raises(MissingError, match="cryptography cannot be imported.*apt install python3-cryptography"):
        serve(Options(str(tmp_path / "definitions.sqlite"), str(tmp_path / "run")))
    assert list(tmp_path.iterdir()) == []
