# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments of certificates: as they are encoded (RFC 5280 section 4.1.2.5), as Unix seconds and as text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from .. import der

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_YEAR_DIGITS = {der.UTC_TIME: 2, der.GENERALIZED_TIME: 4}
_CENTURY_TURNS = 50  # years of two digits from here on are of the last century


def read(element: der.Element) -> int:
    """A moment as Unix seconds.

    :raises ValueError: where it is none.
    """
    digits = _YEAR_DIGITS.get(element.tag, 0)
    text = element.value.decode("ascii")
    if not digits or len(text) != digits + 11 or not text.endswith("Z") or not text[:-1].isdigit():
        raise ValueError("not a moment")
    year = int(text[:digits])
    if digits == 2:
        year += 1900 if year >= _CENTURY_TURNS else 2000
    month, day, hour, minute, second = (int(text[place : place + 2]) for place in range(digits, digits + 10, 2))
    return (datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc) - _EPOCH) // timedelta(seconds=1)


def text_of(seconds: float) -> str:
    """Such as ``2026-12-01 02:14 UTC``; what no calendar has is told as seconds."""
    try:
        moment = _EPOCH + timedelta(seconds=int(seconds))
    except OverflowError:
        return f"{seconds:.0f} seconds after 1970"
    return f"{moment:%Y-%m-%d %H:%M} UTC"
