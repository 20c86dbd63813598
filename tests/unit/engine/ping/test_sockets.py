# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeping over real sockets on loopback."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable

import pytest
from engine.errors import InputError, MissingError
from engine.ping.pinger import Plan
from engine.ping.responder import answer
from engine.ping.run import Options, ping, serve
from engine.ping.udp import receive, sockets

from tests.waiting import eventually

Behaviour = Callable[[bytes, int], "list[bytes]"]


class Peer:
    """A UDP socket on loopback that answers as its behaviour says: (datagram, how many came before) to datagrams."""

    def __init__(self, behaviour: Behaviour, address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
        self.sock.settimeout(0.1)
        self.port = self.sock.getsockname()[1]
        self.target = f"{address}/{self.port}"
        self.got: list[tuple[bytes, tuple]] = []
        self._behaviour = behaviour
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                datagram, source = self.sock.recvfrom(2048)
            except socket.timeout:
                continue
            self.got.append((datagram, source))
            for reply in self._behaviour(datagram, len(self.got) - 1):
                self.sock.sendto(reply, source)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.sock.close()


def echo(datagram: bytes, _number: int) -> list[bytes]:
    reply = answer(datagram, frozenset((30, 100, 244)))
    return [reply] if reply else []


def silent(_datagram: bytes, _number: int) -> list[bytes]:
    return []


def run(targets, plan: Plan | None = None, **options):
    options.setdefault("local_port", 0)
    return ping(targets, Options(plan=plan or Plan(probe="echo", wait=0.3), **options))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_listener_gets_exactly_one_header():
    with Peer(echo) as peer:
        result = run([peer.target])["targets"][0]
    assert result["alive"] and 0 < result["rtt_ms"]["avg"] < 300
    ((datagram, _source),) = peer.got
    assert len(datagram) == 28 and datagram[16:20] == bytes.fromhex("0010f400")


def test_custom_exchange():
    with Peer(echo) as peer:
        result = run([peer.target], Plan(probe="echo", exchange=100, wait=0.3))["targets"][0]
    assert peer.got[0][0][18] == 100 and result["answer"]["exchange"] == 101


def test_each_of_several_targets_gets_one():
    with Peer(echo) as one, Peer(echo, "127.0.0.9") as two, Peer(silent) as three:
        report = run([one.target, two.target, three.target])
    assert [len(peer.got) for peer in (one, two, three)] == [1, 1, 1]
    assert [result["alive"] for result in report["targets"]] == [True, True, False]
    assert len({peer.got[0][0][:16] for peer in (one, two, three)}) == 3


def test_port_is_500_where_none_is_named():
    address = "127.0.77.5"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 500))
        except OSError as exc:
            pytest.skip(f"port 500 cannot be had here: {exc}")
        result = run([address], Plan(probe="echo", wait=0.1))["targets"][0]
        assert result["port"] == 500 and len(sock.recv(100)) == 28


def test_names_are_pinged():
    with Peer(echo) as peer:
        result = run([f"localhost/{peer.port}"], family="inet")["targets"][0]
    assert result["alive"] and result["address"] == "127.0.0.1"


def test_stray_packet_restarts_the_wait_and_counts_for_nothing():
    def stray(datagram: bytes, _number: int) -> list[bytes]:
        time.sleep(0.4)
        return [datagram[:18] + b"\x05" + datagram[19:]]

    with Peer(stray) as peer:
        report = run([peer.target], Plan(probe="echo", wait=0.5))
    assert 0.9 <= report["elapsed"] < 1.4
    assert report["summary"]["received"] == 0 and report["strangers"] == 1


def test_ipv4_and_ipv6_in_one_run():
    with Peer(echo) as four, Peer(echo, "::1") as six:
        report = run([six.target, four.target, f"localhost/{four.port}"], family="any")
    assert [result["alive"] for result in report["targets"][:2]] == [True, True]
    assert report["targets"][0]["address"] == "::1"


def test_all_answered_ends_long_before_the_wait():
    with Peer(echo) as one, Peer(echo) as two:
        started = time.monotonic()
        report = run([one.target, two.target], Plan(probe="echo", wait=5))
    assert time.monotonic() - started < 1
    assert report["summary"]["lost"] == 0


def test_silence_takes_the_wait_and_no_longer():
    with Peer(silent) as peer:
        report = run([peer.target], Plan(probe="echo", wait=0.4))
    assert 0.4 <= report["elapsed"] < 0.8
    assert report["targets"][0]["reason"] == "timeout"


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", "inet"), ("::1", "inet6")])
def test_closed_port_is_told_at_once(address, family):
    with socket.socket(socket.AF_INET6 if family == "inet6" else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        port = sock.getsockname()[1]
    report = run([f"{address}/{port}"], Plan(wait=5), family=family)
    assert report["elapsed"] < 1
    assert report["targets"][0]["reason"] == "port closed"


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_closed_port_is_told_to_one_that_pings_with_natt(address, family):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        port = sock.getsockname()[1]
    report = run([f"{address}/{port}"], Plan(probe="echo", wait=5), natt=True)
    assert report["elapsed"] < 1 and report["targets"][0]["reason"] == "port closed"


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", "inet"), ("::1", "inet6")])
def test_a_listener_is_reached_in_its_family_alone(address, family, monkeypatch):
    def resolve(host, port, family=0, flags=0, **_rest):
        """A name that has an address of one family, that of the listener."""
        own = socket.AF_INET6 if ":" in address else socket.AF_INET
        if flags & socket.AI_NUMERICHOST or family not in (0, own):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(own, socket.SOCK_DGRAM, 17, "", (address, port) if own == socket.AF_INET else (address, port, 0, 0))]

    other = "inet" if family == "inet6" else "inet6"
    with Peer(echo, address) as peer:
        monkeypatch.setattr("engine.ping.targets.socket.getaddrinfo", resolve)
        there = run([f"gw.example/{peer.port}"], family=family)["targets"][0]
        elsewhere = run([f"gw.example/{peer.port}"], family=other)["targets"][0]
    assert (there["alive"], there["address"], len(peer.got)) == (True, address, 1)
    assert elsewhere["reason"] == "name not found"
    assert elsewhere["detail"].startswith(f"gw.example has no {'IPv4' if other == 'inet' else 'IPv6'} address")


def test_a_link_local_address_keeps_its_zone():
    with open("/proc/net/if_inet6", encoding="ascii") as stream:
        rows = [line.split() for line in stream]
    zones = [(row[0], row[5]) for row in rows if row[3] == "20"]
    if not zones:
        pytest.skip("this host has no link-local address")
    address = f"{ipaddress.IPv6Address(bytes.fromhex(zones[0][0]))}%{zones[0][1]}"
    seen = []
    with Peer(echo, address) as peer:
        plan = Plan(probe="echo", wait=0.5)
        report = ping([peer.target], Options(local_port=0, plan=plan), lambda *packet: seen.append(packet))
    (result,) = report["targets"]
    assert (result["alive"], result["address"], result["answer"]["from"]) == (True, address, address)
    assert [(way, where) for way, where, _port, _datagram in seen] == [("sent", address), ("received", address)]


def test_an_answer_has_arrived_when_the_kernel_took_it():
    with (
        sockets([socket.AF_INET], ("127.0.0.1", 0), 0, natt=False, fallback=False) as opened,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        sock = opened[socket.AF_INET]

        def is_stamped() -> bool:
            other.sendto(b"x", sock.getsockname())
            time.sleep(0.2)
            arrived = receive(sock)
            return arrived is not None and 0.19 < arrived.age < 2

        eventually(is_stamped, what="a stamp: the kernel begins with them some time after it is asked")


def test_closed_ports_beside_living_ones():
    closed = free_port()
    with Peer(echo) as peer:
        report = run([f"127.0.0.1/{closed}", peer.target] * 20, Plan(probe="echo", wait=1, count=3, interval=0.01))
    assert [result["alive"] for result in report["targets"]] == [False, True] * 20
    assert {result["reason"] for result in report["targets"][::2]} == {"port closed"}
    assert all(result["received"] == 3 for result in report["targets"][1::2])


def test_local_address_and_port_are_what_the_peer_sees():
    port = free_port()
    with Peer(echo) as peer:
        report = run([peer.target], local_address="127.0.0.2", local_port=port)
    assert report["targets"][0]["alive"]
    assert peer.got[0][1] == ("127.0.0.2", port)


def test_local_address_decides_the_family_whatever_comes_first():
    with pytest.raises(InputError, match="is not an IPv6 address"):
        run(["127.0.0.1/7"], local_address="::1")
    with pytest.raises(InputError, match="local_address"):
        run(["127.0.0.1/7"], local_address="::1", family="inet")


def test_taken_port_is_an_error_that_names_it():
    with Peer(echo) as peer, pytest.raises(InputError, match=f"is taken, perhaps by an IKE daemon .got {peer.port}"):
        run([peer.target], local_address="127.0.0.1", local_port=peer.port)
    assert peer.got == []


def test_foreign_local_address_is_an_error():
    with pytest.raises(InputError, match="is not an address of this host"):
        run(["127.0.0.1/7"], local_address="192.0.2.77")


def test_default_port_is_500_or_any_when_taken():
    with Peer(echo) as peer:
        port = run([peer.target], local_port=None)["local_port"]["inet"]
        assert peer.got[0][1][1] == port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("", 500))
            except OSError:
                assert port != 500
            else:
                assert port == 500
                assert run([peer.target], local_port=None)["local_port"]["inet"] != 500


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exchange", 0),
        ("exchange", 255),
        ("exchange", 256),
        ("wait", 0),
        ("wait", float("nan")),
        ("interval", float("inf")),
        ("count", 0),
        ("interval", -1),
        ("rate", -1),
        ("retries", -1),
        ("probe", "icmp"),
    ],
)
def test_values_out_of_range_are_refused_and_nothing_is_sent(field, value):
    with Peer(echo) as peer, pytest.raises(InputError) as caught:
        run([peer.target], Plan(**{field: value}))
    assert caught.value.field == field
    assert peer.got == []


def test_no_targets_is_an_error():
    with pytest.raises(InputError, match="targets"):
        run([])


def test_first_datagram_dropped_second_answered():
    with Peer(lambda datagram, number: echo(datagram, number) if number else []) as peer:
        result = run([peer.target], Plan(probe="echo", wait=1, retries=1, retry_interval=0.1))["targets"][0]
    assert result["alive"] and (result["sent"], result["datagrams"]) == (1, 2)


def test_duplicates_and_strangers():
    def chatty(datagram: bytes, number: int) -> list[bytes]:
        return [b"short", b"\xff", bytes(28), *(echo(datagram, number) * 2)]

    with Peer(chatty) as peer:
        report = run([peer.target, f"127.0.0.1/{free_port()}"], Plan(probe="echo", wait=0.3, count=2, interval=0.2))
    assert report["targets"][0]["received"] == 2 and report["targets"][0]["duplicates"] >= 1
    assert report["short"] >= 2 and report["strangers"] >= 1


def test_trace_sees_every_datagram():
    seen = []
    with Peer(echo) as peer:
        ping([peer.target], Options(local_port=0, plan=Plan(probe="echo")), lambda *packet: seen.append(packet))
    assert [(way, address, port) for way, address, port, _datagram in seen] == [
        ("sent", "127.0.0.1", peer.port),
        ("received", "127.0.0.1", peer.port),
    ]


class Serving:
    """``serve`` in a thread of its own."""

    def __init__(self, seconds: float = 5, count: int | None = None, **options) -> None:
        self.port = free_port()
        self.counts: dict = {}
        self.traced: list = []
        plan = Plan(exchange=options.pop("exchange", 244))
        chosen = Options(family="inet", local_address="127.0.0.1", local_port=self.port, plan=plan, **options)
        self._thread = threading.Thread(
            target=lambda: self.counts.update(serve(chosen, seconds, count, lambda *what: self.traced.append(what)))
        )

    def __enter__(self) -> Serving:
        self._thread.start()
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.settimeout(0.3)
        self.client.connect(("127.0.0.1", self.port))
        time.sleep(0.1)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._thread.join()
        self.client.close()

    def ask(self, datagram: bytes) -> bytes | None:
        self.client.send(datagram)
        try:
            return self.client.recv(2048)
        except socket.timeout:
            return None


REQUEST = bytes.fromhex("010203040506070811121314151617180010f400212223240000001c")
REPLY = bytes.fromhex("111213141516171801020304050607080010f500212223240000001c")


def test_listener_sends_nothing_first_and_ends_after_its_count():
    with Serving(count=2) as server:
        with pytest.raises(socket.timeout):
            server.client.recv(2048)
        assert server.ask(REQUEST) == REPLY
        assert server.ask(REQUEST) == REPLY
    assert server.counts["answered"] == 2


# The word at offset 16 and the length as old programs sent them, and the same words in the answers to them.
@pytest.mark.parametrize(
    ("word", "length", "answered"),
    [
        ("00f41000", 0, "00f51000"),
        ("0000f400", 0, "0000f500"),
        ("0010f400", 0, "0010f500"),
        ("00101e00", 28, "00101f00"),
    ],
)
def test_listener_answers_old_layouts_in_kind(word, length, answered):
    with Serving(count=1) as server:
        reply = server.ask(REQUEST[:16] + bytes.fromhex(word) + REQUEST[20:24] + length.to_bytes(4, "big"))
    assert reply == REPLY[:16] + bytes.fromhex(answered) + REPLY[20:24] + length.to_bytes(4, "big")


def test_listener_keeps_silent_about_everything_else():
    with Serving(seconds=1.6) as server:
        assert server.ask(REPLY) is None
        assert server.ask(REQUEST[:20]) is None
        server.client.send(b"\xff")
        server.client.send(b"\x01\x02\x03\x04" + bytes(40))  # like ESP
    expected = {"received": 4, "answered": 0, "short": 1, "keepalives": 1, "ignored": 2}
    assert {name: server.counts[name] for name in expected} == expected
    assert [what[0] for what in server.traced] == ["ignored", "short", "keepalives", "ignored"]


def test_listener_repeats_the_marker_and_answers_a_custom_number():
    with Serving(count=2, exchange=100) as server:
        assert server.ask(bytes(4) + REQUEST) == bytes(4) + REPLY
        assert server.ask(REQUEST[:18] + b"\x64" + REQUEST[19:])[18] == 101


def test_listener_ends_after_its_time():
    started = time.monotonic()
    with Serving(seconds=0.3):
        pass
    assert time.monotonic() - started < 2


def test_our_pinger_and_our_listener_understand_each_other():
    with Serving(count=3) as server:
        report = run([f"127.0.0.1/{server.port}"], Plan(probe="echo", wait=1, count=2, interval=0.01))
        classic = run([f"127.0.0.1/{server.port}"], Plan(probe="echo_classic", wait=1))
    assert report["summary"]["lost"] == 0 and classic["summary"]["lost"] == 0


def test_listener_answers_from_the_address_that_was_asked():
    port = free_port()
    thread = threading.Thread(target=serve, args=(Options(family="inet", local_port=port), 5, 3))
    thread.start()
    time.sleep(0.1)
    report = run([f"127.0.0.{number}/{port}" for number in (7, 8, 9)], Plan(probe="echo", wait=1))
    thread.join()
    assert report["summary"]["alive"] == 3


@pytest.fixture
def takes_esp() -> None:
    try:
        with sockets([socket.AF_INET], None, 0, True, False) as opened:
            assert opened[socket.AF_INET].getsockopt(socket.IPPROTO_UDP, 100) == 2
    except MissingError as exc:
        pytest.skip(str(exc))


@pytest.mark.usefixtures("takes_esp")
def test_natt_lets_the_kernel_take_esp_and_keepalives_off_the_socket():
    with Serving(count=1, natt=True) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        # A socket of its own: a kernel without ESP answers this one with an ICMP error.
        other.sendto(b"\x01\x02\x03\x04" + bytes(40), ("127.0.0.1", server.port))
        other.sendto(b"\xff", ("127.0.0.1", server.port))
        time.sleep(0.1)
        assert server.ask(bytes(4) + REQUEST) == bytes(4) + REPLY
    assert (server.counts["received"], server.counts["answered"]) == (1, 1)


def test_kernel_that_takes_no_esp_in_udp_is_a_clear_error(monkeypatch):
    monkeypatch.setattr("engine.ping.udp._UDP_ENCAP_ESPINUDP", 77)  # a kind that no kernel knows
    with pytest.raises(MissingError, match="the kernel refuses ESP in UDP on an IPv4 socket"):
        serve(Options(family="inet", local_port=0, natt=True), 0.1, 1)


def test_natt_pings_with_the_marker():
    def marked(datagram: bytes, number: int) -> list[bytes]:
        return [bytes(4) + reply for reply in echo(datagram[4:], number)] if datagram[:4] == bytes(4) else []

    with Peer(marked) as peer:
        assert run([peer.target], natt=True)["targets"][0]["alive"]


@pytest.mark.parametrize("bounds", [(-1, None), (float("nan"), None), (1, 0)])
def test_listening_without_sense_is_refused(bounds):
    with pytest.raises(InputError, match="listen_"):
        serve(Options(local_port=0), *bounds)
