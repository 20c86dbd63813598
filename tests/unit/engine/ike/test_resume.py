# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end that is killed at any moment and goes on with what was kept of it: the peer must not see a difference."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from engine.child_sa import Limits
from engine.crypto.exchange import key_exchange_from, new_key_exchange
from engine.ike.records import RecordKey
from engine.ike.v2 import record_codec, snapshot
from engine.ike.v2.tasks import DeleteAtPeer, DeleteChild, DeleteIke, Inform, NewChild
from engine.selector import parse_selector
from engine.wire.header import Header
from engine.wire.v2.numbers import ExchangeType

from .mortal import Mortal, mortal_world
from .rekeys import DOINGS, settled
from .world import Host, World, child, pair, straight


def two_children() -> World:
    voice = replace(
        child("voice", 2, start="manual"),
        local=(parse_selector("10.3.0.0/16"),),
        remote=(parse_selector("10.4.0.0/16"),),
    )
    return pair(children=(child(), voice))


def risen(seed_fate: Callable[[int, bytes], list[float]] = straight) -> tuple[World, Mortal, Mortal]:
    world, east, west = mortal_world(two_children())
    world.east.start()
    world.run(1.0)
    world.check()
    world.fate = seed_fate
    return world, east, west


def test_every_field_is_kept_or_has_a_reason_not_to_be() -> None:
    for shape in record_codec.SHAPES:
        told = (
            set(shape.rows)
            | set(record_codec.OWN_WAY.get(shape.kind, ()))
            | set(record_codec.NOT_KEPT.get(shape.kind, ()))
        )
        assert told == {field.name for field in fields(shape.kind)}, shape.kind


# As they stand in journals.
CHILD_SAS: list[dict[str, Any]] = [
    {
        "tunnel": "t", "child": "lan", "number": 7, "reqid": 0x66000001, "local_address": "192.0.2.1",
        "remote_address": "192.0.2.2", "protocol": 50, "mode": "tunnel", "spi_in": 0xC0000001, "spi_out": 0xC1000001,
        "local_selectors": [["0a010000", "0a0100ff", 0, 0, 65535]],
        "remote_selectors": [["0a020000", "0a0200ff", 6, 443, 443]],
        "encryption": "aes256gcm16", "integrity": None, "encryption_in": "01" * 36, "encryption_out": "02" * 36,
        "integrity_in": "", "integrity_out": "", "encapsulation": [4500, 34500], "esn": True, "replay_window": 256,
        "lifetime": [3660, 900, 1000, 90, 100], "if_id": 9,
        "defined": [[["0a010000", "0a01ffff", 0, 0, 65535]], [["0a020000", "0a02ffff", 0, 0, 65535]]],
    },
    {
        "tunnel": "t", "child": "ah", "number": 8, "reqid": 0x66000002, "local_address": "2001:db8::1",
        "remote_address": "2001:db8::2", "protocol": 51, "mode": "transport", "spi_in": 1 << 12, "spi_out": 1 << 13,
        "local_selectors": [], "remote_selectors": [], "encryption": None, "integrity": "sha256",
        "encryption_in": "", "encryption_out": "", "integrity_in": "03" * 32, "integrity_out": "04" * 32,
    },
]  # fmt: skip


@pytest.mark.parametrize("kept", CHILD_SAS, ids=lambda kept: kept["child"])
def test_a_child_sa_is_kept_in_the_form_of_the_journals_that_stand(kept: dict[str, Any]) -> None:
    sa = record_codec.CHILD_SA.thaw(kept, [])
    limits = Limits(900, 1000, 90, 100, hard_seconds=3660) if kept["protocol"] == 50 else Limits()
    assert (sa.lifetime, sa.owner, sa.passes) == (limits, "", ())
    again = record_codec.CHILD_SA.freeze(replace(sa, owner="me"))
    assert again == kept and json.loads(json.dumps(again)) == kept


def test_a_killed_end_goes_on_where_it_was() -> None:
    for who in ("east", "west"):
        world, east, west = risen()
        mortal = {"east": east, "west": west}[who]
        before = [(sa.number, sa.state, sa.path, sa.children[0].sa) for sa in mortal.host.engine.sas()]
        mortal.die()
        after = [(sa.number, sa.state, sa.path, sa.children[0].sa) for sa in mortal.host.engine.sas()]
        assert before == after
        count = world.count
        world.run(5.0)
        world.check()
        assert world.count == count, "nobody has anything to say"
        DOINGS["rekey_child"](world, mortal.host)
        world.run(1.0)
        world.check()
        DOINGS["rekey_ike"](world, mortal.host)
        world.run(1.0)
        DOINGS["rekey_child"](world, (world.west if who == "east" else world.east))
        world.run(1.0)
        settled(world, set())


def test_what_is_kept_is_all_there_is() -> None:
    world, east, _west = risen()
    DOINGS["rekey_ike"](world, world.east)
    DOINGS["new_child"](world, world.east)
    sa = next(iter(world.east.engine.registry.by_spi.values()))
    frozen = snapshot.freeze(sa)
    copy = {key: json.loads(json.dumps(record)) for key, record in frozen.items()}
    thawed = snapshot.thaw(copy, world.east.engine.instances.kept, 5.0)
    assert not thawed.problems
    again = thawed.sas[0]
    assert snapshot.freeze(again) == frozen
    assert (again.request.tries, again.request.deadline) == (0, 5.0)
    assert again.connection is sa.connection and again.protection.keys == sa.protection.keys
    assert again.protection.seal.messages == sa.protection.seal.messages
    assert again.request.task.exchange.public == sa.request.task.exchange.public


# As they stand in journals of release 0.1.0 and after, whose requests had the fields of all kinds.
OLD_TASKS: list[tuple[dict[str, Any], tuple[type, str]]] = [
    ({"kind": "CREATE_CHILD_SA (new child)", "config": {}, "reason": "stopped"}, (NewChild, "stopped")),
    ({"kind": "INFORMATIONAL (delete child)", "child": 2, "reason": "replaced"}, (DeleteChild, "replaced")),
    ({"kind": "INFORMATIONAL (delete child)", "config": {}, "spi": "c0000001"}, (DeleteAtPeer, "")),
    ({"kind": "INFORMATIONAL (delete IKE SA)", "reason": "stopped", "closed": ["00000100"]}, (DeleteIke, "stopped")),
    ({"kind": "INFORMATIONAL", "reason": "proof", "closed": ["00000100"]}, (Inform, "proof")),
]


@pytest.mark.parametrize(("kept", "expected"), OLD_TASKS, ids=[kept["kind"] for kept, _expected in OLD_TASKS])
def test_a_request_is_read_as_older_releases_kept_it(kept: dict[str, Any], expected: tuple[type, str]) -> None:
    records = records_of(risen()[1].host)
    (window,) = [record for key, record in records.items() if key.part == "window"]
    config = record_codec.CONFIG.freeze(two_children().east.engine.connections.get("t").children[0])
    number = next(key.child for key in records if key.part == "child")
    kept = {
        **kept,
        **({"config": config} if "config" in kept else {}),
        **({"child": number} if "child" in kept else {}),
    }
    window["queue"] = [kept]
    (sa,) = snapshot.thaw(records, two_children().east.engine.instances.kept, 5.0).sas
    (task,) = sa.queue
    assert (type(task), task.reason) == expected
    assert getattr(task, "child", None) is (sa.children[number] if "child" in kept else None)


def test_requests_that_make_no_sense_lose_their_tunnel_with_a_reason() -> None:
    for kept, story in (
        ({"kind": "INFORMATIONAL (delete child)", "child": 999}, "child 999, which is in no record"),
        ({"kind": "CREATE_CHILD_SA (rekey child)", "child": 999}, "child 999, which is in no record"),
        ({"kind": "IKE_SESSION_RESUME"}, "there is no request IKE_SESSION_RESUME"),
    ):
        records = records_of(risen()[1].host)
        (window,) = [record for key, record in records.items() if key.part == "window"]
        window["queue"] = [kept]
        thawed = snapshot.thaw(records, two_children().east.engine.instances.kept, 5.0)
        assert not thawed.sas and story in thawed.problems["t"]


def records_of(host: Host) -> dict[RecordKey, dict[str, Any]]:
    """What an end keeps."""
    (sa,) = host.engine.registry.by_spi.values()
    return {key: json.loads(json.dumps(record)) for key, record in snapshot.freeze(sa).items()}


@pytest.mark.parametrize("group", [31, 19, 20, 21, 14, 15, 16])
def test_a_key_exchange_can_be_finished_later(group: int) -> None:
    mine, theirs = new_key_exchange(group), new_key_exchange(group)
    later = key_exchange_from(group, mine.private.reveal())
    assert later.public == mine.public
    assert later.finish(theirs.public) == mine.finish(theirs.public) == theirs.finish(mine.public)


@pytest.mark.parametrize("name", sorted(DOINGS))
@pytest.mark.parametrize("who", ["east", "west"])
def test_killed_before_every_single_action_of_an_exchange(name: str, who: str) -> None:
    for moment in range(14):
        world, east, west = risen()
        mortal = east if who == "east" else west
        mortal.kill_at = moment
        DOINGS[name](world, world.east)
        world.run(100.0)
        settled(world, {name})


@pytest.mark.parametrize("who", ["east", "west"])
def test_killed_while_it_comes_up(who: str) -> None:
    for moment in range(8):
        world, east, west = mortal_world(two_children())
        mortal = east if who == "east" else west
        mortal.kill_at = moment
        world.east.start()
        world.run(100.0)
        if not world.east.sas():
            world.east.start()
            world.run(100.0)
        world.check()
        settled(world, set())


def test_whoever_was_away_has_no_proof_that_nobody_repeated_anything() -> None:
    """East never got the answer that made a child beside an older one; west was away while it could have said so."""
    world, east, west = risen()
    world.fate = lambda number, datagram: [] if Header.parse(datagram).is_response else straight(number, datagram)
    lan = world.east.engine.connections.get("t").children[0]
    for mortal in (east, west):
        before = mortal.host.engine.connections.get("t")
        changed = tuple(replace(one, lifetime=lan.lifetime + 1.0) for one in before.children)
        mortal.redefine(replace(before, children=changed))
    world.east.do(world.east.engine.supersede("t", world.now, ["lan"]))
    world.run(0.05)
    assert len(world.west.kernel.inbound) == 2 and len(world.east.kernel.inbound) == 1
    world.now += 2 * world.west.engine.settings.switch_pause
    create = int(ExchangeType.CREATE_CHILD_SA)
    world.fate = lambda number, octets: [] if Header.parse(octets).exchange == create else straight(number, octets)
    for mortal in (east, west):
        mortal.die()
    world.run(0.2)
    world.check()
    world.fate = straight
    world.run(2 * world.west.engine.settings.switch_pause)
    settled(world, set())
    assert len(world.west.kernel.inbound) == len(world.east.kernel.inbound) == 1


def kills(seed: int) -> None:
    """Both ends do things at once over a bad wire and are killed again and again."""
    chance = random.Random(seed)

    def fate(number: int, datagram: bytes) -> list[float]:
        if world.now > 1020.0:
            return straight(number, datagram)
        copies = chance.choices([0, 1, 2], [0.2, 0.7, 0.1])[0]
        return [chance.uniform(0.001, 0.8) for _unused in range(copies)]

    world, east, west = risen(fate)
    doings: set[str] = set()
    for _unused in range(chance.randint(1, 4)):
        name = chance.choice(sorted(DOINGS)[2:] + ["new_child"])
        doings.add(name)
        for mortal in (east, west):
            if chance.random() < 0.6:
                mortal.kill_at = chance.randint(0, 6)
        DOINGS[name](world, chance.choice([world.east, world.west]))
        world.run(chance.choice([0.0, 0.005, 0.012, 0.3, 1.0]))
        if chance.random() < 0.3:
            chance.choice([east, west]).die()
    east.kill_at = west.kill_at = None
    world.run(400.0)
    settled(world, doings)
    if "delete_ike" not in doings and "delete_child" not in doings:
        # Where both asked for voice at once, one of the two may have gone again.
        downs = [
            report.data["child"]
            for host in (world.east, world.west)
            for report in host.reports
            if report.kind == "child_down"
        ]
        assert "lan" not in downs


@pytest.mark.parametrize("seed", range(150))
def test_killed_in_the_middle_of_collisions(seed: int) -> None:
    kills(seed)


@pytest.mark.nightly
def test_ever_more_kills_end_well() -> None:
    for seed in range(1000, 21_000):
        try:
            kills(seed)
        except AssertionError as exc:
            exc.add_note(f"seed {seed}")
            raise
