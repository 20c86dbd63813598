# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer with keys can have a manager keep and do, however much it asks for: counted, never timed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crowd import CREATE, INFORMATIONAL, Crowd
from engine.crypto.negotiation import offer_esp
from engine.crypto.proposals import esp_proposals
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.manager.log import BURST, BURST_OF_CHILDREN
from engine.manager.runtime import KEEPALIVE_SECONDS
from engine.wire.v2.delete import Delete
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.sa import SA
from engine.wire.v2.ts import TSi, TSr

SETTINGS = Settings()
MANY = 300
ESP = esp_proposals("aes256gcm16", "p")


@pytest.fixture
def crowd(tmp_path: Path) -> Crowd:
    return Crowd(tmp_path, child={"proposals": ["aes256gcm16"]})


def lines(crowd: Crowd) -> Counter[str]:
    """How many of each kind were logged."""
    found = re.findall(r"^\S+ \w+ (.*?) (?:tunnel|suppressed)=", crowd.world.log.getvalue(), re.MULTILINE)
    return Counter(found)


def more_children(crowd: Crowd, engine: Endpoint, count: int, networks: Callable[[int], Any] | None = None) -> None:
    """Ask for children by hand, heeding nothing that is said in return."""
    config = crowd.sa(engine).connection.children[0]
    for number in range(count):
        offer = SA(offer_esp(ESP, (0xE0000000 + number).to_bytes(4, "big"), with_ke=False))
        local, remote = (config.local, config.remote) if networks is None else networks(number)
        nonce = Nonce(number.to_bytes(32, "big"))
        crowd.say(engine, CREATE, [offer, nonce, TSi(local), TSr(remote)])
        crowd.world.now += 0.15


def test_ike_sas_without_initial_contact_and_without_end(crowd: Crowd) -> None:
    seen = []
    for _unused in range(3):
        before = crowd.counts()
        for _each in range(MANY // 3):
            crowd.open()
            crowd.world.now += 0.2
        crowd.tick(SETTINGS.half_open_lifetime + 1)
        after = crowd.counts()
        seen.append((after.kernel_calls - before.kernel_calls, after.journal - before.journal))
        assert after.ike <= SETTINGS.ike_sas_of_peer and after.children <= SETTINGS.ike_sas_of_peer
        assert after.kernel_sas <= 2 * SETTINGS.ike_sas_of_peer and after.policies <= 3 and not after.reserved
    # Each costs what the first ones did: a child made and one taken away, and less than 12 KB of journal.
    assert max(calls for calls, _octets in seen) <= 7 * MANY / 3
    assert max(octets for _calls, octets in seen) <= 12_000 * MANY / 3
    told = lines(crowd)
    seconds = crowd.world.now - 1000.0
    assert told["ike established"] <= BURST + seconds and told["ike down"] <= BURST + seconds
    assert told["child up"] <= BURST_OF_CHILDREN + seconds
    assert "reason=too_many_sas" in crowd.world.log.getvalue()


def test_the_oldest_ike_sa_is_closed_with_a_delete_and_the_newest_carries_packets(crowd: Crowd) -> None:
    ends = [crowd.open() for _unused in range(SETTINGS.ike_sas_of_peer + 3)]
    gone = [end for end in ends if not end.registry.by_tunnel.get("t")]
    assert gone == ends[:3]
    crowd.world.now += 1.0
    newest = crowd.sa(ends[-1])
    crowd.say(ends[-1], INFORMATIONAL, [])
    (child,) = newest.children.values()
    assert ("10.0.0.2", child.sa.spi_out) in crowd.right.host.gateway.sas


def test_ike_sas_are_opened_no_faster_than_other_sas_are_asked_for(crowd: Crowd) -> None:
    for _unused in range(SETTINGS.sas_at_once + 50):
        crowd.open()
    assert crowd.right.counts["ike_established"] == SETTINGS.sas_at_once
    crowd.world.now += SETTINGS.half_open_lifetime
    crowd.right.wake()
    before = crowd.right.counts["ike_established"]
    crowd.open()
    assert crowd.right.counts["ike_established"] == before + 1


def test_rekeys_of_the_ike_sa_without_deletes(crowd: Crowd) -> None:
    engine = crowd.open()
    for _unused in range(MANY):
        crowd.hand(engine, engine.rekey("t", crowd.world.now), deletes=False)
        for old in engine.registry.of_tunnel("t")[:-1]:
            engine.registry.remove(old)
            old.request = None
            old.queue.clear()
        crowd.world.now += 0.2
    counts = crowd.counts()
    assert counts.ike <= SETTINGS.ike_sas_of_peer and counts.children == 1 and counts.kernel_calls < 10
    assert crowd.right.counts["ike_rekeyed"] == MANY
    assert counts.journal < 12_000 * MANY, "each is two exchanges, as profile modern has ML-KEM"
    seconds = crowd.world.now - 1000.0
    assert lines(crowd)["ike rekeyed"] <= BURST + seconds and lines(crowd)["setback"] <= BURST + seconds


def test_children_that_are_all_the_same(crowd: Crowd) -> None:
    engine = crowd.open()
    more_children(crowd, engine, 256)
    counts = crowd.counts()
    # One more than may be, as long as our Delete of the oldest has no answer.
    assert counts.children == SETTINGS.children_alike + 1 and counts.kernel_sas <= 2 * counts.children
    assert counts.kernel_calls < 40 and counts.policies == 3 and not counts.reserved
    assert counts.journal < 1000 * 256


def test_children_that_are_all_the_same_of_a_peer_that_answers(crowd: Crowd) -> None:
    """The oldest goes each time, and what carries packets stands in a child that both have."""
    engine = crowd.open()
    sa = crowd.sa(engine)
    for number in range(60):
        config = sa.connection.children[0]
        engine.registry.by_tunnel["t"][-1].children.clear()  # it has forgotten them: so it asks again
        crowd.hand(engine, engine.start("t", crowd.world.now, children=[config.name]))
        crowd.world.now += 0.5
        assert crowd.counts().children <= SETTINGS.children_alike + 1, number
    newest = max(child.number for _sa, child in crowd.right.endpoint.registry.by_child_spi.values())
    ups = crowd.right.counts["child_up"]
    assert ups > 50 and newest > ups
    assert crowd.counts().kernel_calls < 8 * ups and crowd.counts().policies == 3


def test_children_for_parts_of_a_definition_come_up_and_stay(crowd: Crowd) -> None:
    """Where a peer asks for each packet's own pair of addresses, as some do, none is like the other."""
    engine = crowd.open()
    config = crowd.sa(engine).connection.children[0]

    def pair_of_hosts(number: int) -> Any:
        (local,), (remote,) = config.local, config.remote
        address = local.first[:2] + number.to_bytes(2, "big")
        return (replace(local, first=address, last=address),), (remote,)

    more_children(crowd, engine, 60, pair_of_hosts)
    assert crowd.counts().children == 61


def test_children_that_the_kernel_does_not_take(crowd: Crowd) -> None:
    """As where a peer gives an SPI that another SA of its address has."""
    engine = crowd.open()
    crowd.right.host.gateway.refuse = {"install_inbound"}
    more_children(crowd, engine, 200)
    counts = crowd.counts()
    (sa,) = crowd.right.endpoint.registry.by_spi.values()
    # One Delete is out, and one child more was made than may be refused.
    assert counts.children == 1 and len(sa.queue) == SETTINGS.children_refused + 1
    assert crowd.right.counts["child_failed"] == SETTINGS.children_refused + 2
    assert counts.journal < 4_000 * 200
    assert lines(crowd)["InstallInbound of child lan failed: install_inbound: refused by the test"] <= BURST + 30


def test_deletes_of_unknown_spis_while_a_request_is_out(crowd: Crowd) -> None:
    engine = crowd.open()
    crowd.right.act(crowd.right.endpoint.rekey("t", crowd.world.now, ["lan"]))
    crowd.world.wire.flying.clear()
    octets = []
    for number in range(60):
        before = crowd.counts().journal
        spis = tuple((0x40000000 + 1000 * number + each).to_bytes(4, "big") for each in range(1000))
        crowd.say(engine, INFORMATIONAL, [Delete(3, spis)])
        octets.append(crowd.counts().journal - before)
    # The window, with the request and the last 256 SPIs.
    assert max(octets) < 5_000 and max(octets) - min(octets) < 10


def test_deletes_of_unknown_spis_are_kept_only_while_a_child_is_asked_for(crowd: Crowd) -> None:
    engine = crowd.open()
    (sa,) = crowd.right.endpoint.registry.by_spi.values()
    while sa.request is None:
        crowd.tick(1.0)  # until it is asked whether it lives
    before = crowd.counts().journal
    crowd.say(engine, INFORMATIONAL, [Delete(3, tuple((0x40000000 + each).to_bytes(4, "big") for each in range(1000)))])
    assert 0 < crowd.counts().journal - before < 1000


def test_an_empty_informational_beside_many_children_costs_what_it_costs_beside_one(crowd: Crowd) -> None:
    engine = crowd.open()
    costs = []
    for number in range(2):
        crowd.say(engine, INFORMATIONAL, [])  # proves what was made before
        before = crowd.counts()
        crowd.say(engine, INFORMATIONAL, [])
        after = crowd.counts()
        costs.append((after.journal - before.journal, after.kernel_calls - before.kernel_calls))
        if not number:
            more_children(crowd, engine, 256)
    assert costs[0][0] < 1000 and costs[1][0] < costs[0][0] + 300 and costs[0][1] == costs[1][1] == 0


def test_what_was_left_out_of_the_log_is_counted_there_when_it_is_quiet(crowd: Crowd) -> None:
    for _unused in range(2 * BURST):
        crowd.open()
    assert lines(crowd)["ike established"] == BURST
    crowd.tick(2 * KEEPALIVE_SECONDS)
    assert "more of ike established was left out tunnel=t suppressed=20" in crowd.world.log.getvalue()
    crowd.tick(20 * KEEPALIVE_SECONDS)
    assert not crowd.right.log._limits, "what is full again is forgotten"
