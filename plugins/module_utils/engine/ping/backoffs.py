# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who repeats an IKEv1 answer when: a responder that hears nothing more sends it again, each in its own rhythm.

IKEv2 responders never do (RFC 7296 section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..newer_python import zip

_SCAN = "ike-scan 1.9.5"


class Backoff(NamedTuple):
    """One row.

    :ivar gaps: seconds before each repetition; none for who does not repeat.
    :ivar source: ``measured`` by us with that version, or ``ike-scan 1.9.5`` for the observations in its data.
    :ivar tolerance: how far a gap may be off, seconds.
    """

    implementation: str
    gaps: tuple[float, ...]
    source: str
    tolerance: float = 0.5


BACKOFFS: tuple[Backoff, ...] = (
    Backoff("FreeS/WAN, Openswan or strongSwan 4", (10, 20), _SCAN),
    Backoff("Microsoft Windows", (1, 2, 4, 8, 16, 32), _SCAN, 0.6),
    Backoff("Solaris", (0.5, 1, 2, 4, 8), _SCAN, 0.2),
    Backoff("StoneGate", (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30), _SCAN, 0.2),
    Backoff("AIX", (16, 32, 64, 128, 128, 256, 512), _SCAN),
    Backoff("Cisco IOS, racoon or WatchGuard", (10, 10, 10, 10, 10), _SCAN, 1.0),
    Backoff("racoon", (20, 20, 20, 20, 20), _SCAN),
    Backoff("Cisco PIX", (5, 5, 5, 5, 5), _SCAN),
    Backoff("Cisco IOS 11 or PIX", (15, 15), _SCAN),
    Backoff("Cisco VPN 3000 or PIX 7", (8, 8, 8), _SCAN),
    Backoff("Check Point", (2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4), _SCAN),
    Backoff("Check Point", (3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6), _SCAN),
    Backoff("Juniper ScreenOS", (4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), _SCAN),
    Backoff("Fortinet FortiGate", (6, 12), _SCAN),
    Backoff("OpenBSD isakmpd", (7, 9, 11), _SCAN),
    Backoff("OpenBSD isakmpd", (7, 9, 11, 13, 15), _SCAN),
    Backoff("Nortel Contivity", (16, 16, 16), _SCAN, 0.6),
    Backoff("SonicWall", (5, 8, 18), _SCAN),
    Backoff("SonicWall", (5, 10, 20), _SCAN, 2.0),
    Backoff("DrayTek", (3, 6), _SCAN),
    Backoff("strongSwan", (), "measured: 5.9.8"),
    Backoff("Libreswan", (), "measured: 4.10"),
    Backoff("Linksys", (), _SCAN),
)


def who_repeats(gaps: Sequence[float], quiet: float) -> list[str]:
    """Who repeats an unanswered message after these gaps.

    :param gaps: seconds between one copy and the next.
    :param quiet: for how long nothing more came after the last copy, seconds.
    :returns: names without duplicates; those whose next copy may still come are among them.
    """
    return list(dict.fromkeys(row.implementation for row in BACKOFFS if _fits(row, gaps, quiet)))


def _fits(row: Backoff, gaps: Sequence[float], quiet: float) -> bool:
    seen = len(gaps)
    if seen > len(row.gaps):
        return False
    if any(abs(gap - wanted) > row.tolerance for gap, wanted in zip(gaps, row.gaps, strict=False)):
        return False
    return seen == len(row.gaps) or quiet <= row.gaps[seen] + row.tolerance
