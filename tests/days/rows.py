# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs, as rows: which peer, who starts, with or without a key exchange of a child's own, with reauthentication."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86400
HOUR = 3600
LONG = 3 * DAY
SHORT = 6 * HOUR


@dataclass(frozen=True)
class Row:
    """One run.

    :ivar peer: strongswan, libreswan or openiked.
    :ivar starts: ``ours``, ``theirs`` or ``both``: the side that sets the tunnel up, and up again.
    :ivar pfs: whether the peer asks for a key exchange of each child's own.
    :ivar reauth: whether the peer authenticates anew instead of rekeying its IKE SA.
    """

    peer: str
    starts: str
    pfs: bool
    reauth: bool

    @property
    def name(self) -> str:
        """For files, tables and command lines."""
        return f"{self.peer}-{self.starts}-{'pfs' if self.pfs else 'nopfs'}-{'reauth' if self.reauth else 'rekey'}"

    @property
    def breaks_first(self) -> bool:
        """Whether the peer closes an IKE SA before it has the next one.

        strongSwan 5.9 reauthenticates so unless it is told otherwise; Libreswan and OpenIKED do not.
        """
        return self.reauth and self.peer == "strongswan"


# OpenIKED has no reauthentication.
ROWS = tuple(
    Row(peer, starts, pfs, reauth)
    for peer, reauths in (("strongswan", (False, True)), ("libreswan", (False, True)), ("openiked", (False,)))
    for reauth in reauths
    for starts in ("ours", "theirs", "both")
    for pfs in (True, False)
)
SHORT_ROWS = (
    Row("strongswan", "ours", False, False),
    Row("strongswan", "theirs", False, True),
    Row("libreswan", "ours", True, False),
    Row("libreswan", "theirs", True, True),
)


def row_named(name: str) -> Row:
    """The row of that name.

    :raises KeyError: there is none.
    """
    return {row.name: row for row in ROWS}[name]
