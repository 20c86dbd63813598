# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments that never become whole: what is kept of all of them is bounded, and whose the loss is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine.ike.actions import Path
from engine.ike.incomplete import STRANGERS, Incomplete
from engine.ike.settings import Settings
from engine.ike.v2.features import fragmentation
from engine.ike.v2.sa import EitherSa, OpeningSa
from engine.wire.header import INITIATOR
from engine.wire.v2.message import encode_sealed_fragment
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType

from .forge import AUTH, ENTROPY, INFORMATIONAL, hand, ike_sa, init_request, notified, opening, other_end, sends
from .strangers import any_peer, is_clean, spoofed
from .world import World, up

SMALL = Settings(incomplete_octets=90_000, incomplete_octets_of_tunnel=50_000, incomplete_octets_of_strangers=60_000)


def fragment(sa: EitherSa, exchange: int, message_id: int, octets: int, number: int = 1) -> bytes:
    """One of two fragments, as the initiator of ``sa`` sends it."""
    return encode_sealed_fragment(
        sa.spi_i, sa.spi_r, exchange, INITIATOR, message_id, 41, number, 2, bytes(octets),
        sa.protection.seal.sealed_length, lambda head, plain: sa.protection.seal.seal(head, plain, ENTROPY),
    )  # fmt: skip


def strangers(world: World, count: int) -> Iterator[tuple[Path, OpeningSa]]:
    """Half-open IKE SAs at west, as those who opened them have them."""
    for number in range(count):
        path, spi = spoofed(number), ENTROPY.octets(8)
        payloads = [*opening(path, nonce=ENTROPY.octets(32)), Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)]
        (answer,) = sends(hand(world, world.west, init_request(payloads, spi), path))
        if notified(answer)[:1] == [NotifyType.COOKIE]:
            again = init_request([Notify(NotifyType.COOKIE, answer[-36:]), *payloads], spi)
            (answer,) = sends(hand(world, world.west, again, path))
        sa = world.west.engine.registry.by_spi[answer[8:16]]
        yield path, other_end(sa)


def held(world: World) -> int:
    """Octets that west keeps."""
    kept = [partial for sa in world.west.engine.registry.by_spi.values() for partial in sa.partials.values()]
    assert len(kept) == len(world.west.engine.incomplete)
    return sum(partial.octets + len(partial.datagram) for partial in kept)


def test_fragments_of_many_strangers_take_no_more_room_than_they_may() -> None:
    world, most = any_peer(fragment_size=1280), 0
    for path, sa in strangers(world, 300):
        hand(world, world.west, fragment(sa, AUTH, 1, fragmentation.MOST_OCTETS_OF_STRANGERS - 8), path)
        most = max(most, held(world))
    limit = Settings().incomplete_octets_of_strangers
    assert limit - 200_000 < most <= limit, "and would be 9.8 MB"
    assert world.west.engine.incomplete.octets <= limit
    world.run(2 * Settings().half_open_lifetime)
    is_clean(world)
    assert not held(world) and not world.west.engine.incomplete.octets


def test_the_oldest_goes_and_the_newest_becomes_whole() -> None:
    world = any_peer(settings=SMALL, fragment_size=1280)
    known = list(strangers(world, 6))
    for path, sa in known:
        hand(world, world.west, fragment(sa, AUTH, 1, 8000), path)
    kept = [sa.number for sa in world.west.engine.registry.by_spi.values() if sa.partials]
    assert kept == [sa.number for _path, sa in known[3:]]
    path, sa = known[-1]
    hand(world, world.west, fragment(sa, AUTH, 1, 1, number=2), path)
    assert world.west.engine.registry.by_spi[sa.spi_r].state.value == "refused", "it was read, and is no IKE_AUTH"


def test_what_peers_send_is_not_dropped_for_strangers_and_theirs_is_bounded_too() -> None:
    world = any_peer(settings=SMALL, fragment_size=1280)
    world.east.start()
    world.run(1.0)
    east, west = ike_sa(world.east), ike_sa(world.west)
    hand(world, world.west, fragment(east, INFORMATIONAL, east.next_id, 12_000))
    for path, sa in strangers(world, 5):
        hand(world, world.west, fragment(sa, AUTH, 1, 12_000), path)
    assert west.partials and held(world) <= SMALL.incomplete_octets
    assert Settings().incomplete_octets_of_tunnel > fragmentation.MOST_OCTETS * 2


def test_shares() -> None:
    dropped: list[str] = []

    def keep(share: str, number: int, octets: int) -> None:
        name = f"{share}{number}"
        kept.keep(share, (number, False), octets - 1024, lambda: dropped.append(name))

    kept = Incomplete(100_000, 40_000, 60_000)
    for number in range(3):
        keep("a", number, 15_000)
    assert dropped == ["a0"] and kept.octets == 30_000
    keep("a", 1, 20_000)
    keep("a", 1, 30_000)  # it grows, and is still the oldest
    assert dropped == ["a0", "a1"] and kept.octets == 15_000
    for number in range(3, 6):
        keep("b", number, 13_000)
    keep(STRANGERS, 9, 50_000)
    assert dropped == ["a0", "a1", STRANGERS + "9"], "who has most loses: here what has just come"
    keep(STRANGERS, 9, 2_000)
    keep("c", 10, 39_000)
    assert kept.octets == 95_000
    keep("d", 11, 10_000)
    assert dropped[3:] == ["b3"] and kept.octets == 92_000
    for number in (2, 4, 5, 9, 10, 11, 12):
        kept.leave((number, False))
    assert not kept.octets and not len(kept)


@pytest.mark.parametrize("end", ["stop", "expiry", "whole"])
def test_nothing_counts_of_what_is_over(end: str) -> None:
    world = up(fragment_size=1280)
    east = ike_sa(world.east)
    hand(world, world.west, fragment(east, INFORMATIONAL, east.next_id, 4_000))
    assert held(world) > 4_000
    if end == "stop":
        world.west.stop()
    elif end == "whole":
        hand(world, world.west, fragment(east, INFORMATIONAL, east.next_id, 0, number=2))
    world.run(fragmentation.LIFETIME + 1.0)
    assert not held(world) and not world.west.engine.incomplete.octets
