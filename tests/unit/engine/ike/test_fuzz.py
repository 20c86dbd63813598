# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real datagrams, mutated, in every state of an IKE SA: nothing but a normal return, and the living SA lives on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.ike.actions import Action, Path, Report, Send
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.ike.v2.sa import AUTHENTICATED, IkeSa
from engine.ike.v2.snapshot import freeze
from engine.selector import parse_selector
from engine.wire.header import INITIATOR, RESPONSE
from engine.wire.v2.message import Message

from tests.seeded_entropy import SeededEntropy

from .forge import AUTH, CREATE, INFORMATIONAL, TO_EAST, TO_WEST, opened, sealed
from .hybrid import ESP, FOLLOW_UP, IKE, INTERMEDIATE
from .world import CLASSIC, Host, World, child, east_connection, mirror

Prepare = Callable[[World], None]


def rekey(*children: str, ends: str = "east west", seconds: float = 0.015) -> Prepare:
    def begin(world: World) -> None:
        world.run(1.0)
        names = list(children) or None
        for host in (getattr(world, end) for end in ends.split()):
            host.do(host.engine.rekey("t", world.now, names))
        world.run(seconds)

    return begin


def delete(*children: str) -> Prepare:
    def begin(world: World) -> None:
        world.run(1.0)
        world.east.stop(children=list(children) or None)
        world.run(0.005)

    return begin


def retire(world: World) -> None:
    world.run(1.0)
    world.east.do(world.east.engine.retire("t", world.now))


# How far a tunnel has come, and whether it is up in the end if only strangers interfere.
STATES: dict[str, tuple[Prepare, bool]] = {
    "before IKE_SA_INIT": (lambda world: None, True),
    "IKE_SA_INIT sent": (lambda world: world.run(0.005), True),
    "half-open": (lambda world: world.run(0.015), True),
    "IKE_AUTH sent": (lambda world: world.run(0.025), True),
    "established": (lambda world: world.run(1.0), True),
    "rekeying the child": (rekey("lan"), True),
    "rekeying the IKE SA": (rekey(), True),
    "removed, with its child in use": (retire, True),
    "closing the child": (delete("lan"), False),
    "closing the IKE SA": (delete(), False),
}


# Likewise where there are additional key exchanges.
STEPS: dict[str, Prepare] = {
    "half-open": lambda world: world.run(0.015),
    "IKE_INTERMEDIATE sent": lambda world: world.run(0.025),
    "IKE_INTERMEDIATE answered": lambda world: world.run(0.035),
    "the last one answered": lambda world: world.run(0.055),
    "IKE_AUTH sent": lambda world: world.run(0.065),
    "the child's first answer under way": rekey("lan", ends="east"),
    "IKE_FOLLOWUP_KE sent for the child": rekey("lan", ends="east", seconds=0.025),
    "the IKE SA's first answer under way": rekey(ends="east"),
    "the second IKE_FOLLOWUP_KE sent for the IKE SA": rekey(ends="east", seconds=0.045),
    "both rekey the child": rekey("lan", seconds=0.025),
    "both rekey the IKE SA": rekey(seconds=0.025),
}


class Recording(World):
    """Keeps every datagram that was sent, and forgets no action."""

    def __init__(self, ike: str = CLASSIC, esp: str = "modern") -> None:
        super().__init__(settings=Settings(half_open_per_peer=40))
        self.sent: list[bytes] = []
        self.acted: list[Action] = []
        proposals = esp_proposals(esp)
        second = replace(
            child("voice", 2, start="manual"),
            local=(parse_selector("10.3.0.0/16"),),
            remote=(parse_selector("10.4.0.0/16"),),
            proposals=proposals,
        )
        children = replace(child(), proposals=proposals), second
        connection = east_connection(children=children, proposals=ike_proposals(ike))
        self.east.engine.define(connection)
        self.west.engine.define(mirror(connection))

    def send(self, action: Send) -> None:
        self.sent.append(action.datagram)
        super().send(action)

    def forge(self, host: Host, octets: bytes, path: Path) -> None:
        """Hand in what no engine sent; the answers go to whoever forged it."""
        actions = host.engine.receive(octets, path, self.now)
        self.acted += actions
        host.do([action for action in actions if not isinstance(action, Send)])


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """The datagram with something wrong; the length in its header is often right nevertheless."""
    changed = bytearray(octets)
    for _unused in range(chance.choice([1, 1, 1, 2, 5, 20])):
        how = chance.randrange(8)
        place = chance.randrange(len(changed)) if changed else 0
        if how <= 2 and changed:
            changed[place] ^= 1 << chance.randrange(8)
        elif how == 3 and changed:
            changed[place] = chance.choice([0, 1, 4, 0x7F, 0x80, 0xFF])
        elif how == 4:
            del changed[place : place + chance.choice([1, 4, 8, 100])]
        elif how == 5:
            changed[place:place] = chance.randbytes(chance.choice([1, 4, 8, 100]))
        elif how == 6 and len(changed) >= 28:
            changed[chance.choice([16, 17, 18, 19])] = chance.choice([0, 8, 0x20, 0x28, 34, 35, 36, 37, 41, 46, 53])
        elif how == 7 and len(changed) >= 28:
            changed[20:24] = chance.choice([0, 1, 2, 3, 2**31, 2**32 - 1]).to_bytes(4, "big")
    if len(changed) >= 28 and chance.random() < 0.9:
        changed[24:28] = len(changed).to_bytes(4, "big")
    return bytes(changed)


def bounded(engine: Endpoint) -> None:
    registry = engine.registry
    assert engine.half_open.total <= 100 and len(registry.by_spi) <= 110
    assert len(registry.openings) <= 110 and len(registry.by_child_spi) <= 20


def strangers(state: str, seed: int, count: int) -> None:
    """Mutations of everything sent so far, from the peer's address and from others; the tunnel comes and stays up."""
    prepare, lives = STATES[state]
    chance = random.Random(f"{state} {seed}")
    world = Recording()
    world.east.start()
    prepare(world)
    before = list(world.sent)
    for _unused in range(count):
        octets = mutated(chance.choice(before), chance)
        if octets in before:
            continue
        for host, path in ((world.west, TO_WEST), (world.east, TO_EAST)):
            path = path._replace(remote_port=chance.choice([500, 4500, 9]), natt=chance.random() < 0.5)
            world.forge(host, octets, path)
        world.run(chance.choice([0.0, 0.0, 0.001, 0.1]))
        bounded(world.west.engine)
        bounded(world.east.engine)
    world.run(120.0)
    if state == "half-open" and not world.east.sas():
        # Whoever sees the request can forge its answer: that costs an attempt, not the tunnel.
        world.east.start()
        world.run(60.0)
    if lives:
        assert len(world.east.sas()) == len(world.west.sas()) == 1
        world.check()
    assert not {"ike_down"} & set(world.east.kinds()) or state == "closing the IKE SA"
    assert not world.west.engine.half_open.total and not world.west.engine.registry.openings
    nothing_leaks(world)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("state", STATES)
def test_mutated_datagrams_of_strangers(state: str, seed: int) -> None:
    strangers(state, seed, 120)


@pytest.mark.nightly
@pytest.mark.parametrize("state", STATES)
def test_many_mutated_datagrams_of_strangers(state: str) -> None:
    for seed in range(100, 200):
        strangers(state, seed, 1000)


def insiders(state: str, seed: int, count: int) -> None:
    chance = random.Random(f"{state} {seed}")
    peers_with_keys(Recording(), STATES[state][0], chance, [AUTH, CREATE, CREATE, INFORMATIONAL, 34, 99], count)


def insiders_in_steps(state: str, seed: int, count: int) -> None:
    chance = random.Random(f"{state} {seed}")
    exchanges = [AUTH, CREATE, INFORMATIONAL, INTERMEDIATE, FOLLOW_UP, FOLLOW_UP]
    peers_with_keys(Recording(IKE, ESP), STEPS[state], chance, exchanges, count)


def peers_with_keys(
    world: Recording, prepare: Prepare, chance: random.Random, exchanges: list[int], count: int
) -> None:
    """A peer with the keys seals mutated payloads: it may lose its own IKE SA, but nothing raises and nothing leaks.

    What is kept of the IKE SAs, where there is one to keep, can be read by another process at any moment.
    """
    world.east.start()
    prepare(world)
    chains = [chain for host in (world.east, world.west) for chain in plaintexts(world, host)]
    for _unused in range(count):
        host, other, path = chance.choice([(world.west, world.east, TO_WEST), (world.east, world.west, TO_EAST)])
        sas = [sa for sa in other.engine.registry.by_spi.values() if sa.protection is not None]
        if not sas or not chains:
            break
        sa = chance.choice(sas)
        first, octets = chance.choice(chains)
        if chance.random() < 0.2:
            first = chance.randrange(256)
        response = chance.random() < 0.4
        message_id = message_id_for(host, sa, response, chance)
        octets = mutated_chain(octets, chance)
        exchange = chance.choice(exchanges)
        datagram = sealed(sa, exchange, message_id, [], chain=(first, octets), response=response)
        world.forge(host, datagram, path)
        if chance.random() < 0.1:
            world.run(chance.choice([0.01, 1.0]))
            resumes(world, host)
        bounded(host.engine)
    for host in (world.east, world.west):
        host.stop()
    world.run(200.0)
    for host in (world.east, world.west):
        assert not host.kernel.inbound and not host.kernel.outbound and not host.kernel.faults
        assert not host.kernel.reserved
        registry = host.engine.registry
        assert not registry.by_child_spi and not registry.by_spi and not registry.by_tunnel and not registry.openings
        assert not host.engine.half_open.total
    nothing_leaks(world)


def resumes(world: Recording, host: Host) -> None:
    fresh = Endpoint(SeededEntropy(1), host.engine.spis, host.engine.settings)
    for connection in host.engine.connections:
        fresh.define(connection)
    kept = [sa for sa in host.engine.registry.by_spi.values() if sa.state in AUTHENTICATED]
    records = {key: json.loads(json.dumps(record)) for sa in kept for key, record in freeze(sa).items()}
    _actions, problems = fresh.resume(records, world.now)
    assert not problems


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("state", list(STATES)[2:])
def test_mutated_payloads_of_a_peer_with_keys(state: str, seed: int) -> None:
    insiders(state, seed, 60)


@pytest.mark.nightly
@pytest.mark.parametrize("state", list(STATES)[2:])
def test_many_mutated_payloads_of_a_peer_with_keys(state: str) -> None:
    for seed in range(1000, 3000):
        insiders(state, seed, 100)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("state", STEPS)
def test_mutated_payloads_between_additional_key_exchanges(state: str, seed: int) -> None:
    insiders_in_steps(state, seed, 60)


@pytest.mark.nightly
@pytest.mark.parametrize("state", STEPS)
def test_many_mutated_payloads_between_additional_key_exchanges(state: str) -> None:
    for seed in range(1000, 2000):
        insiders_in_steps(state, seed, 100)


def message_id_for(host: Host, sa: IkeSa, response: bool, chance: random.Random) -> int:
    """One that the host listens to, most of the time."""
    mine = next((s for s in host.engine.registry.by_spi.values() if (s.spi_i, s.spi_r) == (sa.spi_i, sa.spi_r)), None)
    if mine is None or chance.random() < 0.1:
        return chance.randrange(4)
    if response:
        return mine.request.message_id if mine.request else 0
    return mine.expected_id


def plaintexts(world: Recording, host: Host) -> list[tuple[int, bytes]]:
    """What was sent under protection: (type of the first payload, octets)."""
    found = []
    for sa in host.engine.registry.by_spi.values():
        for octets in world.sent:
            message = Message.parse(octets)
            if message.sealed is not None and sa.protection is not None and message.header.initiator_spi == sa.spi_i:
                try:
                    plain = sa.protection.open.open(message.sealed_head, message.sealed.body)
                except Exception:  # noqa: BLE001, S112 - sent by the other end, or before the rekey
                    continue
                found.append((message.sealed.inner_next_payload, plain))
    return found


def mutated_chain(octets: bytes, chance: random.Random) -> bytes:
    changed = bytearray(octets)
    for _unused in range(chance.choice([0, 1, 1, 1, 2, 6])):
        if changed:
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 2, 3, 4, 8, 33, 40, 44, 45, 0x80, 0xFF])
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


def nothing_leaks(world: Recording) -> None:
    """No key and no secret in anything that is reported, listed or shown."""
    shown = [repr(action) for action in world.acted if isinstance(action, Report)]
    secrets = [b"a secret of some length"]
    for host in (world.east, world.west):
        shown += [repr(report) for report in host.reports]
        shown += [repr(view) for view in host.engine.sas()]
        for sa in host.engine.registry.by_spi.values():
            shown.append(repr(sa))
            if sa.protection is not None:
                keys = sa.protection.keys
                keys = (keys.d, keys.ei, keys.er, keys.pi, keys.pr)
                secrets += [key.reveal() for key in keys if len(key)]
        for installed in host.kernel.inbound.values():
            shown.append(repr(installed))
            secrets += [installed.encryption_in.reveal(), installed.encryption_out.reveal()]
    text = "\n".join(shown)
    for secret in secrets:
        assert secret.hex() not in text and repr(secret)[2:-1] not in text


def test_seal_and_open_of_the_fuzzer_go_together() -> None:
    """The fuzzer's own messages are served when nothing is wrong with them: otherwise it would prove nothing."""
    world = Recording()
    world.east.start()
    world.run(1.0)
    (east,) = world.east.engine.registry.by_spi.values()
    for chain in [(0, b""), (200, b"\0\0\0\5x")]:
        octets = sealed(east, INFORMATIONAL, east.next_id, [], chain=chain)
        (answer,) = world.west.engine.receive(octets, TO_WEST, world.now)
        assert len(opened(east, answer.datagram)) == 0 and answer.datagram[19] == RESPONSE
        assert octets[19] == INITIATOR
        east.next_id += 1
    assert len(plaintexts(world, world.west)) == len(plaintexts(world, world.east)) == 1
