# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets as people write them."""

from __future__ import annotations

import socket

import pytest
from engine.errors import InputError
from engine.ping.statistics import lost_percent, round_trips, summary
from engine.ping.targets import address_text, resolve_targets, split_target


def one(text: str, family: int = socket.AF_UNSPEC, natt: bool = False):
    return resolve_targets([text], family, natt)[0]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 500),
        ("192.0.2.1/4500", "192.0.2.1", 4500),
        ("::1/5000", "::1", 5000),
        ("2001:db8::1", "2001:db8::1", 500),
        (" gw2/65535 ", "gw2", 65535),
        ("gw2:4500", "gw2", 4500),
        ("192.0.2.1:4500", "192.0.2.1", 4500),
        ("[2001:db8::1]", "2001:db8::1", 500),
        ("[2001:db8::1]:4500", "2001:db8::1", 4500),
        ("[2001:db8::1]/4500", "2001:db8::1", 4500),
        ("[fe80::1%eth0]:4500", "fe80::1%eth0", 4500),
        ("::", "::", 500),
    ],
)
def test_host_and_port(text, host, port):
    assert split_target(text, 500) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "h/70000",
        "h/",
        "h/5x",
        "h/-1",
        "h/0",
        "h/0x10",
        "h/5/6",
        "h:5/6",
        "h:",
        "192.0.2.1:70000",
        "[2001:db8::1]:",
        "[2001:db8::1",
        "[gw2]",
        "h/٥",
        "",
        "/500",
        "a b",
        "h/ 5",
        "a\0b",
        "192.0.2.1\0",
        "\ud800",
    ],
)
def test_malformed_targets_are_refused_by_name(text):
    with pytest.raises(InputError) as caught:
        resolve_targets(["127.0.0.1", text], socket.AF_UNSPEC, False)
    assert caught.value.field == "targets[1]"


def test_names_are_resolved_in_the_family_asked_for():
    assert one("localhost/7", socket.AF_INET).address == "127.0.0.1"
    target = one("no-such-host.invalid")
    assert target.problem.startswith("no-such-host.invalid has no address")


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("192.0.2.1", 500), "192.0.2.1"),
        (("2001:db8::1", 500, 0, 0), "2001:db8::1"),
        (("fe80::1", 500, 0, 1), f"fe80::1%{socket.if_indextoname(1)}"),
        (("fe80::1%ignored", 500, 0, 1), f"fe80::1%{socket.if_indextoname(1)}"),
        (("fe80::1", 500, 0, 0x7FFFFFFF), f"fe80::1%{0x7FFFFFFF}"),
    ],
)
def test_a_link_local_address_is_shown_with_its_zone(sockaddr, text):
    assert address_text(sockaddr) == text


def test_a_zone_that_no_interface_has_is_named():
    assert one("fe80::1%nosuch0").problem == "nosuch0 is no interface of this host"


def test_label_too_long_for_dns_is_a_problem_of_that_target():
    assert one("a" * 70 + ".example").problem


@pytest.mark.parametrize(("text", "family"), [("::1", socket.AF_INET), ("127.0.0.1", socket.AF_INET6)])
def test_address_of_the_excluded_family_is_refused(text, family):
    with pytest.raises(InputError, match=r"targets\[0\]: is not an IPv[46] address"):
        one(text, family)


@pytest.mark.parametrize(
    ("text", "natt", "port", "marker"),
    [
        ("127.0.0.1", False, 500, False),
        ("127.0.0.1", True, 4500, True),
        ("127.0.0.1/4500", False, 4500, True),
        ("127.0.0.1/500", True, 500, False),
        ("127.0.0.1/7000", True, 7000, True),
        ("127.0.0.1/7000", False, 7000, False),
    ],
)
def test_where_the_marker_goes(text, natt, port, marker):
    target = one(text, natt=natt)
    assert (target.port, target.marker) == (port, marker)


@pytest.mark.parametrize(
    ("sent", "received", "percent"),
    [(3, 1, 67), (3, 3, 0), (3, 0, 100), (0, 0, 0), (300, 299, 1), (300, 1, 99), (8, 7, 13), (1000, 995, 1)],
)
def test_loss_is_rounded_but_never_to_nothing_or_all(sent, received, percent):
    assert lost_percent(sent, received) == percent


def test_round_trip_statistics():
    assert round_trips([]) is None
    assert round_trips([0.001, 0.003]) == {"min": 1.0, "avg": 2.0, "max": 3.0, "mdev": 1.0}


def test_summary_adds_up():
    rows = [
        {"sent": 2, "received": 1, "duplicates": 3, "datagrams": 4, "alive": True, "reason": None},
        {"sent": 1, "received": 0, "duplicates": 0, "datagrams": 1, "alive": False, "reason": "timeout"},
        {"sent": 0, "received": 0, "duplicates": 0, "datagrams": 0, "alive": False, "reason": "name not found"},
    ]
    assert summary(rows) == {
        "sent": 3, "received": 1, "duplicates": 3, "datagrams": 5, "lost": 2, "lost_percent": 67,
        "targets": 3, "alive": 1, "not_found": 1,
    }  # fmt: skip
