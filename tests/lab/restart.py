# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managers restarted and killed under systemd while a ping runs through the tunnels: nobody notices, nothing leaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from tests.packet_watch import ARRIVES, Watch, namespace, watching

from . import proof
from .places import LabError, Places
from .topology import GATEWAYS

UNIT = "fleet-ipsec-manager"
HUB, KILLED, UNTOUCHED = GATEWAYS
ECHOES = 50  # in a round
# Round after round, until the file is gone: how long a manager takes to come back is not known beforehand.
_GOES_ON = "/run/lab-ping-goes-on"
_BEGIN = f"touch {_GOES_ON} && lab-host ping -q -c 1 {UNTOUCHED.host_address}"
_PING = f"while [ -e {_GOES_ON} ]; do lab-host ping -q -i 0.02 -c {ECHOES} {UNTOUCHED.host_address}; done"
_END = f"rm {_GOES_ON}"
_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")
_CURSOR = f"journalctl --quiet --unit {UNIT} --lines 0 --show-cursor | sed 's/^-- cursor: //'"
_RESTART = f"systemctl restart {UNIT}"
# systemd itself starts it again; is-active says so only after the new one has said that it is ready.
_KILL = (
    f"old=$(systemctl show -P MainPID {UNIT}) && kill -KILL $old"
    f" && until new=$(systemctl show -P MainPID {UNIT}); [ $new != 0 ] && [ $new != $old ]"
    f" && systemctl --quiet is-active {UNIT}; do sleep 0.1; done"
)
PATIENCE = 60  # seconds for a manager to come back


def _sockets_kept(places: Places, name: str) -> int:
    """How many sockets systemd keeps for the manager of a gateway."""
    return int(proof.on_gateway(places, name, f"systemctl show -P NFileDescriptorStore {UNIT}"))


def _pinging(places: Places, doing: Callable[[], None]) -> tuple[int, int]:
    """Ping through both managers' tunnels while something is done; returns how many were sent and how many answered."""
    proof.on_gateway(places, KILLED.name, _BEGIN)
    with ThreadPoolExecutor() as pool:
        said = pool.submit(proof.on_gateway, places, KILLED.name, _PING)
        try:
            doing()
        finally:
            proof.on_gateway(places, KILLED.name, _END)
    rounds = _COUNTS.findall(said.result())
    return sum(int(sent) for sent, _answered in rounds), sum(int(answered) for _sent, answered in rounds)


def _watching(places: Places) -> AbstractContextManager[list[Watch]]:
    """A watch at the router's end of each gateway's wire."""
    enter = namespace(places.internet)
    networks = [network for gateway in GATEWAYS for network in gateway.networks]
    return watching(*((enter, gateway.name) for gateway in GATEWAYS), networks=networks, way=ARRIVES)


def _check_watches(watches: list[Watch], sent: int) -> None:
    clear = [f"{watch.count} from {watch.device}, such as {watch.seen[0]}" for watch in watches if watch.count]
    if clear:
        raise LabError(f"packets were in clear while managers restarted: {'; '.join(clear)}")
    if sum(watch.packets for watch in watches) < sent:
        raise LabError("the watch at the router saw fewer packets than were sent through it: it proves nothing")


def _restart_and_kill(places: Places) -> None:
    """Both at once; returns when both managers are back."""
    with ThreadPoolExecutor() as pool:
        restarted = pool.submit(proof.on_gateway, places, HUB.name, f"timeout {PATIENCE} {_RESTART}")
        proof.on_gateway(places, KILLED.name, f"timeout {PATIENCE} sh -c '{_KILL}'")
        restarted.result()


def check_restart(places: Places) -> str:
    """Restart the hub's manager and kill a branch's, both on the way of a ping; returns what was proven.

    :raises LabError: when a packet is lost or in clear, an SPI differs, the other branch notices, or
        systemd keeps no socket of theirs.
    """
    before = proof.spis(proof.tunnels(places))
    cursor = proof.on_gateway(places, UNTOUCHED.name, _CURSOR).strip()
    with _watching(places) as watches:
        sent, answered = _pinging(places, lambda: _restart_and_kill(places))
    _check_watches(watches, sent)
    noticed = proof.on_gateway(
        places, UNTOUCHED.name, f"journalctl --quiet --output cat --unit {UNIT} --after-cursor '{cursor}'"
    )
    if answered != sent or sent <= ECHOES:
        raise LabError(f"{answered} of {sent} pings were answered while managers restarted")
    if proof.spis(proof.tunnels(places)) != before:
        raise LabError("there are other SAs after the restart of managers than before")
    if noticed:
        raise LabError(f"{UNTOUCHED.name} noticed that managers restarted: {noticed.strip()}")
    for gateway in (HUB, KILLED):
        if not _sockets_kept(places, gateway.name):
            raise LabError(f"systemd keeps no socket of the manager of {gateway.name}")
    return f"{answered} of {sent} pings answered, 0 packets in clear, the same {len(before)} SAs"
