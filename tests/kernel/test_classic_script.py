# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script of the days of KLIPS on both gateways - ipsec spi, spigrp and eroute - and packets through what it made."""

from __future__ import annotations

import pytest
from engine.cli.ipsec import main as ipsec
from engine.kernel.values import AH, ESP
from esp_site import Site
from group_site import INNER, OUTER, PAYLOADS, exchange
from namespaces import Namespace

pytestmark = pytest.mark.usefixtures("esp")


SPIS = ("0x12345678", "0x12345679")  # from A to B, from B to A


class Gateway:
    """One gateway with its commands."""

    def __init__(self, space: Namespace, directory: str) -> None:
        self.space, self.directory = space, directory

    def run(self, line: str) -> None:
        command, *words = line.split()
        with self.space.entered():
            assert ipsec([command, "--runtime-dir", self.directory, *words]) == 0, line


def script(family: str, ends: tuple[str, str], networks: tuple[str, str], spi: str, local: bool) -> list[str]:
    """Tunnel, ESP and AH of one way; ``local`` on the gateway that sends."""
    source, destination = ends
    sa = f"--af {family} --edst {destination} --spi {spi} --proto"
    keys = f"--enckey 0x{'40' * 16} --authkey 0x{'87' * 20}"
    lines = [
        f"spi {sa} tun --src {source} --dst {destination} --ip{4 if family == 'inet' else 6}",
        f"spi {sa} esp --src {source} --esp aes128-sha1-96 {keys}",
        f"spi {sa} ah --src {source} --ah hmac-sha1-96 --authkey 0x{'65' * 20}",
        "spigrp " + " ".join(f"{family} {destination} {spi} {protocol}" for protocol in ("tun", "esp", "ah")),
    ]
    said = f"tun{spi}@{destination}"
    way = "--add" if local else "--addin"
    return [*lines, f"eroute {way} --eraf {family} --src {networks[0]} --dst {networks[1]} --said {said}"]


@pytest.mark.parametrize(("family", "version"), [("inet", 4), ("inet6", 6)])
def test_a_classic_script_carries_packets(sites: tuple[Site, Site], tmp_path, family: str, version: int) -> None:
    gateways = [Gateway(site.space, str(tmp_path / name)) for site, name in zip(sites, ("x", "y"), strict=True)]
    bits = {4: 32, 6: 128}[version]
    networks = tuple(f"{address}/{bits}" for address in INNER[version])
    for number, spi in enumerate(SPIS):
        step = 1 - 2 * number
        for gateway in gateways:
            local = gateways.index(gateway) == number
            for line in script(family, OUTER[version][::step], networks[::step], spi, local):
                gateway.run(line)
    for spi, (payloads, wire) in zip(SPIS, exchange(sites, INNER[version]), strict=True):
        assert payloads == PAYLOADS
        assert wire == [[(AH, int(spi, 0)), (ESP, int(spi, 0))]] * len(PAYLOADS)
    for gateway in gateways:
        gateway.run("eroute --clear")
        gateway.run("spi --clear")
        assert gateway.space.run("ip xfrm state") == "" and "tmpl" not in gateway.space.run("ip xfrm policy")
