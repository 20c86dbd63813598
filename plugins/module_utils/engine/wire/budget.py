# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What parsing one message may cost at most, so that no peer can make it dear."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import MESSAGE, IkeError

# The notify that answers it in IKEv2; who speaks IKEv1 answers with a number of its own.
INVALID_SYNTAX = 7

# Counts of things, and octets where it says so. Each limit is several times what the most talkative daemon sends.
_LIMITS = {
    "payloads": 100,
    "proposals": 64,
    "transforms": 512,
    "notifies": 64,
    "selectors": 512,
    "SPIs": 1024,
    "attributes": 1024,
    "certificate octets": 49152,
}
LIMITS: Mapping[str, int] = MappingProxyType(_LIMITS)


class Budget:
    """Counts down what the parts of one message use up.

    :param limits: name of each kind of part to how many of them one message may have.
    """

    __slots__ = ("_left",)

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self._left = _LIMITS.copy() if limits is None else dict(limits)

    def spend(self, kind: str, count: int = 1) -> None:
        """Account for ``count`` parts before they are parsed.

        :raises IkeError: INVALID_SYNTAX when the message has more than its share.
        """
        left = self._left[kind] - count
        if left < 0:
            raise IkeError(INVALID_SYNTAX, f"the message has too many {kind}", MESSAGE)
        self._left[kind] = left
