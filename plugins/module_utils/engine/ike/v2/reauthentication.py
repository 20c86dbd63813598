# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication that does not hold for ever: both ends prove themselves anew, in an IKE SA beside the one that lives.

Rekeys of an IKE SA go on with what was proven when it was opened (RFC 7296 section 2.8.3). What comes of another proof
takes over when it has all children (``beside.py``); where nothing comes of it, what lives goes on.
"""

from __future__ import annotations

from ..context import Context
from ..timers import NEVER
from . import beside
from .sa import IkeSa


def ends(sa: IkeSa) -> float:
    """When what both ends have proven is too old, 0 for never."""
    return (sa.authenticated or sa.created) + sa.connection.reauth if sa.connection.reauth else 0.0


def due(context: Context, sa: IkeSa) -> float:
    """When this end is to begin; never where the other one has to begin, or where nothing new is made.

    The SPI makes it another moment at either end, and in each tunnel of a fleet that was started at once.
    """
    connection = sa.connection
    if not (connection.reauth and connection.starts) or sa.outgoing:
        return NEVER
    settings, fraction = context.settings, int.from_bytes(sa.local_spi[:2], "big") / 65536
    share = 1.0 - settings.rekey_margin - settings.rekey_fuzz * fraction
    return max(ends(sa) - connection.reauth * (1.0 - share), sa.reauth_after)


def begin(context: Context, sa: IkeSa) -> None:
    """Open the one that is to take over, unless one is on its way; look again in a while whether it has."""
    beside.begin(context, sa)
    sa.reauth_after = context.now + context.settings.longest_pause
