# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule, the matching and the counting, with a clock of our own and no sockets."""

from __future__ import annotations

import socket

import pytest
from engine.ping.pinger import Pinger, Plan
from engine.ping.responder import answer
from engine.ping.targets import resolve_targets


def targets(count: int = 1, natt: bool = False):
    return resolve_targets([f"127.0.0.{number + 1}/5000" for number in range(count)], socket.AF_INET, natt)


def pinger(plan: Plan, count: int = 1, natt: bool = False) -> Pinger:
    return Pinger(targets(count, natt), plan, 0.0)


def sent_until(pinger: Pinger, end: float, step: float = 0.01) -> list[tuple[float, bytes]]:
    """Everything the pinger sends until ``end``, with the time."""
    log, ticks = [], 0
    while (now := ticks * step) <= end:
        ticks += 1
        while (outgoing := pinger.due(now)) is not None:
            log.append((round(now, 2), outgoing.datagram))
    return log


def reply_to(pinger: Pinger, outgoing, now: float, change=lambda reply: reply, address: str | None = None) -> bool:
    return pinger.received(change(answer(outgoing.datagram)), address or outgoing.target.address, 5000, now)


def test_one_echo_answered_ends_the_run_at_once():
    run = pinger(Plan(probe="echo"))
    outgoing = run.due(0.0)
    assert run.due(0.0) is None and not run.finished(0.02)
    assert reply_to(run, outgoing, 0.02)
    assert run.finished(0.02)
    (result,) = run.results(0.0)
    assert (result["alive"], result["answered_by"], result["probe"]) == (True, "echo reply", "echo")
    assert (result["sent"], result["received"], result["lost_percent"]) == (1, 1, 0)
    assert result["rtt_ms"] == {"min": 20.0, "avg": 20.0, "max": 20.0, "mdev": 0.0}
    assert result["answer"]["exchange"] == 245 and result["answer"]["from"] == "127.0.0.1"
    assert result["reason"] is None


def test_silence_ends_after_the_wait():
    run = pinger(Plan(probe="echo", wait=5))
    run.due(0.0)
    assert not run.finished(4.99) and run.finished(5.0)
    (result,) = run.results(0.0)
    assert (result["alive"], result["reason"], result["lost_percent"]) == (False, "timeout", 100)


def test_any_datagram_restarts_the_wait_but_a_stranger_does_not_count():
    run = pinger(Plan(probe="echo", wait=1))
    run.due(0.0)
    assert not run.received(bytes.fromhex("11" * 16 + "00100500" + "00" * 4 + "0000001c"), "127.0.0.1", 5000, 0.8)
    assert not run.finished(1.7) and run.finished(1.8)
    assert run.strangers == 1
    assert run.results(0.0)[0]["received"] == 0


def test_strangers_cannot_hold_the_run_for_ever():
    run = pinger(Plan(probe="echo", wait=1))
    run.due(0.0)
    now = 0.0
    while not run.finished(now) and now < 60:
        now += 0.5
        run.received(b"\x01" * 28, "127.0.0.1", 5000, now)
    assert now == 10.0


@pytest.mark.parametrize(
    ("change", "address"),
    [
        (lambda reply: bytes(8) + reply[8:], None),
        (lambda reply: reply[:8] + bytes(8) + reply[16:], None),
        (lambda reply: reply[8:16] + reply[:8] + reply[16:], None),
        (lambda reply: reply, "127.0.0.9"),
        (lambda reply: reply[:27], None),
    ],
)
def test_unmatched_replies_do_not_count(change, address):
    run = pinger(Plan(probe="echo"))
    assert not reply_to(run, run.due(0.0), 0.1, change, address)
    assert run.results(0.0)[0]["received"] == 0
    assert run.strangers + run.short == 1


def test_another_source_counts_when_asked_for():
    run = pinger(Plan(probe="echo", any_source=True))
    assert reply_to(run, run.due(0.0), 0.1, address="127.0.0.9")
    assert run.results(0.0)[0]["answer"]["from"] == "127.0.0.9"


def test_duplicates_are_counted_apart():
    run = pinger(Plan(probe="echo", count=2))
    outgoing = run.due(0.0)
    for _unused in range(3):
        reply_to(run, outgoing, 0.1)
    (result,) = run.results(0.0)
    assert (result["received"], result["duplicates"]) == (1, 2)


def test_auto_goes_from_the_cheapest_probe_to_the_dearest():
    run = pinger(Plan(wait=4, rate=0))
    log = sent_until(run, 4)
    assert [(at, datagram[17:19].hex()) for at, datagram in log] == [
        (0.0, "10f4"),
        (0.5, "3022"),
        (1.0, "2022"),
        (1.5, "1002"),
    ]
    assert not run.finished(5.4) and run.finished(5.5)
    (result,) = run.results(0.0)
    assert (result["sent"], result["datagrams"]) == (1, 4)


def test_auto_stops_at_the_first_answer_and_stays_with_that_probe():
    run = pinger(Plan(wait=4, rate=0, count=3, interval=1.0))
    kinds = []
    for ticks in range(400):
        now = ticks / 100
        while (outgoing := run.due(now)) is not None:
            kinds.append(outgoing.datagram[17])
            if outgoing.datagram[17] == 0x30:
                notify = bytes.fromhex("29202220" + "00" * 4 + "00000024" + "0000000800000005")
                assert run.received(outgoing.datagram[:8] + bytes(8) + notify, "127.0.0.1", 5000, now)
    assert kinds == [0x10, 0x30, 0x30, 0x30]
    (result,) = run.results(0.0)
    assert (result["sent"], result["received"], result["answered_by"]) == (3, 3, "INVALID_MAJOR_VERSION")
    assert run.finished(4)


def test_count_and_interval():
    run = pinger(Plan(probe="echo", count=3, interval=0.5))
    log = sent_until(run, 3)
    assert [at for at, _datagram in log] == [0.0, 0.5, 1.0]
    assert len({datagram[:16] for _at, datagram in log}) == 3


def test_retries_back_off_and_an_echo_gets_new_cookies():
    run = pinger(Plan(probe="echo", retries=2, retry_interval=0.4, wait=9))
    log = sent_until(run, 5)
    assert [at for at, _datagram in log] == [0.0, 0.4, 1.0]
    assert len({datagram for _at, datagram in log}) == 3


def test_retry_that_would_cost_the_peer_a_state_is_the_same_datagram():
    run = pinger(Plan(probe="ikev2", retries=2, retry_interval=0.4, wait=9))
    assert len({datagram for _at, datagram in sent_until(run, 5)}) == 1


def test_each_target_of_a_dear_probe_has_its_own_cookie():
    run = pinger(Plan(probe="ikev2", rate=0), count=5)
    log = sent_until(run, 0)
    assert len({datagram[:8] for _at, datagram in log}) == 5 and len({datagram[8:] for _at, datagram in log}) == 1


def test_retried_ping_is_not_lost():
    run = pinger(Plan(probe="echo", retries=1, retry_interval=0.1))
    run.due(0.0)
    assert reply_to(run, run.due(0.1), 0.2)
    (result,) = run.results(0.0)
    assert (result["sent"], result["datagrams"], result["received"]) == (1, 2, 1)
    assert result["rtt_ms"]["avg"] == 100.0, "measured from the datagram that was answered"


def test_late_answer_to_an_earlier_probe_counts_once():
    run = pinger(Plan(probe="echo", retries=1, retry_interval=0.1))
    first = run.due(0.0)
    second = run.due(0.1)
    assert reply_to(run, first, 0.3) and reply_to(run, second, 0.3)
    (result,) = run.results(0.0)
    assert (result["received"], result["duplicates"]) == (1, 0)


def test_rate_limit_spreads_the_datagrams():
    run = pinger(Plan(probe="echo", rate=100), count=100)
    log = sent_until(run, 2, step=0.001)
    assert len(log) == 100
    assert 0.98 <= log[-1][0] <= 1.0


def test_rate_limit_catches_up_after_a_pause_but_only_a_little():
    run = pinger(Plan(probe="echo", rate=100), count=100)
    burst = 0
    while run.due(0.5) is not None:
        burst += 1
    assert 25 <= burst <= 26  # a quarter of a second of it


def test_closed_port_is_not_silence():
    run = pinger(Plan(wait=5))
    outgoing = run.due(0.0)
    ping = run.find(outgoing.datagram, "127.0.0.1", 5000)
    assert ping is outgoing.ping
    run.refused(ping, "port closed", "Connection refused")
    assert run.finished(0.01)
    (result,) = run.results(0.0)
    assert (result["reason"], result["detail"], result["datagrams"]) == ("port closed", "Connection refused", 1)


@pytest.mark.parametrize("natt", [False, True])
@pytest.mark.parametrize("quoted", [0, 4, 20, 60])
def test_icmp_is_matched_by_what_it_quotes_or_by_the_address(natt, quoted):
    run = pinger(Plan(probe="echo"), natt=natt)
    outgoing = run.due(0.0)
    assert run.find(outgoing.datagram[:quoted], "127.0.0.1", 5000) is outgoing.ping
    assert run.find(b"", "127.0.0.2", 5000) is None
    assert run.find(b"\x07" * 28, "127.0.0.1", 5000) is None


def test_marker_is_sent_and_stripped():
    run = pinger(Plan(probe="echo"), natt=True)
    outgoing = run.due(0.0)
    assert outgoing.datagram[:4] == bytes(4) and len(outgoing.datagram) == 32
    assert run.received(bytes(4) + answer(outgoing.datagram[4:]), "127.0.0.1", 5000, 0.1)


def test_building_a_datagram_is_no_part_of_the_round_trip():
    run = pinger(Plan(probe="echo"))
    outgoing = run.due(0.0)
    run.leaving(outgoing, 2.0)
    run.received(answer(outgoing.datagram), "127.0.0.1", 5000, 2.25)
    assert run.results(3.0)[0]["rtt_ms"]["avg"] == 250.0


def test_name_not_found_is_no_packet_sent():
    run = Pinger(resolve_targets(["no-such-host.invalid"], socket.AF_UNSPEC, False), Plan(count=2), 0.0)
    assert run.due(0.0) is None and run.finished(0.0)
    (result,) = run.results(0.0)
    assert (result["reason"], result["sent"], result["datagrams"]) == ("name not found", 0, 0)


def test_our_own_socket_is_nobody():
    run = pinger(Plan())
    outgoing = run.due(0.0)
    assert not run.received(outgoing.datagram, "127.0.0.1", 5000, 0.1)
    assert run.finished(0.1)
    assert run.results(0.0)[0]["reason"] == "port closed" and "our own" in run.results(0.0)[0]["detail"]
