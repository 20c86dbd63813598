# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors that two children claim at once, judged by enumerating packets."""

from __future__ import annotations

from itertools import combinations, product

from engine.definition.overlap import Claim, overlaps
from engine.kernel.policies import combine
from engine.newer_python import zip
from engine.selector import parse_selector
from hypothesis import given
from hypothesis import strategies as st

networks = st.tuples(st.integers(0, 3), st.integers(0, 7)).map(lambda n: f"10.0.0.{n[1] >> n[0] << n[0]}/{32 - n[0]}")
spans = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(lambda n: f"10.0.0.{min(n)}-10.0.0.{max(n)}")
PORTS = ("", "[tcp]", "[udp]", "[tcp/2]", "[tcp/0-1]", "[tcp/1-2]")
texts = st.tuples(networks | spans, st.sampled_from(PORTS)).map("".join)


@given(st.lists(st.tuples(texts, texts, st.sampled_from("abc")), max_size=6))
def test_overlaps_are_judged_by_enumerating_packets(rows):
    """Two claims are fine where they share no packet, or where one has more of them than the other has."""
    claims = [Claim(name, "", str(place), *map(parse_selector, row)) for place, (*row, name) in enumerate(rows)]
    packets = [packets_of(claim.local, claim.remote) for claim in claims]
    found = {frozenset((int(one.field), int(other.field))) for one, other in overlaps(claims)}
    for one, other in combinations(range(len(claims)), 2):
        mine, theirs = packets[one], packets[other]
        clash = bool(mine & theirs) and not (mine < theirs or theirs < mine)
        if claims[one].tunnel == claims[other].tunnel:
            assert {one, other} not in found
        elif clash or not mine & theirs:
            assert ({one, other} in found) == clash
        else:
            pieces = [set(combine(claims[n].local, claims[n].remote)) for n in (one, other)]
            assert ({one, other} in found) == bool(pieces[0] & pieces[1])


def packets_of(local, remote):
    return {
        (source, destination, protocol, *ports)
        for protocol in (1, 6, 17)
        for ports in (product(range(4), range(4)) if protocol == 6 else [(9, 9)])
        if all(side.protocol in (0, protocol) for side in (local, remote))
        if all(side.first_port <= port <= side.last_port for side, port in zip((local, remote), ports, strict=True))
        for source in range(local.first[-1], local.last[-1] + 1)
        for destination in range(remote.first[-1], remote.last[-1] + 1)
    }
