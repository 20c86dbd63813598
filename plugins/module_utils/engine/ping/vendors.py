# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose software it is: vendor IDs and the gaps between retransmissions."""

from __future__ import annotations

from collections.abc import Sequence

# The first octets of a vendor ID in hexadecimal, and what it says. The longest prefix that fits wins.
_VENDOR_IDS = {
    "afcad71368a1f1c96b8696fc7757": "DPD (RFC 3706)",
    "09002689dfd6b712": "XAUTH",
    "4a131c81070358455c5728f20e95452f": "NAT-T (RFC 3947)",
    "90cb80913ebb696e086381b5ec427b1f": "NAT-T (draft 02)",
    "cd60464335df21f87cfdb2fc68b6a448": "NAT-T (draft 02)",
    "7d9419a65310ca6f2c179d9215529d56": "NAT-T (draft 03)",
    "4485152d18b6bbcd0be8a8469579ddcc": "NAT-T (draft 00)",
    "4048b7d56ebce88525e7de7f00d6c2d3": "IKE fragmentation",
    "12f5f28c457168a9702d9fe274cc": "Cisco Unity",
    "882fe56d6fd20dbc2251613b2ebe5beb": "strongSwan",
    "1e2b516905991c7d7c96fcbfb587e461": "Microsoft Windows",
    "fb1de3cdf341b7ea16b7e5be0855f120": "Microsoft Windows",
    "f4ed19e0c114eb516faaac0ee37daf2807b4381f": "Check Point",
    "699369228741c6d4ca094c93e242c9de19e7b7c60000000500000500": "Juniper ScreenOS",
    "4f45": "FreeS/WAN family",
    "4f70656e": "Openswan",
}

# Seconds between one answer and its repetition (the first is 0), and who repeats like that.
_BACKOFFS: tuple[tuple[tuple[float, ...], str], ...] = (
    ((0, 10, 20), "FreeS/WAN family"),
    ((0, 1, 2, 4, 8, 16, 32), "Windows"),
    ((0, 0.5, 1, 2, 4, 8), "Solaris"),
    ((0, 16, 32), "AIX"),
    ((0, 16, 32, 64, 128, 128, 256, 512), "AIX"),
    ((0, 20, 20, 20, 20, 20), "racoon"),
    ((0, 10, 10, 10, 10, 10), "racoon or Cisco IOS"),
    ((0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), "Juniper"),
)
_TOLERANCE = 0.5


def vendor_name(vendor_id: bytes) -> str:
    """What a vendor ID says; empty when we do not know it."""
    text = vendor_id.hex()
    return max(
        ((len(start), name) for start, name in _VENDOR_IDS.items() if text.startswith(start)),
        default=(0, ""),
    )[1]


def backoff_names(gaps: Sequence[float]) -> list[str]:
    """Who repeats an unanswered message after these gaps.

    :param gaps: seconds since the copy before, the first one 0; a pattern still unfinished fits too.
    :returns: names, none when there was no repetition to tell by.
    """
    if len(gaps) < 2:
        return []
    names = {
        name: None
        for pattern, name in _BACKOFFS
        if len(gaps) <= len(pattern)
        and all(abs(gap - wanted) <= _TOLERANCE for gap, wanted in zip(gaps, pattern, strict=False))
    }
    return list(names)
