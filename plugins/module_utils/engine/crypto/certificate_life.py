# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long certificates and revocation lists last: when to warn, and when what relies on them ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import moments
from .certificates import Certificate
from .revocation_lists import FOR_EVER, RevocationList

DAY = 86400
CERTIFICATE_WARNINGS = (30 * DAY, 7 * DAY)  # seconds before the end
_LIST_WARNING = 1 / 5  # of the time that a list is for
_LATEST_LIST_WARNING = DAY


class Ending(NamedTuple):
    """Something that ends.

    :ivar what: for people, with its name.
    :ivar end: the last second in which it is valid, Unix seconds.
    :ivar warnings: moments from which on an operator should know, the first one first.
    """

    what: str
    end: float
    warnings: tuple[float, ...]

    def stage(self, now: float) -> int:
        """How many of the warnings are due; one more where it is over. Who tells each once compares with the last."""
        return sum(moment <= now for moment in self.warnings) + (now > self.end)

    def next_stage(self, now: float) -> float | None:
        """When :meth:`stage` is another; None where it never is."""
        return min((moment for moment in (*self.warnings, self.end + 1) if moment > now), default=None)

    def story(self, now: float) -> str:
        """What to tell of it."""
        told = moments.text_of(self.end)
        if now > self.end:
            return f"{self.what} ended at {told}"
        days = int(self.end - now) // DAY
        return f"{self.what} ends in {days} days, at {told}" if days else f"{self.what} ends today, at {told}"


def ending_of(certificate: Certificate) -> Ending:
    """Of a certificate: 30 and 7 days before."""
    end = certificate.not_after
    return Ending(f"the certificate of {certificate}", end, tuple(float(end - s) for s in CERTIFICATE_WARNINGS))


def ending_of_list(one: RevocationList) -> Ending:
    """Of a revocation list: a fifth of its time before, a day at most, since many are made anew each week."""
    early = min((one.next_update - one.this_update) * _LIST_WARNING, _LATEST_LIST_WARNING)
    warnings = (one.next_update - early,) if one.next_update != FOR_EVER else ()
    return Ending(f"the revocation list of {one}", one.next_update, warnings)


def first_to_end(path: Sequence[Certificate]) -> Certificate:
    """The certificate of a path that is the first to expire, and what was authenticated by the path with it."""
    return min(path, key=lambda certificate: certificate.not_after)
