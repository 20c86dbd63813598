# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves a tunnel, whoever the peer is: packets that pass and none that is lost, and the SAs they went through."""

from __future__ import annotations

import re
import subprocess

from .sites import LEFT, RIGHT, Site


def inside(site: Site, family: int) -> str:
    """The site's address in the network behind it."""
    return site.inside6 if family == 6 else site.inside


def prove_esp(family: int = 4) -> None:
    """Pings pass both ways, and every one of them went through an SA at both sites.

    A rekey between takes counters away with the old SAs: then it is tried once more, until no rekey came between.
    """
    for _attempt in range(10):
        spis = [esp_spis(site) for site in (LEFT, RIGHT)]
        before = {site.name: packets(site) for site in (LEFT, RIGHT)}
        assert LEFT.ping(inside(LEFT, family), inside(RIGHT, family)), "no answer from the right site"
        assert RIGHT.ping(inside(RIGHT, family), inside(LEFT, family)), "no answer from the left site"
        counted = {site.name: packets(site) - before[site.name] for site in (LEFT, RIGHT)}
        if spis == [esp_spis(site) for site in (LEFT, RIGHT)]:
            break
    # three echoes and three answers each way: twelve packets through each site's SAs
    assert counted == {LEFT.name: 12, RIGHT.name: 12}, LEFT.states() + RIGHT.states()


def packets(site: Site) -> int:
    """Packets that the site's SAs of ESP or AH have taken, in and out; what is compressed inside counts once."""
    outer = "".join(each for each in re.split(r"^(?=src )", site.states(), flags=re.M) if _OUTER.search(each))
    return sum(int(count) for count in re.findall(r"\(bytes\), (\d+)\(packets\)", _currents(outer)))


_OUTER = re.compile("proto (?:esp|ah) spi")


def _currents(states: str) -> str:
    """Only the ``lifetime current`` lines: the limits are printed in the same words."""
    return "\n".join(re.findall(r"lifetime current:\n(.*)\n", states))


def esp_spis(site: Site) -> set[str]:
    """The SPIs of the site's SAs of ESP or AH."""
    return set(re.findall(r"proto (?:esp|ah) spi (0x[0-9a-f]+)", site.states()))


def flood(seconds: int) -> subprocess.Popen[str]:
    """Fifty pings a second from the left network to the right one."""
    words = ["ping", "-q", "-i", "0.02", "-w", str(seconds), "-I", LEFT.inside, RIGHT.inside]
    return subprocess.Popen([*LEFT.enter, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lost(ping: subprocess.Popen[str]) -> tuple[int, int]:
    """(sent, lost)."""
    text = ping.communicate(timeout=120)[0]
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    assert found is not None, text
    return int(found[1]), int(found[1]) - int(found[2])
