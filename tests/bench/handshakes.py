# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU and memory of full IKEv2 handshakes: IKE_SA_INIT and IKE_AUTH with a shared secret, one Child SA."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

from .managers import AddressOf, own_address, pair
from .measure import Taken, taken

# Enough of them first to fill the memory that reading the definitions took and gave back.
WARM, TUNNELS = 1000, 1000
SETTLE_SECONDS = 0.3  # for the last answers, and whatever a side puts off


class Handshakes(NamedTuple):
    """What one run of :data:`TUNNELS` handshakes took, per handshake: CPU milliseconds, octets of memory."""

    initiator_ms: float
    responder_ms: float
    initiator_octets: float
    responder_octets: float


def median(runs: list[Handshakes]) -> Handshakes:
    """The median of each figure."""
    return Handshakes(*(statistics.median(column) for column in zip(*runs, strict=True)))


def per_handshake(before: list[Taken], after: list[Taken]) -> Handshakes:
    """Of what both sides, initiator first, had taken before and after :data:`TUNNELS` handshakes."""
    sides = list(zip(before, after, strict=True))
    milliseconds = [(end.seconds - begin.seconds) * 1000 / TUNNELS for begin, end in sides]
    octets = [(end.octets - begin.octets) / TUNNELS for begin, end in sides]
    return Handshakes(*milliseconds, *octets)


def handshakes(python: str, address_of: AddressOf = own_address) -> Handshakes:
    """What handshakes cost two managers run by ``python``."""
    with pair(python, [WARM, TUNNELS], address_of) as managers:
        initiator, _unused = managers
        initiator.go()
        time.sleep(SETTLE_SECONDS)
        before = [taken(manager.pid) for manager in managers]
        initiator.go()
        time.sleep(SETTLE_SECONDS)
        return per_handshake(before, [taken(manager.pid) for manager in managers])
