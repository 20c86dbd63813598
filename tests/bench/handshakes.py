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

WARM, TUNNELS = 200, 1000
RUNS = 3
SETTLE_SECONDS = 0.3  # for the last answers, and whatever a side puts off


class Handshakes(NamedTuple):
    """What one run of :data:`TUNNELS` handshakes took, per handshake: CPU milliseconds, octets of memory."""

    initiator_ms: float
    responder_ms: float
    initiator_octets: float
    responder_octets: float


def handshakes(python: str, address_of: AddressOf = own_address, runs: int = RUNS) -> Handshakes:
    """What handshakes cost two managers run by ``python``."""
    return best([_run(python, address_of) for _unused in range(runs)])


def best(runs: list[Handshakes]) -> Handshakes:
    """Least CPU time and median memory: noise of a shared machine only ever adds CPU time."""
    return Handshakes(
        min(run.initiator_ms for run in runs),
        min(run.responder_ms for run in runs),
        statistics.median(run.initiator_octets for run in runs),
        statistics.median(run.responder_octets for run in runs),
    )


def per_handshake(before: list[Taken], after: list[Taken]) -> Handshakes:
    """Of what both sides, initiator first, had taken before and after :data:`TUNNELS` handshakes."""
    sides = list(zip(before, after, strict=True))
    milliseconds = [(end.seconds - begin.seconds) * 1000 / TUNNELS for begin, end in sides]
    octets = [(end.octets - begin.octets) / TUNNELS for begin, end in sides]
    return Handshakes(*milliseconds, *octets)


def _run(python: str, address_of: AddressOf) -> Handshakes:
    with pair(python, [WARM, TUNNELS], address_of) as managers:
        initiator, _unused = managers
        initiator.go()
        time.sleep(SETTLE_SECONDS)
        before = [taken(manager.pid) for manager in managers]
        initiator.go()
        time.sleep(SETTLE_SECONDS)
        return per_handshake(before, [taken(manager.pid) for manager in managers])
