# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose software answers: the tables, the verdict, and how a run asks and listens for it."""

from __future__ import annotations

import hashlib
import socket

import pytest
from engine.ping.answers import Answer
from engine.ping.backoffs import BACKOFFS, who_repeats
from engine.ping.fingerprint import TRAITS, Rhythm, verdict
from engine.ping.ikev1 import main_mode_request
from engine.ping.pinger import MOST_COPIES, Pinger, Plan
from engine.ping.probes import PROBES
from engine.ping.responder import answer
from engine.ping.targets import resolve_targets
from engine.ping.vendors import VENDOR_IDS, known, vendor_name

# Vendor IDs that peers sent us, or that their makers' logs show.
SENT = {
    "882fe56d6fd20dbc2251613b2ebe5beb": "strongSwan",
    "afcad71368a1f1c96b8696fc77570100": "",
    "8299031757a36082c6a621de00050282": "Fortinet FortiGate",
    "12f5f28c457168a9702d9fe274cc0100": "",
    "1e2b516905991c7d7c96fcbfb587e46100000009": "Microsoft Windows",
    "f4ed19e0c114eb516faaac0ee37daf2807b4381f000000010000138d": "Check Point",
    "699369228741c6d4ca094c93e242c9de19e7b7c60000000500000500": "Juniper ScreenOS",
    "4f53577e7b6566787577466d": "Openswan",
    b"CISCO-DELETE-REASON".hex(): "Cisco",
    b"OE-Libreswan-4.10".hex(): "Libreswan",
    b"OEabcdefghij".hex(): "FreeS/WAN, Openswan or Libreswan",
}


@pytest.mark.parametrize(("sent", "implementation"), SENT.items())
def test_vendor_ids_name_the_implementation(sent, implementation):
    row = known(bytes.fromhex(sent))
    assert row is not None and row.implementation == implementation


def test_unknown_vendor_ids_have_no_name():
    assert known(b"\x00\x01") is None and vendor_name(b"") == "" and vendor_name(b"OpenPGP10171") == ""


@pytest.mark.parametrize("row", VENDOR_IDS, ids=lambda row: row.prefix)
def test_every_vendor_id_has_a_source_that_holds(row):
    kind, _space, text = row.source.partition(" ")
    if row.source.startswith("MD5 of "):
        digest = hashlib.md5(row.source.removeprefix("MD5 of ").encode(), usedforsecurity=False).hexdigest()
        assert digest.startswith(row.prefix)
    elif kind == "text":
        assert bytes.fromhex(row.prefix[: len(row.prefix) & ~1]).decode() in text
    else:
        assert row.source in ("ike-scan 1.9.5", "seen in FortiOS") or "section" in row.source


def test_no_row_stands_twice():
    assert len({row.prefix for row in VENDOR_IDS}) == len(VENDOR_IDS)


@pytest.mark.parametrize("row", BACKOFFS, ids=lambda row: f"{row.implementation} {row.gaps}")
def test_each_rhythm_is_recognized_when_it_is_over(row):
    assert row.implementation in who_repeats(row.gaps, 600)


@pytest.mark.parametrize(
    ("gaps", "quiet", "names"),
    [
        ((10.2, 19.8), 40, ["FreeS/WAN, Openswan or strongSwan 4"]),
        ((10, 10.4), 5, ["Cisco IOS, racoon or WatchGuard"]),
        ((10, 10), 60, []),
        ((1, 2, 4), 3, ["Microsoft Windows"]),
        ((16.1, 32.1), 5, ["AIX"]),
        ((11.7,), 3, []),
        ((4, 4, 4), 1, ["Juniper ScreenOS"]),
    ],
)
def test_backoff_patterns(gaps, quiet, names):
    assert who_repeats(gaps, quiet) == names


def test_who_may_still_repeat_is_not_ruled_out():
    assert "AIX" in who_repeats((), 15) and "AIX" not in who_repeats((), 17)
    assert "FreeS/WAN, Openswan or strongSwan 4" in who_repeats((), 10)


def found(by="proposal chosen", notifies=(), vendor_ids=()):
    rows = [{"hex": octets, "name": vendor_name(bytes.fromhex(octets))} for octets in vendor_ids]
    return Answer(by, {"notifies": list(notifies), "vendor_ids": rows})


def test_vendor_id_beats_rhythm_and_looks():
    result = verdict(
        [("ikev1_main", found(vendor_ids=["882fe56d6fd20dbc2251613b2ebe5beb", "09002689dfd6b712"]))],
        Rhythm((1, 2, 4, 8, 16, 32), 20),
    )
    assert (result["implementation"], result["confidence"]) == ("strongSwan", "high")
    assert result["backoff"]["guesses"] == ["Microsoft Windows"]
    assert [row["name"] for row in result["vendor_ids"]] == ["strongSwan", "XAUTH"]
    assert result["evidence"] == ["vendor ID strongSwan", "repeats its answer like Microsoft Windows"]


def test_exact_vendor_id_beats_a_family():
    ids = [b"OEabcdefghij".hex(), b"OE-Libreswan-4.10".hex()]
    assert verdict([("ikev2", found(vendor_ids=ids))], None)["implementation"] == "Libreswan"


def test_rhythm_alone_is_of_medium_confidence():
    result = verdict([("ikev1_main", found())], Rhythm((10.1, 20.0), 30))
    assert (result["implementation"], result["confidence"]) == ("FreeS/WAN, Openswan or strongSwan 4", "medium")


def test_rhythm_of_several_names_nobody():
    result = verdict([("ikev1_main", found())], Rhythm((), 3))
    assert (result["implementation"], result["confidence"]) == (None, "none")
    assert len(result["backoff"]["guesses"]) > 1 and result["evidence"] == []


@pytest.mark.parametrize("trait", TRAITS, ids=lambda trait: f"{trait.implementation} {trait.probe} {trait.by}")
def test_looks_are_of_low_confidence(trait):
    by_name = {row.says: row.prefix for row in VENDOR_IDS}
    ids = [by_name[word] for word in trait.says if word in by_name]
    notifies = [word for word in trait.says if word not in by_name]
    result = verdict([(trait.probe, found(trait.by, notifies, ids))], None)
    assert (result["implementation"], result["confidence"]) == (trait.implementation, "low")
    assert trait.probe in PROBES


def test_nothing_known_is_said_to_be_that():
    result = verdict([("version", found("INVALID_MAJOR_VERSION", ["INVALID_MAJOR_VERSION"]))], None)
    assert (result["implementation"], result["confidence"], result["backoff"]) == (None, "none", None)


def pinger(plan: Plan) -> Pinger:
    return Pinger(resolve_targets(["192.0.2.1"], socket.AF_INET, False), plan, 0.0)


def everything_due(run: Pinger, now: float) -> list[bytes]:
    sent = []
    while (outgoing := run.due(now)) is not None:
        sent.append(outgoing.datagram)
        now += 0.01
    return sent


def main_mode_answer(request: bytes) -> bytes:
    """Our own offer come back with a responder cookie and one of its transforms is what an answer looks like."""
    body = bytearray(main_mode_request(request[:8], bytes))
    body[8:16] = b"\x22" * 8
    return bytes(body)


def test_who_is_alive_is_asked_more_and_no_more_than_that():
    run = pinger(Plan(probe="echo", wait=5, fingerprint=60))
    (echo,) = everything_due(run, 0.0)
    assert run.received(answer(echo), "192.0.2.1", 500, 0.05)
    assert [datagram[17:19] for datagram in everything_due(run, 0.1)] == [b"\x20\x22", b"\x10\x02"]
    assert not run.finished(5.0) and run.finished(5.2)
    (result,) = run.results(5.2)
    assert (result["sent"], result["received"], result["datagrams"]) == (1, 1, 3)
    assert result["answered_by"] == "echo reply"
    assert result["fingerprint"]["implementation"] == "an ikeping listener"
    assert result["fingerprint"]["backoff"] is None


def test_nobody_is_asked_more_without_the_option():
    run = pinger(Plan(probe="echo"))
    (echo,) = everything_due(run, 0.0)
    assert run.received(answer(echo), "192.0.2.1", 500, 0.05)
    assert everything_due(run, 0.1) == [] and run.finished(0.1)
    assert "fingerprint" not in run.results(0.1)[0]


def test_silent_targets_are_asked_nothing_more():
    run = pinger(Plan(probe="echo", wait=1, fingerprint=60))
    everything_due(run, 0.0)
    assert everything_due(run, 0.9) == [] and run.finished(1.1)
    assert "fingerprint" not in run.results(1.1)[0]


def test_repeated_answers_are_listened_to_for_a_bounded_time():
    run = pinger(Plan(probe="ikev1_main", wait=1, fingerprint=60))
    (main,) = everything_due(run, 0.0)
    reply = main_mode_answer(main)
    for now in (0.1, 10.1, 30.1):
        assert run.received(reply, "192.0.2.1", 500, now)
        everything_due(run, now)
    assert not run.finished(60.0) and run.finished(60.1)
    (result,) = run.results(60.1)
    assert result["fingerprint"]["backoff"] == {
        "gaps": [10.0, 20.0],
        "quiet": 30.0,
        "guesses": ["FreeS/WAN, Openswan or strongSwan 4"],
    }
    assert (result["received"], result["duplicates"]) == (1, 2)


def test_another_message_is_no_repetition():
    run = pinger(Plan(probe="ikev1_main", wait=1, fingerprint=10))
    (main,) = everything_due(run, 0.0)
    reply = main_mode_answer(main)
    run.received(reply, "192.0.2.1", 500, 0.1)
    everything_due(run, 0.2)
    run.received(reply[:8] + b"\x33" * 8 + reply[16:], "192.0.2.1", 500, 2.1)
    assert run.results(10.1)[0]["fingerprint"]["backoff"]["gaps"] == []


def test_a_daemon_that_replies_to_an_echo_is_told_by_its_other_answer():
    answers = [("echo", found("echo reply")), ("ikev2", found(notifies=["CHILDLESS_IKEV2_SUPPORTED"]))]
    assert verdict(answers, None)["implementation"] == "fleet.ipsec"
    assert verdict(answers[:1], None)["implementation"] == "an ikeping listener"


def test_a_flood_of_copies_is_noted_no_further():
    run = pinger(Plan(probe="ikev1_main", wait=1, fingerprint=60))
    (main,) = everything_due(run, 0.0)
    reply = main_mode_answer(main)
    for number in range(5000):
        run.received(reply, "192.0.2.1", 500, 0.1 + number / 1000)
    (result,) = run.results(60.1)
    assert len(result["fingerprint"]["backoff"]["gaps"]) == MOST_COPIES - 1
    assert result["fingerprint"]["backoff"]["guesses"] == [] and result["duplicates"] == 4999
