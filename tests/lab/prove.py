# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own proof, apart from what the collection says of itself: pings, kernel, wire."""

from __future__ import annotations

from . import proof, wire
from .places import LabError, Places
from .proof import Ping
from .wire import Verdict


def check_silence(places: Places) -> None:
    """Without tunnels no host may reach another.

    :raises LabError: naming the pair that does.
    """
    for ping in proof.ping_all(places):
        if ping.answered:
            raise LabError(f"{ping.address} answers {ping.source} although there is no tunnel")


def check_pings(places: Places) -> list[Ping]:
    """Every host reaches every other.

    :raises LabError: naming the pairs that do not.
    """
    pings = proof.ping_all(places)
    lost = [f"{ping.source} to {ping.address}" for ping in pings if not ping.answered]
    if lost:
        raise LabError(f"no answer: {', '.join(lost)}")
    return pings


def check_wire(places: Places, pings: list[Ping], listings: dict[str, list[dict]]) -> Verdict:
    """Stop the capture; what it holds is ESP of the gateways' SAs and IKE, and no less than the pings took.

    :raises LabError: with the first packets that do not belong there.
    """
    wire.stop_capture(places)
    verdict = wire.judge(wire.capture_file(places), proof.spis(listings))
    # Each echo and each answer is one ESP packet on the wire, and two where the hub passes it on.
    expected = sum(2 * proof.ECHOES * (1 if "hub" in (ping.source, ping.target) else 2) for ping in pings)
    if verdict.wrong:
        raise LabError(f"{len(verdict.wrong)} packets do not belong on the wire: {'; '.join(verdict.wrong[:5])}")
    if verdict.esp_packets < expected:
        raise LabError(f"only {verdict.esp_packets} ESP packets on the wire, {expected} were to be expected")
    return verdict


def prove(places: Places) -> str:
    """Capture, ping and judge; returns what was proven, in one sentence."""
    wire.start_capture(places)
    try:
        pings = check_pings(places)
        verdict = check_wire(places, pings, proof.tunnels(places))
    finally:
        wire.stop_capture(places)
    return (
        f"{len(pings)} pings between the hosts answered, {verdict.esp_packets} ESP packets of {len(verdict.esp)} SAs "
        f"on the wire, {verdict.ike} IKE packets, none in clear"
    )
