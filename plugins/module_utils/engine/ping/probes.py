# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of probes as rows, and which of them are tried in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import ikev1, ikev2
from .echo import CORRECT, SWAPPED, Echo

Entropy = Callable[[int], bytes]


class Cookies(NamedTuple):
    """What makes one request unlike every other: 8, 8 and 4 octets; only an echo has room for all three."""

    initiator: bytes
    responder: bytes
    message_id: bytes


class Probe(NamedTuple):
    """One kind of probe.

    :ivar build: (cookies, exchange type for an echo, entropy) to the datagram.
    :ivar repeats: whether a retry is the very same datagram, because the peer keeps state for each new one.
    :ivar about: one line for help texts.
    """

    name: str
    build: Callable[[Cookies, int, Entropy], bytes]
    repeats: bool
    about: str


def _echo(cookies: Cookies, exchange: int, entropy: Entropy) -> bytes:
    return Echo(CORRECT, cookies.initiator, cookies.responder, exchange, cookies.message_id).encode()


def _echo_classic(cookies: Cookies, exchange: int, entropy: Entropy) -> bytes:
    return Echo(
        SWAPPED,
        cookies.initiator,
        cookies.responder,
        exchange,
        cookies.message_id,
        length=0,
    ).encode()


_ROWS = (
    Probe("echo", _echo, False, "ISAKMP echo request; only another ikeping or our manager replies"),
    Probe("echo_classic", _echo_classic, False, "echo as little-endian FreeS/WAN and Openswan sent it"),
    Probe("version", lambda cookies, _x, _e: ikev2.version_request(cookies.initiator), False,
          "IKE message of major version 3: an IKEv2 daemon objects and keeps no state"),
    Probe("ikev2", lambda cookies, _x, entropy: ikev2.init_request(cookies.initiator, entropy), True,
          "complete IKE_SA_INIT request: every IKEv2 daemon answers, and keeps a half-open SA for a while"),
    Probe("ikev1_main", lambda cookies, _x, entropy: ikev1.main_mode_request(cookies.initiator, entropy), True,
          "first message of IKEv1 Main Mode"),
    Probe("ikev1_aggressive", lambda cookies, _x, entropy: ikev1.aggressive_mode_request(cookies.initiator, entropy),
          True, "first message of IKEv1 Aggressive Mode"),
)  # fmt: skip
PROBES = {row.name: row for row in _ROWS}

# What a user can ask for: the probes that are tried, those that cost the peer least first.
PLANS: dict[str, tuple[str, ...]] = {
    "auto": ("echo", "version", "ikev2", "ikev1_main"),
    "echo": ("echo",),
    "echo_classic": ("echo_classic",),
    "version": ("version",),
    "ikev2": ("ikev2",),
    "ikev1": ("ikev1_main", "ikev1_aggressive"),
    "ikev1_main": ("ikev1_main",),
    "ikev1_aggressive": ("ikev1_aggressive",),
}


def new_cookies(entropy: Entropy) -> Cookies:
    """Random cookies; neither begins with a zero octet, so that no message looks like a non-ESP marker."""
    octets = entropy(20)
    while not (octets[0] and octets[8]):
        octets = entropy(20)
    return Cookies(octets[:8], octets[8:16], octets[16:])
