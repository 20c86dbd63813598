# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a failure of tests/crash: packets in a few words, journals without secrets, one line of time."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from tests.crash.evidence import Moment, Span, describe_frame, describe_packet, log_moments, spans_of, story


def ip(protocol: int, body: bytes) -> bytes:
    return bytes([0x45, *bytes(8), protocol, *bytes(10)]) + body


def test_packets_are_told_in_a_few_words() -> None:
    assert describe_packet(ip(50, struct.pack("!II", 0xC0FFEE01, 7) + bytes(60))) == "ESP 0xc0ffee01 7"
    assert describe_packet(ip(1, struct.pack("!BBHHHI", 8, 0, 0, 9, 1, 65537))) == "echo request 65537"
    assert describe_packet(ip(1, struct.pack("!BBHHHI", 0, 0, 0, 9, 1, 5))) == "echo reply 5"
    assert describe_packet(ip(1, struct.pack("!BBHHHI", 3, 1, 0, 0, 0, 0))) == "ICMP 3/1"
    ike = struct.pack("!HHHH8s8sBBBBII", 500, 500, 36, 0, b"\x01" * 8, b"\x02" * 8, 46, 0x20, 36, 0x28, 3, 28)
    assert describe_packet(ip(17, ike)) == "IKE CREATE_CHILD_SA answer 3 of 0101010101010101, from its initiator"
    assert describe_packet(ip(6, bytes(20))) == describe_packet(b"") == describe_packet(bytes([0x60, *bytes(60)])) == ""


def test_a_journal_is_told_without_its_secrets() -> None:
    child = {"number": 4, "sa": {"spi_in": 256, "spi_out": 257, "encryption_in": "5ec7e7"}}
    window = {
        "request": {"message_id": 2, "datagram": "00"},
        "task": {"kind": "INFORMATIONAL (delete child)", "child": 4, "reason": "replaced"},
    }
    entries = [
        ["sa", 1, {"state": "established", "spi_i": "01" * 8, "keys": {"d": "5ec7e7"}, "claims": 3}],
        ["window", 1, window],
        ["child", 1, 4, child | {"state": "deleting", "superseded": True}],
        ["child", 1, 2, None],
        ["tunnel", "t", {}],
        ["do", 0, [["Send", "00", []], ["RemoveSas", child["sa"] | {"number": 4}], ["PointPolicies", 5]]],
    ]
    told = describe_frame(b"\n".join(json.dumps(entry).encode() for entry in entries))
    assert told == [
        "IKE SA 1 established 0101010101010101 claims=3",
        "IKE SA 1 next=0 expected=0 asked 2 INFORMATIONAL (delete child) child=4 reason=replaced queue []",
        "IKE SA 1 child 4 deleting 0x100/0x101 superseded=True",
        "child 1 2 ends",
        "tunnel t is in operation",
        "to do: Send, RemoveSas 4 0x100/0x101, PointPolicies 5",
    ]
    assert describe_frame(b"") == ["all is done"]


def test_losses_within_a_second_are_one_span() -> None:
    assert spans_of({7: 10.0, 8: 10.9, 9: 12.0}) == [Span(10.0, 10.9), Span(12.0, 12.0)]
    assert spans_of({}) == []


def test_a_story_is_in_order_and_has_runs_of_packets_in_one_line() -> None:
    wire = [Moment(100 + number / 100, "wire", f"> ESP 0x1 {number}") for number in range(5)]
    late = [Moment(101 + number / 100, "wire", f"> ESP 0x1 {number}") for number in range(5, 7)]
    moments = [*late, Moment(100.5, "log", "killed"), *wire, Moment(50.0, "log", "long before")]
    lines = story(moments, [Span(100.0, 100.0)]).splitlines()
    assert [line.split(" ", 1)[1].split() for line in lines] == [
        ["wire", ">", "ESP", "0x1", "0", "…", "4,", "5", "in", "0.040", "s"],
        ["log", "killed"],
        ["wire", ">", "ESP", "0x1", "5", "…", "6,", "2", "in", "0.010", "s"],
    ]


def test_lines_without_a_time_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("12.500000 journal all is done\nTraceback\n\n")
    assert log_moments(log, "end 1") == [Moment(12.5, "end 1", "journal all is done")]
