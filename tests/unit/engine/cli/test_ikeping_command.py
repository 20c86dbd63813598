# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec ikeping``: options, lines, exit status."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from engine.cli.ikeping import hexdump, main
from engine.cli.ipsec import main as ipsec
from engine.ping.responder import answer
from engine.release import VERSION


@pytest.fixture
def peer():
    """Port of a socket on 127.0.0.1 that answers echoes for as long as the test runs."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            datagram, source = sock.recvfrom(2048)
            if datagram == b"over":
                return
            reply = answer(datagram, frozenset((30, 100, 244)))
            if reply:
                sock.sendto(reply, source)

    thread = threading.Thread(target=serve)
    thread.start()
    yield sock.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"over", sock.getsockname())
    thread.join()
    sock.close()


@pytest.fixture
def silent():
    """A socket on 127.0.0.1 that never answers, as a target."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1/{sock.getsockname()[1]}"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_classic_lines(peer, capsys):
    assert main(["--ikeport", "0", f"127.0.0.1/{peer}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Sending packet to 127.0.0.1/{peer}"
    assert lines[1] == f"received 245(echo-reply) packet from 127.0.0.1/{peer} of len: 28"
    assert lines[2].startswith("\trcookie=") and " icookie=" in lines[2] and " msgid=" in lines[2]
    assert lines[3] == "\tnp=000  version=1.0    xchg=echo-reply(245)"
    assert lines[4].startswith(f"127.0.0.1/{peer} is alive: echo reply, rtt min/avg/max/mdev = ")
    assert lines[5] == "1 packets sent, 1 packets received. 0% packet loss"


@pytest.mark.parametrize("lost", [1, 3, 63, 64, 300])
def test_exit_status_counts_the_lost_and_does_not_wrap(lost, peer, capsys):
    closed = f"127.0.0.1/{free_port()}"
    assert main(["-p", "0", "--rate", "0", f"127.0.0.1/{peer}", *[closed] * lost]) == min(lost, 63)
    captured = capsys.readouterr()
    assert f"{closed} did not answer: port closed" in captured.out
    assert captured.err == ""  # a closed port needs no other probe


def test_silence_alone_suggests_another_probe(silent, capsys):
    assert main(["-p", "0", "--wait", "0.1", silent]) == 1
    assert "ask with --probe auto" in capsys.readouterr().err
    assert main(["-p", "0", "--wait", "0.1", "no-such-host.invalid"]) == 1
    assert capsys.readouterr().err == ""


def test_a_name_not_found_is_lost_but_was_not_sent(peer, capsys):
    assert main(["-p", "0", f"127.0.0.1/{peer}", "no-such-host.invalid/9", "--count", "3", "--interval", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "no-such-host.invalid/9 did not answer: name not found" in lines[-2]
    assert lines[-1] == "3 packets sent, 3 packets received. 0% packet loss, 1 name not found"


def test_order_of_options_does_not_matter(peer, capsys):
    target = f"127.0.0.1/{peer}"
    assert main(["--inet", "--ikeaddress", "127.0.0.3", "--ikeport", "0", target]) == 0
    assert main([target, "--ikeport", "0", "--ikeaddress", "127.0.0.3", "--inet"]) == 0


def test_short_and_long_forms(peer):
    assert main(["-E", "100", "-p", "0", "-b", "127.0.0.1", "-4", f"127.0.0.1/{peer}"]) == 0
    assert main(["--exchangenum", "100", "--ikeport", "0", f"127.0.0.1/{peer}"]) == 0


def test_wait_is_in_seconds():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        started = time.monotonic()
        assert main(["--wait", "0.5", "-p", "0", f"127.0.0.1/{sock.getsockname()[1]}"]) == 1
        assert 0.5 <= time.monotonic() - started < 1.5


def test_wait_is_five_seconds_when_nothing_is_said(silent, capsys):
    started = time.monotonic()
    assert main(["-p", "0", silent]) == 1
    assert 5 <= time.monotonic() - started < 6.5


def test_totals_and_loss_are_the_last_line(peer, silent, capsys):
    assert main(["-p", "0", "--wait", "0.3", f"127.0.0.1/{peer}", silent, silent]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "3 packets sent, 1 packets received. 67% packet loss"


@pytest.mark.parametrize(("require", "status"), [("all", 1), ("any", 0), ("none", 0)])
def test_require_decides_what_is_a_success(require, status, peer, silent):
    assert main(["-p", "0", "--wait", "0.2", "--require", require, f"127.0.0.1/{peer}", silent]) == status


@pytest.mark.parametrize(("require", "status"), [("all", 1), ("any", 1), ("none", 0)])
def test_require_when_nobody_answers(require, status, silent):
    assert main(["-p", "0", "--wait", "0.2", "--require", require, silent]) == status


def test_retries_and_pace_are_options(silent, capsys):
    started = time.monotonic()
    words = ["--json", "-p", "0", "--wait", "0.2", "--retries", "2", "--rate", "4", "--probe", "echo", silent]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["targets"][0]["datagrams"] == 3
    assert time.monotonic() - started >= 0.5  # three at four a second: the last one half a second after the first


def test_fingerprint_tells_who_and_why(peer, capsys):
    words = ["-p", "0", "--wait", "0.2", "--fingerprint", f"127.0.0.1/{peer}"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\timplementation an ikeping listener, confidence low" in lines
    assert "\tevidence: answers echo like an ikeping listener" in lines


def test_dump_appears_only_when_asked(peer, capsys):
    main(["-p", "0", f"127.0.0.1/{peer}"])
    assert "\t0000  " not in capsys.readouterr().out
    main(["-p", "0", "--verbose", f"127.0.0.1/{peer}"])
    assert capsys.readouterr().out.count("\t0000  ") == 2


def test_hexdump_has_sixteen_octets_a_line():
    assert hexdump(bytes(range(18))) == "\t0000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n\t0010  10 11"


def test_json_is_one_object_and_nothing_else(peer, capsys):
    assert main(["--json", "-p", "0", f"127.0.0.1/{peer}"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"][0]["answered_by"] == "echo reply"


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_succeed(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    assert "ikeping" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is nobody to ping"),
        (["--wait", "x", "::1"], "--wait"),
        (["--wait", "0", "::1"], "--wait: is out of range"),
        (["--wait", "-1", "::1"], "--wait: is out of range (got -1.0)"),
        (["-p", "-1", "::1"], "--ikeport: is out of range (got -1)"),
        (["--frobnicate", "::1"], "--frobnicate"),
        (["-E", "255", "::1"], "--exchangenum: is out of range (got 255)"),
        (["-E", "0", "::1"], "--exchangenum"),
        (["-E", "x", "::1"], "--exchangenum"),
        (["--inet", "--inet6", "::1"], "not allowed with"),
        (["--inet", "::1"], "HOST: is not an IPv4 address (got '::1')"),
        (["127.0.0.1/70000"], "bad port '70000'"),
        (["127.0.0.1/"], "HOST: bad port ''"),
        (["--ikeport", "70000", "127.0.0.1"], "--ikeport"),
        (["--ikeaddress", "192.0.2.77", "127.0.0.1"], "--ikeaddress: is not an address of this host"),
        (["--listen", "127.0.0.1"], "--listen"),
        (["--listen", "--time", "-1"], "--time"),
        (["--fingerprint", "--fingerprint-time", "4000", "::1"], "--fingerprint-time: is out of range"),
    ],
)
def test_bad_words_give_one_line_and_their_own_status(words, message, capsys):
    assert main(words) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("ikeping: ") and message in line


def test_taken_port_is_an_error(peer, capsys):
    assert main(["--ikeport", str(peer), "--ikeaddress", "127.0.0.1", f"127.0.0.1/{peer}"]) == 64
    assert "--ikeport: is taken" in capsys.readouterr().err


def test_listening_answers_and_reports(capsys):
    port = free_port()
    status: list[int] = []
    words = ["--listen", "--ikeport", str(port), "--ikeaddress", "127.0.0.1", "--requests", "1", "--time", "5"]
    thread = threading.Thread(target=lambda: status.append(main(words)))
    thread.start()
    time.sleep(0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.sendto(bytes(20), ("127.0.0.1", port))
        sock.sendto(bytes.fromhex("01" * 8 + "02" * 8 + "0010f400" + "00" * 4 + "0000001c"), ("127.0.0.1", port))
        assert sock.recv(100)[18] == 245
    thread.join()
    captured = capsys.readouterr()
    assert status == [0]
    assert "received 244(echo-request) packet from 127.0.0.1" in captured.out
    assert captured.out.splitlines()[-1] == "1 packets sent, 2 packets received."
    assert "read short packet (20) from 127.0.0.1" in captured.err


@pytest.mark.parametrize("word", ["version", "--version"])
def test_ipsec_tells_its_version(word, capsys):
    assert ipsec([word]) == 0
    assert capsys.readouterr().out == f"ipsec of fleet.ipsec {VERSION}\n"


@pytest.mark.parametrize("word", ["look", "auto", "whack", "tncfg", "klipsdebug", "manual", "pf_key", "barf", "setup"])
def test_ipsec_says_what_does_the_work_of_a_command_it_has_not(word, capsys):
    assert ipsec([word]) == 64
    assert capsys.readouterr().err.startswith(f"ipsec: {word!r} is no command here; ")


def test_ipsec_finds_its_commands(peer, capsys):
    assert ipsec(["ikeping", "-p", "0", f"127.0.0.1/{peer}"]) == 0
    assert ipsec(["--help"]) == 0 and ipsec(["--version"]) == 0
    assert "ikeping" in capsys.readouterr().out
    assert ipsec([]) == 64
    assert ipsec(["ikepin"]) == 64
    assert "did you mean ikeping?" in capsys.readouterr().err
