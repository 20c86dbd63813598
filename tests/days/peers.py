# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The peers of a run, each at its defaults but for what its row says, behind the same few verbs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from ..interop import libreswan, openiked, strongswan
from ..interop.sites import LEFT, RIGHT
from .rows import Row

SECRET = "correct horse battery staple, for days on end"
REAUTH = "3h"  # shorter than our IKE SA's lifetime: the peer comes first


class Peer(Protocol):
    """What a run asks of a peer."""

    log: Path

    def start(self) -> None:
        """Start the daemon, tell it of the tunnel and, if its row says so, have it start the tunnel."""

    def kill(self) -> None:
        """Kill it as a fault would."""

    def end(self) -> None:
        """End it."""

    def count(self) -> tuple[int, int]:
        """(IKE SAs, Child SAs) that it lists, in whatever state."""

    def listing(self) -> str:
        """What it lists, as text."""


class _StrongSwan(strongswan.StrongSwan):
    def __init__(self, row: Row, folder: Path) -> None:
        super().__init__(RIGHT, folder)
        starts = row.starts != "ours"
        self._told = strongswan.Peer(
            RIGHT,
            LEFT,
            SECRET,
            ike="default",
            esp="aes256gcm16-x25519" if row.pfs else "default",
            mobike=True,
            extra=(
                # Without these strongSwan never looks again for a peer that was rebooted.
                *(("dpd_delay = 30s", "keyingtries = 0") if starts else ()),
                *((f"reauth_time = {REAUTH}",) if row.reauth else ()),
            ),
            child_extra=("start_action = trap|start", "dpd_action = restart") if starts else (),
        )

    def start(self) -> None:
        super().start()
        self.load(self._told)

    def listing(self) -> str:
        return self.sas()

    def count(self) -> tuple[int, int]:
        text = self.sas()
        ike = re.findall(r"^\S+: #\d+, ", text, re.MULTILINE)
        return len(ike), len(re.findall(r"^ +\S+: #\d+, reqid", text, re.MULTILINE))


class _Libreswan(libreswan.Libreswan):
    def __init__(self, row: Row, folder: Path) -> None:
        super().__init__(RIGHT, folder)
        self._starts = row.starts != "ours"
        self._told = libreswan.Peer(
            RIGHT,
            LEFT,
            SECRET,
            ike="",
            esp="",
            extra=(
                *(() if row.pfs else ("pfs=no",)),
                *(("reauth=yes", f"ikelifetime={REAUTH}") if row.reauth else ()),
                *(("dpddelay=30", "dpdtimeout=120", "dpdaction=restart") if self._starts else ()),
            ),
        )

    def start(self) -> None:
        super().start()
        self.load(self._told)
        if self._starts:
            self.whack("--route", "--name", "peer")
            self.whack("--initiate", "--asynchronous", "--name", "peer")

    def listing(self) -> str:
        return self.states()

    def count(self) -> tuple[int, int]:
        text = self.states()
        children = set(re.findall(r"#(\d+): .*(?:_CHILD_SA|IPsec SA)", text))
        return len(set(re.findall(r"#(\d+): ", text)) - children), len(children)


class _OpenIked(openiked.OpenIked):
    def __init__(self, row: Row, folder: Path) -> None:
        extra = "childsa enc aes-256 auth hmac-sha2-512 group curve25519" if row.pfs else ""
        super().__init__(RIGHT, folder, openiked.Peer(RIGHT, LEFT, SECRET, extra, row.starts != "ours"))

    def listing(self) -> str:
        return self.sas()

    def count(self) -> tuple[int, int]:
        text = self.sas()
        # Each Child SA is listed once for either direction.
        return len(re.findall(r"^iked_sas: ", text, re.MULTILINE)), len(
            re.findall(r"^ +sa_childsas: ", text, re.M)
        ) // 2


PEERS: dict[str, type[_StrongSwan] | type[_Libreswan] | type[_OpenIked]] = {
    "strongswan": _StrongSwan,
    "libreswan": _Libreswan,
    "openiked": _OpenIked,
}


def peer_of(row: Row, folder: Path) -> Peer:
    """The peer of a row at the right site, not running yet."""
    return PEERS[row.peer](row, folder)
