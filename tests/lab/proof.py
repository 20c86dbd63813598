# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab can be asked: do the hosts behind the gateways reach each other, and through which SAs."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .places import LabError, Places
from .topology import GATEWAYS, Gateway

ECHOES = 2  # in each ping
# One ping in the background, answered by its address and its mean round trip time, if any.
_PING = (
    "{{ rtt=$(ping -n -q -c "
    + str(ECHOES)
    + " -i 0.2 -W 2 {address} 2>/dev/null | sed -n 's#^rtt.*= [^/]*/\\([^/]*\\)/.*#\\1#p'); echo {address} $rtt; }} &\n"
)


@dataclass(frozen=True)
class Ping:
    """One ping between two hosts behind gateways."""

    source: str
    target: str
    address: str
    answered: bool
    rtt: float | None  # milliseconds, mean


def on_gateway(places: Places, name: str, command: str, text_in: str = "") -> str:
    """Run a shell command on a gateway; returns its output, raises LabError when it fails."""
    done = subprocess.run(
        ["ssh", "-F", str(places.ssh_config), name, command],
        capture_output=True,
        text=True,
        check=False,
        input=text_in,
    )
    if done.returncode:
        raise LabError(f"{name}: {command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _ping_from(places: Places, source: Gateway) -> list[Ping]:
    """All pings of one host at once, in one ssh command."""
    targets = [
        (peer.name, address)
        for peer in GATEWAYS
        if peer is not source
        for address in (peer.host_address, peer.host_address6)
    ]
    script = "".join(_PING.format(address=address) for _name, address in targets) + "wait\n"
    lines = on_gateway(places, source.name, "lab-host sh -s", script).splitlines()
    answers = {address: rtt for address, _space, rtt in (line.partition(" ") for line in lines)}
    return [
        Ping(source.name, name, address, bool(answers[address]), float(answers[address]) if answers[address] else None)
        for name, address in targets
    ]


def ping_all(places: Places) -> list[Ping]:
    """Ping from every host behind a gateway to every other, both families."""
    with ThreadPoolExecutor(len(GATEWAYS)) as pool:
        return [ping for row in pool.map(lambda gateway: _ping_from(places, gateway), GATEWAYS) for ping in row]


def tunnels(places: Places) -> dict[str, list[dict]]:
    """Every gateway's tunnels with everything known of them, from the tunnel manager."""
    listings = {}
    for gateway in GATEWAYS:
        answer = json.loads(on_gateway(places, gateway.name, "ike cmd=list verbose --json"))
        listings[gateway.name] = answer["tunnels"]
    return listings


def spis(listings: dict[str, list[dict]]) -> set[int]:
    """The SPIs of all SAs in such listings."""
    return {
        int(sa[key], 16)
        for rows in listings.values()
        for tunnel in rows
        for child in tunnel["children"]
        for sa in child["sas"]
        for key in ("spi_in", "spi_out")
    }
